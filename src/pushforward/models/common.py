"""What several recipes share."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Transform
from ..nets import MLP
from ..transforms import Coupling
from ..univariate import Univariate


def vector(shape: Sequence[int]) -> int:
    """The length of a vector event."""
    if len(shape) != 1 or shape[0] < 1:
        raise ValueError(f"this model takes vectors, shape (D,), got {tuple(shape)}; flatten the event first")
    return shape[0]


def alternating(dim: int, step: int) -> list[bool]:
    """The mask that keeps every other feature, the even ones and the odd ones in turn; one feature is never kept."""
    return [dim > 1 and (i + step) % 2 == 0 for i in range(dim)]


def conditioner(univariate: Univariate, dim: int, context: int, width: int, depth: int) -> Transform:
    """Every feature through a scalar map whose parameters come from the context alone."""
    return Coupling([False] * dim, univariate, MLP(context, univariate.params * dim, width=width, depth=depth))
