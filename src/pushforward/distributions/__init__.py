"""Bases and likelihoods."""

from .mixture import GaussianMixture
from .normal import Normal

__all__ = ["GaussianMixture", "Normal"]
