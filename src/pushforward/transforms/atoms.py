"""Numbers with points of mass at the ends of their range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import Transform, zeros
from .checks import expect_channels


class Atoms(Transform):
    r"""Gives the ends of a closed range room beyond it: ``z = low - w e`` at ``x = low``, ``high + w e`` at ``x = high``, ``e ~ Exp(1)``.

    What lies inside passes; back by clamping to ``low..high``. With ``q(z|x) = exp(-e) / w`` at an end ``ldj = e + log w`` there and 0
    inside: ``log p(x) >= E_q[log p(z) - log q(z|x)]`` bounds the probability of the end, which is the mass that the flow has beyond it, and
    is the density inside. All together is 1, and no sample leaves the range: amounts that may be exactly 0, shares from 0 to 1.
    ``encode`` takes the median, ``e = log 2``. Cost O(D). The kind of surjection is that of a clipped (Tobit) variable.

    Shapes: ``(B, C, *space)``, one range and width per channel. Ends and widths stay float64 whatever the dtype of x.

    Reference: as a layer: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731; clipped variables:
    Estimation of Relationships for Limited Dependent Variables, Tobin, 1958, Econometrica 26.

    Arguments:
        low, high: the ends, one per channel; infinite where there is none.
        width: w, one per channel; about the spread of x.

    Raises:
        ValueError: the numbers of ends and widths differ, a range is empty, or a width is not positive and finite.

    Example::

        >>> z, ldj = Atoms([0.0], [1.0], [0.3])(torch.rand(8, 1).round())
        >>> ((z < 0) | (z > 1)).all().item(), ldj.shape
        (True, torch.Size([8]))
    """

    bits: Tensor
    stochastic_forward = True

    def __init__(self, low: Sequence[float], high: Sequence[float], width: Sequence[float]):
        super().__init__()
        if not 0 < len(low) == len(high) == len(width):
            raise ValueError(f"Atoms: expected one low, high and width per channel, got {len(low)}, {len(high)} and {len(width)}")
        if not all(a < b and 0 < w < math.inf for a, b, w in zip(low, high, width)):
            raise ValueError("Atoms: expected ranges that are not empty, and widths that are positive and finite")
        values = torch.tensor([list(low), list(high), list(width)], dtype=torch.float64)
        self.register_buffer("bits", values.view(torch.int64))  # as integers, which .to(dtype) leaves alone

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        low, _, width = self._like(x)
        e = -torch.log1p(-torch.rand_like(x, dtype=torch.float64))
        z, at_end = self._spread(x, e)
        return z, torch.where(at_end, e + width.log(), torch.zeros_like(low)).flatten(1).sum(1).to(zeros(x).dtype)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        low, high, width = self._like(z)
        beyond = torch.maximum(low - z, z - high)  # -inf where there are no ends
        log_q = -beyond.clamp_min(0) / width - width.log()
        return self.decode(z), torch.where(beyond >= 0, log_q, torch.zeros_like(log_q)).flatten(1).sum(1).to(zeros(z).dtype)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._spread(x, torch.full_like(x, 2, dtype=torch.float64).log())[0]

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        low, high, _ = self._like(z)
        return torch.minimum(torch.maximum(z.double(), low), high).to(z.dtype)

    def extra_repr(self) -> str:
        return f"{self.bits.shape[1]} channels"

    def _spread(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """x with its ends moved out by e widths, and where x is at an end."""
        low, high, width = self._like(x)
        z = torch.where(x <= low, low - width * e, torch.where(x >= high, high + width * e, x.double()))
        return z.to(x.dtype), (x <= low) | (x >= high)

    def _like(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ends and widths shaped for x."""
        expect_channels("Atoms", self.bits.shape[1], x)
        low, high, width = (part.reshape(-1, *(1 for _ in x.shape[2:])) for part in self.bits.view(torch.float64))
        return low, high, width
