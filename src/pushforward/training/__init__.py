"""Training: the loop, and the directory it writes."""

from .density import DensityFit, fit_density
from .fit import fit
from .history import History
from .importance import Importance, importance
from .run import Run, build
from .schedule import default_steps

__all__ = ["DensityFit", "History", "Importance", "Run", "build", "default_steps", "fit", "fit_density", "importance"]
