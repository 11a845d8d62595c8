"""The dense velocity."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from ..words import check_counts
from .mlp import linear
from .velocity import Activation, TimedNet, TimeEntry


class TimeMLP(TimedNet):
    r"""A dense net of vectors and time, ``(B, D) -> (B, D)``, through ``depth`` hidden layers of ``width`` units; starts at zero.

    Time and context reach every layer: "concat" adds ``U [t, c]`` to what it makes of its input, "squash" multiplies it by
    ``sigmoid(V [t, c])`` before (FFJORD's two kinds). :meth:`products` carries vectors along, each at the cost of a pass.

    Reference: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367, appendix B.

    Arguments:
        dim: D.
        width: hidden units.
        depth: hidden layers.
        context: numbers of the context.
        time: "concat" or "squash".
        activation: "tanh", "softplus" or "swish".

    Raises:
        ValueError: another kind or activation (rectified units have no second derivative), x or a context of another shape.

    Example::

        >>> net = TimeMLP(3, width=16)
        >>> f, products = net.products(torch.randn(8, 3), 0.5, None, torch.randn(2, 8, 3))
        >>> f.shape, products.shape
        (torch.Size([8, 3]), torch.Size([2, 8, 3]))
    """

    def __init__(
        self, dim: int, *, width: int = 64, depth: int = 2, context: int = 0, time: TimeEntry = "concat", activation: Activation = "tanh"
    ):
        check_counts("TimeMLP", dim=dim, width=width, depth=depth)
        sizes = [dim, *[width] * depth, dim]
        layers = [linear(a, b, zero=i == depth) for i, (a, b) in enumerate(pairwise(sizes))]
        super().__init__(layers, sizes[1:], context, time, activation)
        self.dim = dim

    def _check(self, z: Tensor) -> None:
        if z.shape[1:] != (self.dim,):
            raise ValueError(f"TimeMLP: expected x of shape (B, {self.dim}), got {tuple(z.shape)}")

    def _affine(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(h, weight, bias)
