"""The convolutional velocity."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last, check_image, conv2d, like
from .velocity import Activation, TimedNet


class ConcatConv(TimedNet):
    r"""Convolutions of images and time, ``(B, C, H, W) -> (B, C, H, W)``, through ``depth`` hidden layers of ``width`` channels.

    Each layer adds ``U [t, c]`` to all sites, c the context; starts at zero. Kernels of side 3 read
    ``depth + 1`` sites in each direction. :meth:`products` carries vectors along, each at the cost of a pass.

    Cost: ``kernel^2 width (2 C + (depth - 1) width)`` multiplications per site.

    Reference: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367, appendix B. Departure: time is no further
    channel of the input, whose zeros beyond the border would make sites there differ.

    Arguments:
        channels: C.
        width: hidden channels.
        depth: hidden layers.
        kernel: the side of the kernels, odd.
        context: numbers of the context.
        activation: "tanh", "softplus" or "swish".

    Raises:
        ValueError: an even kernel, another activation (rectified units have no second derivative), x or a context of another shape.

    Example::

        >>> net = ConcatConv(1, width=8)
        >>> f, products = net.products(torch.randn(2, 1, 4, 4), 0.5, None, torch.randn(3, 2, 1, 4, 4))
        >>> f.shape, products.shape
        (torch.Size([2, 1, 4, 4]), torch.Size([3, 2, 1, 4, 4]))
    """

    def __init__(
        self, channels: int, *, width: int = 64, depth: int = 3, kernel: int = 3, context: int = 0, activation: Activation = "softplus"
    ):
        check_counts("ConcatConv", channels=channels, width=width, depth=depth, kernel=kernel)
        if kernel % 2 == 0:
            raise ValueError(f"ConcatConv: expected an odd kernel, which keeps the size of an image, got {kernel}")
        sizes = [channels, *[width] * depth, channels]
        layers = [conv2d(a, b, kernel, gain=float(i < depth)) for i, (a, b) in enumerate(pairwise(sizes))]
        super().__init__(layers, sizes[1:], context, "concat", activation)
        self.channels = channels

    def _check(self, z: Tensor) -> None:
        check_image(self, z, self.channels)

    def _affine(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if h.dim() == 4:
            return F.conv2d(h, weight, bias, padding="same")
        return F.conv2d(channels_last(h.flatten(0, 1)), weight, bias, padding="same").unflatten(0, h.shape[:2])

    def _pass(self, h: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor | None) -> tuple[Tensor, Tensor | None]:
        f, products = super()._pass(channels_last(h), t, context, v)
        return like(f, h), products
