"""Fully connected nets with gates: encoders and decoders of vectors."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .mlp import check_features, linear


class GatedMLP(nn.Module):
    r"""``(B, inputs, ...) -> (B, width)`` or ``(B, outputs)`` through ``depth`` layers ``(W h + b) * sigmoid(V h + c)``; x is flattened.

    Cost: ``2 width (inputs + (depth - 1) width)`` multiplications per row, and ``width outputs``.

    Reference: VAE with a VampPrior, Tomczak, Welling, 2017, arXiv:1705.07120, section 5; the gate: Language Modeling with Gated
    Convolutional Networks, Dauphin, Fan, Auli, Grangier, 2016, arXiv:1612.08083.

    Arguments:
        inputs: numbers of a row, those of a context included.
        outputs: of a linear layer at the end; without one, the gated units are the output.
        width: gated units of a layer.
        depth: gated layers.

    Raises:
        ValueError: x has another number of features.

    Example::

        >>> GatedMLP(784, 80, width=300)(torch.randn(8, 1, 28, 28)).shape
        torch.Size([8, 80])
    """

    def __init__(self, inputs: int, outputs: int | None = None, *, width: int = 300, depth: int = 2):
        super().__init__()
        check_counts("GatedMLP", inputs=inputs, width=width, depth=depth)
        self.inputs = inputs
        sizes = [inputs, *[width] * depth]
        self.hidden = nn.ModuleList(linear(a, 2 * b) for a, b in pairwise(sizes))
        self.last = nn.Identity() if outputs is None else linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        check_features(self, x, self.inputs)
        for layer in self.hidden:
            x = F.glu(layer(x))
        return self.last(x)
