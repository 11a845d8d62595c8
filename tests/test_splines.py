"""Linear, quadratic and cubic splines, those of free knots and Bernstein polynomials: what the laws do not say."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from test_models import build, rows

import pushforward.univariate as pu
from pushforward.univariate.cubic_spline import piece, solve

CURVES = {
    "linear": pu.LinearSpline,
    "quadratic": pu.QuadraticSpline,
    "quadratic-free-ends": lambda *a, **k: pu.QuadraticSpline(*a, free_ends=True, **k),
    "cubic": pu.CubicSpline,
    "bernstein": pu.Bernstein,
}
FREE = {"softclip": pu.SoftclipSpline, "softplus": pu.SoftplusSpline}  # whose slopes nothing bounds: no round trips in float32
ALL = CURVES | FREE
SPLINES = [name for name in ALL if name != "bernstein"]  # those with the identity outside

directions = pytest.mark.parametrize("direction", ["forward", "inverse"])
curves = pytest.mark.parametrize("name", CURVES)
splines = pytest.mark.parametrize("name", SPLINES)
every = pytest.mark.parametrize("name", ALL)


def other(direction: str) -> str:
    return "inverse" if direction == "forward" else "forward"


@curves
@directions
@pytest.mark.parametrize("spread", [1, 5, 20, 100])
def test_stress(name, direction, spread):
    """Float32 round trips and gradients for parameters N(0, spread^2), over and beyond the interval, whatever comes."""
    torch.manual_seed(spread)
    curve = CURVES[name]()
    x = torch.linspace(-6, 6, 5_000 if name == "bernstein" else 50_000).unsqueeze(1).requires_grad_()
    h = (spread * torch.randn(len(x), curve.params, 1)).requires_grad_()
    z, slope = getattr(curve, direction)(x, h)
    with torch.no_grad():
        back, _ = getattr(curve, other(direction))(z, h)
    assert (back - x).abs().max() <= 3e-4
    for value in (z, slope, *torch.autograd.grad(z.sum() + slope.sum(), (x, h))):
        assert value.isfinite().all()


@curves
@directions
def test_round_trip_in_double(name, direction):
    torch.manual_seed(0)
    curve = CURVES[name]()
    x = torch.linspace(-6, 6, 5_000, dtype=torch.float64).unsqueeze(1)
    h = 100 * torch.randn(len(x), curve.params, 1, dtype=torch.float64)
    z, slope = getattr(curve, direction)(x, h)
    back, back_slope = getattr(curve, other(direction))(z, h)
    torch.testing.assert_close(back, x, atol=1e-11, rtol=0)
    near = (slope + back_slope).abs() < 1e-6
    assert near.double().mean() > 0.999  # the linear spline jumps where a point and its image fall on either side of a knot


@every
@directions
@pytest.mark.parametrize("bins, bound", [(3, 1.0), (8, 5.0), (40, 30.0)])
def test_identity_at_zero(name, direction, bins, bound):
    curve = ALL[name](bins, bound)
    x = torch.linspace(-1.5 * bound, 1.5 * bound, 101, dtype=torch.float64).unsqueeze(1)
    z, slope = getattr(curve, direction)(x, torch.tensor(curve.identity, dtype=torch.float64).reshape(1, -1, 1))
    torch.testing.assert_close(z, x, atol=1e-11, rtol=0)
    torch.testing.assert_close(slope, torch.zeros_like(x), atol=1e-11, rtol=0)


@splines
@directions
def test_tails(name, direction):
    """Beyond the interval the map is the identity to the bit, and no parameter matters."""
    curve = ALL[name](bound=2.0)
    x = torch.tensor([[-1e30, -5.0, -2.1, 2.1, 5.0, 1e30]]).requires_grad_()
    h = torch.randn(1, curve.params, 6).requires_grad_()
    z, slope = getattr(curve, direction)(x, h)
    assert (z == x).all() and not slope.any()
    by_x, by_h = torch.autograd.grad(z.sum() + slope.sum(), (x, h))
    assert (by_x == 1).all() and not by_h.any()


@splines
@directions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_interval_onto_itself(name, direction, dtype):
    """The ends stay, and nothing leaves the interval, not by a rounding either: a uniform base has no density there."""
    torch.manual_seed(0)
    curve = ALL[name](bound=0.7)
    x = (torch.rand(20_000, 1, dtype=dtype) * 1.4 - 0.7).clamp(-0.7, 0.7)
    x[:5000], x[5000:10_000] = -0.7, 0.7
    z, _ = getattr(curve, direction)(x, 10 * torch.randn(len(x), curve.params, 1, dtype=dtype))
    assert z.abs().max() <= x.abs().max()
    torch.testing.assert_close(z[:10_000], x[:10_000], atol=1e-6, rtol=0)


@directions
def test_tails_of_bernstein(direction):
    """Beyond the interval the map goes on straight with the slope of the end, which learns."""
    torch.manual_seed(0)
    curve = pu.Bernstein(6, bound=2.0)
    h = torch.randn(1, 6, 1, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([-1e6, -5.0, -2.0, 2.0, 5.0, 1e6], dtype=torch.float64).unsqueeze(1)
    z, slope = getattr(curve, direction)(x, h)
    s = 0.01 + 0.99 * 6 * h.softmax(1)[0]
    left, right = (s[0], s[-1]) if direction == "forward" else (1 / s[0], 1 / s[-1])
    torch.testing.assert_close(z, torch.where(x < 0, -2 + left * (x + 2), 2 + right * (x - 2)))
    torch.testing.assert_close(slope, torch.where(x < 0, left.log(), right.log()).expand_as(x))
    assert torch.autograd.grad(z[0].sum() + slope[-1].sum(), h)[0].any()


@pytest.mark.parametrize("name", ["quadratic", "cubic", "bernstein"])
def test_slope_is_continuous(name):
    """On the whole line, with the ends of an interval whose bins are not too flat: no step between neighbours on a fine grid."""
    torch.manual_seed(0)
    curve = ALL[name](6, 2.0)
    x = torch.linspace(-3, 3, 300_001, dtype=torch.float64).unsqueeze(1)
    _, slope = curve.forward(x, 0.3 * torch.randn(1, curve.params, 1, dtype=torch.float64))
    assert slope.diff(dim=0).abs().max() < 1e-3 and slope.std() > 0.05


@every
@directions
def test_gradient_is_the_finite_difference(name, direction):
    torch.manual_seed(0)
    curve = ALL[name](4, 2.0)
    x = (torch.rand(6, 2, dtype=torch.float64) * 6 - 3).requires_grad_()
    h = torch.randn(6, curve.params, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(getattr(curve, direction), (x, h), atol=1e-6, fast_mode=True)
    if name != "linear":  # its log derivative does not depend on x
        assert torch.autograd.gradgradcheck(lambda x, h: getattr(curve, direction)(x, h)[1], (x, h), atol=1e-5, fast_mode=True)


def test_linear_slope_has_no_gradient_in_x():
    """What the docstring warns of."""
    x, h = torch.randn(100, 1, requires_grad=True), torch.randn(1, 8, 1, requires_grad=True)
    _, slope = pu.LinearSpline().forward(x, h)
    by_x, by_h = torch.autograd.grad(slope.sum(), (x, h), allow_unused=True, materialize_grads=True)
    assert not by_x.any() and by_h.any() and slope.std() > 0


def test_root_of_the_cubic():
    """To the last digit over all end derivatives there are, at the ends and near them too."""
    ends = torch.cat([torch.tensor([1e-4, 1e-3, 1e-2]), torch.linspace(0.02, 2, 23)]).double()
    s = torch.cat([torch.logspace(-9, -2, 12), torch.linspace(0.01, 0.99, 41), 1 - torch.logspace(-7, -2, 12), torch.tensor([0.0, 1.0])])
    s, a, b = (v.flatten() for v in torch.meshgrid(s.double(), ends, ends, indexing="ij"))
    t = solve(s, a, b)
    assert t.min() >= -1e-12 and t.max() <= 1 + 1e-12
    torch.testing.assert_close(piece(t, a, b)[0], s, atol=1e-14, rtol=0)


def test_quadratic_density_is_what_the_logits_say():
    """Slopes at the knots proportional to exp(logit), the area one, as in the paper (floor aside)."""
    curve = pu.QuadraticSpline(4, 1.0, floor=1e-9, free_ends=True)
    w, v = torch.randn(4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    widths = w.softmax(0)
    area = ((v.exp()[:-1] + v.exp()[1:]) / 2 * widths).sum()
    knots = 2 * torch.cat([torch.zeros(1), widths.cumsum(0)]) - 1
    _, slope = curve.forward(knots.clamp(-1, 1).unsqueeze(1), torch.cat([w, v]).view(1, -1, 1))
    torch.testing.assert_close(slope[:, 0], v - area.log(), atol=1e-6, rtol=0)


def test_bernstein_is_the_polynomial():
    """Against the sum over the basis of full degree, with the coefficients' definition."""
    torch.manual_seed(0)
    n, bound = 7, 3.0
    h = torch.randn(n, dtype=torch.float64)
    c = bound * (2 * torch.cat([torch.zeros(1), (0.01 / n + 0.99 * h.softmax(0)).cumsum(0)]) - 1)
    x = torch.linspace(-bound, bound, 50, dtype=torch.float64)
    t = (x + bound) / (2 * bound)
    expected = sum(c[j] * math.comb(n, j) * t**j * (1 - t) ** (n - j) for j in range(n + 1))
    torch.testing.assert_close(pu.Bernstein(n, bound).forward(x.unsqueeze(1), h.view(1, -1, 1))[0][:, 0], expected)


