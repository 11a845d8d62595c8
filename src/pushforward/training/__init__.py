"""Training: the loop, and the directory it writes."""

from .fit import History, fit
from .run import Run, build
from .schedule import default_steps

__all__ = ["History", "Run", "build", "default_steps", "fit"]
