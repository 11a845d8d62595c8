"""Training: the loop, and the directory it writes."""

from .batches import Batches, Validation
from .density import DensityFit, fit_density
from .fit import fit
from .history import History
from .loop import optimize
from .run import Run
from .schedule import default_steps

__all__ = ["Batches", "DensityFit", "History", "Run", "Validation", "default_steps", "fit", "fit_density", "optimize"]
