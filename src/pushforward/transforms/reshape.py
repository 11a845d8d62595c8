"""The same numbers in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..core import Transform, zeros
from ..words import check_counts


class Reshape(Transform):
    r"""The numbers of an event in another shape, ``(B, *before) -> (B, *after)``, row by row as torch has it; ``ldj = 0``. Costs nothing.

    Arguments:
        before: the event's shape on the data side.
        after: the one on the latent side.

    Raises:
        ValueError: the two hold different numbers of numbers, or x has another shape.

    Example::

        >>> z, ldj = Reshape((6,), (2, 3))(torch.randn(8, 6))
        >>> z.shape, ldj.shape
        (torch.Size([8, 2, 3]), torch.Size([8]))
    """

    def __init__(self, before: Sequence[int], after: Sequence[int]):
        super().__init__()
        for sizes in (before, after):
            for size in sizes:
                check_counts("Reshape", size=size)
        self.before, self.after = tuple(before), tuple(after)
        if math.prod(self.before) != math.prod(self.after):
            raise ValueError(f"Reshape: expected two shapes of as many numbers, got {self.before} and {self.after}")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _shaped(x, self.before, self.after), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _shaped(z, self.after, self.before), zeros(z)

    def extra_repr(self) -> str:
        return f"{self.before}, {self.after}"


def _shaped(x: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
    if x.shape[1:] != before:
        raise ValueError(f"Reshape: expected events of shape {before}, got {tuple(x.shape[1:])}; build it for what it gets")
    return x.reshape(x.shape[0], *after)
