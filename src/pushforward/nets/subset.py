"""A net of the columns that are known, whichever they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .mlp import linear


class SubsetNet(nn.Module):
    r"""``(B, D)`` codes of which some are given ``-> (B, width)``: what the given ones say, whichever they are.

    ``h_0 = b + sum_{i given} (E_i[c_i] + t_i S_i[c_i] + s_i w_i + g_i) + V context``: each given column adds a vector of its own that is
    linear in its place t within the cell c, and in its place s among all values; then ``depth`` blocks
    ``h + W_2 relu(W_1 norm(h))``, and ``relu(norm(h))``. What is not given adds nothing, so that no mask is needed as an input.
    Cost: O(D width + depth width^2) per row.

    Reference: A Deep and Tractable Density Estimator, Uria, Murray, Larochelle, 2014, arXiv:1310.1757 (one net for all orders).

    Arguments:
        dim: columns.
        codes: of a column.
        width: hidden units.
        depth: blocks.
        context: features of a context, 0 for none.
        dropout: the share of hidden units that are left out in training.

    Raises:
        ValueError: a count below 1.

    Example::

        >>> net = SubsetNet(3, 8, width=16)
        >>> net(torch.zeros(5, 3, dtype=torch.long), torch.zeros(5, 3, 2), torch.ones(5, 3).bool()).shape
        torch.Size([5, 16])
    """

    shift: Tensor

    def __init__(self, dim: int, codes: int, *, width: int = 256, depth: int = 3, context: int = 0, dropout: float = 0.0):
        super().__init__()
        check_counts("SubsetNet", dim=dim, codes=codes, width=width)
        check_counts("SubsetNet", least=0, depth=depth, context=context)
        self.dim, self.codes, self.width, self.dropout = dim, codes, width, dropout
        self.register_buffer("shift", torch.arange(dim) * codes, persistent=False)
        self.look = nn.Parameter(torch.randn(2 * dim * codes, width) / dim**0.5)
        self.slope = nn.Parameter(torch.randn(dim, width) / dim**0.5)
        self.known = nn.Parameter(torch.zeros(dim, width))
        self.first = nn.Linear(context, width) if context else nn.Linear(1, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth + 1))
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.outer = nn.ModuleList(linear(width, width, zero=True) for _ in range(depth))

    def forward(self, codes: Tensor, place: Tensor, given: Tensor, context: Tensor | None = None) -> Tensor:
        seen = given.to(place.dtype)
        at = codes + self.shift
        index = torch.cat([at, at + self.dim * self.codes], 1)
        h = F.embedding_bag(index, self.look, mode="sum", per_sample_weights=torch.cat([seen, seen * place[..., 1]], 1))
        h = h + (seen * place[..., 0]) @ self.slope + seen @ self.known
        h = h + self.first(h.new_zeros(len(h), 1) if context is None else context)
        for norm, inner, outer in zip(self.norms, self.inner, self.outer):
            h = h + outer(F.dropout(F.relu(inner(norm(h))), self.dropout, self.training))
        return F.relu(self.norms[-1](h))
