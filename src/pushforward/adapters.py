"""Flows as Pyro distributions and as sbi density estimators; each package is imported when first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from .core import Conditioned, Distribution, Flow

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from sbi.neural_nets.estimators.base import ConditionalDensityEstimator


def as_pyro(model: Distribution, context: Tensor | None = None) -> TorchDistribution:
    """The flow at given contexts as a Pyro distribution, for models and for guides.

    ``batch_shape`` is the context's ``(*batch,)``, ``event_shape`` the flow's: in a plate over N rows give a context
    ``(N, K)``, or none to an unconditional flow, which the plate expands. Draws are reparameterised.

    Caveats: in a guide the parameters are learned only if they are registered, with ``pyro.module("name", flow)``.
    Pyro scores the guide's own draws with ``log_prob``; where that is the slow direction (IAF) a step costs both.

    Reference: Pyro: Deep Universal Probabilistic Programming, Bingham et al., 2019, arXiv:1810.09538.

    Arguments:
        model: a flow, or any distribution of this library.
        context: ``(*batch, *context_shape)``.

    Raises:
        ModuleNotFoundError: Pyro is not installed (``pip install 'pushforward[adapters]'``).
        ValueError: the context is missing or of another shape.

    Example::

        >>> guide = as_pyro(nsf((2,), context=3), torch.randn(10, 3))
        >>> guide.batch_shape, guide.event_shape, guide.expand((4, 10))().shape
        (torch.Size([10]), torch.Size([2]), torch.Size([4, 10, 2]))
    """
    _need("as_pyro", "pyro")
    return _pyro_class()(model.condition(context))


def as_sbi(flow: Flow) -> ConditionalDensityEstimator:
    """The conditional flow as sbi's density estimator of ``theta`` (x here) given simulations (context here).

    Shapes are sbi's: inputs ``(sample, batch, *event)``, conditions ``(batch, *context_shape)``, log densities
    ``(sample, batch)``. Losses are nats per row.

    Caveats: sbi does not standardize for an estimator that it did not build; prepend ``Standardize`` and give the flow
    an ``embed`` that scales the simulations where they are far from unit scale.

    Reference: sbi: A toolkit for simulation-based inference, Tejero-Cantero et al., 2020, arXiv:2007.09114.

    Arguments:
        flow: a flow with a ``context_shape``.

    Raises:
        ModuleNotFoundError: sbi is not installed (``pip install 'pushforward[adapters]'``).
        ValueError: the flow takes no context.

    Example::

        >>> inference = NPE(prior, density_estimator=lambda theta, x: as_sbi(nsf((3,), context=5)))
        >>> inference.append_simulations(theta, x).train()
    """
    if flow.context_shape is None:
        raise ValueError(f"as_sbi: {type(flow).__name__} takes no context, but sbi conditions on simulations; build it with context=K")
    _need("as_sbi", "sbi")
    return _sbi_class()(flow, flow.shape, flow.context_shape)


def _need(who: str, package: str) -> None:
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"{who}: {package} is not installed; pip install 'pushforward[adapters]'", name=package)


@cache
def _pyro_class() -> Any:
    from pyro.distributions import TorchDistribution

    class PyroFlow(TorchDistribution):
        """A :class:`Conditioned` with Pyro's plates, masks and ``to_event``."""

        arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
        has_rsample = True

        def __init__(self, inner: Conditioned, validate_args: bool | None = None):
            self.inner = inner
            super().__init__(inner.batch_shape, inner.event_shape, validate_args=validate_args)

        @property
        def support(self) -> constraints.Constraint:
            return self.inner.support

        def rsample(self, sample_shape: int | Sequence[int] = ()) -> Tensor:
            return self.inner.rsample(sample_shape)

        def sample(self, sample_shape: int | Sequence[int] = ()) -> Tensor:
            return self.inner.sample(sample_shape)

        def log_prob(self, value: Tensor) -> Tensor:
            if self._validate_args:
                self._validate_sample(value)
            return self.inner.log_prob(value)

        def expand(self, batch_shape: Sequence[int], _instance: None = None) -> PyroFlow:
            return PyroFlow(self.inner.expand(Size(batch_shape)), validate_args=self._validate_args)

        def __reduce__(self) -> tuple[Any, ...]:
            return _rebuild_pyro, (self.inner,)

    return PyroFlow


def _rebuild_pyro(inner: Conditioned) -> TorchDistribution:
    return _pyro_class()(inner)


@cache
def _sbi_class() -> Any:
    from sbi.neural_nets.estimators.base import ConditionalDensityEstimator

    class SbiFlow(ConditionalDensityEstimator):
        """A conditional flow in sbi's shapes."""

        net: Flow

        @property
        def embedding_net(self) -> torch.nn.Module | None:
            return self.net.embed

        def log_prob(self, input: Tensor, condition: Tensor, **kwargs: Any) -> Tensor:
            self._check_input_shape(input)
            self._check_condition_shape(condition)
            input, condition, batch = self._broadcast_and_align(input, condition)
            rows = input.reshape(-1, *self.input_shape), condition.reshape(-1, *self.condition_shape)
            return self.net.log_prob(*rows).reshape(-1, batch)

        def loss(self, input: Tensor, condition: Tensor, **kwargs: Any) -> Tensor:
            self._check_condition_shape(condition)
            return -self.net(input, condition)

        def sample(self, sample_shape: int | Sequence[int], condition: Tensor, **kwargs: Any) -> Tensor:
            self._check_condition_shape(condition)
            return self.net.sample(sample_shape, condition)

        def sample_and_log_prob(self, sample_shape: int | Sequence[int], condition: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
            self._check_condition_shape(condition)
            return self.net.sample_and_log_prob(sample_shape, condition)

        def __reduce__(self) -> tuple[Any, ...]:  # the class lives in a function: rebuild it from the flow
            return as_sbi, (self.net,)

    return SbiFlow
