"""Scalar maps: what the laws do not say (limits of float32, domains, both gradients of the spline)."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch.distributions import transforms as td

import pushforward.univariate as pu
from pushforward import kernels

directions = pytest.mark.parametrize("direction", ["forward", "inverse"])


def other(direction: str) -> str:
    return "inverse" if direction == "forward" else "forward"


@directions
@pytest.mark.parametrize("spread, error", [(1, 1e-3), (5, 5e-3), (20, 5e-3), (100, 5e-3)])
def test_spline_stress(direction, spread, error):
    """Float32 round trips and gradients for parameters N(0, spread^2), over and beyond the interval, whatever comes."""
    torch.manual_seed(spread)
    spline = pu.RationalQuadratic()
    x = torch.linspace(-6, 6, 200_000).unsqueeze(1).requires_grad_()
    h = (spread * torch.randn(len(x), spline.params, 1)).requires_grad_()
    z, slope = getattr(spline, direction)(x, h)
    with torch.no_grad():
        back, _ = getattr(spline, other(direction))(z, h)
    assert (back - x).abs().max() <= error
    for value in (z, slope, *torch.autograd.grad(z.sum() + slope.sum(), (x, h))):
        assert value.isfinite().all()


@directions
@pytest.mark.parametrize("bins, bound", [(2, 1.0), (8, 5.0), (40, 30.0)])
def test_spline_is_the_identity_at_zero(direction, bins, bound):
    spline = pu.RationalQuadratic(bins, bound)
    x = torch.linspace(-1.5 * bound, 1.5 * bound, 1001, dtype=torch.float64).unsqueeze(1)
    z, slope = getattr(spline, direction)(x, torch.tensor(spline.identity).double().reshape(1, -1, 1))
    torch.testing.assert_close(z, x, atol=1e-12, rtol=0)
    torch.testing.assert_close(slope, torch.zeros_like(x), atol=1e-12, rtol=0)


@directions
def test_spline_tails(direction):
    """Beyond the interval the map is the identity to the bit, and no parameter matters."""
    spline = pu.RationalQuadratic(bound=2.0)
    x = torch.tensor([[-1e30, -5.0, -2.1, 2.1, 5.0, 1e30]]).requires_grad_()
    h = torch.randn(1, spline.params, 6).requires_grad_()
    z, slope = getattr(spline, direction)(x, h)
    assert (z == x).all() and not slope.any()
    by_x, by_h = torch.autograd.grad(z.sum() + slope.sum(), (x, h))
    assert (by_x == 1).all() and not by_h.any()


@directions
def test_spline_at_its_knots(direction):
    """On the knots and the ends themselves: finite, continuous with both sides, slope 1 at the ends."""
    torch.manual_seed(0)
    spline = pu.RationalQuadratic(bins=4, bound=2.0)
    h = torch.randn(1, spline.params, 1, dtype=torch.float64)
    shares = 2 * 2.0 * (0.01 + 0.96 * h[0, :8, 0].reshape(2, 4).softmax(1))
    knots = (shares.cumsum(1) - 2.0)[int(direction == "inverse")]
    x = torch.cat([torch.tensor([-2.0]), knots[:3], torch.tensor([2.0])]).double().unsqueeze(1)
    (left, at, right) = (getattr(spline, direction)(x + step, h) for step in (-1e-9, 0.0, 1e-9))
    for other_side in (left, right):
        torch.testing.assert_close(at, other_side, atol=1e-6, rtol=0)
    torch.testing.assert_close(at[1][[0, -1]], torch.zeros(2, 1, dtype=torch.float64), atol=1e-12, rtol=0)


WITH_PARAMETERS = {
    "rational-quadratic": lambda: pu.RationalQuadratic(4, 3.0),
    "rational-quadratic-odd": lambda: pu.RationalQuadratic(5, 3.0),
    "linear-spline": lambda: pu.LinearSpline(4, 3.0),
    "quadratic-spline": lambda: pu.QuadraticSpline(4, 3.0),
    "cubic-spline": lambda: pu.CubicSpline(4, 3.0),
    "bernstein": lambda: pu.Bernstein(6, 3.0),
    "gaussian-mixture-cdf": pu.GaussianMixtureCDF,
    "mixture-quantile": lambda: pu.MixtureQuantile(3),
    "mixture-quantile-logistic": lambda: pu.MixtureQuantile(3, "logistic"),
    "odd-polynomial": pu.OddPolynomial,
    "sum-of-squares": pu.SumOfSquares,
    "deep-sigmoidal": lambda: pu.DeepSigmoidal(5),
    "dense-sigmoidal": lambda: pu.DenseSigmoidal(3, 3),
    "unconstrained-monotonic": lambda: pu.UnconstrainedMonotonic(4, 8, bound=3.0),
    "linear-tails": lambda: pu.LinearTails(pu.SumOfSquares(), 3.0),
    "softclip-spline": lambda: pu.SoftclipSpline(4, 3.0),
    "softplus-spline": lambda: pu.SoftplusSpline(4, 3.0),
    "affine": pu.Affine,
    "floor-affine": pu.FloorAffine,
    "floor-affine-softplus": lambda: pu.FloorAffine("softplus"),
    "floor-affine-sigmoid": lambda: pu.FloorAffine("sigmoid"),
    "gate": pu.Gate,
}


@directions
@pytest.mark.parametrize("path", ["kernels", "plain"])
@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_where_a_branch_ends(name, direction, path):
    """At 0, at knots, in the middle of bins, at the ends, where every map starts: no half of a gradient is lost to a tie."""
    univariate = WITH_PARAMETERS[name]()
    torch.manual_seed(0)
    y = torch.tensor([0.0, 0.3, 0.6, 0.75, 1.2, 1.5, 1.8, 2.25, 2.4, 3.0, 4.0], dtype=torch.float64)
    y = torch.cat([-y, y]) * (0.1 if "cdf" in name and direction == "inverse" else 1)
    y = y + (0.5 if "cdf" in name and direction == "inverse" else 0)

    def gradients(shift: float) -> list[torch.Tensor]:
        x = (y + shift).unsqueeze(1).requires_grad_()
        h = torch.tensor(univariate.identity, dtype=torch.float64).reshape(1, -1, 1).expand(len(y), -1, -1).clone().requires_grad_()
        out, slope = getattr(univariate, direction)(x, h)
        return [*torch.autograd.grad(out.sum(), (x, h)), slope.detach().exp()]

    with kernels.without() if path == "plain" else nullcontext():
        (left, h_left, _), (right, h_right, _), (at, h_at, slope) = (gradients(shift) for shift in (-1e-6, 1e-6, 0.0))
    torch.testing.assert_close(at, slope, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(at, (left + right) / 2, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(h_at, (h_left + h_right) / 2, atol=1e-4, rtol=1e-4)


@directions
@pytest.mark.parametrize("path", ["kernels", "plain"])
def test_slope_at_the_ends(direction, path):
    """Is that of the tails, 1, also where rounding puts the value beyond the end."""
    torch.manual_seed(0)
    spline = pu.RationalQuadratic()
    x, h = torch.tensor([[-5.0], [5.0]]).repeat(5000, 1).requires_grad_(), 5 * torch.randn(10_000, spline.params, 1)
    with kernels.without() if path == "plain" else nullcontext():
        out, _ = getattr(spline, direction)(x, h)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], torch.ones_like(x), atol=1e-4, rtol=0)


@directions
@pytest.mark.parametrize("path", ["kernels", "plain"])
@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_no_rows(name, direction, path):
    univariate = WITH_PARAMETERS[name]()
    for shape, parameters in (
        ((0, 3), (0, univariate.params, 3)),
        ((0, 3), (1, univariate.params, 3)),
        ((0, 2, 4), (0, univariate.params, 2, 4)),
    ):
        x, h = torch.zeros(shape).requires_grad_(), torch.zeros(parameters).requires_grad_()
        with kernels.without() if path == "plain" else nullcontext():
            out, slope = getattr(univariate, direction)(x, h)
        assert out.shape == slope.shape == shape
        by_x, by_h = torch.autograd.grad(out.sum() + slope.sum(), (x, h))
        assert by_x.shape == shape and by_h.shape == parameters


def test_spline_is_expressive():
    """Moderate parameters give slopes over three decades: the guarantee is not bought with stiffness."""
    torch.manual_seed(0)
    spline = pu.RationalQuadratic()
    _, slope = spline.forward(torch.rand(20_000, 1) * 10 - 5, 2 * torch.randn(20_000, spline.params, 1))
    assert slope.max() > math.log(40) and slope.min() < -math.log(40)


def test_spline_fits_separate_modes():
    """Four narrow modes in eight bins, held-out nats: a spline of free knot derivatives and tiny bins reaches 0.68, a Gaussian 1.5."""
    torch.manual_seed(0)
    spline = pu.RationalQuadratic()
    x = torch.randint(0, 4, (4000, 1)) - 1.5 + 0.08 * torch.randn(4000, 1)
    h = torch.zeros(1, spline.params, 1, requires_grad=True)
    optimizer = torch.optim.Adam([h])
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 600)
        z, slope = spline.forward(x[:2000], h)
        loss = (0.5 * z.square() - slope).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z, slope = spline.forward(x[2000:], h)
    assert (0.5 * z.square() - slope).mean() + 0.5 * math.log(2 * math.pi) < 0.74


CASES = {
    "vector": ((7, 3), (7, 3)),
    "constants": ((7, 3), (1, 3)),
    "image": ((4, 3, 2, 2), (4, 3, 2, 2)),
    "channel constants": ((4, 3, 2, 2), (1, 3, 1, 1)),
}


@directions
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bins", [2, 3, 8])
def test_gradients_of_the_spline_on_both_paths_agree(direction, case, bins):
    torch.manual_seed(bins)
    shape, (batch, *rest) = CASES[case]
    results = []
    x = (4 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    h = torch.randn(batch, 3 * bins - 1, *rest, dtype=torch.float64).requires_grad_()
    g_z, g_slope = torch.randn(2, *shape, dtype=torch.float64)
    for path in (nullcontext, kernels.without):
        with path():
            out = getattr(pu.RationalQuadratic(bins), direction)(x, h)
            results.append([*out, *torch.autograd.grad(out, (x, h), (g_z, g_slope))])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@directions
@pytest.mark.parametrize("path", [nullcontext, kernels.without])
def test_first_and_second_derivatives_of_the_spline_are_finite_differences(direction, path):
    torch.manual_seed(0)
    spline = pu.RationalQuadratic(3, bound=2.0)
    x = (torch.rand(6, 2, dtype=torch.float64) * 6 - 3).requires_grad_()
    h = torch.randn(6, spline.params, 2, dtype=torch.float64).requires_grad_()
    with path():
        assert torch.autograd.gradcheck(getattr(spline, direction), (x, h), atol=1e-6)
        assert torch.autograd.gradgradcheck(getattr(spline, direction), (x, h), atol=1e-5)


@directions
def test_spline_in_low_precision(direction):
    """Half-precision parameters (autocast) and half-precision data: computed in float32, slopes kept there."""
    spline = pu.RationalQuadratic()
    x, h = torch.randn(5, 2), torch.randn(5, spline.params, 2)
    z, slope = getattr(spline, direction)(x, h.bfloat16())
    assert z.dtype == slope.dtype == torch.float32
    torch.testing.assert_close(z, getattr(spline, direction)(x, h.bfloat16().float())[0])
    z, slope = getattr(spline, direction)(x.bfloat16(), h.bfloat16())
    assert z.dtype == torch.bfloat16 and slope.dtype == torch.float32


@pytest.mark.parametrize("options", [{"bins": 1}, {"bound": 0.0}, {"bound": math.inf}, {"bins": 100}, {"floor": 0.0}])
def test_spline_refuses(options):
    with pytest.raises(ValueError, match="RationalQuadratic"):
        pu.RationalQuadratic(**options)


@pytest.mark.parametrize("make", [lambda: pu.LeakyReLU(0.0), lambda: pu.Affine(-1.0)])
def test_others_refuse(make):
    with pytest.raises(ValueError, match="must be positive"):
        make()


ORACLES = {
    "sigmoid": (pu.Sigmoid(), td.SigmoidTransform()),
    "logit": (pu.Logit(), td.SigmoidTransform().inv),
    "exp": (pu.Exp(), td.ExpTransform()),
    "log": (pu.Log(), td.ExpTransform().inv),
    "softplus": (pu.Softplus(), td.SoftplusTransform()),
    "tanh": (pu.Tanh(), td.TanhTransform()),
    "leaky relu": (pu.LeakyReLU(0.2), None),
}


@pytest.mark.parametrize("name", ORACLES)
def test_activation_values(name):
    """Against torch.distributions.transforms, in both directions."""
    univariate, oracle = ORACLES[name]
    x = torch.linspace(0.05, 0.95, 19, dtype=torch.float64) if name in ("logit", "log") else torch.linspace(-6, 6, 25, dtype=torch.float64)
    z, slope = univariate.forward(x, None)
    if oracle is None:
        oracle_z, oracle_slope = torch.nn.functional.leaky_relu(x, 0.2), torch.where(x >= 0, 0.0, math.log(0.2)).double()
        torch.testing.assert_close((z, slope), (oracle_z, oracle_slope), rtol=1e-6, atol=1e-7)
    else:
        torch.testing.assert_close((z, slope), (oracle(x), oracle.log_abs_det_jacobian(x, oracle(x))))
    back, back_slope = univariate.inverse(z, None)
    torch.testing.assert_close((back, back_slope), (x, -slope))


OUTSIDE = [  # map, direction, numbers outside of its domain
    (pu.Logit(), "forward", [-1e30, -1.0, 0.0, 1.0, 2.0, 1e30]),
    (pu.Log(), "forward", [-1e30, -1.0, 0.0, math.inf]),
    (pu.Sigmoid(), "inverse", [-1.0, 0.0, 1.0, 2.0]),
    (pu.Exp(), "inverse", [-1.0, 0.0]),
    (pu.Softplus(), "inverse", [-1e30, -1.0, 0.0]),
    (pu.Tanh(), "inverse", [-1e30, -1.0, 1.0, 1e30]),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("univariate, direction, numbers", OUTSIDE, ids=[f"{u!r} {d}" for u, d, _ in OUTSIDE])
def test_outside_of_the_domain(univariate, direction, numbers, dtype):
    """A finite value, log derivative -inf, finite gradients; the numbers inside are as if alone."""
    x = torch.tensor([*numbers, 0.5], dtype=dtype, requires_grad=True)
    z, slope = getattr(univariate, direction)(x, None)
    assert z.isfinite().all() and (slope[:-1] == -math.inf).all() and slope[-1].isfinite()
    (gradient,) = torch.autograd.grad(z.sum() + slope.sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "univariate, x, slope",
    [
        (pu.Sigmoid(), 80.0, -80.0),
        (pu.Sigmoid(), -80.0, -80.0),
        (pu.Tanh(), 40.0, 2 * math.log(2) - 80.0),
        (pu.Softplus(), -80.0, -80.0),
        (pu.Softplus(), 80.0, 0.0),
        (pu.Exp(), -200.0, -200.0),
        (pu.Exp(), 200.0, 200.0),
    ],
)
def test_far_out(univariate, x, slope):
    """Float32 log derivatives stay right where the map itself has run flat, and values stay finite."""
    x = torch.tensor([x], requires_grad=True)
    z, log_slope = univariate.forward(x, None)
    assert z.isfinite().all()
    torch.testing.assert_close(log_slope, torch.tensor([slope]))
    assert all(g.isfinite().all() for g in torch.autograd.grad(z.sum() + log_slope.sum(), x))


def test_repr():
    assert repr(pu.RationalQuadratic(bins=4)) == "RationalQuadratic(bins=4, bound=5.0, floor=0.01)"
    assert repr(pu.LeakyReLU(0.5)) == "LeakyReLU(slope=0.5)" and repr(pu.Logit()) == "Logit()"
