"""Fixed affine preprocessing with the statistics of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import Transform, zeros
from .checks import expect_channels


class Standardize(Transform):
    r"""Subtract a fixed mean and divide by a fixed deviation, ``z = (x - mean) / std``; ``ldj = -sum log std``.

    The arithmetic is float64 whatever the dtype of x, which the result keeps; so do the statistics, also after
    ``flow.to(torch.float32)``: in float32 a time stamp of 1.6e9 is known to 128 seconds only. Needs a device with float64.
    Shapes: ``(B, C, *space)``, one mean and one deviation per channel, or one for all. Cost O(D).

    Arguments:
        mean: one number, or one per channel.
        std: the same, positive.

    Raises:
        ValueError: the two differ in length, are not finite, or a deviation is not positive.

    Example::

        >>> z, ldj = Standardize([1.6e9, 0.0], [1e7, 1.0])(torch.randn(8, 2, dtype=torch.float64))
        >>> z.shape, ldj.shape
        (torch.Size([8, 2]), torch.Size([8]))
    """

    mean_bits: Tensor
    std_bits: Tensor

    def __init__(self, mean: float | Sequence[float] | Tensor, std: float | Sequence[float] | Tensor):
        super().__init__()
        m, s = (torch.as_tensor(v, dtype=torch.float64, device="cpu").detach().reshape(-1).clone() for v in (mean, std))
        if m.numel() != s.numel() or not m.numel():
            raise ValueError(
                f"Standardize: expected as many deviations as means, got {s.numel()} and {m.numel()}; give one of each per channel"
            )
        if not (m.isfinite().all() and s.isfinite().all() and (s > 0).all()):
            raise ValueError("Standardize: means must be finite and deviations finite and positive; drop constant columns first")
        # nn.Module.to(dtype), float(), half() cast every floating buffer and leave integers alone: the 64 bits are held as int64,
        # so that the nets' dtype never reaches the statistics while moves between devices, saving and loading work as for any buffer.
        self.register_buffer("mean_bits", m.view(torch.int64))
        self.register_buffer("std_bits", s.view(torch.int64))

    @property
    def mean(self) -> Tensor:
        """The means, float64, ``(C,)``."""
        return self.mean_bits.view(torch.float64)

    @property
    def std(self) -> Tensor:
        """The deviations, float64, ``(C,)``."""
        return self.std_bits.view(torch.float64)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, std, log_det = self._like(x)
        return ((x.double() - mean) / std).to(x.dtype), zeros(x) - log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, std, log_det = self._like(z)
        return (z.double() * std + mean).to(z.dtype), zeros(z) + log_det

    def extra_repr(self) -> str:
        return f"{self.mean_bits.numel()} channels"

    def _like(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation shaped for x, and the sum of log deviations over an event."""
        size = self.mean_bits.numel()
        if size > 1:
            expect_channels("Standardize", size, x)
        mean, std = (v.reshape(-1, *(1 for _ in x.shape[2:])) for v in (self.mean, self.std))
        return mean, std, std.log().sum() * (math.prod(x.shape[1:]) // size)
