"""The beta distribution on the unit cube."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints

from ..core import Distribution, sum_event


class Beta(Distribution):
    r"""Independent betas, ``log p(x) = sum (a-1) log x + (b-1) log(1-x) - log B(a, b)`` on [0, 1] and ``-inf`` outside.

    At an end where the density is infinite (``a < 1`` at 0, ``b < 1`` at 1) the value of the nearest number inside is given.
    Draws lie strictly inside.

    Arguments:
        shape: the event's shape.
        a, b: the concentrations at 1 and at 0, numbers or tensors that broadcast to the shape.

    Raises:
        ValueError: a concentration that is not positive and finite.

    Example::

        >>> Beta((3,), 2.0, 5.0).log_prob(torch.rand(8, 3)).shape
        torch.Size([8])
    """

    a: Tensor
    b: Tensor

    def __init__(self, shape: Sequence[int], a: float | Tensor, b: float | Tensor):
        super().__init__(shape)
        for name, value in (("a", a), ("b", b)):
            values = torch.as_tensor(value, dtype=torch.get_default_dtype())
            if not bool((values.isfinite() & (values > 0)).all()):
                raise ValueError(f"Beta: expected {name} positive and finite, got {value}")
            self.register_buffer(name, values.expand(self.shape).clone())

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.unit_interval, len(self.shape))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        a, b = self.a.to(x.dtype), self.b.to(x.dtype)
        nowhere = (x < 0) | (x > 1) | ((x == 0) & (a > 1)) | ((x == 1) & (b > 1))
        x = _inside(x)
        terms = (a - 1) * x.log() + (b - 1) * torch.log1p(-x) + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
        return sum_event(torch.where(nowhere, -torch.inf, terms))

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = _inside(torch.distributions.Beta(self.a, self.b, validate_args=False).rsample((rows,)))
        return x, self.log_prob(x)


def _inside(x: Tensor) -> Tensor:
    number = torch.finfo(x.dtype)
    return x.clamp(number.tiny, 1 - number.eps / 2)
