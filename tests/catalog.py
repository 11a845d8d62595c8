"""Every layer and every model, as tiny instances: one line each, and test_laws.py runs all laws over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import pushforward.distributions as pd
import pushforward.likelihoods as pl
import pushforward.models.dequantizer as pm
import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward.core import Chain, Distribution, Flow, Inverse, Transform
from pushforward.nets.patches import OutOfPatches


def gaussian(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape)


def unit(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape) * 0.98 + 0.01


def positive(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape).exp()


def integers(n: int, *shape: int) -> Tensor:
    return torch.randint(0, 5, (n, *shape)).double()


def rising(n: int, *shape: int) -> Tensor:
    """In order along the last axis."""
    return torch.randn(n, *shape).sort(-1).values


def clipped(n: int, *shape: int) -> Tensor:
    """Many numbers at 0 and at 1."""
    return (torch.rand(n, *shape) * 2 - 0.5).clamp(0, 1)


def wide(n: int, *shape: int) -> Tensor:
    """Inside, beyond and far beyond a spline's interval."""
    return torch.randn(n, *shape) * 4


@dataclass(frozen=True)
class Layer:
    """A tiny layer. `domain` draws data, `latent` draws z (default: the forward image of data)."""

    make: Callable[[], Transform]
    shape: tuple[int, ...] = (3,)
    context: int = 0
    domain: Callable[..., Tensor] = gaussian
    latent: Callable[..., Tensor] | None = None
    tolerance: float = 1e-8
    why: str = ""  # the reason of a looser tolerance
    untouched: tuple[int, ...] = ()  # features on axis 1 that context leaves alone
    order: tuple[int, ...] | None = None  # the Jacobian is lower triangular in this order
    keeps_dtype: bool = True


def linear(inputs: int, outputs: int) -> nn.Module:
    """The smallest net."""
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


def normal_given(inputs: int, outputs: int) -> Distribution:
    """``N(mu(c), sigma(c)^2)``."""
    return pd.Given(pl.Normal(), linear(inputs, 2 * outputs), (outputs,), context=inputs)


