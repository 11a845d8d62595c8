"""The net of images that brings points closer together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..words import check_counts
from .lipschitz import HiddenLayer, LipschitzLayers, SmoothUnits
from .spectral_conv import SpectralConv2d


class LipschitzConv(LipschitzLayers):
    """A convolutional net of images that brings points closer together, ``(B, C, H, W) -> (B, C, H, W)``; starts at zero.

    As :class:`LipschitzMLP`, of convolutions; see :class:`SpectralConv2d` for how their bounds are kept and what :meth:`refresh` costs.

    Cost: ``(9 C + width + 9 C) width`` multiplications per site, with kernels of side 3, 1 and 3.

    Reference: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735, appendix E.
    Departure: that of :class:`LipschitzMLP`, and no units before the first convolution.

    Arguments:
        shape: C, H, W.
        width: hidden channels (512 in the paper).
        kernels: odd sides, one for each convolution.
        coefficient: bound of the Lipschitz constant (.98 in the paper).
        units: "lipswish", "clipswish" (a pair for each: ``2 width`` channels go on), or "sine".
        dense: hidden layers hand on what entered, too; see :class:`HiddenLayer`.
        context: numbers of the context, or channels of one that is an image.

    Raises:
        ValueError: a size below 1, fewer than two kernels, a coefficient not between 0 and 1, other units; x or a context of another shape.

    Example::

        >>> net = LipschitzConv((3, 8, 8), width=16)
        >>> net(torch.randn(4, 3, 8, 8)).shape, net.lipschitz
        (torch.Size([4, 3, 8, 8]), 0.98)
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 64,
        kernels: Sequence[int] = (3, 1, 3),
        coefficient: float = 0.98,
        units: SmoothUnits = "lipswish",
        dense: bool = False,
        context: int = 0,
    ):
        check_counts("LipschitzConv", width=width, kernels=len(kernels) - 1)
        check_counts("LipschitzConv", least=0, context=context)
        channels, *space = shape
        hidden, inputs = list[HiddenLayer](), channels
        for kernel in kernels[:-1]:
            shift = nn.Conv2d(context, width, 1, bias=False) if context else None
            inner = SpectralConv2d((inputs, *space), width, kernel=kernel)
            hidden.append(HiddenLayer(inner, units, shift, dense))
            inputs = hidden[-1].outputs
        last = SpectralConv2d((inputs, *space), channels, kernel=kernels[-1], coefficient=coefficient, zero=True)
        super().__init__(hidden, last, tuple(shape), context)
