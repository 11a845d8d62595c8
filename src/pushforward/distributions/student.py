"""Student's t distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Distribution, sum_event


class StudentT(Distribution):
    r"""Independent standard t distributions of ``df`` degrees of freedom: a base whose tails fall as ``|x|^-(df+1)``.

    ``log p(x) = sum log G((df+1)/2) - log G(df/2) - log(pi df)/2 - (df+1)/2 log(1 + x^2/df)`` with G the gamma function.
    A flow of bounded slopes can't make heavy tails from light ones, so data with outliers want such a base.
    Draws are reparameterised, with respect to df too.

    Reference: Tails of Lipschitz Triangular Flows, Jaini, Kobyzev, Yu, Brubaker, 2019, arXiv:1907.04481.

    Arguments:
        shape: the event's shape.
        df: degrees of freedom, a number or a tensor that broadcasts to the shape.
        learnable: fit the degrees of freedom, one for each number of the event.

    Raises:
        ValueError: degrees of freedom that are not positive and finite.

    Example::

        >>> StudentT((3,), 4.0).log_prob(torch.randn(8, 3)).shape
        torch.Size([8])
    """

    log_df: Tensor

    def __init__(self, shape: Sequence[int], df: float | Tensor = 5.0, learnable: bool = False):
        super().__init__(shape)
        values = torch.as_tensor(df, dtype=torch.get_default_dtype())
        if not bool((values.isfinite() & (values > 0)).all()):
            raise ValueError(f"StudentT: expected df positive and finite, got {df}")
        log_df = values.log().expand(self.shape).clone()
        if learnable:
            self.log_df = nn.Parameter(log_df)
        else:
            self.register_buffer("log_df", log_df)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        df = self.log_df.to(x.dtype).exp()
        scale = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
        return sum_event(scale - (df + 1) / 2 * torch.log1p(x.square() / df))

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.distributions.StudentT(self.log_df.exp(), validate_args=False).rsample((rows,))
        return x, self.log_prob(x)
