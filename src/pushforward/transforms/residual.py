"""Residual flows: steps by a net that brings points closer together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from ..core import Transform, full_precision, readable
from ..words import check_counts
from .fixed_point import FixedPoint, FixedPointMethod, implicitly, solve_contraction
from .probes import ProbeNoise, RowMap, identity_plus_jacobian, random_probes
from .series import log_det_series, roulette, truncation

if TYPE_CHECKING:
    from ..nets import LipschitzNet

LogDet = Literal["geometric", "poisson", "truncated", "exact"]


class Residual(Transform):
    r"""``z = x + g(x, context)`` with a net g of Lipschitz constant L < 1; ``ldj = log det(I + dg/dx)``.

    No mask and no order: the Jacobian is free. ``log_det`` says how its determinant is found in training. "geometric" and "poisson":
    by the first ``terms`` of the series ``sum_k (-1)^{k+1} tr(J^k) / k`` and a random number of more, of mean ``tail``, each divided by
    the probability that it is reached; traces by random probes; unbiased, as is its gradient, whose memory is that of one term.
    One such number is drawn for a batch in training, one for each row in evaluation. "truncated": by the first terms alone, off by
    ``D sum_{k > n} L^k / k`` at most, which ``how`` states. "exact": by the Jacobian. Evaluation is exact up to ``exact_up_to``
    dimensions, and takes ``evaluation_terms`` in place of ``terms`` above.

    The variance of a random tail, of value and gradient, is finite for certain if the tail is "geometric" with
    ``tail / (1 + tail) > L^2``: 4.5 is for L up to .9, 2 up to .81, and .98 asks for 25. "poisson" tails end sooner and are mostly as
    good, but where the Jacobian's norm comes near 1 some rare draw outweighs all others.

    ``inverse`` solves ``x + g(x) = z`` to ``tolerance`` in x, with gradients by the implicit function theorem: where the log-determinant
    is an estimate by some ten products with the Jacobian, else by D of them, and the second ones, too. ``encode`` and ``decode`` take no
    determinant. ``Chain(Residual(g), Inverse(Residual(h)))`` is the implicit layer ``z + h(z) = x + g(x)`` (Implicit Normalizing Flows,
    Lu, Chen, Li, Wang, Zhu, 2021, arXiv:2103.09527).

    Shapes: any event. Cost: one pass of the net forward, and for each term and probe, or each dimension, one backward; inverse: some ten
    evaluations of the net. Gradients of an estimate are themselves not to be differentiated.

    References: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735; Invertible
    Residual Networks, Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, 2018, arXiv:1811.00995. Departures: in training the value is that of
    the series too, where the papers' is of the Neumann series and no log-determinant; the inverse is to a tolerance that holds.

    Arguments:
        net: g.
        shape: of the event.
        log_det: "geometric", "poisson", "truncated" or "exact".
        terms: of the series in training that are always taken.
        tail: mean number of random terms beyond.
        evaluation_terms: as ``terms``, in evaluation.
        probes: of each trace; their mean is taken.
        noise: "rademacher" (signs, of less variance) or "gaussian".
        exact_up_to: dimensions up to which evaluation is exact.
        method: of the inverse: "banach", "anderson" or "newton" (above ``exact_up_to`` dimensions that is "anderson").
        tolerance: of x, in Euclidean norm.

    Raises:
        ValueError: options that are none of these, x of another shape, or in the inverse a net with no constant below 1.

    Example::

        >>> layer = Residual(LipschitzMLP(3, width=16), (3,))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape, layer.estimate, layer.eval().estimate
        (torch.Size([8, 3]), torch.Size([8]), True, False)
    """

    def __init__(
        self,
        net: LipschitzNet,
        shape: Sequence[int],
        *,
        log_det: LogDet = "geometric",
        terms: int = 2,
        tail: float = 4.5,
        evaluation_terms: int = 20,
        probes: int = 1,
        noise: ProbeNoise = "rademacher",
        exact_up_to: int = 64,
        method: FixedPointMethod = "anderson",
        tolerance: float = 1e-6,
    ):
        super().__init__()
        check_counts("Residual", terms=terms, evaluation_terms=evaluation_terms, probes=probes)
        check_counts("Residual", least=0, exact_up_to=exact_up_to)
        for name, value, words in (("log_det", log_det, LogDet), ("noise", noise, ProbeNoise), ("method", method, FixedPointMethod)):
            if value not in get_args(words):
                raise ValueError(f"Residual: {name} must be one of {', '.join(get_args(words))}, got {value!r}")
        if not (tail > 0 and tolerance > 0):
            raise ValueError(f"Residual: expected tail and tolerance above 0, got {tail} and {tolerance}")
        self.net, self.shape, self.log_det = net, tuple(shape), log_det
        self.terms, self.tail, self.evaluation_terms = terms, tail, evaluation_terms
        self.probes, self.noise, self.exact_up_to = probes, noise, exact_up_to
        self.method, self.tolerance = method, tolerance

    @property
    def estimate(self) -> bool:
        return self.log_det != "exact" and (self.training or not self._small)

    @property
    def how(self) -> tuple[str, ...]:
        if not self.estimate:
            return ()
        probes = f"{self.probes} probe{'s' * (self.probes > 1)}"
        if self.log_det == "truncated":
            bound = truncation(math.prod(self.shape), self.net.lipschitz, self._terms)
            return (f"{self._terms} terms of the log-determinant, {probes}, off by at most {bound:.3g} nats a layer",)
        return (f"{self._terms} terms of the log-determinant and {self.tail:g} more on average ({self.log_det}), {probes}",)

    @property
    def passes(self) -> int:
        dim, tail = math.prod(self.shape), 0.0 if self.log_det == "truncated" else self.tail
        if self.log_det == "exact":
            return 1
        evaluated = dim if self._small else self.probes * (self.evaluation_terms + tail)
        return math.ceil((1 + evaluated) / (1 + self.probes * (self.terms + tail)))

    @property
    def _small(self) -> bool:
        return math.prod(self.shape) <= self.exact_up_to

    @property
    def _terms(self) -> int:
        return self.terms if self.training else self.evaluation_terms

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(x)
        g, pull = self.net.pullback(x, context)
        return x + g, self._ldj(x, pull)

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.decode(z, context)
        return x, -self._ldj(x, self.net.pullback(x, context)[1])

    @full_precision
    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(x)
        return x + self.net(x, context)

    @full_precision
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = self._solved(z, context).x
        if not torch.is_grad_enabled() or z.device.type == "meta":
            return x
        with torch.no_grad():
            _, pull = self.net.pullback(x, context)
        dense = not (self.estimate and readable())
        return implicitly(lambda x: self.net(x, context), x, z, pull, self.net.lipschitz, dense=dense, tolerance=self.tolerance)

    def evaluations(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """How many evaluations of the net each row takes to be inverted, ``(B,)``."""
        return self._solved(z, context).evaluations

    def _solved(self, z: Tensor, context: Tensor | None) -> FixedPoint:
        self._check(z)
        return solve_contraction(
            lambda x: self.net(x, context),
            z,
            self.net.lipschitz,
            method=self.method,
            tolerance=self.tolerance,
            pull_at=(lambda x: self.net.pullback(x, context)[1]) if self._small else None,
        )

    def _ldj(self, x: Tensor, pull: RowMap) -> Tensor:
        if self.log_det == "exact" or not self.estimate:
            return torch.linalg.slogdet(identity_plus_jacobian(pull, x)).logabsdet
        tail = None if self.log_det == "truncated" else self.log_det
        factors = roulette(x, self._terms, tail, self.tail, rowwise=not self.training)
        return log_det_series(pull, random_probes(x, self.probes, self.noise), factors)

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ValueError(f"Residual: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return (
            f"{self.shape}, log_det={self.log_det!r}, terms={self.terms}, tail={self.tail:g}, probes={self.probes}, method={self.method!r}"
        )
