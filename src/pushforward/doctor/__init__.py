"""The report of a fitted flow's health: does it invert, are its log-dets right, does it suit the data."""

from .diagnosis import Diagnosis, Finding, diagnose
from .normalized import Normalization, check_normalized
from .walk import LayerCheck

__all__ = ["Diagnosis", "Finding", "LayerCheck", "Normalization", "check_normalized", "diagnose"]
