"""Planar, radial and Sylvester layers: invertible whatever the parameters, and what their papers say of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pushforward import models
from pushforward.core import Chain, Flow, Inverse, Transform
from pushforward.distributions import Normal
from pushforward.transforms import ActNorm, Planar, Radial, Sylvester
from pushforward.transforms.planar import steer, unbend

Maker = Callable[..., Transform]

LAYERS: dict[str, Maker] = {
    "planar": lambda dim, net=None: Planar(dim, net),
    "radial": lambda dim, net=None: Radial(dim, net),
    "sylvester-orthogonal": lambda dim, net=None: Sylvester(dim, dim, "orthogonal", net),
    "sylvester-householder": lambda dim, net=None: Sylvester(dim, (dim + 1) // 2, "householder", net),
    "sylvester-triangular": lambda dim, net=None: Sylvester(dim, dim, "triangular", net),
    "sylvester-orthogonal-amortized": lambda dim, net=None: Sylvester(dim, (dim + 1) // 2, "orthogonal", net, amortized=True),
    "sylvester-householder-amortized": lambda dim, net=None: Sylvester(dim, dim, "householder", net, amortized=True),
}
PARAMS = {
    "planar": 7,
    "radial": 5,
    "sylvester-orthogonal": 15,
    "sylvester-householder": 8,
    "sylvester-triangular": 15,
    "sylvester-orthogonal-amortized": 14,
    "sylvester-householder-amortized": 24,
}  # of dim 3

layers = pytest.mark.parametrize("name", LAYERS)


def strong(layer: nn.Module, scale: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The layer with every parameter drawn from N(0, scale^2)."""
    torch.manual_seed(seed)
    layer = layer.to(dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=scale)
    return layer


@layers
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_round_trip_whatever_the_parameters(name, scale, dtype, error):
    """Both ways, D from 1 to 16, for 3 draws each; the log-dets cancel."""
    for dim in (1, 2, 5, 16):
        for seed in range(3):
            layer = strong(LAYERS[name](dim), scale, seed, dtype)
            start = 2 * torch.randn(300, dim, dtype=dtype)
            for there, back in ((layer, layer.inverse), (layer.inverse, layer)):
                with torch.no_grad():
                    middle, ldj = there(start)
                    again, ldj_back = back(middle)
                assert (again - start).abs().max() <= error * start.abs().max()
                assert (ldj + ldj_back).abs().max() <= 10 * error


@layers
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("direction", [lambda layer: layer, Inverse])
def test_integrates_to_one(name, dim, direction):
    """Two strong layers in a row, analytic or inverted; the grid is uniform in asinh."""
    flow = strong(Flow(Normal((dim,)), direction(LAYERS[name](dim)), direction(LAYERS[name](dim))), 1.5)
    u = torch.linspace(-5, 5, 8001 if dim == 1 else 401, dtype=torch.float64)
    grid = torch.cartesian_prod(*[u.sinh()] * dim).reshape(-1, dim)
    weight = torch.cartesian_prod(*[u.cosh() * (u[1] - u[0])] * dim).reshape(-1, dim).prod(1)
    with torch.no_grad():
        mass = (flow.log_prob(grid).exp() * weight).sum()
    assert abs(mass - 1) <= 1e-4


