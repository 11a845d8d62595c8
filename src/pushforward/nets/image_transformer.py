"""The Image Transformer: attention over the sites of an image, in blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .sites import SiteNet, Steps, at_site
from .transformer import Block


class ImageTransformer(SiteNet):
    r"""A transformer over sites: parameters for each site from the sites before it, row by row from the top left.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. Token t stands for site t: it starts as a small net of
    the numbers at the site before, plus learned places of its row and its column, plus a map of the context ``(B, K)`` or
    ``(B, K, H, W)`` there. ``depth`` blocks ``h + attention(norm(h))``, ``h + W_2 relu(W_1 norm(h))`` with 4 ``width`` hidden units
    follow, whose weights all sites share, then the norm and the head.

    With ``block`` attention is local: tokens stand in blocks of so many, and one reads those up to it in its own block and the ``memory``
    tokens before the block, so that the field of the whole net ends ``depth memory`` sites before the block, or further.

    Cost: ``(12 width + block + 2 memory) depth width`` multiplications per site. :meth:`unroll` does the arithmetic of one pass, and keeps
    keys and values of all sites. The net can be differentiated once only (:class:`CausalAttention`).

    Reference: Image Transformer, Parmar, Vaswani, Uszkoreit, Kaiser, Shazeer, Ku, Tran, 2018, arXiv:1802.05751, sections 3.1 to 3.3
    (1D local attention). Departures: a site is a token with all its channels, whose order is the head's; normalized before each part;
    a net of the numbers in place of one vector for each level.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: numbers per token (512 in the paper).
        depth: blocks of attention and net (12 in the paper).
        heads: parts of a token that attend separately (4 in the paper); they divide the width.
        block: sites that ask together, 0 for all (256 in the paper, each channel counted).
        memory: sites before a block that it reads as well (256 in its code, likewise).
        dropout: the share of what a part adds that is left out in training.
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, heads that do not divide the width, x or a context of another shape.

    Example::

        >>> net = ImageTransformer((3, 8, 8), 2, width=16, heads=2)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    blocks: Sequence[Block]

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        block: int = 0,
        memory: int = 0,
        dropout: float = 0.0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, width, context=context, in_turn=in_turn)
        check_counts("ImageTransformer", depth=depth)
        check_counts("ImageTransformer", least=0, block=block, memory=memory)
        channels, rows, columns = shape
        self.rows = nn.Parameter(torch.randn(rows, 1, width) / math.sqrt(2))
        self.columns = nn.Parameter(torch.randn(columns, width) / math.sqrt(2))
        self.read = nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
        self.embed = nn.Linear(context, width, bias=False) if context else None
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            Block(width, heads, block=block, memory=memory, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        h = self._places() + F.pad(self.read(x.flatten(2).transpose(1, 2))[:, :-1], (0, 0, 1, 0))
        if self.embed is not None and given is not None:
            h = h + self.embed(given.flatten(2).transpose(1, 2))
        for block in self.blocks:
            h = block(h)
        return self.norm(h).transpose(1, 2).unflatten(2, x.shape[2:])

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        places = self._places()
        caches = [block.cache(len(places), batch) for block in self.blocks]
        x: Tensor | None = None
        for i, place in enumerate(places):
            h = place.expand(batch, -1) if x is None else place + self.read(x)
            if self.embed is not None and given is not None:
                h = h + self.embed(at_site(given, i))
            h = h.unsqueeze(1)
            for block, cache in zip(self.blocks, caches, strict=True):
                h = block(h, cache)
            x = yield self.norm(h).squeeze(1)

    def _places(self) -> Tensor:
        """What stands at each site of every image, ``(H W, width)``."""
        return (self.rows + self.columns).flatten(0, 1)
