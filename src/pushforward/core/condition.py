"""A flow at given contexts, as the rest of the PyTorch world knows distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from .distribution import Distribution


class Conditioned(torch.distributions.Distribution):
    """``model`` given ``context`` ``(*batch, *context_shape)``: batch_shape is the context's, event_shape the model's.

    ``log_prob`` broadcasts values against the batch, as torch.distributions does; sampling is reparameterised.
    Build it with ``flow.condition(context)``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(
        self,
        model: Distribution,
        context: Tensor | None = None,
        batch_shape: Size | None = None,
        validate_args: bool | None = None,
    ):
        self.model = model
        self.context = context if model.context_shape is not None else None
        if batch_shape is None:
            batch_shape = model._flat(context)[1]
        super().__init__(batch_shape, model.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:  # type: ignore[override]
        return self.model.support

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # type: ignore[override]
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Draws and their log density in one pass: cheaper than ``log_prob(rsample())`` where one direction is slow."""
        if self.context is None:
            return self.model.sample_and_log_prob(Size(sample_shape) + self.batch_shape)
        return self.model.sample_and_log_prob(sample_shape, self.context)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:  # type: ignore[override]
        if self.context is None:
            return self.model.sample(Size(sample_shape) + self.batch_shape)
        return self.model.sample(sample_shape, self.context)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        event = len(self.event_shape)
        batch = torch.broadcast_shapes(value.shape[: value.dim() - event], self.batch_shape)
        context = self.context
        if context is not None and self.model.context_shape is not None:
            context = context.expand(batch + self.model.context_shape).reshape(-1, *self.model.context_shape)
        rows = value.expand(batch + self.event_shape).reshape(-1, *self.event_shape)
        return self.model.log_prob(rows, context).reshape(batch)

    def expand(self, batch_shape: Sequence[int], _instance: None = None) -> Conditioned:  # type: ignore[override]
        batch = Size(batch_shape)
        context = self.context
        if context is not None and self.model.context_shape is not None:
            context = context.expand(batch + self.model.context_shape)
        return Conditioned(self.model, context, batch, validate_args=self._validate_args)
