"""A scalar map for each number, with parameters from the numbers before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..core import Transform, sum_event, unwatched
from ..univariate import Univariate
from .whole import MaskedLayout, Stage, Staged, has_code, masked_stage, run_stages

if TYPE_CHECKING:
    from ..nets import CausalNet


class Autoregressive(Staged):
    r"""``z_i = f(x_i; h_i(x_{<i}, context))``; ``ldj = sum_i log f'(x_i; h_i)``.

    Positions are the features of a vector, or the sites of an image or signal with all channels of one together: what the net says.
    Density in one pass of the net; the inverse visits the positions in the net's order, at the arithmetic of about one pass
    but as many steps long. For fast sampling and slow density (IAF) wrap it in ``Inverse``. One feature is fine: its parameters
    then come from the context alone.

    Reference: Masked Autoregressive Flow for Density Estimation, Papamakarios, Pavlakou, Murray, 2017, arXiv:1705.07057.

    Arguments:
        univariate: the scalar map f.
        net: a causal net with ``univariate.params`` outputs for each number, such as ``MADE(dim, univariate.params)``.

    Example::

        >>> layer = Autoregressive(Affine(), MADE(3, 2))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    identity: Tensor
    entries = (*Transform.entries, "terms")

    def __init__(self, univariate: Univariate, net: CausalNet):
        super().__init__()
        self.univariate = univariate
        self.net = net
        self.register_buffer("identity", torch.tensor(univariate.identity), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        stage = self.stage(x, context, inverse=False)
        return self._summed(x, self.net(x, context)) if stage is None else run_stages([stage], x, inverse=False)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        stage = self.stage(z, context, inverse=True)
        return self._unrolled(z, context) if stage is None else run_stages([stage], z, inverse=True)

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        if not has_code(self.univariate) or not unwatched(self.net) or (net := self.net.masked(context)) is None:
            return None

        def plain(x: Tensor, *numbers: Tensor) -> tuple[Tensor, Tensor]:
            return self._unrolled(x, context) if inverse else self._summed(x, net.compute(x, *numbers))

        return masked_stage(plain, self.univariate, MaskedLayout(net.order, net.ends, net.residual), [net.given, *net.weights])

    def terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z and ``log dz_i/dx_i`` of each number, ``(B, *shape)`` both: ldj is their sum."""
        return self._mapped(x, self.net(x, context))

    def _summed(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = self._mapped(x, h)
        return z, sum_event(slope)

    def _mapped(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.univariate.forward(x, self.offset(h.to(x.dtype).reshape(x.shape[0], self.univariate.params, *x.shape[1:])))

    def _unrolled(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if z.device.type == "meta":  # shapes only, and one pass has the same ones
            return self.forward(z, context)
        columns = self.net.positions(z).permute(2, 0, 1).contiguous().unbind()  # (B, c) each
        slopes: list[Tensor] = []

        def solve(i: int, h: Tensor) -> Tensor:
            x, slope = self.univariate.inverse(columns[i], self.offset(h.to(z.dtype)))
            slopes.append(slope)
            return x

        x = self.net.unroll(solve, z.shape[0], context)
        return x, sum_event(torch.cat(slopes, 1))

    def offset(self, h: Tensor) -> Tensor:
        """A net that gives zeros makes the layer the identity."""
        if not any(self.univariate.identity):
            return h
        return h + self.identity.view(-1, *(1 for _ in h.shape[2:]))

    def extra_repr(self) -> str:
        return repr(self.univariate)
