"""Block autoregressive layers: one dense net on the whole vector that is increasing in each feature by the blocks of its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform, full_precision, sum_event
from ..univariate.bisection import invert
from ..words import check_counts

SPREAD = 3.0  # standardized data lie within +-3


class BlockAutoregressive(Transform):
    r"""``z_i = c_i x_i + net_i(x_{<i}, x_i, context)``, with ``net_i`` increasing and bounded in x_i; ``ldj = sum_i log dz_i/dx_i``.

    The net has ``depth`` layers of tanh units, ``width`` of them for each feature. Weights from the units of feature j to those of
    feature i are free for j < i, positive for j = i and zero for j > i: the Jacobian is lower triangular. Its diagonal is carried
    along with the values, ``dh_i = (1 - h_i^2) * (W_ii @ dh_i of the layer before)``, one small matrix product for each feature.

    Shapes: x ``(B, D)``, context ``(B, context)``. Forward: one pass of a net with D * width units a layer; exact. Every term of
    a slope is positive and c_i is one of them, so plain sums keep all digits and can't vanish; they take a thirteenth of the
    time of a ``logsumexp`` over an extra axis, and three quarters of that of products after subtracting the maximum.
    Inverse: numerical, feature by feature. In the search for x_i only the blocks (i, i) are evaluated; what the features before
    give to it is added up once. That is the arithmetic of about ``1 + 2 search / (D + 1)`` passes, in ``D * search`` steps.
    Gradients of samples are exact (implicit function theorem).

    Departures from the paper: (1) Its layers end in a weighted sum of bounded units, which is not onto R, so that its densities
    do not integrate to one. The linear term, with ``floor < c_i < 1``, takes every feature onto R, keeps the inverse well
    conditioned and gives a bracket for the root; it also stands for the paper's gated residual connections between layers.
    (2) Positive weights are a softplus, not an exponential, and rows are not normalized: it fits as well, and takes less time.
    (3) Slopes are not kept as logarithms.

    Caveats: x comes back to ``|z| eps / c_i``, times what an error in the features before it does to z_i: with many features
    and large weights float32 runs short. Its layers are the map itself, and take no part in autocast.

    Reference: Block Neural Autoregressive Flow, De Cao, Titov, Aziz, 2019, arXiv:1904.04676.

    Arguments:
        dim: the number of features D.
        width: hidden units of each feature in each layer.
        depth: hidden layers.
        context: the width of the context, which every hidden unit sees.
        floor: the least slope dz_i/dx_i, between 0 and 1.
        search: evaluations in the search for a root.

    Raises:
        ValueError: sizes below 1, a floor outside (0, 1), x of another width, a context that is missing or of another width.

    Example::

        >>> layer = BlockAutoregressive(3, width=16, context=2)
        >>> z, ldj = layer(torch.randn(8, 3), torch.randn(8, 2))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    layers: Sequence[BlockLinear]

    def __init__(self, dim: int, *, width: int = 16, depth: int = 2, context: int = 0, floor: float = 0.01, search: int = 24):
        super().__init__()
        check_counts("BlockAutoregressive", dim=dim, width=width)
        check_counts("BlockAutoregressive", least=0, depth=depth, context=context, search=search)
        if min(dim, width, depth, search) < 1 or not 0 < floor < 1:
            raise ValueError(
                "BlockAutoregressive: expected dim, width, depth and search of at least 1 and 0 < floor < 1, "
                f"got {dim}, {width}, {depth}, {search} and {floor}"
            )
        self.dim, self.width, self.depth, self.context = dim, width, depth, context
        self.floor, self.search = floor, search
        sizes = [1, *[width] * depth]
        hidden = [BlockLinear(dim, inputs, width) for inputs in sizes[:-1]]
        self.layers = nn.ModuleList([*hidden, BlockLinear(dim, width, 1)])  # type: ignore[assignment]
        self.embed = nn.Linear(context, depth * dim * width) if context else None
        self.straight = nn.Parameter(torch.zeros(dim, 1))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(x)
        weights = [layer.weights() for layer in self.layers]
        z, slope, _ = evaluate(x.t(), self._offsets(context), weights, self._least())
        return z.t(), sum_event(slope.t())

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(z)
        offsets, weights, least = self._offsets(context), [layer.weights() for layer in self.layers], self._least()
        known: list[list[Tensor]] = [[] for _ in weights]  # what each layer reads, of the features found so far
        slopes = []
        for i, target in enumerate(z.t().split(1)):  # D times (1, B)
            given = []
            for offset, (dense, diagonal), units in zip(offsets, weights, known, strict=True):
                own, before = slice(i * diagonal.shape[1], (i + 1) * diagonal.shape[1]), i * diagonal.shape[2]
                given.append(torch.addmm(offset[own], dense[own, :before], torch.cat(units)) if i else offset[own])
            blocks = [(diagonal[i], diagonal[i : i + 1]) for _, diagonal in weights]
            x, slope = solve(target, given, blocks, least[i : i + 1], self.search)
            slopes.append(slope)
            for units, block in zip(known, evaluate(x, given, blocks, least[i : i + 1])[2], strict=True):
                units.append(block)
        return torch.cat(known[0]).t(), sum_event(torch.cat(slopes).t())

    def _least(self) -> Tensor:
        """The slopes c of the linear terms, (D, 1): one half at the start."""
        return self.floor + (1 - self.floor) * torch.sigmoid(self.straight)

    def _offsets(self, context: Tensor | None) -> list[Tensor]:
        """What each layer's units get from outside, (units, 1 or B)."""
        biases: list[Tensor] = [layer.bias for layer in self.layers]
        if self.embed is None:
            return biases
        if context is None or context.shape[1:] != (self.context,):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"BlockAutoregressive: expected a context of shape (B, {self.context}), got {got}")
        extra = self.embed(context).t().chunk(self.depth)
        return [*(bias + more for bias, more in zip(biases[:-1], extra, strict=True)), biases[-1]]

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"BlockAutoregressive: expected x of shape (B, {self.dim}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return f"dim={self.dim}, width={self.width}, depth={self.depth}, context={self.context}, floor={self.floor}"


