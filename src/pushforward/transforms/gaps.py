"""What is in order as what is free."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Transform
from ..words import check_counts
from .sorting import coordinate


class Gaps(Transform):
    r"""The ordered cone to the whole space: ``z_1 = x_(1)``, ``z_i = part(x_(i) - x_(i-1))``; ``ldj`` is that of the part.

    Stands behind :class:`Sort`, so that no mass is lost. The part leads from positive gaps to the line; ``Chain()`` keeps them as they
    are, for a base of positive numbers. Of points only the key coordinate changes. A bijection if the part is one; kind of likelihood
    that of the part. Where two members are equal, or out of order, a part such as the logarithm says ``-inf``: dequantize numbers that
    repeat.

    Shapes: vectors ``(B, L)`` or points ``(B, C, L)``; the part sees ``(B, L - 1)``. Cost O(L), and that of the part.

    Arguments:
        part: the layer of the gaps, such as ``Inverse(Elementwise(Softplus()))`` or ``Elementwise(Log())``.
        key: the coordinate that is in order.

    Raises:
        ValueError: ``key`` is no whole number of at least 0, or x is neither a vector nor points with that coordinate.

    Example::

        >>> Gaps(Elementwise(Log()))(torch.tensor([[1.0, 2.0, 3.0]]))[0]
        tensor([[1., 0., 0.]])
    """

    def __init__(self, part: Transform, key: int = 0):
        super().__init__()
        check_counts("Gaps", least=0, key=key)
        self.part = part
        self.key = key

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        first, gaps = self._apart(x)
        gaps, ldj = self.part(gaps, context)
        return self._replace(x, torch.cat([first, gaps], 1)), ldj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        first, gaps = self._taken(z)
        gaps, ldj = self.part.inverse(gaps, context)
        return self._replace(z, torch.cat([first, gaps], 1).cumsum(1)), ldj

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        first, gaps = self._apart(x)
        return self._replace(x, torch.cat([first, self.part.encode(gaps, context)], 1))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        first, gaps = self._taken(z)
        return self._replace(z, torch.cat([first, self.part.decode(gaps, context)], 1).cumsum(1))

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        self.part.initialize(self._taken(x)[1] if inverse else self._apart(x)[1], context, inverse)

    def extra_repr(self) -> str:
        return f"key={self.key}"

    def _taken(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first key and the others, ``(B, 1), (B, L - 1)``."""
        keys = coordinate("Gaps", self.key, x)
        return keys[:, :1], keys[:, 1:]

    def _apart(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first key and the gaps to the others."""
        keys = coordinate("Gaps", self.key, x)
        return keys[:, :1], keys.diff(dim=1)

    def _replace(self, x: Tensor, keys: Tensor) -> Tensor:
        if x.dim() == 2:
            return keys
        return torch.cat([x[:, : self.key], keys.unsqueeze(1), x[:, self.key + 1 :]], 1)