@every
def test_low_precision(name):
    """Half-precision parameters and data: computed in float32, slopes kept there."""
    curve = ALL[name]()
    x, h = torch.randn(5, 2), torch.randn(5, curve.params, 2)
    z, slope = curve.forward(x, h.bfloat16())
    assert z.dtype == slope.dtype == torch.float32
    z, slope = curve.inverse(x.bfloat16(), h.bfloat16())
    assert z.dtype == torch.bfloat16 and slope.dtype == torch.float32


@directions
@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("spread", [1, 5, 100])
def test_free_knots_under_stress(name, direction, spread):
    """Whatever the parameters: finite values and gradients, the same interval, and in float64 a way back as good as the slope allows."""
    torch.manual_seed(spread)
    curve = FREE[name]()
    x = torch.linspace(-6, 6, 20_000).unsqueeze(1).requires_grad_()
    h = (spread * torch.randn(len(x), curve.params, 1)).requires_grad_()
    z, slope = getattr(curve, direction)(x, h)
    for value in (z, slope, *torch.autograd.grad(z.sum() + slope.sum(), (x, h))):
        assert value.isfinite().all()
    assert torch.equal(z.abs() > 5, x.abs() > 5)
    x, h = x.detach().double(), h.detach().double()
    z, slope = getattr(curve, direction)(x, h)
    back, _ = getattr(curve, other(direction))(z, h)
    assert ((back - x).abs() * slope.exp().clamp_max(1)).max() < 1e-12


