"""Normalizing flows and exact likelihoods, for tables and images."""

from .core import Chain, Distribution, Flow, Inverse, Transform

__all__ = ["Chain", "Distribution", "Flow", "Inverse", "Transform"]
__version__ = "0.1.0"
