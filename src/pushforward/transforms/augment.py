"""Channels of noise beside the data."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Distribution, Transform, join
from .surjections import center_given, draw_given, log_prob_given


class Augment(Transform):
    r"""Adds channels of noise, ``x -> (x, e)`` with ``e ~ q(e|x)``; ``ldj = -log q(e|x)``. The inverse drops them.

    ``log p(x) >= E_q[log p(x, e) - log q(e|x)]``, with equality for ``q = p(e|x)``: a flow of more dimensions than the data has, which
    can part what it could not tear in place. The inverse of :class:`Slice`. A bound; ``flow.log_prob(x, samples=K)`` is tighter. Start q
    near the base, a standard normal. ``encode`` takes its center. Shapes: ``(B, C, *space) -> (B, C + E, *space)``. Cost: that of q, and
    a copy of x.

    References: as a layer: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731; Augmented Normalizing
    Flows, Huang, Dinh, Courville, 2020, arXiv:2002.07101; VFlow, Chen, Lu, Chenli, Zhu, Tian, 2020, arXiv:2002.09741.

    Arguments:
        noise: q, of shape ``(E, *space)``; if it takes a context, that is x joined with the context.

    Raises:
        ValueError: noise whose own density is no exact one, or of another space than x; or z has no channels but those of the noise.

    Example::

        >>> z, ldj = Augment(Normal((2,)))(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 5]), torch.Size([8]))
    """

    stochastic_forward = True

    def __init__(self, noise: Distribution):
        super().__init__()
        if noise.kind != "exact":
            raise ValueError(f"Augment: expected noise of kind 'exact', got {noise.kind!r}: a bound on log q stands on the wrong side")
        self.noise = noise

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if x.shape[2:] != self.noise.shape[1:]:
            raise ValueError(
                f"Augment: noise of shape {tuple(self.noise.shape)} does not fit x {tuple(x.shape)}; build it for the space of x"
            )
        e, log_q = draw_given(self.noise, x, context)
        return torch.cat([x, e.to(x.dtype)], 1), -log_q

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.cat([x, center_given(self.noise, x, context).to(x.dtype)], 1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, e = self._apart(z)
        return x, log_prob_given(self.noise, e, x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._apart(z)[0]

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        if inverse:  # forward the noise draws what it would start from
            kept, e = self._apart(x)
            self.noise.initialize(e, self.noise.seen(join(kept, context)))

    def _apart(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x and the noise."""
        channels = z.shape[1] - self.noise.shape[0]
        if channels < 1:
            raise ValueError(f"Augment: expected more than the {self.noise.shape[0]} channels of the noise, got z {tuple(z.shape)}")
        return z[:, :channels], z[:, channels:]
