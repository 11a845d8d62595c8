"""A scalar map for each feature, with parameters from the features before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .. import kernels
from ..core import Transform, sum_event
from ..univariate import Affine, RationalQuadratic, Univariate

if TYPE_CHECKING:
    from ..nets import Masked


class CausalNet(Protocol):
    """What :class:`Autoregressive` asks of a net: one pass over known x, and a visit of unknown x, position by position."""

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor: ...

    def unroll(self, solve: Callable[[int, Tensor], Tensor], batch: int, context: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class MaskedNet(Protocol):
    """A causal net that is a masked dense net, and can say so as data (:class:`~pushforward.nets.Masked`)."""

    def masked(self, context: Tensor | None = None) -> Masked: ...

    def compute(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> Tensor: ...


class Autoregressive(Transform):
    r"""``z_i = f(x_i; h_i(x_{<i}, context))``; ``ldj = sum_i log f'(x_i; h_i)``.

    Density in one pass of the net; the inverse visits the features in the net's order, at the arithmetic of about one pass
    but D steps long. For fast sampling and slow density (IAF) wrap it in ``Inverse``. One feature is fine: its parameters
    then come from the context alone.

    Reference: Masked Autoregressive Flow for Density Estimation, Papamakarios, Pavlakou, Murray, 2017, arXiv:1705.07057.

    Arguments:
        univariate: the scalar map f.
        net: a causal net with ``univariate.params`` outputs per feature, such as ``MADE(dim, univariate.params)``.

    Example::

        >>> layer = Autoregressive(Affine(), MADE(3, 2))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    identity: Tensor

    def __init__(self, univariate: Univariate, net: nn.Module):
        super().__init__()
        self.univariate = univariate
        self.net = net
        self.register_buffer("identity", torch.tensor(univariate.identity), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if (kind := self._kind()) is None:
            return self._evaluate(x, self.net(x, context))
        net = self.net.masked(context)  # type: ignore[operator]

        def plain(x: Tensor, given: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
            return self._evaluate(x, self.net.compute(x, given, *weights))  # type: ignore[operator]

        return self._masked(plain, x, net, kind, inverse=False)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if (kind := self._kind()) is None:
            return self._unrolled(z, context)
        net = self.net.masked(context)  # type: ignore[operator]
        return self._masked(lambda *_: self._unrolled(z, context), z, net, kind, inverse=True)

    def _evaluate(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = h.to(x.dtype).view(x.shape[0], self.univariate.params, *x.shape[1:])
        z, slope = self.univariate.forward(x, self._offset(h))
        return z, sum_event(slope)

    def _unrolled(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        columns: Sequence[Tensor] = z.t().contiguous().unsqueeze(-1).unbind()  # D times (B, 1)
        slopes: list[Tensor] = []

        def solve(i: int, h: Tensor) -> Tensor:
            x, slope = self.univariate.inverse(columns[i], self._offset(h.to(z.dtype)))
            slopes.append(slope)
            return x

        x = self.net.unroll(solve, z.shape[0], context)  # type: ignore[operator]
        return x, sum_event(torch.cat(slopes, 1))

    def _kind(self) -> kernels.Affine | kernels.Spline | None:
        """The scalar map as the kernel of a masked layer knows it; ``None`` if that has no code for it, or for the net."""
        if not isinstance(self.net, MaskedNet):
            return None
        if type(self.univariate) is Affine:
            return kernels.Affine(self.univariate.bound)
        if type(self.univariate) is RationalQuadratic:
            return kernels.Spline(self.univariate.bins, self.univariate.bound, self.univariate.floor)
        return None

    def _masked(
        self, plain: Callable[..., tuple[Tensor, Tensor]], x: Tensor, net: Masked, kind: kernels.Affine | kernels.Spline, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """The whole layer, by the kernel where that can be."""
        return kernels.masked(plain, x, net.given, net.weights, kind, kernels.Net(*net[:3]), inverse)

    def _offset(self, h: Tensor) -> Tensor:
        """A net that gives zeros makes the layer the identity."""
        if not any(self.univariate.identity):
            return h
        return h + self.identity.view(-1, *(1 for _ in h.shape[2:]))

    def extra_repr(self) -> str:
        return repr(self.univariate)
