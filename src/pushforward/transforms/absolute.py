"""Numbers without their signs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core import Distribution, Transform, join, zeros
from .surjections import center_given, draw_given, log_prob_given


class Abs(Transform):
    r"""Drops the signs, ``z = |x|``; ``ldj = log p(signs | |x|)``: ``-D log 2`` if they are drawn at random, else given by a decoder.

    The inverse draws them. Without a decoder the density is symmetric in each of the D numbers, and ``decode`` takes all signs positive;
    with one, it may be symmetric or anti-symmetric in any way that the decoder can say, and ``decode`` takes the decoder's center. Exact,
    if the decoder's density is. Shapes: any, kept. Cost O(D), and that of the decoder.

    z lives on the half-line, and so must what stands behind: a base there (``Free(likelihoods.HalfNormal(), shape)``), or a bijection to
    the whole line next (``Inverse(Elementwise(Softplus()))``, ``Elementwise(Log())``). A normal base directly behind would keep all but
    ``2^-D`` of its mass where no |x| is: the likelihood is then too low by up to D log 2.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731 (absolute value surjection).

    Arguments:
        decoder: the distribution of the signs, 1 for ``x >= 0`` and 0 for less, of the shape of x; if it takes a context, that is z
            joined with the context. None: each at random.

    Example::

        >>> z, ldj = Abs()(torch.randn(8, 3))
        >>> z.min() >= 0, ldj.shape
        (tensor(True), torch.Size([8]))
    """

    stochastic_inverse = True

    def __init__(self, decoder: Distribution | None = None):
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = x.abs()
        if self.decoder is None:
            return z, zeros(x) - math.prod(x.shape[1:]) * math.log(2)
        return z, log_prob_given(self.decoder, (x >= 0).to(x.dtype), z, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.decoder is None:
            return torch.where(torch.rand_like(z) < 0.5, z, -z), zeros(z) + math.prod(z.shape[1:]) * math.log(2)
        signs, log_prob = draw_given(self.decoder, z, context)
        return torch.where(signs > 0.5, z, -z), -log_prob

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z if self.decoder is None else torch.where(center_given(self.decoder, z, context) > 0.5, z, -z)

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        if self.decoder is not None and not inverse:  # there the decoder draws what it would start from
            self.decoder.initialize((x >= 0).to(x.dtype), self.decoder.seen(join(x.abs(), context)))
