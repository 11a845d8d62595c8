"""Invertible convolutions from causal ones: each site reads those before it, in one order and then in the opposite one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform, full_precision
from ..univariate.bisection import wide
from ..words import check_counts
from .channels import on_rows, per_row, total
from .checks import expect_channels


class CausalConv(Transform):
    r"""A convolution with a triangular Jacobian, ``z_ij = T x_ij + sum_ab K_ab x_(i-a, j-b)``; ``ldj = positions * sum_c log T_cc``.

    The sum runs over ``0 <= a, b < size`` but (0, 0): a site reads itself, by the triangular matrix T of diagonal ``exp(s) > 0``,
    and the square of sites above and left of it; beyond the border are zeros. ``reverse`` reads the square below and right, with
    T the other triangle. The identity at the start.

    Shapes: ``(B, C, H, W)``. Cost: ``size^2 C^2`` multiplications per site in either direction. The inverse is exact: sites of one
    anti-diagonal depend on earlier ones only and are solved together, in H + W - 1 steps of one matrix product for the whole batch.

    The inverse is a recursion over H + W steps, so that it grows exponentially with the size of the image, and rounding with it,
    where the entries of K outweigh those of T; the log-determinant does not notice, but samples do.

    Reference: Emerging Convolutions for Generative Normalizing Flows, Hoogeboom, van den Berg, Welling, 2019, arXiv:1901.11137
    (there inverted site by site).

    Arguments:
        channels: the size of axis 1.
        size: the side of the square that a site reads.
        reverse: read the sites after, not those before.

    Raises:
        ValueError: a size less than 1, or x is no image of so many channels.

    Example::

        >>> z, ldj = CausalConv(3)(torch.randn(8, 3, 16, 16))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3, 16, 16]), torch.Size([8]))
    """

    mask: Tensor

    def __init__(self, channels: int, size: int = 2, reverse: bool = False):
        super().__init__()
        check_counts("CausalConv", channels=channels, size=size)
        self.channels, self.size, self.reverse = channels, size, reverse
        self.weight = nn.Parameter(torch.zeros(channels, channels, size, size))  # [:, :, a, b] reads site (i-a, j-b)
        self.log_scale = nn.Parameter(torch.zeros(channels))
        mask = torch.ones(channels, channels, size, size)
        mask[:, :, 0, 0] = mask[:, :, 0, 0].tril(-1)
        self.register_buffer("mask", mask, persistent=False)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._expect(x)
        reach = self.size - 1
        if self.reverse:
            z = F.conv2d(F.pad(x, (0, reach, 0, reach)), self._kernel().flip(0, 1))
        else:
            z = F.conv2d(F.pad(x, (reach, 0, reach, 0)), self._kernel().flip(2, 3))
        return z, per_row(x, total(self.log_scale))

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._expect(z)
        axes = (1, 2, 3) if self.reverse else ()
        x = self._solve(wide(z).flip(axes)).flip(axes).to(z.dtype)
        return x, -per_row(z, total(self.log_scale))

    def extra_repr(self) -> str:
        return f"{self.channels}, size={self.size}{', reverse' if self.reverse else ''}"

    def _expect(self, x: Tensor) -> None:
        expect_channels("CausalConv", self.channels, x)
        if x.dim() != 4:
            raise ValueError(f"CausalConv: expected images (B, {self.channels}, H, W), got {tuple(x.shape)}")

    def _kernel(self) -> Tensor:
        """T and K, ``(C, C, size, size)``, as for the order of ``reverse=False``."""
        reach = self.size - 1
        return self.weight * self.mask + F.pad(self.log_scale.exp().diag()[:, :, None, None], (0, reach, 0, reach))

    def _solve(self, z: Tensor) -> Tensor:
        """x of z for ``reverse=False``: ``x_ij = T^-1 z_ij - sum_ab T^-1 K_ab x_(i-a, j-b)``, anti-diagonal by anti-diagonal."""
        batch, channels, height, width = z.shape
        kernel, reach = wide(self._kernel()).flatten(2).unbind(2), self.size - 1
        taps = [(a, b) for a in range(self.size) for b in range(self.size)]
        z = on_rows(lambda rows: torch.linalg.solve_triangular(kernel[0].mT, rows, upper=True, left=False), z)
        if not reach:
            return z
        weight = torch.linalg.solve_triangular(kernel[0], torch.cat(kernel[1:], 1), upper=False)  # (C, taps * C)

        steps = height + width - 1
        skewed = F.pad(z, (0, height)).flatten(2)[..., : height * steps].unflatten(2, (height, steps))  # [i, t] is z_(i, t-i)
        sources = skewed.permute(3, 2, 0, 1).unbind()  # (H, B, C) each, zero outside of the image
        column = torch.arange(steps, device=z.device)[:, None] - torch.arange(height, device=z.device)
        inside = ((column >= 0) & (column < width)).to(z.dtype)[:, :, None, None]
        done = [z.new_zeros(height + reach, batch, channels)] * (2 * reach)  # each with `reach` rows of zeros above the image
        for source, keep in zip(sources, inside.unbind(), strict=True):
            near = torch.cat([done[-a - b][reach - a : reach - a + height] for a, b in taps[1:]], 2)
            done.append(F.pad((source - F.linear(near, weight)) * keep, (0, 0, 0, 0, reach, 0)))
        x = torch.stack(done[2 * reach :])[:, reach:].permute(2, 3, 1, 0)  # (B, C, H, steps)
        return F.pad(x.flatten(2), (0, height)).unflatten(2, (height, steps + 1))[..., :width]


class EmergingConv(Transform):
    r"""A convolution of odd side whose every tap is learned: two causal ones in opposite orders; ``ldj`` is the sum of theirs.

    Both read squares of side ``(kernel + 1) / 2``, one above and left, the other below and right, so together a square of side
    ``kernel`` around each site, and every channel. ``kernel=1`` is a matrix as lower times upper triangle (:class:`LULinear`).
    Of all kernels it reaches those that factor this way. The identity at the start.

    Shapes: ``(B, C, H, W)``; zeros beyond the border. Cost: ``(kernel + 1)^2 / 2 C^2`` multiplications per site in either direction,
    the inverse in 2 (H + W - 1) steps; O(C) for the log-determinant. Exact; see :class:`CausalConv` for its rounding.

    Reference: Emerging Convolutions for Generative Normalizing Flows, Hoogeboom, van den Berg, Welling, 2019, arXiv:1901.11137
    (their square kernels, without the 1x1 convolution that they merge into the first: put one beside it).

    Arguments:
        channels: the size of axis 1.
        kernel: the side of the whole convolution, odd.

    Raises:
        ValueError: an even kernel, or x is no image of so many channels.

    Example::

        >>> z, ldj = EmergingConv(12)(torch.randn(8, 12, 16, 16))
        >>> z.shape, ldj.shape
        (torch.Size([8, 12, 16, 16]), torch.Size([8]))
    """

    def __init__(self, channels: int, kernel: int = 3):
        super().__init__()
        check_counts("EmergingConv", channels=channels, kernel=kernel)
        if kernel % 2 == 0:
            raise ValueError(f"EmergingConv: kernel must be odd and at least 1, got {kernel}")
        size = (kernel + 1) // 2
        self.before = CausalConv(channels, size)
        self.after = CausalConv(channels, size, reverse=True)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, first = self.before(x)
        z, second = self.after(y)
        return z, first + second

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, second = self.after.inverse(z)
        x, first = self.before.inverse(y)
        return x, first + second
