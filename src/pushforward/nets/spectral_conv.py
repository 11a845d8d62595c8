"""Convolutions whose norm is kept below a coefficient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import full_precision
from ..words import check_counts
from .conv2d import check_image, conv2d
from .spectral import SpectralMap, schatten_gradient


class SpectralConv2d(SpectralMap):
    """A convolution that keeps the size of an image, ``(B, C, H, W) -> (B, outputs, H, W)``, and makes distances grow by at most
    ``coefficient``.

    Zeros beyond the border make it a part of a convolution of larger images that wrap around. That one is a matrix ``(outputs, C)`` for
    each frequency, and the norm is Schatten's of them all, as in :class:`SpectralLinear`: after :meth:`refresh` the bound holds up to
    rounding, whatever the weights. The part's own norm may be smaller: of an averaging kernel by 1 % in images of side 28, 10 % in 7.

    Cost of :meth:`refresh`: a Fourier transform of the kernels, and for each of about ``H W / 2`` frequencies 10 products of matrices of
    the smaller number of channels.

    Reference: The Singular Values of Convolutional Layers, Sedghi, Gupta, Long, 2018, arXiv:1805.10408. Departure: the papers of residual
    flows estimate the part's own norm, from below, by a few power iterations that go on from the last ones; but in training a norm grows
    where they do not look.

    Arguments:
        shape: C, H, W of what enters.
        outputs: channels that leave.
        kernel: its side, odd.
        coefficient: bound of the norm.
        zero: start at zero.

    Raises:
        ValueError: a size below 1, an even side, no positive coefficient, or x has other channels.

    Example::

        >>> layer = SpectralConv2d((3, 8, 8), 16, coefficient=0.9)
        >>> x, y = torch.randn(2, 8, 3, 8, 8)
        >>> bool((layer(x) - layer(y)).norm() <= 0.9 * (x - y).norm())
        True
    """

    def __init__(self, shape: Sequence[int], outputs: int, *, kernel: int = 3, coefficient: float = 1.0, zero: bool = False):
        inputs, height, width = shape
        check_counts("SpectralConv2d", inputs=inputs, height=height, width=width, outputs=outputs, kernel=kernel)
        if kernel % 2 == 0:
            raise ValueError(f"SpectralConv2d: expected a kernel of an odd side, which keeps the size of an image, got {kernel}")
        super().__init__(conv2d(inputs, outputs, kernel, gain=0.0 if zero else 1.0), coefficient)
        self.shape, self.kernel = tuple(shape), kernel
        self.refresh()

    def forward(self, x: Tensor) -> Tensor:
        check_image(self, x, self.shape[0])
        return F.conv2d(x, self.normalized(), self.bias, padding=self.kernel // 2)

    def transposed(self) -> Callable[[Tensor], Tensor]:
        weight = self.normalized().transpose(0, 1).flip(2, 3)  # conv_transpose2d is slower on CPUs
        return lambda v: F.conv2d(v.flatten(0, 1), weight, padding=self.kernel // 2).unflatten(0, v.shape[:2])

    @full_precision
    def _norm_gradient(self, weight: Tensor) -> Tensor:
        if self.kernel == 1:
            return schatten_gradient(weight.flatten(1)).view_as(weight)
        space = [side + self.kernel - 1 for side in self.shape[1:]]  # of images whose wrapping meets zeros alone
        with torch.enable_grad():
            kernels = weight.detach().requires_grad_()
            matrices = torch.fft.rfft2(kernels, s=space).permute(2, 3, 0, 1)
        return torch.autograd.grad(matrices, kernels, schatten_gradient(matrices.detach()))[0]

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape[:2]
        return f"{inputs}, {outputs}, kernel={self.kernel}, coefficient={self.coefficient:g}"