def test_free_knots_are_what_the_parameters_say():
    """Ends of bins and derivatives there, by hand."""
    torch.manual_seed(0)
    h = torch.randn(1, 11, 1, dtype=torch.float64)
    widths, heights, inner = h[0, :4, 0], h[0, 4:8, 0], h[0, 8:, 0]
    limit = math.log(1e3)
    shares = [(v / (1 + 2 * v.abs() / limit)).softmax(0) for v in (widths, heights)]
    floors = [0.01 + 0.96 * widths.softmax(0), 0.02 + 0.92 * heights.softmax(0)]
    for curve, (across, up), derivatives in (
        (pu.SoftclipSpline(4, 2.0), shares, inner / (1 + inner.abs() / limit)),
        (pu.SoftplusSpline(4, 2.0, 0.01, 0.02, 0.03), floors, (0.03 + torch.nn.functional.softplus(inner)).log()),
    ):
        x, z = (4 * part.cumsum(0)[:3] - 2 for part in (across, up))
        found, slope = curve.forward(x[:, None], h)
        torch.testing.assert_close(found[:, 0], z)
        torch.testing.assert_close(slope[:, 0], derivatives)


@pytest.mark.parametrize("make", [pu.LinearSpline, pu.QuadraticSpline, pu.CubicSpline])
@pytest.mark.parametrize("options", [{"bins": 1}, {"bound": 0.0}, {"bound": math.inf}, {"floor": 0.0}, {"bins": 100, "floor": 0.01}])
def test_splines_refuse(make, options):
    with pytest.raises(ValueError, match=make.__name__):
        make(**options)


