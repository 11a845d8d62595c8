"""How good a fitted density is: nats on held-out rows beside baselines, and whether its samples can be told from data."""

from .importance import Importance, importance
from .likelihood import dequantization, entering, evaluate, log_likelihood, settled
from .scores import Score, summarize, verdict
from .two_sample import TwoSample, c2st

__all__ = [
    "Importance",
    "Score",
    "TwoSample",
    "c2st",
    "dequantization",
    "entering",
    "evaluate",
    "importance",
    "log_likelihood",
    "settled",
    "summarize",
    "verdict",
]
