"""Images of whole numbers, by models with random latents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import likelihoods
from ..core import Chain, Flow
from ..distributions import Causal, Given, Multiscale, Normal
from ..documents import validated
from ..likelihoods import Discrete
from .bins import BIN_COUNT, by_mixture, by_normal, middles
from .chain_codec import ChainCodec
from .codec import repeatable
from .coder import Coder
from .grid import POINT, from_grid
from .grid_layers import through_layer
from .latents import (
    group_sizes,
    latent_shape,
    latents_and_prior,
    prior_components,
    seen_by_decoder,
    visit_posterior,
    why_not_bits_back,
    within,
)
from .stack import Stack
from .standard import by_standard
from .whole_numbers import at_once, in_turn

MEASURED = 64  # rows from which the widths of bins are found
NARROW_SHARE = 0.05  # the share of latents that may be narrower than their bins count on
HALVED = 3  # halvings of a posterior's deviation to the width of its bins
LEAST_WIDTH = 12  # halvings of 1, so that bins span at least +-8


class BitsBackCodec(ChainCodec):
    """Images by ``log p(x) >= E_q[log p(x|z) + log p(z) - log q(z|x)]``: a row pops its latents with q, then pushes itself and them.

    What it leaves on the stack is the evidence lower bound, on average. Latents are in bins of one width for each number (each channel of
    a ladder's maps), an eighth as wide as most posteriors; q and p give a bin the mass that is theirs. One VAE behind the other is
    Bit-Swap: a latent is pushed before the next is popped, so that only the first draws from the bottom of the stack. A ladder's
    posteriors read x, so that all its latents are popped before x is pushed.

    Cost: in each direction a pass of the nets, and 17 values of a distribution function for each 4 bits of a pixel's levels and of 16
    bits of a latent's bins.

    References: Practical Lossless Compression with Latent Variables using Bits Back Coding, Townsend, Bird, Barber, 2019,
    arXiv:1901.04866; Bit-Swap, Kingma, Abbeel, Ho, 2019, arXiv:1905.06845. Departure: bins of equal width (there of equal mass), whose
    error does not grow towards the tails.

    Arguments:
        flow: layers with random latents between whole numbers and normals: see :func:`~pushforward.compression.latents.why_not_bits_back`.
        block: images of a block.
    """

    method = "bits-back coding"

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        assert not why_not_bits_back(self.flow)
        self.layers, self.prior = latents_and_prior(self.flow)
        self.sizes = [group_sizes(layer) for layer in self.layers]
        self.widths = [np.full(sum(sizes), 2.0**-LEAST_WIDTH) for sizes in self.sizes]

    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        if not len(x):
            return {"widths": [[LEAST_WIDTH] * len(sizes) for sizes in self.sizes], "share": 0.0}
        value, widths = x[:MEASURED].double(), []
        with repeatable():
            seen = None if context is None else self.flow.embedding(context[:MEASURED].double())
            for layer, sizes in zip(self.layers, self.sizes, strict=True):
                scales: list[Tensor] = []

                def find(mean: Tensor, scale: Tensor, scales: list[Tensor] = scales) -> Tensor:
                    scales.append(scale.flatten(1))
                    return mean

                value = visit_posterior(layer, find, value, seen)
                scale = torch.cat(scales, 1) / math.log(2)
                least = torch.stack([part.flatten().quantile(NARROW_SHARE) for part in scale.split(sizes, 1)])
                widths.append((HALVED - least).ceil().clamp(0, LEAST_WIDTH).long().tolist())
        self.configure({"widths": widths, "share": 0.0})
        return {"widths": widths, "share": self.share_of(x, context)}

    def configure(self, options: Mapping[str, Any]) -> None:
        super().configure(options)
        found = validated(list[list[int]], options.get("widths"), "widths")
        if [len(part) for part in found] != [len(sizes) for sizes in self.sizes]:
            raise ValueError("widths: expected one for each group of latents")
        if not all(0 <= width <= LEAST_WIDTH for part in found for width in part):
            raise ValueError(f"widths: expected numbers from 0 to {LEAST_WIDTH}")
        self.widths = [np.repeat(2.0 ** -np.array(part, np.float64), sizes) for part, sizes in zip(found, self.sizes, strict=True)]

    def put(self, stack: Stack, x: Tensor, context: Tensor | None) -> None:
        value, known = x, None
        for i in range(len(self.layers)):
            found = self._latents(stack.popping, i, value, context, None)
            z = self._values(i, found)
            with stack.pushing() as coder:
                self._observed(coder, i, z, context, value, known)
            value, known = z, found
        assert known is not None
        if self.prior:
            known = through_layer(stack, Chain(*self.prior), known.reshape(tuple(value.shape)), context)
        with stack.pushing() as coder:
            self._base(coder, len(x), known)

    def take(self, stack: Stack, rows: int, context: Tensor | None) -> Tensor:
        base = self._base(stack.popping, rows, None)
        latents = through_layer(stack, Chain(*self.prior), base, context, back=True) if self.prior else base
        known: np.ndarray | None = latents.reshape(rows, -1)
        value = torch.empty(0)
        for i in reversed(range(len(self.layers))):
            assert known is not None
            value, before = self._observed(stack.popping, i, self._values(i, known), context, None, None)
            with stack.pushing() as coder:
                self._latents(coder, i, value, context, known)
            known = before
        return value

    def _latents(self, coder: Coder, i: int, x: Tensor, context: Tensor | None, known: np.ndarray | None) -> np.ndarray:
        """Latents of layer i by their posterior, ``(rows, N)``: whole numbers, which :meth:`_values` turns into real ones."""
        parts: list[np.ndarray] = []

        def find(mean: Tensor, scale: Tensor) -> Tensor:
            start = sum(part.shape[1] for part in parts)
            here = slice(start, start + mean[0].numel())
            parts.append(self._normals(coder, i, mean, scale, here, None if known is None else known[:, here]))
            return self._real(i, parts[-1], here).view(mean.shape)

        visit_posterior(self.layers[i], find, x, context)
        return np.concatenate(parts, 1)

    def _observed(
        self, coder: Coder, i: int, z: Tensor, context: Tensor | None, x: Tensor | None, known: np.ndarray | None
    ) -> tuple[Tensor, np.ndarray | None]:
        """What layer i models given z: whole numbers x, or latents of the layer before."""
        layer = self.layers[i]
        base, seen = within(layer.decoder), seen_by_decoder(layer, z, context)
        if isinstance(base, Causal | Multiscale):
            return in_turn(coder, base, len(z), len(z), x, base.seen(seen)), None
        assert isinstance(base, Given)
        h = base.parameters_of(seen)
        if isinstance(base.likelihood, Discrete):
            return at_once(coder, base.likelihood, h, len(z), x).double(), None
        assert isinstance(base.likelihood, likelihoods.Normal)
        found = self._normals(coder, i - 1, *base.likelihood.moments(h), slice(None), known)
        return self._values(i - 1, found), found

    def _base(self, coder: Coder, rows: int, known: np.ndarray | None) -> np.ndarray:
        """The base's numbers, ``(rows, N)``; on the grid ``(rows, *shape)`` where the prior is a flow."""
        if self.prior:
            return by_standard(coder, (rows, *self.flow.base.shape), known)
        width = self.widths[-1]
        if isinstance(self.flow.base, Normal):
            standard = torch.zeros(rows, len(width), dtype=torch.float64)
            return self._normals(coder, len(self.layers) - 1, standard, standard, slice(None), known)
        return by_mixture(coder, *prior_components(self.flow.base), width, known, rows)

    def _normals(self, coder: Coder, i: int, mean: Tensor, scale: Tensor, here: slice, known: np.ndarray | None) -> np.ndarray:
        """Some latents of layer i, ``(rows, n)``, by means and log deviations ``(rows, *shape)``: bins, or numbers of the grid in bins."""
        width = np.repeat(self.widths[i][here][None], len(mean), 0).ravel()
        inner = np.rint(2.0**POINT * width).astype(np.int64)
        flat = None if known is None else known.ravel()
        bins = flat if flat is None or not self._fine(i) else flat // inner + BIN_COUNT // 2
        found = by_normal(coder, mean.reshape(-1).numpy(), scale.exp().reshape(-1).numpy(), width, bins)
        if self._fine(i):
            found = (found - BIN_COUNT // 2) * inner + coder.uniform(inner, None if flat is None else flat % inner)
        return found.reshape(len(mean), -1)

    def _values(self, i: int, known: np.ndarray) -> Tensor:
        """The latents of layer i as real numbers."""
        return self._real(i, known, slice(None)).view(-1, *latent_shape(self.layers[i]))

    def _real(self, i: int, known: np.ndarray, here: slice) -> Tensor:
        return from_grid(known) if self._fine(i) else torch.from_numpy(middles(known, self.widths[i][here]))

    def _fine(self, i: int) -> bool:
        """Whether latents are on the grid, as a flow behind them has to have them."""
        return bool(self.prior) and i == len(self.layers) - 1
