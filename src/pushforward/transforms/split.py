"""Which channels go on and which leave."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import indices


class Split(nn.Module):
    """Parts channels in those that go on and those that leave, ``(B, C, *space) -> (B, K, *space), (B, C-K, *space)``, and back.

    Arguments:
        who: the layer that errors name.
        keep: how many leading channels go on, or which.
    """

    keep: Tensor

    def __init__(self, who: str, keep: int | Sequence[int]):
        super().__init__()
        chosen = indices(who, "keep", range(keep) if isinstance(keep, int) else keep)
        self.who, self.needed = who, max(*chosen, len(chosen)) + 1
        self.register_buffer("keep", torch.tensor(chosen, dtype=torch.long))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Channels that go on, in the order of ``keep``, and those that leave, in ascending order."""
        channels = x.shape[1]
        if channels < self.needed:
            raise ValueError(f"{self.who}: keep needs {self.needed} or more channels on axis 1 but x is {tuple(x.shape)}; keep fewer")
        kept, left = x.index_select(1, self._order(channels)).split([self.keep.numel(), channels - self.keep.numel()], 1)
        return kept, left

    def inverse(self, kept: Tensor, left: Tensor) -> Tensor:
        """Every channel back in its place."""
        x = torch.cat([kept, left], 1)
        return x.index_select(1, self._order(x.shape[1]).argsort())

    def _order(self, channels: int) -> Tensor:
        """Kept channels, then the others; made on the device, since only x says how many there are."""
        leaves = torch.ones(channels, dtype=torch.long, device=self.keep.device).index_fill(0, self.keep, 0)
        left = leaves.argsort(descending=True, stable=True)[: channels - self.keep.numel()]
        return torch.cat([self.keep, left])
