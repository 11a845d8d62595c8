"""How good a fitted density is: nats on held-out rows beside baselines, and whether its samples can be told from data."""

from .calibration import Calibration, calibration
from .importance import Importance, importance
from .likelihood import entering, evaluate, log_likelihood, settled
from .results import Results, likelihood_quantiles
from .scores import Score, summarize, verdict
from .surgery import Surgery, surgery
from .two_sample import TwoSample, c2st

__all__ = [
    "Calibration",
    "Importance",
    "Results",
    "Score",
    "Surgery",
    "TwoSample",
    "c2st",
    "calibration",
    "entering",
    "evaluate",
    "importance",
    "likelihood_quantiles",
    "log_likelihood",
    "settled",
    "summarize",
    "surgery",
    "verdict",
]
