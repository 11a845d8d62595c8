"""Convolutions on a torus: one matrix per frequency."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision, zeros
from ..univariate.bisection import wide
from ..words import check_counts
from .checks import expect_channels


class PeriodicConv(Transform):
    r"""A convolution that wraps around the border, ``z_ij = sum_ab K_ab x_(i+a, j+b)``; ``ldj = sum_uv log|det K^_uv|``.

    The Fourier transform takes the channels of each frequency apart from all others: ``z^_uv = K^_uv x^_uv``, with the C x C matrix
    ``K^_uv = sum_ab K_ab exp(2 pi i (u a / H + v b / W))``, a and b counted from the kernel's centre. The identity at the start.

    Shapes: ``(B, C, H, W)``. Cost: about ``2 C^2`` multiplications per site in either direction, whatever the kernel, two Fourier
    transforms, and ``C^3 / 2`` per site once per pass for the log-determinant (that of a real image needs half of the frequencies):
    dear for small batches of many channels. Exact. Computed in float32 or better.

    Nothing keeps a matrix from becoming singular but the likelihood. A wrapped border joins opposite edges of an image, which
    have little to do with each other; meant for textures, maps of the sky, angles.

    Reference: Emerging Convolutions for Generative Normalizing Flows, Hoogeboom, van den Berg, Welling, 2019, arXiv:1901.11137,
    section 3.2.

    Arguments:
        channels: the size of axis 1.
        kernel: the side of the square of sites that a site reads.

    Raises:
        ValueError: a kernel less than 1, or x is no image of so many channels.

    Example::

        >>> z, ldj = PeriodicConv(12)(torch.randn(8, 12, 16, 16))
        >>> z.shape, ldj.shape
        (torch.Size([8, 12, 16, 16]), torch.Size([8]))
    """

    def __init__(self, channels: int, kernel: int = 3):
        super().__init__()
        check_counts("PeriodicConv", channels=channels, kernel=kernel)
        self.weight = nn.Parameter(torch.zeros(channels, channels, kernel, kernel))
        with torch.no_grad():
            self.weight[:, :, kernel // 2, kernel // 2] = torch.eye(channels)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        matrices = self._matrices(x)
        return self._by_frequency(x, lambda rows: matrices @ rows), zeros(x) + self._log_det(matrices, x.shape[3])

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        matrices = self._matrices(z)
        return self._by_frequency(z, lambda rows: torch.linalg.solve(matrices, rows)), zeros(z) - self._log_det(matrices, z.shape[3])

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, kernel={self.weight.shape[2]}"

    def _matrices(self, x: Tensor) -> Tensor:
        """K^ at half of the frequencies, ``(H, W / 2 + 1, C, C)``; the others are their conjugates."""
        expect_channels("PeriodicConv", self.weight.shape[0], x)
        if x.dim() != 4:
            raise ValueError(f"PeriodicConv: expected images (B, {self.weight.shape[0]}, H, W), got {tuple(x.shape)}")
        weight = wide(self.weight)
        rows, columns = self._waves(x.shape[2], weight), self._waves(x.shape[3], weight)[: x.shape[3] // 2 + 1]
        return torch.einsum("ocab,ua,vb->uvoc", weight.to(rows.dtype), rows, columns)

    def _waves(self, side: int, like: Tensor) -> Tensor:
        """``exp(2 pi i u a / side)`` for each frequency u and place a of the kernel, ``(side, kernel)``."""
        size = self.weight.shape[2]
        places = torch.arange(size, device=like.device) - size // 2
        angle = (torch.arange(side, device=like.device)[:, None] * places % side).to(like.dtype) * (2 * math.pi / side)
        return torch.polar(torch.ones_like(angle), angle)

    def _log_det(self, matrices: Tensor, width: int) -> Tensor:
        """The sum over all frequencies: columns other than 0 and W / 2 stand for two."""
        column = torch.arange(matrices.shape[1], device=matrices.device)
        alone = (column == 0) | (2 * column == width)
        return (torch.linalg.slogdet(matrices)[1] * (2 - alone.to(self.weight.dtype))).sum()

    def _by_frequency(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply ``function`` to the channels of each frequency, ``(H, W / 2 + 1, C, B)``."""
        if not x.shape[0]:
            return x  # some libraries refuse to transform nothing
        waves = function(torch.fft.rfft2(wide(x)).permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
        return torch.fft.irfft2(waves, s=x.shape[2:]).to(x.dtype)
