"""Bases and likelihoods."""

from .normal import Normal

__all__ = ["Normal"]
