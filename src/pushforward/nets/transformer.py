"""A transformer over features whose output i sees only the features before i, and which can be evaluated feature by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .attention import Cache, CausalAttention
from .causal import CausalNet, Solve


class CausalTransformer(CausalNet):
    r"""Causal attention over features, ``(B, D) -> (B, params * D)``, seen as ``(B, params, D)``: a causal net like :class:`MADE`.

    Token t stands for the parameters of the t-th feature in the order of the visit. It starts as what the feature before it is,
    a small net of the value that is this feature's own, plus a learned place; the first token holds the context instead (and a
    net of one feature is a net of the context alone). ``depth`` blocks follow, ``h + attention(norm(h))`` and then
    ``h + W_2 relu(W_1 norm(h))`` with 4 ``width`` hidden units; at last each place has its own linear map to ``params`` numbers,
    which starts at zero. The weights of a block serve all features, where those of MADE belong to one place each.

    Cost: O(D width^2 + D^2 width) operations per row and block, so use a width far below MADE's. :meth:`unroll` keeps the keys
    and values of the tokens before, and costs as much as one pass. It can be differentiated once only (:class:`CausalAttention`).

    References: Attention Is All You Need, Vaswani et al., 2017, arXiv:1706.03762; normalized before each part as in On Layer
    Normalization in the Transformer Architecture, Xiong et al., 2020, arXiv:2002.04745; the net for each value as in On
    Embeddings for Numerical Features in Tabular Deep Learning, Gorishniy, Rubachev, Babenko, 2022, arXiv:2203.05556.

    Arguments:
        dim: the number of features D.
        params: outputs per feature.
        width: numbers per token.
        depth: blocks.
        heads: parts of a token that attend separately; they divide the width.
        context: the width of the context, which the first token holds and all others read.
        order: the features in the order of their visit; default 0..D-1.

    Raises:
        ValueError: an order that is not a permutation, no block, heads that do not divide the width; x or a context of another
            shape.

    Example::

        >>> net = CausalTransformer(3, 2, width=32, context=4)
        >>> net(torch.randn(8, 3), torch.randn(8, 4)).shape
        torch.Size([8, 6])
    """

    seen: Tensor
    place_of: Tensor
    blocks: Sequence[Block]

    def __init__(
        self,
        dim: int,
        params: int,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        context: int = 0,
        order: Sequence[int] | None = None,
    ):
        super().__init__()
        check_counts("CausalTransformer", dim=dim, params=params, width=width, heads=heads)
        check_counts("CausalTransformer", least=0, depth=depth, context=context)
        self.dim, self.params, self.context = dim, params, context
        self.order = tuple(range(dim)) if order is None else tuple(order)
        if sorted(self.order) != list(range(dim)):
            raise ValueError(f"CausalTransformer: order must be a permutation of 0..{dim - 1}, got {self.order}")
        if depth < 1:
            raise ValueError(f"CausalTransformer: expected at least one block, got depth {depth}; features meet in blocks only")
        self.places = nn.Parameter(torch.randn(dim, width))
        self.embed = nn.Linear(context, width, bias=False) if context else None
        self.slopes = nn.Parameter(torch.randn(dim - 1, width))  # nobody sees the last feature
        self.shifts = nn.Parameter(torch.randn(dim - 1, width))
        self.mix = nn.Parameter(torch.randn(dim - 1, width, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(Block(width, heads if dim > 1 else 0) for _ in range(depth))  # type: ignore[assignment]
        self.norm = nn.LayerNorm(width)
        self.last = nn.Parameter(torch.zeros(dim, width, params))
        self.bias = nn.Parameter(torch.zeros(dim, 1, params))
        place_of = sorted(range(dim), key=self.order.__getitem__)
        self.register_buffer("seen", torch.tensor(self.order[:-1], dtype=torch.long), persistent=False)
        self.register_buffer("place_of", torch.tensor(place_of), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"CausalTransformer: expected x of shape (B, {self.dim}), got {tuple(x.shape)}")
        h = torch.cat([self._start(x.shape[0], context), self._tokens(x.index_select(1, self.seen), 0)], 1)
        for block in self.blocks:
            h = block(h)
        out = torch.baddbmm(self.bias, self.norm(h).transpose(0, 1), self.last)  # (D, B, params), by place
        return out.permute(1, 2, 0).index_select(2, self.place_of).flatten(1)

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        """Find x feature by feature: ``solve(i, h) -> x_i`` gets ``h`` ``(B, params, 1)`` and gives ``(B, 1)``. Returns ``(B, D)``."""
        caches = [block.cache(self.dim, batch) for block in self.blocks]
        columns: list[Tensor] = []
        for place, i in enumerate(self.order):
            h = self._tokens(columns[-1], place - 1) if place else self._start(batch, context)
            for block, cache in zip(self.blocks, caches, strict=True):
                h = block(h, cache)
            out = self.norm(h) @ self.last[place] + self.bias[place]
            columns.append(solve(i, out.transpose(1, 2)))
        return torch.cat(columns, 1).index_select(1, self.place_of)

    def _start(self, batch: int, context: Tensor | None) -> Tensor:
        """The first token, ``(B, 1, width)``."""
        place = self.places[:1].expand(batch, 1, -1)
        if self.embed is None:
            return place
        if context is None or context.shape != (batch, self.context):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"CausalTransformer: expected a context of shape ({batch}, {self.context}), got {got}")
        return place + self.embed(context).unsqueeze(1)

    def _tokens(self, values: Tensor, first: int) -> Tensor:
        """The values ``(B, n)`` of the features at places ``first, first + 1, ...`` as the tokens ``(B, n, width)`` of the places after."""
        last = first + values.shape[1]
        units = F.relu(values.t().unsqueeze(2) * self.slopes[first:last, None] + self.shifts[first:last, None])
        return torch.baddbmm(self.places[first + 1 : last + 1, None], units, self.mix[first:last]).transpose(0, 1)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, params={self.params}, context={self.context}"


class Block(nn.Module):
    """What a token reads from others, then a net of each token; without heads the second only."""

    def __init__(self, width: int, heads: int, *, block: int = 0, memory: int = 0, dropout: float = 0.0):
        super().__init__()
        self.attention = CausalAttention(width, heads, block=block, memory=memory) if heads else None
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, cache: Cache | None = None) -> Tensor:
        if self.attention is not None:
            h = h + self.dropout(self.attention(h, cache))
        return h + self.dropout(self.narrow(F.relu(self.widen(self.norm(h)))))

    def cache(self, tokens: int, batch: int) -> Cache | None:
        return None if self.attention is None else self.attention.cache(tokens, batch)