@pytest.mark.parametrize(
    "make, options",
    [
        (pu.SoftclipSpline, {"bins": 1}),
        (pu.SoftclipSpline, {"bound": 0.0}),
        (pu.SoftclipSpline, {"slope": 0.0}),
        (pu.SoftclipSpline, {"slope": 1.0}),
        (pu.SoftplusSpline, {"bins": 1}),
        (pu.SoftplusSpline, {"least_width": 0.0}),
        (pu.SoftplusSpline, {"bins": 20, "least_height": 0.05}),
        (pu.SoftplusSpline, {"least_slope": 1.0}),
        (pu.FloorAffine, {"scale": "exp"}),
        (pu.FloorAffine, {"floor": 0.0}),
        (pu.FloorAffine, {"floor": 1.0}),
    ],
)
def test_maps_with_floors_refuse(make, options):
    with pytest.raises(ValueError, match=make.__name__):
        make(**options)


@pytest.mark.parametrize("options", [{"degree": 1}, {"bound": 0.0}, {"floor": 0.0}, {"floor": 1.0}])
def test_bernstein_refuses(options):
    with pytest.raises(ValueError, match="Bernstein"):
        pu.Bernstein(**options)


def test_two_quadratic_bins_need_free_ends():
    """With slope 1 at both ends, two bins can only be the identity."""
    pu.QuadraticSpline(2, free_ends=True)
    with pytest.raises(ValueError, match="at least 3 bins"):
        pu.QuadraticSpline(2)


@pytest.mark.parametrize("name, bins", [("quadratic", 8), ("cubic", 8), ("linear", 8), ("bernstein", 24)])
def test_fits_separate_modes(name, bins):
    """Two modes, held-out nats: the Gaussian of the same variance has 1.8, the density itself 1.2."""
    torch.manual_seed(0)
    curve = ALL[name](bins)
    x = torch.randint(0, 2, (4000, 1)) * 3 - 1.5 + 0.4 * torch.randn(4000, 1)
    h = torch.zeros(1, curve.params, 1, requires_grad=True)
    optimizer = torch.optim.Adam([h])
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        z, slope = curve.forward(x[:2000], h)
        loss = (0.5 * z.square() - slope).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z, slope = curve.forward(x[2000:], h)
    nats = ((0.5 * z.square() - slope).mean() + 0.5 * math.log(2 * math.pi)).item()
    assert nats < 1.45, nats


@pytest.mark.parametrize("dim", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("context", [0, 2])
def test_linear_integrates_to_one(dim, context):
    """On a grid fine enough for a density that jumps."""
    flow = build("nsf-linear", dim, context)
    u = torch.linspace(-8, 8, 40_001 if dim == 1 else 2401, dtype=torch.float64)
    grid = torch.cartesian_prod(*[u.sinh()] * dim).reshape(-1, dim)
    weight = torch.cartesian_prod(*[u.cosh() * (u[1] - u[0])] * dim).reshape(-1, dim).prod(1)
    c = rows(context, 1)
    with torch.no_grad():
        parts = zip(grid.split(100_000), weight.split(100_000), strict=True)
        mass = sum((flow.log_prob(x, None if c is None else c.expand(len(x), -1)).exp() * w).sum().item() for x, w in parts)
    assert abs(mass - 1) < 1e-4


def test_neural_importance_sampling():
    """The example, at once: the estimate is right within its error, and a few steps lower the variance."""
    path = Path(__file__).parent.parent / "examples" / "neural_importance_sampling.py"
    spec = importlib.util.spec_from_file_location("neural_importance_sampling", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.manual_seed(0)
    flow, truth = example.sampler(2, bins=8, width=16), example.exact(2)
    _, before = example.weights(flow, 20_000)
    example.train(flow, steps=40, rows=256, rate=2e-2)
    _, after = example.weights(flow, 20_000)
    for weight in (before, after):
        assert abs(weight.mean().item() - truth) < 4 * weight.std().item() / math.sqrt(len(weight))
    assert after.var() < before.var() / 2
