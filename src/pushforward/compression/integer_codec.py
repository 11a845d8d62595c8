"""Images of whole numbers, by flows of whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import Distribution, Flow
from ..distributions import Free, Given, SplitPrior
from ..likelihoods import IntegerLogisticMixture
from ..transforms import IntegerCoupling, Permute, Squeeze
from .codec import RangeCodec, filled_up
from .coder import Coder
from .digits import by_digits

ROOM = 16  # times the levels of the data that latents may span


class IntegerCodec(RangeCodec):
    """Images by an integer discrete flow: ``P(x) = P(z)``, the latents of the last scale first, each other half given those before.

    Both directions compute the parameters of latents from equal numbers. A block with a latent beyond 8 times the levels has no stream.
    Cost: one pass of the flow in each direction, and 17 values of the distribution function for each 4 bits of a latent.

    Arguments:
        flow: an ``idf``: see :func:`is_integer`.
        block: images of a block.
    """

    usual = 64

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        assert is_integer(self.flow)

    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        return {}

    def configure(self, options: Mapping[str, Any]) -> None:
        pass

    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        return self._through(coder, rows, self.flow, None if x is None else filled_up(x, self.block), context)[:rows]

    def _through(self, coder: Coder, rows: int, flow: Flow, x: Tensor | None, context: Tensor | None) -> Tensor:
        """x of a block, ``(block, *shape)``, by its latents."""
        z = None if x is None else flow.transform.encode(x, context)
        found = self._found(coder, rows, flow.base, z, flow.base.seen(context))
        return flow.transform.decode(found, context) if x is None else x

    def _found(self, coder: Coder, rows: int, prior: Distribution, z: Tensor | None, context: Tensor | None) -> Tensor:
        """Latents of a block, of which those beyond ``rows`` are zeros."""
        if isinstance(prior, Flow):
            return self._padded(self._through(coder, rows, prior, z, context), rows)
        if isinstance(prior, SplitPrior):
            kept, left = (None, None) if z is None else prior.split(z)
            first = self._found(coder, rows, prior.rest, kept, prior.rest.seen(context))
            return torch.cat([first, self._found(coder, rows, prior.part, left, prior.given(first, context))], 1)
        assert isinstance(prior, Free | Given) and isinstance(prior.likelihood, IntegerLogisticMixture)
        like = torch.zeros(self.block, *prior.shape, dtype=torch.float64)
        h = prior.parameters_at(like, context).expand(self.block, -1, *prior.shape)[:rows].unsqueeze(-1)
        return filled_up(self._numbers(coder, prior.likelihood, h, like[:rows].shape, None if z is None else z[:rows]), self.block)

    def _numbers(self, coder: Coder, likelihood: IntegerLogisticMixture, h: Tensor, size: torch.Size, z: Tensor | None) -> Tensor:
        levels, least = ROOM * likelihood.levels, -(ROOM - 1) * likelihood.levels // 2

        def below(k: np.ndarray) -> np.ndarray:
            ends = torch.from_numpy(k).view(*size, -1)
            share = likelihood.cdf((ends + (least - 1)).double(), h)
            return torch.where(ends <= 0, 0.0, torch.where(ends >= levels, 1.0, share)).reshape(k.shape).numpy()

        known = None if z is None else z.reshape(-1).round().long().numpy() - least
        found = by_digits(coder, levels, below, known, size.numel())
        return torch.from_numpy(found + least).view(size).double()

    def _padded(self, part: Tensor, rows: int) -> Tensor:
        return filled_up(part[:rows], self.block)


def is_integer(flow: Flow) -> bool:
    """Whether a flow takes whole numbers to whole numbers, with priors of such."""
    layers = flow.transform.transforms
    return all(isinstance(layer, IntegerCoupling | Permute | Squeeze) for layer in layers) and _is_prior(flow.base)


def _is_prior(prior: Distribution) -> bool:
    if isinstance(prior, SplitPrior):
        return _is_prior(prior.rest) and _is_prior(prior.part)
    if isinstance(prior, Flow):
        return is_integer(prior)
    return isinstance(prior, Free | Given) and isinstance(prior.likelihood, IntegerLogisticMixture)
