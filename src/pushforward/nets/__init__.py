"""Nets: tensors in, tensors out, no knowledge of flows."""

from .made import MADE
from .mlp import MLP, ResidualMLP
from .prefix import Prefix

__all__ = ["MADE", "MLP", "Prefix", "ResidualMLP"]
