"""Integers as continuous numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Distribution, Transform, join, zeros

ENOUGH = 2**16  # numbers of the batch that the noise starts from: what is cheap to draw from may be dear to invert


class Dequantize(Transform):
    r"""Adds noise within the bin to integers, ``z = x + u`` with ``u ~ q(u|x)`` in (0, 1); ``ldj = -log q(u|x)``. Back by the floor.

    ``log p(x) >= E_q[log p(x + u) - log q(u|x)]``: the flow's likelihood becomes a lower bound on the probability of the integer,
    below it by ``KL(q(u|x) || p(u|x))``. Without ``noise`` u is uniform and ``ldj = 0``: tight where the density is flat within each
    bin. A conditional flow as ``noise`` is variational dequantization: it learns the shape of the density within the bin, so that
    the density need not become flat there. The mass of all integers sums to 1 only if the layers that follow cover exactly the
    bins: for levels 0..K-1 a logit of the interval [0, K].

    The noise reads x, brought to the bin centres in (-1, 1) if the levels are known, ``(2 x + 1) / levels - 1``. If its context has more
    channels than x, they are those of the layer's context, joined to x. u is differentiable in the parameters of the noise.

    ``encode`` takes the centre of the bin, ``x + 1/2``, with any noise: it is furthest from the neighbours, so that x returns whatever
    the layers behind round, and it needs no pass of a net. ``decode`` and ``inverse`` take the floor, whose gradient is zero;
    ``inverse`` also evaluates ``log q``, which ``decode`` leaves out. Cost O(D), and that of the noise in its sampling direction.
    x is expected to hold whole numbers, as floats; others come back as their floor. u stays half a step of the floats away from 0 and
    1, and z below x + 1, where a logit would be infinite.

    Reference: A note on the evaluation of generative models, Theis, van den Oord, Bethge, 2015, arXiv:1511.01844, section 3.1
    (uniform); Flow++, Ho, Chen, Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275, section 3.1 (variational); as a layer: SurVAE Flows,
    Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731.

    Arguments:
        levels: if given, what comes back is clamped to 0..levels-1.
        noise: the distribution of u, of the shape of x; conditional or not; uniform if none.

    Raises:
        ValueError: ``levels`` is not positive, the noise is of another shape than x, or a context it needs is missing.

    Example::

        >>> z, ldj = Dequantize(levels=16)(torch.randint(16, (8, 64)).double())
        >>> z.shape, ldj.shape
        (torch.Size([8, 64]), torch.Size([8]))
    """

    like: Tensor
    stochastic_forward = True

    def __init__(self, levels: int | None = None, noise: Distribution | None = None):
        super().__init__()
        if levels is not None and levels < 1:
            raise ValueError(f"Dequantize: levels must be at least 1, got {levels}")
        self.levels = levels
        self.noise = noise
        held = [] if noise is None else [t for t in [*noise.parameters(), *noise.buffers()] if t.is_floating_point()]
        self.register_buffer("like", torch.empty(0, dtype=held[0].dtype if held else None), persistent=False)  # x may be float64

    @property
    def how(self) -> tuple[str, ...]:
        return ("uniform dequantization" if self.noise is None else "variational dequantization",)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        eps = torch.finfo(x.dtype).eps
        if self.noise is None:
            # rand gives multiples of eps/2 from 0 on; the middle of each step keeps off the ends of the bin, where a logit is infinite.
            z = x + (torch.rand_like(x) + eps / 4)
            return torch.where(z < x + 1, z, x + 0.5), zeros(x)  # x + u may round up to the next integer
        seen = self.seen_by(self.noise, x, context)
        u, log_q = self.noise.sample_and_log_prob((x.shape[0],) if seen is None else (), seen)
        z = x + u.to(x.dtype).clamp(eps / 4, 1 - eps / 2)
        return torch.minimum(z, torch.nextafter(x + 1, x)), zeros(x) - log_q

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.decode(z)
        if self.noise is None:
            return x, zeros(z)
        eps = torch.finfo(self.like.dtype).eps
        u = (z - x).to(self.like.dtype).clamp(eps / 4, 1 - eps / 2)
        return x, zeros(z) + self.noise.log_prob(u, self.seen_by(self.noise, x, context))

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x + 0.5

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = z.floor()
        return x if self.levels is None else x.clamp(0, self.levels - 1)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Start the noise from uniform draws beside x: what standardizes them on the way to its base starts it close to uniform."""
        if self.noise is None:
            return
        rows = max(1, ENOUGH // max(1, x[0].numel()))
        x = (self.decode(x) if inverse else x)[:rows]
        context = None if context is None else context[:rows]
        seen = self.seen_by(self.noise, x, context)
        number = torch.finfo(self.like.dtype)
        u = torch.rand(x.shape, dtype=self.like.dtype, device=x.device).clamp(number.eps / 4, 1 - number.eps / 2)
        self.noise.initialize(u, seen)

    def extra_repr(self) -> str:
        return "" if self.levels is None else f"levels={self.levels}"

    def seen_by(self, noise: Distribution, x: Tensor, context: Tensor | None) -> Tensor | None:
        """What the noise is conditional on: x in (-1, 1) and, if there is room for it, the context."""
        if noise.shape != x.shape[1:]:
            raise ValueError(f"Dequantize: noise of shape {tuple(noise.shape)} does not fit x {tuple(x.shape)}; build it for one row of x")
        if noise.context_shape is None:
            return None
        place = x if self.levels is None else (2 * x + 1) / self.levels - 1
        place = place.to(self.like.dtype)
        return join(place, context) if noise.context_shape[0] > x.shape[1] else place