class ConditionalAffine(Transform):
    """``z = exp(s) x + b`` with s and b from a net that reads the context."""

    def __init__(self, context: int, dim: int):
        super().__init__()
        self.net = pn.MLP(context, 2 * dim, width=8)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, s = self._shift_and_scale(context)
        return x * s.exp() + shift, s.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, s = self._shift_and_scale(context)
        return (z - shift) * (-s).exp(), -s.sum(1)

    def _shift_and_scale(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if context is None:
            raise ValueError("ConditionalAffine: needs a context")
        shift, s = self.net(context).chunk(2, 1)
        return shift, s


class NoisyTrace(Transform):
    """``z = exp(A) x`` with Hutchinson's estimate of ``log|det| = trace A``: the simplest estimate."""

    estimate = True

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x @ torch.linalg.matrix_exp(self.weight).mT, self._trace(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z @ torch.linalg.matrix_exp(-self.weight).mT, -self._trace(z)

    def _trace(self, x: Tensor) -> Tensor:
        probe = torch.randn_like(x)
        return ((probe @ self.weight) * probe).sum(1)


class Shifted(Distribution):
    """``N(net(context), 1)``."""

    def __init__(self, dim: int, context: int):
        super().__init__((dim,), context)
        self.net = linear(context, dim)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return torch.distributions.Normal(self.net(context), 1.0, validate_args=False).log_prob(x).sum(1)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean = self.net(context)
        x = mean + torch.randn_like(mean)
        return x, self.log_prob(x, context)


def noise(dim: int, context: int = 0) -> Flow:
    """Logit-normal noise given dim integers and a context."""
    return Flow(pd.Normal((dim,)), pt.Elementwise(pu.Logit()), ConditionalAffine(dim + context, dim), context=dim + context)


def residual(dim: int, log_det: str = "exact", context: int = 0, coefficient: float = 0.5, **options) -> Transform:
    """A step whose constant is at most one half, solved to rounding."""
    net = pn.LipschitzMLP(dim, width=8, depth=1, coefficient=coefficient, context=context)
    return pt.Residual(net, (dim,), log_det=log_det, tolerance=1e-10, **options)


def ladder(iaf: bool = False, context: int = 0) -> Transform:
    """Two latent maps (2, 2, 2) of an image (1, 4, 4)."""
    blocks = [pn.ConvLadderBlock((2, 2, 2), width=4, topmost=topmost) for topmost in (False, True)]
    nets = [pn.MaskedConvNet((2, 2, 2), 2, width=4, depth=0, kernel=3, context=4, in_turn=True) for _ in range(2)] if iaf else []
    decoder = pd.Given(pl.Normal(), nn.Sequential(nn.Conv2d(4, 8, 1), OutOfPatches(2)), (1, 4, 4), context=(4, 2, 2))
    stem = pn.LadderStem(1, 4, width=4, patch=2, context=context)
    given = pn.MLP(context, 4, width=8) if context else None
    return pt.LadderVAE(stem, blocks, decoder, (4, 2, 2), [pt.Autoregressive(pu.Affine(), net) for net in nets], given)


LAYERS: dict[str, Layer] = {
    "elementwise-affine": Layer(lambda: pt.Elementwise(pu.Affine(), (3,))),
    "elementwise-additive": Layer(lambda: pt.Elementwise(pu.Additive(), (3,))),
    "elementwise-affine-image": Layer(lambda: pt.Elementwise(pu.Affine(), (2, 1, 1)), shape=(2, 3, 3)),
    "inverse": Layer(lambda: Inverse(pt.Elementwise(pu.Affine(), (3,)))),
    "chain": Layer(lambda: Chain(pt.Elementwise(pu.Affine(), (3,)), Inverse(pt.Elementwise(pu.Affine(), (3,))))),
    # --- univariate maps (elementwise) ---
    "spline": Layer(lambda: pt.Elementwise(pu.RationalQuadratic(bins=5, bound=3.0), (3,)), domain=wide),
    "spline-image": Layer(lambda: pt.Elementwise(pu.RationalQuadratic(bins=3), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "spline-two-bins": Layer(lambda: pt.Elementwise(pu.RationalQuadratic(bins=2), (3,)), domain=wide),
    "linear-spline": Layer(lambda: pt.Elementwise(pu.LinearSpline(5, 3.0), (3,)), domain=wide),
    "quadratic-spline": Layer(lambda: pt.Elementwise(pu.QuadraticSpline(5, 3.0), (3,)), domain=wide),
    "quadratic-spline-free-ends": Layer(lambda: pt.Elementwise(pu.QuadraticSpline(2, 3.0, free_ends=True), (3,)), domain=wide),
    "quadratic-spline-image": Layer(lambda: pt.Elementwise(pu.QuadraticSpline(3), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "cubic-spline": Layer(lambda: pt.Elementwise(pu.CubicSpline(5, 3.0), (3,)), domain=wide),
    "cubic-spline-image": Layer(lambda: pt.Elementwise(pu.CubicSpline(2), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "bernstein": Layer(lambda: pt.Elementwise(pu.Bernstein(6, 3.0), (3,)), domain=wide),
    "bernstein-image": Layer(lambda: pt.Elementwise(pu.Bernstein(4), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "logit": Layer(lambda: pt.Elementwise(pu.Logit()), domain=unit),
    "sigmoid": Layer(lambda: pt.Elementwise(pu.Sigmoid())),
    "log": Layer(lambda: pt.Elementwise(pu.Log()), domain=positive),
    "exp": Layer(lambda: pt.Elementwise(pu.Exp())),
    "softplus": Layer(lambda: pt.Elementwise(pu.Softplus())),
    "tanh": Layer(lambda: pt.Elementwise(pu.Tanh())),
    "leaky-relu": Layer(lambda: pt.Elementwise(pu.LeakyReLU(0.1))),
    "gaussian-mixture-cdf": Layer(lambda: pt.Elementwise(pu.GaussianMixtureCDF(), (3,))),
    "gaussian-mixture-cdf-image": Layer(lambda: pt.Elementwise(pu.GaussianMixtureCDF(1), (2, 1, 1)), shape=(2, 3, 3)),
    "logistic-mixture-cdf": Layer(lambda: pt.Elementwise(pu.LogisticMixtureCDF(), (3,))),
    "mixture-quantile": Layer(lambda: pt.Elementwise(pu.MixtureQuantile(), (3,)), domain=wide),
    "mixture-quantile-logistic": Layer(lambda: pt.Elementwise(pu.MixtureQuantile(3, "logistic"), (3,)), domain=wide),
    "mixture-quantile-image": Layer(lambda: pt.Elementwise(pu.MixtureQuantile(2), (2, 1, 1)), shape=(2, 3, 3)),
    "odd-polynomial": Layer(lambda: pt.Elementwise(pu.OddPolynomial(), (3,)), domain=wide),
    "sum-of-squares": Layer(lambda: pt.Elementwise(pu.SumOfSquares(), (3,)), domain=wide),
    "sum-of-squares-polynomial-image": Layer(lambda: pt.Elementwise(pu.SumOfSquares(3, 1), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "deep-sigmoidal": Layer(lambda: pt.Elementwise(pu.DeepSigmoidal(5), (3,)), domain=wide),
    "deep-sigmoidal-image": Layer(lambda: pt.Elementwise(pu.DeepSigmoidal(2), (2, 1, 1)), shape=(2, 3, 3)),
    "dense-sigmoidal": Layer(lambda: pt.Elementwise(pu.DenseSigmoidal(3, 3), (3,)), domain=wide),
    "dense-sigmoidal-image": Layer(lambda: pt.Elementwise(pu.DenseSigmoidal(2), (2, 1, 1)), shape=(2, 3, 3)),
    "unconstrained-monotonic": Layer(lambda: pt.Elementwise(pu.UnconstrainedMonotonic(4, 8), (3,)), domain=wide),
    "unconstrained-monotonic-image": Layer(lambda: pt.Elementwise(pu.UnconstrainedMonotonic(2, 4), (2, 1, 1)), shape=(2, 3, 3)),
    "compose": Layer(lambda: pt.Elementwise(pu.Compose(pu.MixtureQuantile(2, "logistic"), pu.Affine()), (3,)), domain=wide),
    "linear-tails": Layer(lambda: pt.Elementwise(pu.LinearTails(pu.SumOfSquares(), 3.0), (3,)), domain=wide),
    "softclip-spline": Layer(lambda: pt.Elementwise(pu.SoftclipSpline(5, 3.0), (3,)), domain=wide),
    "softclip-spline-image": Layer(lambda: pt.Elementwise(pu.SoftclipSpline(2), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "softplus-spline": Layer(lambda: pt.Elementwise(pu.SoftplusSpline(5, 3.0, 1e-2, 2e-2, 3e-2), (3,)), domain=wide),
    "softplus-spline-image": Layer(lambda: pt.Elementwise(pu.SoftplusSpline(2), (2, 1, 1)), shape=(2, 3, 3), domain=wide),
    "floor-affine-softclip": Layer(lambda: pt.Elementwise(pu.FloorAffine(), (3,))),
    "floor-affine-softplus-image": Layer(lambda: pt.Elementwise(pu.FloorAffine("softplus"), (2, 1, 1)), shape=(2, 3, 3)),
    "floor-affine-sigmoid": Layer(lambda: pt.Elementwise(pu.FloorAffine("sigmoid", 1e-2), (3,))),
    # --- mechanisms ---
    "coupling-affine": Layer(lambda: pt.Coupling([1, 0, 0], pu.Affine(), linear(1, 4)), untouched=(0,)),
    "coupling-additive-context": Layer(lambda: pt.Coupling([0, 1, 0], pu.Additive(), pn.MLP(3, 2, width=8)), context=2, untouched=(1,)),
    "coupling-one-feature": Layer(lambda: pt.Coupling([0], pu.Affine(), pn.MLP(2, 2, width=8)), shape=(1,), context=2),
    "coupling-image-channels": Layer(
        lambda: pt.Coupling([1, 0], pu.Affine(), nn.Conv2d(1, 2, 3, padding=1)), shape=(2, 3, 3), untouched=(0,)
    ),
    "coupling-image-checkerboard": Layer(
        lambda: pt.Coupling([[[1, 0, 1], [0, 1, 0], [1, 0, 1]]], pu.Affine(), nn.Conv2d(2, 4, 3, padding=1), shape=(2, 3, 3)),
        shape=(2, 3, 3),
    ),
    "coupling-spline": Layer(lambda: pt.Coupling([1, 0, 0], pu.RationalQuadratic(4), linear(1, 22)), domain=wide, untouched=(0,)),
    "coupling-linear-spline": Layer(lambda: pt.Coupling([1, 0, 0], pu.LinearSpline(4), linear(1, 8)), domain=wide, untouched=(0,)),
    "coupling-quadratic-spline": Layer(lambda: pt.Coupling([1, 0, 0], pu.QuadraticSpline(4), linear(1, 14)), domain=wide, untouched=(0,)),
    "coupling-cubic-spline": Layer(lambda: pt.Coupling([1, 0, 0], pu.CubicSpline(4), linear(1, 16)), domain=wide, untouched=(0,)),
    "coupling-bernstein": Layer(lambda: pt.Coupling([1, 0, 0], pu.Bernstein(6), linear(1, 12)), domain=wide, untouched=(0,)),
    "autoregressive-linear-spline": Layer(
        lambda: pt.Autoregressive(pu.LinearSpline(4), pn.MADE(3, 4, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-quadratic-spline": Layer(
        lambda: pt.Autoregressive(pu.QuadraticSpline(4), pn.MADE(3, 7, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-cubic-spline": Layer(
        lambda: pt.Autoregressive(pu.CubicSpline(4), pn.MADE(3, 8, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-bernstein": Layer(
        lambda: pt.Autoregressive(pu.Bernstein(6), pn.MADE(3, 6, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-spline": Layer(
        lambda: pt.Autoregressive(pu.RationalQuadratic(4), pn.MADE(3, 11, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-gaussian-mixture-cdf": Layer(
        lambda: pt.Autoregressive(pu.GaussianMixtureCDF(3), pn.MADE(3, 9, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-mixture-quantile": Layer(
        lambda: pt.Autoregressive(pu.MixtureQuantile(3), pn.MADE(3, 9, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "coupling-deep-sigmoidal": Layer(lambda: pt.Coupling([1, 0, 0], pu.DeepSigmoidal(3), linear(1, 18)), domain=wide, untouched=(0,)),
    "coupling-dense-sigmoidal": Layer(lambda: pt.Coupling([1, 0, 0], pu.DenseSigmoidal(2), linear(1, 36)), domain=wide, untouched=(0,)),
    "coupling-unconstrained-monotonic": Layer(
        lambda: pt.Coupling([1, 0, 0], pu.UnconstrainedMonotonic(2, 4), linear(1, 16)), domain=wide, untouched=(0,)
    ),
    "coupling-linear-tails": Layer(
        lambda: pt.Coupling([1, 0, 0], pu.LinearTails(pu.SumOfSquares()), linear(1, 14)), domain=wide, untouched=(0,)
    ),
    "coupling-softclip-spline": Layer(lambda: pt.Coupling([1, 0, 0], pu.SoftclipSpline(4), linear(1, 22)), domain=wide, untouched=(0,)),
    "coupling-gated-residual": Layer(
        lambda: pt.Coupling([1, 0, 0], pu.FloorAffine("sigmoid"), pn.ResidualMLP(3, 4, width=8, depth=1, gate=2, linear_end=True)),
        context=2,
        untouched=(0,),
    ),
    "autoregressive-softplus-spline": Layer(
        lambda: pt.Autoregressive(pu.SoftplusSpline(4), pn.MADE(3, 11, width=24, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-floor-affine": Layer(
        lambda: pt.Autoregressive(pu.FloorAffine("softplus"), pn.MADE(3, 2, width=24, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-deep-sigmoidal": Layer(
        lambda: pt.Autoregressive(pu.DeepSigmoidal(3), pn.MADE(3, 9, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-dense-sigmoidal": Layer(
        lambda: pt.Autoregressive(pu.DenseSigmoidal(2), pn.MADE(3, 18, width=16, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-unconstrained-monotonic": Layer(
        lambda: pt.Autoregressive(pu.UnconstrainedMonotonic(2, 4), pn.MADE(3, 8, width=8, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-linear-tails": Layer(
        lambda: pt.Autoregressive(pu.LinearTails(pu.SumOfSquares(1, 1)), pn.MADE(3, 3, width=16, context=2)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-affine": Layer(lambda: pt.Autoregressive(pu.Affine(), pn.MADE(4, 2, width=16)), shape=(4,), order=(0, 1, 2, 3)),
    "autoregressive-affine-context": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=16, context=2, order=[2, 0, 1])), context=2, order=(2, 0, 1)
    ),
    "autoregressive-residual": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=8, depth=2, context=2, residual=True)), context=2, order=(0, 1, 2)
    ),
    "autoregressive-many": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(11, 2, width=24, depth=1, context=2, residual=True)),
        (11,),
        2,
        order=tuple(range(11)),
    ),
    "autoregressive-many-narrow": Layer(  # fewer units than features: some positions add none
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(19, 2, width=7, order=range(18, -1, -1))), (19,), order=tuple(range(18, -1, -1))
    ),
    "autoregressive-degrees": Layer(  # as many units as one likes at a position, and none at others
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(5, 2, width=9, order=[3, 1, 0, 4, 2], degrees=[0, 0, 1, 1, 1, 1, 3, 4, 4])),
        (5,),
        order=(3, 1, 0, 4, 2),
    ),
    "autoregressive-degrees-spline": Layer(
        lambda: pt.Autoregressive(
            pu.RationalQuadratic(4), pn.MADE(4, 11, width=12, context=2, degrees=[0] * 6 + [1, 3, 3, 3, 3, 3], residual=True)
        ),
        (4,),
        2,
        order=(0, 1, 2, 3),
    ),
    "autoregressive-activation": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=8, depth=1, context=2, residual=True, activation=nn.Tanh())),
        context=2,
        order=(0, 1, 2),
    ),
    "autoregressive-linear-end": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=8, depth=2, context=2, residual=True, linear_end=True)),
        context=2,
        order=(0, 1, 2),
    ),
    "autoregressive-linear-end-embed": Layer(
        lambda: pt.Autoregressive(
            pu.FloorAffine(),
            pn.MADE(3, 2, width=8, depth=1, context=2, embed=nn.Sequential(nn.Linear(2, 8), nn.Tanh()), linear_end=True),
        ),
        context=2,
        order=(0, 1, 2),
    ),
    "autoregressive-one-feature": Layer(lambda: pt.Autoregressive(pu.Affine(), pn.MADE(1, 2, width=8, context=2)), shape=(1,), context=2),
    "block-autoregressive": Layer(lambda: pt.BlockAutoregressive(4, width=4), (4,), domain=wide, order=(0, 1, 2, 3)),
    "block-autoregressive-context": Layer(lambda: pt.BlockAutoregressive(3, width=4, depth=1, context=2), context=2, order=(0, 1, 2)),
    "block-autoregressive-one-feature": Layer(lambda: pt.BlockAutoregressive(1, width=5), shape=(1,), domain=wide),
    "block-autoregressive-one-feature-context": Layer(lambda: pt.BlockAutoregressive(1, width=4, context=2), shape=(1,), context=2),
    "mint": Layer(lambda: pt.Mint((4,), width=3, search=12), (4,), domain=wide, order=(0, 1, 2, 3)),
    "mint-reverse-context": Layer(lambda: pt.Mint((3,), width=3, reverse=True, context=2, search=12), context=2, order=(2, 1, 0)),
    "mint-one-feature": Layer(lambda: pt.Mint((1,), width=3, context=2), shape=(1,), context=2),
    "mint-image": Layer(lambda: pt.Mint((2, 1, 2), width=2, context=2, search=12), shape=(2, 1, 2), context=2),
    "mint-image-reverse": Layer(lambda: pt.Mint((1, 2, 2), width=2, reverse=True, search=12), shape=(1, 2, 2)),
    "iaf": Layer(lambda: Inverse(pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=16, context=1))), context=1, order=(0, 1, 2)),
    "iaf-gate": Layer(lambda: Inverse(pt.Autoregressive(pu.Gate(), pn.MADE(3, 2, width=16, context=1))), context=1, order=(0, 1, 2)),
    "gate-image": Layer(lambda: pt.Elementwise(pu.Gate(1.0), (2, 1, 1)), shape=(2, 3, 3)),
    "autoregressive-transformer": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.CausalTransformer(4, 2, width=8, heads=2, context=2, order=[2, 0, 3, 1])),
        (4,),
        2,
        order=(2, 0, 3, 1),
    ),
    "autoregressive-transformer-spline": Layer(
        lambda: pt.Autoregressive(pu.RationalQuadratic(4), pn.CausalTransformer(3, 11, width=6, depth=1, heads=3)), order=(0, 1, 2)
    ),
    "autoregressive-transformer-one-feature": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.CausalTransformer(1, 2, width=8, context=2)), shape=(1,), context=2
    ),
    "autoregressive-transformer-iaf": Layer(
        lambda: Inverse(pt.Autoregressive(pu.Affine(), pn.CausalTransformer(3, 2, width=8, heads=2, context=1, order=[1, 2, 0]))),
        context=1,
        order=(1, 2, 0),
    ),
    # --- residual: planar, radial, Sylvester ---
    "planar": Layer(lambda: pt.Planar(3)),
    "planar-context": Layer(lambda: pt.Planar(3, linear(2, 7)), context=2),
    "planar-one-feature": Layer(lambda: pt.Planar(1, pn.MLP(2, 3, width=8)), shape=(1,), context=2),
    "planar-inverse": Layer(lambda: Inverse(pt.Planar(3))),
    "radial": Layer(lambda: pt.Radial(3)),
    "radial-context": Layer(lambda: pt.Radial(3, linear(2, 5)), context=2),
    "radial-one-feature": Layer(lambda: pt.Radial(1, pn.MLP(2, 3, width=8)), shape=(1,), context=2),
    "sylvester-orthogonal": Layer(lambda: pt.Sylvester(3, 3)),
    "sylvester-orthogonal-low-rank": Layer(lambda: pt.Sylvester(3, 2, net=linear(2, 8)), context=2),
    "sylvester-householder": Layer(lambda: pt.Sylvester(3, 2, "householder")),
    "sylvester-householder-context": Layer(lambda: pt.Sylvester(3, 3, "householder", linear(2, 15)), context=2),
    "sylvester-triangular": Layer(lambda: pt.Sylvester(3, 3, "triangular", linear(2, 15)), context=2, order=(2, 1, 0)),
    "sylvester-triangular-low-rank": Layer(lambda: pt.Sylvester(3, 2, "triangular", linear(2, 8)), context=2, untouched=(2,)),
    "sylvester-orthogonal-amortized": Layer(lambda: pt.Sylvester(3, 2, "orthogonal", linear(2, 14), amortized=True), context=2),
    "sylvester-householder-amortized": Layer(lambda: pt.Sylvester(3, 3, "householder", linear(2, 24), amortized=True), context=2),
    "sylvester-householder-amortized-inverse": Layer(
        lambda: Inverse(pt.Sylvester(3, 2, "householder", linear(2, 14), amortized=True)), context=2
    ),
    "sylvester-one-feature": Layer(lambda: pt.Sylvester(1, 1, "triangular", linear(2, 3)), shape=(1,), context=2),
    "sylvester-inverse": Layer(lambda: Inverse(pt.Sylvester(3, 2, "householder"))),
    # --- continuous time ---
    "continuous": Layer(
        lambda: pt.Continuous(pn.TimeMLP(3, width=8, depth=1), (3,), steps=4, trace="exact"), tolerance=1e-5, why="the solver's own error"
    ),
    "continuous-context": Layer(
        lambda: pt.Continuous(pn.TimeMLP(3, width=8, depth=1, context=2, time="squash", activation="swish"), (3,), steps=4, trace="exact"),
        context=2,
        tolerance=1e-5,
        why="the solver's own error",
    ),
    "continuous-one-feature": Layer(
        lambda: pt.Continuous(pn.TimeMLP(1, width=8, depth=1), (1,), steps=4, trace="exact"),
        (1,),
        tolerance=1e-5,
        why="the solver's own error",
    ),
    "continuous-estimate": Layer(
        lambda: pt.Continuous(pn.TimeMLP(3, width=8, depth=1), (3,), steps=4), tolerance=1e-5, why="the solver's own error"
    ),
    # --- residual ---
    "residual": Layer(lambda: residual(3)),
    "residual-implicit": Layer(
        lambda: Chain(residual(3, context=2, method="newton"), Inverse(residual(3, context=2, coefficient=0.1))), context=2
    ),
    "residual-one-feature": Layer(lambda: residual(1, method="banach"), (1,)),
    "residual-estimate": Layer(lambda: residual(2, log_det="geometric", tail=0.5, evaluation_terms=2, exact_up_to=0).eval(), (2,)),
    # --- linear, reordering, normalization ---
    "actnorm": Layer(lambda: pt.ActNorm(3)),
    "actnorm-image": Layer(lambda: pt.ActNorm(2), shape=(2, 3, 3)),
    "permute": Layer(lambda: pt.Permute((2, 0, 1))),
    "permute-image": Layer(lambda: pt.Permute((1, 2, 0)), shape=(3, 2, 2)),
    "reverse": Layer(lambda: pt.Reverse(3)),
    "lu-linear": Layer(lambda: pt.LULinear(3)),
    "lu-linear-image": Layer(lambda: pt.LULinear(3), shape=(3, 2, 2)),
    "lu-linear-one-feature": Layer(lambda: pt.LULinear(1), shape=(1,)),
    "marginals": Layer(lambda: pt.Marginals(3, 5), domain=wide),
    "triangular": Layer(lambda: pt.Triangular(3), order=(0, 1, 2)),
    "triangular-upper": Layer(lambda: pt.Triangular(3, upper=True), order=(2, 1, 0)),
    "householder": Layer(lambda: pt.Householder(3, 2)),
    "householder-odd": Layer(lambda: pt.Householder(3, 3)),
    "householder-many": Layer(lambda: pt.Householder(3, 8)),
    "orthogonal": Layer(lambda: pt.Orthogonal(3)),
    "qr-linear": Layer(lambda: pt.QRLinear(3)),
    "qr-linear-one-feature": Layer(lambda: pt.QRLinear(1), shape=(1,)),
    "svd-linear": Layer(lambda: pt.SVDLinear(3)),
    "matrix-exp": Layer(lambda: pt.MatrixExp(3)),
    "triangular-image": Layer(lambda: pt.Triangular(3), shape=(3, 2, 2)),
    "householder-image": Layer(lambda: pt.Householder(3, 2), shape=(3, 2, 2)),
    "orthogonal-image": Layer(lambda: pt.Orthogonal(3), shape=(3, 2, 2)),
    "qr-linear-image": Layer(lambda: pt.QRLinear(3), shape=(3, 2, 2)),
    "svd-linear-image": Layer(lambda: pt.SVDLinear(3), shape=(3, 2, 2)),
    "matrix-exp-image": Layer(lambda: pt.MatrixExp(3), shape=(3, 2, 2)),
    # --- images: space into channels, invertible convolutions, couplings with nets of images ---
    "squeeze": Layer(lambda: pt.Squeeze(), shape=(2, 4, 2)),
    "squeeze-3": Layer(lambda: pt.Squeeze(3), shape=(1, 3, 6)),
    "unsqueeze": Layer(lambda: Inverse(pt.Squeeze()), shape=(4, 1, 2)),
    "conv1x1": Layer(lambda: pt.Conv1x1(3)),
    "conv1x1-image": Layer(lambda: pt.Conv1x1(3), shape=(3, 2, 2)),
    "causal-conv": Layer(lambda: pt.CausalConv(2, 3), shape=(2, 3, 2)),
    "emerging-conv": Layer(lambda: pt.EmergingConv(2), shape=(2, 3, 4)),
    "emerging-conv-1x1": Layer(lambda: pt.EmergingConv(2, 1), shape=(2, 2, 2)),
    "periodic-conv": Layer(lambda: pt.PeriodicConv(2), shape=(2, 3, 4)),
    "periodic-conv-wrapped": Layer(lambda: pt.PeriodicConv(2, 4), shape=(2, 2, 3)),
    "coupling-checkerboard": Layer(
        lambda: pt.Coupling(pt.checkerboard((2, 4, 4)), pu.Affine(), pn.ResNet(2, 4, width=4, depth=1)), shape=(2, 4, 4)
    ),
    "coupling-channels": Layer(
        lambda: pt.Coupling(pt.half_channels(3, odd=True), pu.Affine(), pn.ConvNet(4, 2, width=4)), (3, 2, 2), 2, untouched=(1, 2)
    ),
    "coupling-patches": Layer(
        lambda: pt.Coupling(pt.checkerboard((2, 4, 4)), pu.Affine(), pn.Patches(pn.ConvNet(8, 16, width=4))), shape=(2, 4, 4)
    ),
    "coupling-gated": Layer(
        lambda: pt.Coupling(pt.half_channels(2), pu.LogisticMixtureCDF(2), pn.GatedConvNet(1, 6, width=4, depth=1, heads=2)),
        shape=(2, 2, 3),
        untouched=(0,),
    ),
    "integer-coupling": Layer(
        lambda: pt.IntegerCoupling([1, 0, 1], pn.MLP(4, 1, width=8), 1e4), context=2, domain=integers, untouched=(0, 2)
    ),
    "integer-coupling-image": Layer(
        lambda: pt.IntegerCoupling([0, 1, 0], pn.DenseNet(1, 2, width=4, depth=2, gain=1.0), 1e3), (3, 2, 2), domain=integers
    ),
    # --- data ---
    "standardize": Layer(lambda: pt.Standardize([1.0, -2.0, 0.5], [2.0, 0.1, 3.0])),
    "standardize-image": Layer(lambda: pt.Standardize([1.0, -2.0], [2.0, 0.1]), shape=(2, 3, 3)),
    "standardize-one-for-all": Layer(lambda: pt.Standardize(1.0, 2.0), shape=(2, 3, 3)),
    "columns": Layer(
        lambda: pt.Columns(([3, 0], pt.LULinear(2)), ([1], Inverse(pt.Standardize(1.0, 2.0)))),
        shape=(4,),
    ),
    "columns-context": Layer(lambda: pt.Columns(([2, 0], ConditionalAffine(2, 2))), context=2, untouched=(1,)),
    "atoms": Layer(lambda: pt.Atoms([0.0, -math.inf, 0.0], [math.inf, 1.0, 1.0], [0.5, 1.0, 0.3]), domain=clipped),
    "atoms-image": Layer(lambda: pt.Atoms([0.0, 0.0], [1.0, 1.0], [0.5, 2.0]), domain=clipped, shape=(2, 2, 3)),
    "cast": Layer(lambda: pt.Cast(), keeps_dtype=False),
    "dequantize": Layer(lambda: pt.Dequantize(), domain=integers),
    "dequantize-levels": Layer(lambda: pt.Dequantize(levels=5), domain=integers, shape=(1, 2, 2)),
    "dequantize-uniform": Layer(lambda: pt.Dequantize(5, pd.Uniform((3,))), domain=integers),
    "dequantize-variational": Layer(lambda: pt.Dequantize(noise=noise(3)), domain=integers),
    "dequantize-variational-context": Layer(lambda: pt.Dequantize(5, noise(3, 2)), domain=integers, context=2),
    "dequantize-flow": Layer(
        lambda: pt.Dequantize(5, pm.dequantizer((1, 2, 4), steps=1, width=4, depth=1, components=2)), domain=integers, shape=(1, 2, 4)
    ),
    "dequantize-logit-normal": Layer(
        lambda: pt.Dequantize(5, pm.dequantizer((2, 1, 3), kind="logit_normal", width=4, depth=1, context=2)),
        domain=integers,
        shape=(2, 1, 3),
        context=2,
    ),
    "columns-dequantize": Layer(
        lambda: Chain(pt.Columns(([2, 0], pt.Dequantize())), pt.Columns(([0, 1, 2], pt.Standardize([1.0, 0.0, 2.0], [3.0, 2.0, 4.0])))),
        domain=integers,
    ),
    # --- surjections and stochastic layers ---
    "estimate": Layer(lambda: NoisyTrace(3)),
    "factor": Layer(lambda: pt.Factor(1, ConditionalAffine(1, 2), pt.LULinear(1))),
    "factor-context": Layer(lambda: pt.Factor((2, 0), ConditionalAffine(4, 2), ConditionalAffine(2, 2)), shape=(4,), context=2),
    "factor-image": Layer(
        lambda: pt.Factor((1,), pt.Coupling([0, 0], pu.Affine(), nn.Conv2d(1, 4, 3, padding=1)), pt.ActNorm(1)), shape=(3, 2, 2)
    ),
    "slice": Layer(lambda: pt.Slice(2, pd.Normal((2,))), shape=(4,)),
    "slice-context": Layer(lambda: pt.Slice(2, Shifted(2, 4)), shape=(4,), context=2, untouched=(0, 1)),
    "slice-image": Layer(lambda: pt.Slice((1,), pd.Normal((2, 2, 2))), shape=(3, 2, 2)),
    "inverse-slice": Layer(lambda: Inverse(pt.Slice((2, 0), Shifted(2, 2))), shape=(2,)),
    "abs": Layer(lambda: pt.Abs(), shape=(2, 2, 3)),
    "abs-given": Layer(  # of positive numbers, which context leaves alone
        lambda: pt.Abs(pd.Given(pl.Bernoulli(), linear(5, 3), (3,), context=5)), context=2, domain=positive, untouched=(0, 1, 2)
    ),
    "inverse-abs": Layer(lambda: Inverse(pt.Abs(pd.Given(pl.Bernoulli(), linear(3, 3), (3,), context=3))), domain=positive),
    "sort": Layer(lambda: pt.Sort(), shape=(4,)),
    "sort-points": Layer(lambda: pt.Sort(1), shape=(2, 4)),
    "gaps": Layer(lambda: pt.Gaps(Inverse(pt.Elementwise(pu.Softplus()))), shape=(4,), domain=rising, order=(0, 1, 2, 3)),
    "gaps-points": Layer(lambda: pt.Gaps(pt.Elementwise(pu.Affine(), (3,)), 1), shape=(2, 4), untouched=(0,)),
    "gaps-context": Layer(lambda: pt.Gaps(ConditionalAffine(2, 2)), context=2, untouched=(0,)),
    "stochastic-permutation": Layer(lambda: pt.StochasticPermutation(), shape=(2, 4)),
    "max-pool": Layer(lambda: pt.MaxPool2d(pd.Free(pl.HalfNormal(), (6, 1, 2))), shape=(2, 2, 4)),
    "max-pool-given": Layer(
        lambda: pt.MaxPool2d(pd.Given(pl.Exponential(), nn.Conv2d(1, 3, 3, padding=1), (3, 1, 2), context=(1, 1, 2))), shape=(1, 2, 4)
    ),
    "augment": Layer(lambda: pt.Augment(Shifted(2, 5)), context=2, untouched=(0, 1, 2)),
    "rounding": Layer(lambda: Inverse(pt.Dequantize(noise=noise(3)))),
    "reshape": Layer(lambda: pt.Reshape((6,), (2, 3)), shape=(6,)),
    "row-triangular": Layer(lambda: pt.RowTriangular(3, pn.MLP(2, 6, width=8)), context=2, order=(0, 1, 2)),
    "row-triangular-constant": Layer(lambda: Inverse(pt.RowTriangular(3)), order=(0, 1, 2)),
    "vae": Layer(lambda: pt.VAE(normal_given(3, 2), normal_given(2, 3)), shape=(3,)),
    "vae-context": Layer(lambda: pt.VAE(normal_given(5, 2), normal_given(4, 3)), shape=(3,), context=2),
    "vae-flow": Layer(lambda: pt.VAE(Flow(normal_given(3, 2), pt.LULinear(2), context=3), normal_given(2, 3)), shape=(3,)),
    "ladder": Layer(lambda: ladder(), shape=(1, 4, 4)),
    "ladder-iaf-context": Layer(lambda: ladder(iaf=True, context=2), shape=(1, 4, 4), context=2),
    # --- likelihoods given a context, causal nets over space ---
    "slice-given": Layer(
        lambda: pt.Slice(2, pd.Given(pl.Laplace(), linear(4, 4), (2,), context=4)), shape=(4,), context=2, untouched=(0, 1)
    ),
    "autoregressive-image": Layer(
        lambda: pt.Autoregressive(pu.Affine(), pn.MaskedConvNet((2, 3, 3), 2, width=6, depth=1, kernel=3)), shape=(2, 3, 3)
    ),
    "autoregressive-image-context-iaf": Layer(
        lambda: Inverse(pt.Autoregressive(pu.RationalQuadratic(3), pn.MaskedConvNet((1, 2, 3), 8, width=6, depth=1, kernel=3, context=2))),
        shape=(1, 2, 3),
        context=2,
    ),
}
