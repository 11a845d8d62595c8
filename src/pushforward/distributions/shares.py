"""Log probabilities of the digits of a code, and what is found by them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..likelihoods.base import race

FindDigit = Callable[[int, int, Tensor], Tensor]  # column, digit, log probabilities (B, values) to values (B,)


def raced(i: int, digit: int, log_weights: Tensor) -> Tensor:
    """A value drawn by its weight."""
    return race(log_weights).squeeze(1)


def log_shares(logits: Tensor) -> Tensor:
    """Log probabilities along the last axis, in float32 or better."""
    return logits.log_softmax(-1, torch.promote_types(logits.dtype, torch.float32))
