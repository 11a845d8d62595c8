"""Affine maps of one number whose scale stays above a floor."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Univariate

Scale = Literal["softclip", "softplus", "sigmoid"]
LEAN = 2.0  # what is added before the sigmoid, so that a net that gives zeros scales by 0.88


class FloorAffine(Univariate):
    r"""Scale and shift, ``z = a x + h_0``, where the scale a is found from ``h_1`` in one of three ways and stays above ``floor``.

    "softclip": ``log a = h_1 / (1 + |h_1| / |log floor|)``, so that a is below ``1 / floor`` too (zuko's);
    "softplus": ``a = softplus(h_1) + floor`` (nflows' autoregressive layers);
    "sigmoid": ``a = sigmoid(h_1 + 2) + floor``, so that a is below ``1 + floor`` too (nflows' couplings, and the code of Glow).

    :class:`Affine` is the one to train anew: its scale is bounded on both sides, and it has a kernel. These are what flows of other
    libraries have learnt (:func:`pushforward.convert`).

    Both directions cost one scale and are exact. ``identity`` makes the scale 1.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma, Dhariwal, 2018, arXiv:1807.03039.

    Arguments:
        scale: "softclip", "softplus" or "sigmoid".
        floor: the least scale, between 0 and 1.

    Raises:
        ValueError: another word, or a floor that is not between 0 and 1.

    Example::

        >>> curve = FloorAffine("softplus")
        >>> z, slope = curve.forward(torch.randn(32, 3), torch.randn(32, 2, 3))
        >>> z.shape, slope.shape
        (torch.Size([32, 3]), torch.Size([32, 3]))
    """

    params = 2

    def __init__(self, scale: Scale = "softclip", floor: float = 1e-3):
        if scale not in get_args(Scale):
            raise ValueError(f"FloorAffine: expected scale 'softclip', 'softplus' or 'sigmoid', got {scale!r}")
        if not 0 < floor < 1:
            raise ValueError(f"FloorAffine: floor must be between 0 and 1, got {floor}")
        self.scale, self.floor = scale, floor
        one = {"softclip": 0.0, "softplus": inverse_softplus(1 - floor), "sigmoid": math.log((1 - floor) / floor) - LEAN}
        self.identity = (0.0, one[scale])

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = h.unbind(1)
        a, slope = self._scale(raw)
        z = a * x + shift
        return z, slope.expand_as(z)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = h.unbind(1)
        a, slope = self._scale(raw)
        x = (z - shift) / a
        return x, -slope.expand_as(x)

    def _scale(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """a and log a."""
        if self.scale == "softclip":
            slope = softclip(raw, -math.log(self.floor))
            return slope.exp(), slope
        a = (F.softplus(raw) if self.scale == "softplus" else torch.sigmoid(raw + LEAN)) + self.floor
        return a, a.log()


def softclip(x: Tensor, bound: float) -> Tensor:
    """``x / (1 + |x| / bound)``, within ``+-bound``."""
    return x / (1 + x.abs() / bound)


def inverse_softplus(y: float) -> float:
    return math.log(math.expm1(y))
