"""The largest of four pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core import Distribution, Transform, join, zeros
from .surjections import draw_given, log_prob_given


class MaxPool2d(Transform):
    r"""Keeps the largest of each two by two pixels: ``(B, C, H, W) -> (B, C, H/2, W/2)``; ``ldj = log p(d | z) - cells log 4``.

    ``d = z - x >= 0`` are the differences of the three others from the largest, ``(B, 3 C, H/2, W/2)``, spread by a decoder; each of the
    four places is as likely to hold the largest. The inverse draws both. Exact, if the decoder's density is. Cost: that of the decoder,
    and two copies of x.

    The decoder must live on numbers that are not negative, or mass is lost: ``Free(likelihoods.HalfNormal(), (3 C, H/2, W/2))`` or
    ``Given(likelihoods.Exponential(), net, ...)``, whose net reads z. Dequantize first: a tie has no density.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731 (max-pooling surjection; there
    the decoder is a half-normal without parameters).

    Arguments:
        decoder: the distribution of the differences; if it takes a context, that is z joined with the context. Channels 3c, 3c+1, 3c+2
            are those of channel c, row by row without the largest.

    Raises:
        ValueError: x is no image with even sides, or the decoder's shapes don't fit.

    Example::

        >>> from pushforward import likelihoods
        >>> z, ldj = MaxPool2d(Free(likelihoods.HalfNormal(), (9, 8, 8)))(torch.randn(8, 3, 16, 16))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3, 8, 8]), torch.Size([8]))
    """

    stochastic_inverse = True

    def __init__(self, decoder: Distribution):
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, differences = self._apart(x)
        log_prob = log_prob_given(self.decoder, differences, z, context)
        return z, log_prob - math.prod(z.shape[1:]) * math.log(4)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if z.dim() != 4:
            raise ValueError(f"MaxPool2d: expected (B, C, H, W), got {tuple(z.shape)}")
        differences, log_prob = draw_given(self.decoder, z, context)
        place = (4 * torch.rand_like(z)).floor().long().clamp(max=3).unsqueeze(2)
        below = torch.cat([torch.zeros_like(z).unsqueeze(2), differences.unflatten(1, (z.shape[1], 3)).to(z.dtype)], 2)
        i = torch.arange(4, device=z.device).view(-1, 1, 1)
        source = torch.where(i == place, 0, i + (i < place))  # the largest, or which of the differences
        cells = z.unsqueeze(2) - below.gather(2, source)
        rows, channels, height, width = z.shape
        squares = cells.reshape(rows, channels, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        x = squares.reshape(rows, channels, 2 * height, 2 * width)
        return x, zeros(z) + math.prod(z.shape[1:]) * math.log(4) - log_prob

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        if not inverse:  # there the decoder draws what it would start from
            z, differences = self._apart(x)
            self.decoder.initialize(differences, self.decoder.seen(join(z, context)))

    def _apart(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of each cell, and how much less the others are."""
        if x.dim() != 4 or x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(f"MaxPool2d: expected (B, C, H, W) with even sides, got {tuple(x.shape)}; crop or pad it")
        rows, channels, height, width = x.shape[0], x.shape[1], x.shape[2] // 2, x.shape[3] // 2
        squares = x.reshape(rows, channels, height, 2, width, 2).permute(0, 1, 3, 5, 2, 4)
        cells = squares.reshape(rows, channels, 4, height, width)
        place = cells.argmax(2, keepdim=True)
        z = cells.gather(2, place)
        i = torch.arange(3, device=x.device).view(-1, 1, 1)
        others = cells.gather(2, i + (i >= place))
        return z.squeeze(2), (z - others).flatten(1, 2)
