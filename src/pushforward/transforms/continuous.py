"""Continuous-time flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from torch import Tensor

from ..core import Transform, sum_event, zeros
from ..words import check_counts
from .integrate import Solver, integrate
from .probes import ProbeNoise, random_probes, unit_vectors

if TYPE_CHECKING:
    from ..nets import VelocityNet

Trace = Literal["hutchinson", "exact"]


class Course(NamedTuple):
    """Where rows come to, ``log|det|``, and what the way cost: integrals of ``|f|^2`` and ``|df/dz e|^2`` over time, ``(B,)`` each."""

    z: Tensor
    ldj: Tensor
    kinetic: Tensor
    jacobian: Tensor


class Continuous(Transform):
    r"""``dz/dt = f(z, t, context)`` from data at t = 0 to latents at t = 1; ``ldj = int tr(df/dz) dt``.

    f is any net that is twice differentiable: no mask, no constraint. ``inverse`` runs time backwards. Steps are of fixed length, which
    makes rows independent of each other, and gradients those of the steps themselves.

    ``trace="hutchinson"`` estimates the trace by ``e^T (df/dz) e`` with probes e of mean 0 and variance 1, drawn once for each row and
    pass: unbiased for the ldj of these steps. In evaluation it is exact up to ``exact_up_to`` dimensions, and always where ``trace`` says
    so, by a product with each unit vector. ``encode`` and ``decode`` take no trace.

    Shapes: any event. Cost: 4 steps evaluations of the net for "rk4", 2 for the others; for each probe, or dimension, as much again.
    Exact but for the solver's error, which falls with the fourth power of the number of steps ("rk4") or the second.

    References: Neural Ordinary Differential Equations, Chen, Rubanova, Bettencourt, Duvenaud, 2018, arXiv:1806.07366; FFJORD, Grathwohl,
    Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367; the costs: How to Train Your Neural ODE, Finlay, Jacobsen, Nurbekyan,
    Oberman, 2020, arXiv:2002.02798.

    Arguments:
        net: f, with products of its Jacobian.
        shape: of the event.
        steps: of the solver.
        solver: "rk4", "heun" or "midpoint".
        trace: "hutchinson" or "exact".
        probes: of Hutchinson's estimate; their mean is taken.
        noise: "rademacher" (signs, of less variance) or "gaussian".
        exact_up_to: dimensions up to which evaluation takes the exact trace.

    Raises:
        ValueError: options that are none of these, or x of another shape.

    Example::

        >>> layer = Continuous(TimeMLP(3, width=16), (3,))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape, layer.estimate, layer.eval().estimate
        (torch.Size([8, 3]), torch.Size([8]), True, False)
    """

    def __init__(
        self,
        net: VelocityNet,
        shape: Sequence[int],
        *,
        steps: int = 8,
        solver: Solver = "rk4",
        trace: Trace = "hutchinson",
        probes: int = 1,
        noise: ProbeNoise = "rademacher",
        exact_up_to: int = 64,
    ):
        super().__init__()
        check_counts("Continuous", steps=steps, probes=probes)
        check_counts("Continuous", least=0, exact_up_to=exact_up_to)
        for name, value, words in (("solver", solver, Solver), ("trace", trace, Trace), ("noise", noise, ProbeNoise)):
            if value not in get_args(words):
                raise ValueError(f"Continuous: {name} must be one of {', '.join(get_args(words))}, got {value!r}")
        self.net, self.shape = net, tuple(shape)
        self.steps, self.solver, self.trace, self.probes, self.noise = steps, solver, trace, probes, noise
        self.exact_up_to = exact_up_to

    @property
    def estimate(self) -> bool:
        return self.trace == "hutchinson" and (self.training or math.prod(self.shape) > self.exact_up_to)

    @property
    def how(self) -> tuple[str, ...]:
        probes = f", {self.probes} probe{'s' * (self.probes > 1)}" if self.estimate else ""
        return (f"{self.solver}, {self.steps} steps, {self.evaluations} evaluations of the net{probes}",)

    @property
    def passes(self) -> int:
        dim = math.prod(self.shape)
        return 1 if self.trace == "exact" or dim > self.exact_up_to else math.ceil((1 + dim) / (1 + self.probes))

    @property
    def evaluations(self) -> int:
        """Of the net in one pass."""
        return self.steps * (4 if self.solver == "rk4" else 2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._moved(x, context, 0.0, 1.0)[:2]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._moved(z, context, 1.0, 0.0)[:2]

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._carried(x, context, 0.0, 1.0)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._carried(z, context, 1.0, 0.0)

    def course(self, x: Tensor, context: Tensor | None = None, end: float | Tensor = 1.0) -> Course:
        """:meth:`forward` with what the way costs, up to another end of time if asked: what an objective may hold against it."""
        return self._moved(x, context, 0.0, end)

    def _carried(self, x: Tensor, context: Tensor | None, start: float, end: float) -> Tensor:
        self._check(x)

        def field(t: float | Tensor, z: Tensor, full: bool) -> tuple[Tensor, ...]:
            return (self.net(z, t, context),)

        return integrate(field, x, (), start=start, end=end, steps=self.steps, solver=self.solver)[0]

    def _moved(self, x: Tensor, context: Tensor | None, start: float, end: float | Tensor) -> Course:
        self._check(x)
        probes = self._probes(x)

        def field(t: float | Tensor, z: Tensor, full: bool) -> tuple[Tensor, ...]:
            if not full:
                return (self.net(z, t, context),)
            f, products = self.net.products(z, t, context, probes)
            scale = 1.0 if not self.estimate else 1 / probes.shape[0]
            trace = scale * (probes * products).flatten(2).sum(2).sum(0)
            return f, trace, sum_event(f.square()), scale * products.square().flatten(2).sum(2).sum(0)

        return Course(*integrate(field, x, (zeros(x),) * 3, start=start, end=end, steps=self.steps, solver=self.solver))

    def _probes(self, x: Tensor) -> Tensor:
        """Vectors ``(K, B, *shape)``: drawn where the trace is an estimate, else all unit vectors."""
        return random_probes(x, self.probes, self.noise) if self.estimate else unit_vectors(x)

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ValueError(f"Continuous: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return f"{self.shape}, steps={self.steps}, solver={self.solver!r}, trace={self.trace!r}, probes={self.probes}"
