"""Training: the loop, and the directory it writes."""

from .density import DensityFit, fit_density
from .fit import fit
from .history import History
from .run import Run
from .schedule import default_steps

__all__ = ["DensityFit", "History", "Run", "default_steps", "fit", "fit_density"]