@layers
def test_implicit_gradients(name):
    """Gradients through samples, of both outputs, to z, the parameters and the context, against finite differences."""
    layer = strong(LAYERS[name](3, nn.Linear(2, PARAMS[name])), 0.7)
    z, context = (torch.randn(4, width, dtype=torch.float64, requires_grad=True) for width in (3, 2))
    names, values = zip(*layer.named_parameters(), strict=True)
    inverse = Inverse(layer)

    def sample(z: Tensor, context: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        return functional_call(inverse, {f"transform.{name}": value for name, value in zip(names, values, strict=True)}, (z, context))

    assert torch.autograd.gradcheck(sample, (z, context, *values), eps=1e-6, atol=1e-6, rtol=1e-5)
    assert torch.autograd.gradgradcheck(lambda z: sample(z, context, *values), (z,), eps=1e-6, atol=1e-4, rtol=1e-3)


@layers
def test_a_net_gives_each_row_its_own_layer(name):
    make = LAYERS[name]
    layer = strong(make(3, nn.Linear(2, PARAMS[name])), 1.0)
    x, context = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    for function in ("forward", "inverse"):
        z, ldj = getattr(layer, function)(x, context)
        for i in range(4):
            alone = make(3).double()
            state = {key: value for key, value in layer.state_dict().items() if ".net." not in key}
            alone.load_state_dict(state | {"h.constant": layer.h(x, context)[i].detach()})
            expected, expected_ldj = getattr(alone, function)(x[i : i + 1])
            torch.testing.assert_close(z[i : i + 1], expected, atol=1e-12, rtol=1e-12)
            torch.testing.assert_close(ldj[i : i + 1], expected_ldj, atol=1e-12, rtol=1e-12)


@layers
def test_starts_as_identity(name):
    x = torch.randn(8, 3)
    torch.testing.assert_close(LAYERS[name](3)(x), (x, torch.zeros(8)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["orthogonal", "householder", "triangular", "orthogonal-amortized", "householder-amortized"])
def test_sylvester_determinant_identity(kind):
    """``det(I_D + Q R H S Q^T) = det(I_M + H S R)``, the Jacobian in full against the triangular one of the layer."""
    kind, _, own = kind.partition("-")
    layer = strong(Sylvester(6, 3, kind, amortized=bool(own)), 2.0)
    x = torch.randn(20, 6, dtype=torch.float64)
    outer, inner, _, bias, q = layer._unpack(layer.h(x, None))
    q = torch.eye(6, 3, dtype=torch.float64) if kind == "triangular" else q.reshape(6, 3)
    torch.testing.assert_close(q.mT @ q, torch.eye(3, dtype=torch.float64), atol=1e-14, rtol=0)
    assert not outer[0].tril(-1).any() and not inner[0].tril(-1).any()
    bend = torch.tanh(x @ q @ inner[0].mT + bias)
    jacobian = torch.eye(6) + q @ outer[0] @ torch.diag_embed(1 - bend.square()) @ inner[0] @ q.mT
    z, ldj = layer(x)
    torch.testing.assert_close(z, x + bend @ outer[0].mT @ q.mT, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(ldj, torch.linalg.slogdet(jacobian)[1], atol=1e-12, rtol=1e-12)
    assert (torch.linalg.det(jacobian) > 0).all()


@pytest.mark.parametrize("gain", [1.3, -0.6])
def test_planar_is_sylvester_of_rank_one(gain):
    """With u parallel to w: Q = w / |w|, S = |w|, R = the length of v along w, before either is steered."""
    planar, sylvester = Planar(4).double(), Sylvester(4, 1, "householder").double()
    q = nn.init.normal_(sylvester.frame.vectors) is None or sylvester._unpack(sylvester.h(torch.zeros(1, 4)))[4][:, 0].detach()
    length, bound = 0.8, sylvester.bound
    raw = torch.tensor([gain, length], dtype=torch.float64)
    with torch.no_grad():
        planar.h.constant.copy_(torch.cat([length * q, gain * q, raw.new_tensor([0.3])]))
        sylvester.h.constant.copy_(torch.cat([bound * torch.atanh(raw / bound), raw.new_tensor([0.3])]))
    x = 2 * torch.randn(50, 4, dtype=torch.float64)
    for function in ("forward", "inverse"):
        expected, got = getattr(planar, function)(x), getattr(sylvester, function)(x)
        torch.testing.assert_close(got, expected, atol=1e-13, rtol=1e-13)
        assert (got[0] - x).abs().max() > 0.1


def test_radial_is_the_papers_formula():
    """``z = x + beta h(alpha, r) (x - x_0)`` with ``h = 1 / (alpha + r)``, and its determinant (equation 14)."""
    layer = strong(Radial(3), 1.0)
    center, alpha, gain = layer._unpack(torch.zeros(1, 3), None)
    x = torch.randn(50, 3, dtype=torch.float64)
    r = (x - center).norm(dim=1, keepdim=True)
    beta, h = alpha * gain, 1 / (alpha + r)
    z, ldj = layer(x)
    torch.testing.assert_close(z, x + beta * h * (x - center))
    determinant = (1 + beta * h) ** 2 * (1 + beta * h - beta * r / (alpha + r).square())
    torch.testing.assert_close(ldj, determinant.log().squeeze(1))


def test_radial_at_its_center():
    """r = 0 both ways, with finite gradients."""
    layer = strong(Radial(3), 1.0)
    start = layer.h.constant[:3].detach()[None].requires_grad_()
    for function in (layer, layer.inverse):
        out, ldj = function(start)
        torch.testing.assert_close(out, start)
        for gradient in torch.autograd.grad(out.sum() + ldj.sum(), (start, *layer.parameters())):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("floor", [0.01, 0.1, 0.5])
def test_steering_keeps_slopes_above_the_floor(floor):
    torch.manual_seed(0)
    v = 10 * torch.randn(1000, 3, dtype=torch.float64)
    w = torch.randn(1000, 3, dtype=torch.float64) * torch.logspace(-12, 2, 1000, dtype=torch.float64).unsqueeze(1)
    u, product = steer(v, w, floor)
    torch.testing.assert_close(product, (w * u).sum(1, keepdim=True), atol=1e-12, rtol=1e-9)
    assert product.min() >= floor - 1 - 1e-12 and product.min() < 0.95 * (floor - 1)
    fit = (w * v).sum(1) >= 0
    assert fit.any() and torch.equal(u[fit], v[fit])
    assert (u - v)[: len(v) // 2].abs().max() < 0.01  # a small w leaves v alone


def test_steering_along_nothing():
    w = torch.zeros(2, 3, requires_grad=True)
    u, product = steer(torch.ones(2, 3), w, 0.1)
    assert torch.equal(u, torch.ones(2, 3)) and not product.any()
    (gradient,) = torch.autograd.grad(u.sum() + product.sum(), w)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unbend_solves_from_the_flattest_to_the_steepest(dtype):
    """To the rounding of t, for products from -0.99 to 1e5 and t over 8 decades."""
    t = torch.logspace(-4, 4, 201, dtype=dtype)
    t = torch.cat([-t, t.new_zeros(1), t]).unsqueeze(1).expand(403, 200)
    product = torch.cat([-torch.linspace(0, 0.99, 100, dtype=dtype), torch.logspace(-3, 5, 100, dtype=dtype)])
    s, slope = unbend(t, product)
    miss = (s + product * torch.tanh(s) - t).abs() / (t.abs() + product.abs() * torch.tanh(s).abs()).clamp_min(1e-30)
    assert miss.max() <= 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(slope, -torch.log1p(product * (1 - torch.tanh(s).square())))


@pytest.mark.parametrize("name", ["planar", "radial", "sylvester"])
def test_direction_is_the_analytic_one(name):
    """ "sampling" is "density" run backwards, layer by layer: the same map from latent to data as the other from data to latent."""
    density = strong(getattr(models, name)((3,), steps=1), 0.5)
    sampling = getattr(models, name)((3,), steps=1, direction="sampling").double()
    sampling.load_state_dict(
        {
            key.replace(".1.h", ".1.transform.h").replace(".1.frame", ".1.transform.frame"): value
            for key, value in density.state_dict().items()
        }
    )
    x = torch.randn(5, 3, dtype=torch.float64)
    first, last = density.transform.transforms[0], density.transform.transforms[2]
    expected = first.inverse(density.transform.transforms[1](last.inverse(x)[0])[0])[0]
    torch.testing.assert_close(sampling.decode(x), expected, atol=0, rtol=0)


def test_triangular_layers_reach_every_feature():
    flow = strong(models.sylvester((7,), steps=3, rank=3, kind="triangular"), 0.5)
    x = torch.randn(4, 7, dtype=torch.float64)
    z, _ = Chain(*(layer for layer in flow.transform.transforms if not isinstance(layer, ActNorm)))(x)
    assert all((z != x[:, [i]]).all() for i in range(7))
    with pytest.raises(ValueError, match="2 triangular layers of rank 3 move 6 of 7 features"):
        models.sylvester((7,), steps=2, rank=3, kind="triangular")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Planar(3, floor=0.0), "floor"),
        (lambda: Radial(3, floor=1.0), "floor"),
        (lambda: Sylvester(3, 0), "rank"),
        (lambda: Sylvester(3, 4), "rank"),
        (lambda: Sylvester(3, 2, "round"), "kind"),
        (lambda: Sylvester(3, 2, bound=0.0), "bound"),
        (lambda: Sylvester(3, 2, "triangular", amortized=True), "the Q of kind 'triangular' is fixed"),
        (lambda: Planar(3)(torch.zeros(2, 4)), r"Planar: expected x of shape \(B, 3\), got \(2, 4\)"),
        (lambda: Radial(3)(torch.zeros(2, 3, 1)), "Radial: expected x"),
        (lambda: Sylvester(3, 2, net=nn.Linear(2, 8))(torch.zeros(2, 3)), "Sylvester: expected a context"),
        (lambda: Planar(3, nn.Linear(2, 7))(torch.zeros(2, 3), torch.zeros(1, 2)), "one row per row of x"),
        (lambda: Planar(3, nn.Linear(2, 6))(torch.zeros(2, 3), torch.zeros(2, 2)), "build the net with 7 outputs"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
