"""Continuous-time flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ..core import Solved, Transform, full_precision, sum_event, zeros
from ..words import check_counts
from .adaptive import adapted
from .adjoint import integrate_by_adjoint
from .integrate import TABLEAUS, Field, Solver, Times, evaluations, even, integrate
from .probes import ProbeNoise, random_probes, unit_vectors

if TYPE_CHECKING:
    from ..nets import VelocityNet

Trace = Literal["hutchinson", "exact"]
Gradients = Literal["steps", "adjoint"]


class Course(NamedTuple):
    """Where rows come to, ``log|det|``, and what the way cost: integrals of ``|f|^2`` and ``|df/dz e|^2`` over time, ``(B,)`` each."""

    z: Tensor
    ldj: Tensor
    kinetic: Tensor
    jacobian: Tensor


class Continuous(Transform, Solved):
    r"""``dz/dt = f(z, t, context)`` from data at t = 0 to latents at t = 1; ``ldj = int tr(df/dz) dt``.

    f is any net that is twice differentiable: no mask, no constraint. ``inverse`` runs time backwards. Steps are of fixed length, or with
    "dopri5" as long as z errs by less than a tolerance, for each row its own: either way rows are independent of each other. Gradients are
    those of the steps themselves, or with ``gradients="adjoint"`` of the equation, for which nothing is kept on the way.

    ``trace="hutchinson"`` estimates the trace by ``e^T (df/dz) e`` with probes e of mean 0 and variance 1, drawn once for each row and
    pass: unbiased for the ldj of these steps. In evaluation it is exact up to ``exact_up_to`` dimensions, and always where ``trace`` says
    so, by a product with each unit vector. ``encode`` and ``decode`` take no trace. Steps of fixed length are better in evaluation, too:
    training learns to make use of what a solver gets wrong, and its own steps would not tell. There "rk4" takes twice as many, and stands
    for "heun" and "midpoint", whose steps are cheap but would bring no point back to where it came from.

    Shapes: any event. Cost: for each step 5 evaluations of the net for "rk4", 2 for "heun" and "midpoint"; for each probe, or dimension, as
    much again in 2 of these ("midpoint" in 1). "dopri5" takes 6 for each attempt at a step, without the trace, and then 6 for each step.
    Exact but for the solver's error, which falls with the fourth power of the number of steps ("rk4") or the second.

    References: Neural Ordinary Differential Equations, Chen, Rubanova, Bettencourt, Duvenaud, 2018, arXiv:1806.07366; FFJORD, Grathwohl,
    Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367; the costs: How to Train Your Neural ODE, Finlay, Jacobsen, Nurbekyan,
    Oberman, 2020, arXiv:2002.02798.

    Arguments:
        net: f, with products of its Jacobian.
        shape: of the event.
        steps: of a solver that takes a fixed number, in training.
        finer: how many steps in evaluation stand for each; by default 2, or 1 where they are of a better solver.
        solver: "rk4", "heun", "midpoint" or "dopri5" (see :func:`~pushforward.transforms.adaptive.adapted`).
        tolerance: of "dopri5", for z, absolute and relative, in training and evaluation; 8 roundings at least.
        gradients: "steps", or "adjoint" for steps of fixed length.
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
        finer: int | None = None,
        solver: Solver = "rk4",
        tolerance: float = 1e-5,
        gradients: Gradients = "steps",
        trace: Trace = "hutchinson",
        probes: int = 1,
        noise: ProbeNoise = "rademacher",
        exact_up_to: int = 64,
    ):
        super().__init__()
        if finer is None:
            finer = 2 if solver == "rk4" else 1
        check_counts("Continuous", steps=steps, finer=finer, probes=probes)
        check_counts("Continuous", least=0, exact_up_to=exact_up_to)
        literals = ("solver", solver, Solver), ("trace", trace, Trace), ("noise", noise, ProbeNoise), ("gradients", gradients, Gradients)
        for name, value, words in literals:
            if value not in get_args(words):
                raise ValueError(f"Continuous: {name} must be one of {', '.join(get_args(words))}, got {value!r}")
        if not tolerance > 0:
            raise ValueError(f"Continuous: tolerance must be above 0, got {tolerance}")
        if solver == "dopri5" and gradients == "adjoint":
            raise ValueError(
                "Continuous: the adjoint takes steps of fixed length; use solver rk4 with it, or gradients of the steps with dopri5"
            )
        self.net, self.shape = net, tuple(shape)
        self.steps, self.finer, self.solver = steps, finer, solver
        self.trace, self.probes, self.noise = trace, probes, noise
        self.tolerance, self.gradients = tolerance, gradients
        self.exact_up_to = exact_up_to

    @property
    def estimate(self) -> bool:
        return self.trace == "hutchinson" and not self.net.traced and (self.training or math.prod(self.shape) > self.exact_up_to)

    @property
    def how(self) -> tuple[str, ...]:
        probes = f", {self.probes} probe{'s' * (self.probes > 1)}" if self.estimate else ""
        if self.solver == "dopri5":
            return (f"dopri5, tolerance {self.tolerance / self.fineness**5:.2g} for each row{probes}",)
        steps = self.steps * self._refinement
        return (f"{self._method}, {steps} steps, {evaluations(self._method, steps, True)} evaluations of the net{probes}",)

    @property
    def passes(self) -> int:
        dim, finer = math.prod(self.shape), 1.0
        if self.solver != "dopri5":
            finer = evaluations("rk4", self.steps * self.finer, True) / evaluations(self.solver, self.steps, True)
        if self.trace == "exact" or self.net.traced or dim > self.exact_up_to:
            return math.ceil(finer)
        return math.ceil(finer * (1 + dim) / (1 + self.probes))

    @property
    def _method(self) -> Solver:
        """The solver, now."""
        return self.solver if self.training or self.solver == "dopri5" else "rk4"

    @property
    def _refinement(self) -> int:
        """How many steps stand for each of training, now."""
        return self.fineness * (1 if self.training else self.finer)

    def evaluations(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """How many of the net bring each row to its latent, ``(B,)``: those of the steps, or with "dopri5" of the attempts at them."""
        if self.solver != "dopri5":
            return torch.full(x.shape[:1], evaluations(self._method, self.steps * self._refinement, False))
        times = torch.stack(list(map(torch.as_tensor, self._times(x, context, 0.0, 1.0))))
        return 1 + len(TABLEAUS["dopri5"].nodes) * (times != times[-1]).sum(0)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ldj = self._moved(x, context, 0.0, 1.0, priced=False)
        return z, ldj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = self._moved(z, context, 1.0, 0.0, priced=False)
        return x, ldj

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._carried(x, context, 0.0, 1.0)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._carried(z, context, 1.0, 0.0)

    def course(self, x: Tensor, context: Tensor | None = None, end: float | Tensor = 1.0) -> Course:
        """:meth:`forward` with what the way costs, up to another end of time if asked: what an objective may hold against it."""
        return Course(*self._moved(x, context, 0.0, end, priced=True))

    @full_precision  # the way back, too: velocities in bfloat16 would not undo it
    def _carried(self, x: Tensor, context: Tensor | None, start: float, end: float) -> Tensor:
        self._check(x)

        def field(t: float | Tensor, z: Tensor, full: bool) -> tuple[Tensor, ...]:
            return (self.net(z, t, context),)

        return self._solved(field, 0, x, context, start, end)[0]

    @full_precision
    def _moved(self, x: Tensor, context: Tensor | None, start: float, end: float | Tensor, *, priced: bool) -> tuple[Tensor, ...]:
        self._check(x)
        probes = self._probes(x)
        scale = 1 / probes.shape[0] if self.estimate else 1.0

        def field(t: float | Tensor, z: Tensor, full: bool) -> tuple[Tensor, ...]:
            if not full:
                return (self.net(z, t, context),)
            if self.net.traced and not priced:
                return self.net.trace(z, t, context)
            f, products = self.net.products(z, t, context, probes)
            trace = scale * (probes * products).flatten(2).sum(2).sum(0)
            return (f, trace, sum_event(f.square()), scale * products.square().flatten(2).sum(2).sum(0)) if priced else (f, trace)

        return self._solved(field, 3 if priced else 1, x, context, start, end)

    def _solved(self, field: Field, count: int, x: Tensor, context: Tensor | None, start: float, end: float | Tensor) -> tuple[Tensor, ...]:
        """z at the end, and so many integrals."""
        times, none = self._times(x, context, start, end), (zeros(x),) * count
        if self.gradients == "steps" or not torch.is_grad_enabled():
            return integrate(field, x, none, times=times, solver=self._method)
        inputs = [*self.net.parameters(), *([] if context is None else [context])]
        return integrate_by_adjoint(field, x, none, inputs, times=times, solver=self._method)

    def _times(self, x: Tensor, context: Tensor | None, start: float, end: float | Tensor) -> Times:
        if self.solver != "dopri5" or x.is_meta:
            return even(start, end, max(1, self.steps * self._refinement))
        tolerance = max(self.tolerance / self.fineness**5, 8 * torch.finfo(x.dtype).eps)  # half as long, so much less error
        return adapted(lambda t, z: self.net(z, t, context), x, start=start, end=end, tolerance=tolerance)

    def _probes(self, x: Tensor) -> Tensor:
        """Vectors ``(K, B, *shape)``: drawn where the trace is an estimate, else all unit vectors."""
        return random_probes(x, self.probes, self.noise) if self.estimate else unit_vectors(x)

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ValueError(f"Continuous: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return f"{self.shape}, steps={self.steps}, finer={self.finer}, solver={self.solver!r}, trace={self.trace!r}, probes={self.probes}"
