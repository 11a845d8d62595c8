"""Causal self-attention, over all tokens at once or token by token."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..words import check_counts
from .prefix import Prefix, transformed


class CausalAttention(nn.Module):
    r"""Token t reads the tokens ``s <= t``: ``W_o sum_s softmax_s(q_t . k_s / sqrt(width / heads)) v_s`` in each of ``heads`` parts.

    Tokens are normalized first (arXiv:2002.04745), and what was read is for the caller to add to them.
    ``(B, T, width) -> (B, T, width)``, one fused kernel, O(T width^2 + T^2 width) operations for each row. With a ``cache`` h
    holds one more token, ``(B, 1, width)``, which reads itself and those that went before: T such calls do what one call on all
    tokens does, at the same cost. Queries, keys and values have no offsets, since softmax cancels that of the keys. The fused
    kernel can be differentiated once only; a loss that itself holds derivatives needs ``torch.nn.attention.sdpa_kernel(MATH)``.

    With a ``block`` attention is local: tokens stand in blocks of so many, and one reads those before it in its block and the ``memory``
    tokens before the block, at a cost of O(T (block + memory) width).

    References: Attention Is All You Need, Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, 2017,
    arXiv:1706.03762; local blocks as in Image Transformer, Parmar et al., 2018, arXiv:1802.05751, section 3.3.

    Arguments:
        width: numbers per token.
        heads: parts of ``width / heads`` numbers that attend separately.
        block: tokens of a block, 0 for all in one.
        memory: tokens before a block that it reads.

    Raises:
        ValueError: the width is not a multiple of the heads.

    Example::

        >>> attention = CausalAttention(32, heads=4)
        >>> attention(torch.randn(8, 10, 32)).shape
        torch.Size([8, 10, 32])
    """

    def __init__(self, width: int, heads: int, *, block: int = 0, memory: int = 0):
        super().__init__()
        check_counts("CausalAttention", least=0, block=block, memory=memory)
        if width < 1 or heads < 1 or width % heads:
            raise ValueError(f"CausalAttention: width must be a multiple of heads, got width {width} and {heads} heads")
        self.heads, self.block, self.memory = heads, block, memory
        self.norm = nn.LayerNorm(width)
        self.inward = nn.Linear(width, 3 * width, bias=False)
        self.outward = nn.Linear(width, width)

    def forward(self, h: Tensor, cache: Cache | None = None) -> Tensor:
        parts = self.inward(self.norm(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, T, width / heads)
        queries, keys, values = parts.unbind()
        if cache is not None:
            keys, values = cache.append(keys, values)
            first = self._first(keys.shape[2] - 1)
            read = attend(queries, keys[:, :, first:], values[:, :, first:])
        elif not self.block or self.block >= h.shape[1]:
            read = attend(queries, keys, values, causal=True)
        else:
            read = self._in_blocks(queries, keys, values)
        return self.outward(read.transpose(1, 2).flatten(2))

    def _first(self, token: int) -> int:
        """Of the tokens that this one reads."""
        return max(0, token // self.block * self.block - self.memory) if self.block else 0

    def _in_blocks(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        parts = []
        for start in range(0, queries.shape[2], self.block):
            first, stop = self._first(start), min(start + self.block, queries.shape[2])
            seen = slice(first, stop)
            parts.append(attend(queries[:, :, start:stop], keys[:, :, seen], values[:, :, seen], causal=True))
        return torch.cat(parts, 2)

    def cache(self, tokens: int, batch: int) -> Cache:
        """Room for the keys and values of so many tokens; it belongs to the caller."""
        return Cache(tokens, batch * self.outward.in_features, self.outward.weight)


class Cache:
    """The keys and values of the tokens so far. With gradients a new token costs its own memory, not that of all before it."""

    def __init__(self, tokens: int, size: int, like: Tensor):
        self.keys, self.values = Prefix(tokens, size, like), Prefix(tokens, size, like)

    def append(self, keys: Tensor, values: Tensor) -> list[Tensor]:
        """All keys and all values, ``(B, heads, T, width / heads)`` each, once those of one more token are among them."""
        known = []
        for prefix, block in ((self.keys, keys), (self.values, values)):
            prefix.append(block.reshape(1, -1))
            known.append(prefix.value.unflatten(1, (*block.shape[:2], block.shape[3])).permute(1, 2, 0, 3))
        return known


def attend(queries: Tensor, keys: Tensor, values: Tensor, causal: bool = False) -> Tensor:
    """``softmax(q k^T / sqrt(d)) v``, ``(B, heads, T, d)``; under the transforms of torch.func in parts that each have their rules.

    Causal queries are the last of the keys: the last query reads all of them, the one before it all but one.
    """
    more = keys.shape[2] - queries.shape[2]
    mask = torch.ones(queries.shape[2], keys.shape[2], dtype=torch.bool, device=keys.device).tril(more) if causal and more else None
    with sdpa_kernel(SDPBackend.MATH) if transformed() else nullcontext():
        return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal and not more)
