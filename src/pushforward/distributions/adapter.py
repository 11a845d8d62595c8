"""Any object of torch.distributions as a base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Transform as TorchTransform
from torch.distributions import constraints

from ..core import Distribution, set_aside_infinite, zeros


class FromTorch(Distribution):
    """A ``torch.distributions`` object as a distribution here; its batch and event axes together are the event.

    ``log p(x)`` is the sum over its batch axes, and ``-inf`` outside of its support, where the object itself would raise
    or return a number. Its tensors are copied and become buffers: they follow ``.to(device)`` and ``.double()``, are saved
    with the model, and are not trained. Draws are reparameterised where the object has ``rsample``.

    Arguments:
        distribution: the object; mixtures, transformed and independent ones included.

    Raises:
        ValueError: not an object of torch.distributions.

    Example::

        >>> base = FromTorch(torch.distributions.Laplace(torch.zeros(3), 1.0))
        >>> base.log_prob(torch.randn(8, 3)).shape
        torch.Size([8])
    """

    typical: Tensor

    def __init__(self, distribution: torch.distributions.Distribution):
        if not isinstance(distribution, torch.distributions.Distribution):
            raise ValueError(f"FromTorch: expected an object of torch.distributions, got {type(distribution).__name__}")
        super().__init__(distribution.batch_shape + distribution.event_shape)
        self.register_buffer("typical", distribution.sample())  # stands in for points outside of the support

        def keep(name: str, tensor: Tensor) -> Tensor:
            self.register_buffer(name, tensor.detach().clone(memory_format=torch.contiguous_format))
            return tensor.detach().to("meta")

        self.template = _rebuild(distribution, keep, "its")

    @property
    def distribution(self) -> torch.distributions.Distribution:
        """The object, made of the present buffers."""
        return _rebuild(self.template, lambda name, _: self.get_buffer(name), "its")

    @property
    def support(self) -> constraints.Constraint:
        distribution = self.distribution
        support = distribution.support
        if support is None:
            return constraints.independent(constraints.real, len(self.shape))
        extra = len(self.shape) - support.event_dim
        return constraints.independent(support, extra) if extra else support

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        if x.shape[0] == 0:  # which constraints of torch can't reshape
            return zeros(x)
        x, infinite = set_aside_infinite(x)
        inside = self.support.check(x) & ~infinite  # (B,)
        rows = inside.reshape(-1, *(1 for _ in self.shape))
        terms = self.distribution.log_prob(torch.where(rows, x, self.typical.to(x.dtype)))
        total = terms.reshape(x.shape[0], -1).sum(1, dtype=torch.promote_types(x.dtype, torch.float32))
        return torch.where(inside, total, -torch.inf)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        distribution = self.distribution
        shape = Size([max(rows, 1)])  # some can't draw nothing
        x = (distribution.rsample(shape) if distribution.has_rsample else distribution.sample(shape))[:rows]
        return x, self.log_prob(x)

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        try:
            return self.distribution.cdf(x)
        except NotImplementedError:
            return super()._cdf(x, context)

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        try:
            return self.distribution.icdf(q)
        except NotImplementedError:
            return super()._icdf(q, context)

    def extra_repr(self) -> str:
        return type(self.template).__name__


def _rebuild(part: Any, visit: Callable[[str, Tensor], Tensor], path: str, known: dict[int, Any] | None = None) -> Any:
    """A copy of a distribution with every tensor in it, and in the parts it is made of, replaced by ``visit(name, tensor)``."""
    known = {} if known is None else known  # an inverse transform and its original point at each other
    if isinstance(part, Tensor):
        return visit(path, part)
    if isinstance(part, list) or type(part) is tuple:
        return type(part)(_rebuild(item, visit, f"{path}_{i}", known) for i, item in enumerate(part))
    if not isinstance(part, (torch.distributions.Distribution, TorchTransform)):
        return part
    if id(part) in known:
        return known[id(part)]
    twin = known[id(part)] = object.__new__(type(part))
    for name, value in vars(part).items():
        vars(twin)[name] = _rebuild(value, visit, f"{path}_{name}", known)
    if isinstance(twin, torch.distributions.Distribution):
        twin._validate_args = False  # the support is checked here, without raising
    return twin
