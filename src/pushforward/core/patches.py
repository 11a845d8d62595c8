"""Pixels of patches as channels, and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def into_patches(x: Tensor, patch: int) -> Tensor:
    """``(B, C, H, W) -> (B, C patch^2, H / patch, W / patch)``, of no rows too, which torch would leave as they are."""
    rows, channels, height, width = x.shape
    return F.pixel_unshuffle(x, patch) if rows else x.reshape(0, channels * patch**2, height // patch, width // patch)


def out_of_patches(h: Tensor, patch: int) -> Tensor:
    """``(B, C patch^2, H, W) -> (B, C, H patch, W patch)``, of no rows too, for which torch has no gradient."""
    rows, channels, height, width = h.shape
    return F.pixel_shuffle(h, patch) if rows else h.reshape(0, channels // patch**2, height * patch, width * patch)