class BlockLinear(nn.Module):
    """Weights ``(D outputs, D inputs)`` whose block (i, j) is free for j < i, positive for j = i, zero for j > i; and a bias.

    Free weights are held for the features but the first, by those but the last: the others are all zero. At the start a unit is
    a slope times a weighted mean of its own feature's inputs, the slopes and the first layer's thresholds spread over the data.
    """

    mask: Tensor

    def __init__(self, dim: int, inputs: int, outputs: int):
        super().__init__()
        self.pads = (0, inputs, outputs, 0)  # a column block on the right, a row block on top
        hidden = outputs > 1 or inputs == 1
        slope = torch.empty(dim, outputs, 1).uniform_(-0.7, 1.4).exp() if hidden else torch.full((dim, outputs, 1), 0.5)
        threshold = torch.empty(dim * outputs, 1).uniform_(-SPREAD, SPREAD) if hidden else torch.zeros(dim * outputs, 1)
        share = torch.randn(dim, outputs, inputs).softmax(2) * (1 if inputs == 1 else SPREAD)  # units in [-1, 1] stand for x
        self.diagonal = nn.Parameter(torch.expm1(share * slope).log())
        self.bias = nn.Parameter(-threshold * slope.view(-1, 1))
        noise = torch.randn((dim - 1) * outputs, (dim - 1) * inputs) / math.sqrt(max(1, dim - 1) * inputs)
        self.lower = nn.Parameter(noise * slope.view(-1, 1)[outputs:])
        reader, read = torch.arange(dim - 1).repeat_interleave(outputs), torch.arange(dim - 1).repeat_interleave(inputs)
        self.register_buffer("mask", (read <= reader[:, None]).to(noise.dtype), persistent=False)

    def weights(self) -> tuple[Tensor, Tensor]:
        """All of them, ``(D outputs, D inputs)``, and the blocks on the diagonal, ``(D, outputs, inputs)``."""
        diagonal = F.softplus(self.diagonal)
        return F.pad(self.lower * self.mask, self.pads) + torch.block_diag(*diagonal), diagonal


def evaluate(
    x: Tensor, offsets: Sequence[Tensor], weights: Sequence[tuple[Tensor, Tensor]], straight: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """``(z, log dz/dx)``, each (F, B), and what each layer reads, for F features: all, or one whose offsets hold those before it."""
    reads = [x]
    slopes = torch.ones_like(x).unsqueeze(1)  # (F, units, B)
    for offset, (dense, diagonal) in zip(offsets[:-1], weights[:-1], strict=True):
        h = torch.addmm(offset, dense, reads[-1]).tanh()
        slopes = torch.matmul(diagonal, slopes) * (1 - h * h).unflatten(0, (x.shape[0], -1))
        reads.append(h)
    dense, diagonal = weights[-1]
    z = torch.addmm(offsets[-1], dense, reads[-1]) + straight * x
    slope = torch.matmul(diagonal, slopes).squeeze(1) + straight
    return z, slope.log(), reads


def solve(
    z: Tensor, offsets: Sequence[Tensor], weights: Sequence[tuple[Tensor, Tensor]], straight: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """``(x, log dx/dz)`` of one feature, each (1, B)."""

    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate(x, offsets, weights, straight)[:2]

    centre, reach = (z - offsets[-1]) / straight, weights[-1][0].sum() / straight  # what |h| < 1 leaves room for
    return invert(f, z, centre - 1.5 * reach, centre + 1.5 * reach, doublings=0, steps=steps)
