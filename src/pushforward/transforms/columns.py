"""Different layers for different columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Transform, zeros
from .checks import indices


class Columns(Transform):
    r"""Applies each transform to some columns of x; the others pass; ``ldj`` is the sum of the parts'.

    The transform of ``(indices, transform)`` sees ``(B, len(indices), *space)`` in the order of the indices, and the context, and
    what it returns takes their place. The result keeps the dtype of x. Kind of likelihood: that of the parts.
    Cost: that of the parts, and two copies of x.

    Arguments:
        parts: pairs of the columns (indices on axis 1) and the transform that they go through.

    Raises:
        ValueError: a column is named twice or missing in x, or a transform changes the number of its columns.

    Example::

        >>> layer = Columns(([0, 2], Standardize([5.0, 7.0], [2.0, 3.0])), ([1], Dequantize()))
        >>> z, ldj = layer(torch.randint(9, (8, 4)).double())
        >>> z.shape, ldj.shape
        (torch.Size([8, 4]), torch.Size([8]))
    """

    columns: Tensor
    transforms: Sequence[Transform]

    def __init__(self, *parts: tuple[Sequence[int], Transform]):
        super().__init__()
        chosen = indices("Columns", "all columns together", [i for columns, _ in parts for i in columns])
        self.sizes = tuple(len(columns) for columns, _ in parts)
        self.needed = max(chosen) + 1
        self.transforms = nn.ModuleList(transform for _, transform in parts)  # type: ignore[assignment]
        self.register_buffer("columns", torch.tensor(chosen, dtype=torch.long))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        results = [transform(part, context) for transform, part in self._parts(x)]
        return self._replace(x, [z for z, _ in results]), sum((ldj for _, ldj in results), zeros(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        results = [transform.inverse(part, context) for transform, part in self._parts(z)]
        return self._replace(z, [x for x, _ in results]), sum((ldj for _, ldj in results), zeros(z))

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._replace(x, [transform.encode(part, context) for transform, part in self._parts(x)])

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._replace(z, [transform.decode(part, context) for transform, part in self._parts(z)])

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        for transform, part in self._parts(x):
            transform.initialize(part, context, inverse)

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.sizes))} columns"

    def _parts(self, x: Tensor) -> list[tuple[Transform, Tensor]]:
        if x.dim() < 2 or x.shape[1] < self.needed:
            raise ValueError(f"Columns: expected at least {self.needed} columns on axis 1, got x {tuple(x.shape)}; check the indices")
        return list(zip(self.transforms, x.index_select(1, self.columns).split(self.sizes, 1)))

    def _replace(self, x: Tensor, parts: list[Tensor]) -> Tensor:
        for size, part in zip(self.sizes, parts):
            if part.shape != (x.shape[0], size, *x.shape[2:]):
                raise ValueError(f"Columns: a transform of {size} columns gave {tuple(part.shape)}; it must keep their shape")
        return x.index_copy(1, self.columns, torch.cat(parts, 1).to(x.dtype))
