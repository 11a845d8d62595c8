"""Known answers of layers that the laws don't hold: initialization, state, surjections, the border between dtypes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pushforward.core import Chain, Distribution, Flow, Inverse, Transform, zeros
from pushforward.distributions import Normal
from pushforward.transforms import (
    ActNorm,
    Cast,
    Columns,
    Dequantize,
    Elementwise,
    Factor,
    LULinear,
    Permute,
    Reverse,
    Slice,
    Standardize,
)
from pushforward.transforms.amortized import Amortized
from pushforward.univariate import Additive, Affine, Logit


class Line(Distribution):
    """``N(a c, s^2)`` of one number given another."""

    def __init__(self, a: float, s: float):
        super().__init__((1,), 1)
        self.a, self.s = a, s

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return torch.distributions.Normal(self.a * context, self.s, validate_args=False).log_prob(x)[:, 0]

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.a * context + self.s * torch.randn_like(context)
        return x, self.log_prob(x, context)


class Residual(Transform):
    """``z = (x - a c) / s``, the transform whose density with a standard normal is that of Line."""

    def __init__(self, a: float, s: float):
        super().__init__()
        self.a, self.s = a, s

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.a * context) / self.s, zeros(x) - math.log(self.s)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.s + self.a * context, zeros(z) + math.log(self.s)


class Box(Distribution):
    """Uniform on ``[0, 1)^D``: a bin of the same mass for each level."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        inside = ((x >= 0) & (x < 1)).all(1)
        return torch.where(inside, 0.0, -math.inf).to(x.dtype)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.rand(rows, *self.shape)
        return x, self.log_prob(x)


# --- ActNorm ---


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(3,), (3, 4, 4)])
def test_actnorm_standardizes_what_leaves(inverse, shape):
    torch.manual_seed(0)
    scale = torch.tensor([0.01, 1.0, 300.0]).reshape(3, *(1 for _ in shape[1:]))
    x = torch.randn(64, *shape) * scale + 5 * scale
    layer = ActNorm(3)
    torch.testing.assert_close(layer(x)[0], x, atol=0, rtol=0)
    layer.initialize(x, inverse=inverse)
    out, _ = layer.inverse(x) if inverse else layer(x)
    channels = out.transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(channels.std(1, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_actnorm_centres_a_constant_channel_without_scaling_it():
    layer = ActNorm(2)
    layer.initialize(torch.tensor([[7.0, 0.0], [7.0, 2.0]]))
    torch.testing.assert_close(layer(torch.tensor([[7.0, 0.0], [9.0, 2.0]]))[0], torch.tensor([[0.0, -1.0], [2.0, 1.0]]))


@pytest.mark.parametrize(
    "wrap", [Chain, Inverse, lambda t: Columns(([0, 1, 2], t)), lambda t: Factor(1, Elementwise(Affine()), Elementwise(Affine()))]
)
def test_initialize_does_not_disturb_other_layers(wrap):
    layer = Chain(wrap(ActNorm(3)), LULinear(3))
    before = [p.clone() for p in layer.transforms[1].parameters()]
    layer.initialize(torch.randn(8, 3))
    for p, q in zip(before, layer.transforms[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=0, rtol=0)


def test_initialize_is_routed_through_containers():
    """Each ActNorm sees the batch as the layers before it leave it, in the direction that it runs."""
    torch.manual_seed(0)
    x = torch.randn(256, 4) * torch.tensor([1.0, 10.0, 0.1, 3.0]) + 4
    layer = Chain(
        Columns(([3, 1], ActNorm(2)), ([0, 2], Standardize([4.0, 4.0], [1.0, 0.1]))),
        Factor((1, 2), ActNorm(2), Chain(Elementwise(Affine(), (2,)), Inverse(ActNorm(2)))),
        Inverse(Factor(3, ActNorm(1), ActNorm(3))),
    )
    with torch.no_grad():
        layer.transforms[1].rest.transforms[0].h.add_(1.0)
    layer.initialize(x)
    z, _ = layer(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)


# --- what depends on the context ---


@pytest.mark.parametrize("rows", [1, 4])
def test_amortized_numbers_are_the_constants_and_what_a_net_adds(rows):
    """The start is where the layer begins, also behind a net that gives zeros, and the net's numbers are added to it."""
    start, net = torch.tensor([1.0, -2.0]), torch.nn.Linear(3, 2)
    x, context = torch.zeros(rows, 5), torch.randn(rows, 3)
    assert torch.equal(Amortized("Radial", 5, start)(x), start[None])
    torch.testing.assert_close(Amortized("Radial", 5, start.clone(), net)(x, context), start + net(context))
    net.weight.data.zero_()
    net.bias.data.zero_()
    assert torch.equal(Amortized("Radial", 5, start.clone(), net)(x, context), start.expand(rows, 2))


# --- order ---


def test_permute_and_reverse_place_channels():
    x = torch.arange(8.0).reshape(2, 4)
    assert Permute((2, 0, 3, 1))(x)[0][0].tolist() == [2, 0, 3, 1]
    assert Reverse(4)(x)[0][0].tolist() == [3, 2, 1, 0]


def test_permute_survives_saving_and_loading():
    x = torch.arange(3.0)[None]
    saved, other = Permute((2, 0, 1)), Permute((0, 1, 2))
    other.load_state_dict(saved.state_dict())
    assert other(x)[0].tolist() == saved(x)[0].tolist() == [[2, 0, 1]]
    assert other.inverse(other(x)[0])[0].tolist() == x.tolist()


def test_lu_linear_has_positive_determinant_and_starts_as_identity():
    x = torch.randn(5, 3, 2)
    torch.testing.assert_close(LULinear(3)(x)[0], x, atol=0, rtol=0)
    layer = LULinear(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[math.log(2.0), 3.0], [5.0, math.log(7.0)]]))
        layer.bias.copy_(torch.tensor([1.0, -1.0]))
    z, ldj = layer(torch.tensor([[1.0, 10.0]]))  # L U = [[1, 0], [5, 1]] [[2, 3], [0, 7]]
    torch.testing.assert_close(z, torch.tensor([[2 + 30 + 1.0, 10 + 220 - 1.0]]))
    torch.testing.assert_close(ldj, torch.tensor([math.log(14.0)]))


# --- columns, standardization, the border between dtypes ---


def test_columns_replaces_only_its_columns():
    x = torch.arange(8.0, dtype=torch.float64).reshape(2, 4)
    z, ldj = Columns(([3, 0], Standardize([1.0, 2.0], [2.0, 4.0])))(x)
    torch.testing.assert_close(z[0], torch.tensor([(0 - 2) / 4, 1.0, 2.0, (3 - 1) / 2], dtype=torch.float64))
    torch.testing.assert_close(ldj, torch.full((2,), -math.log(8.0), dtype=torch.float64))


def test_flags_follow_the_parts():
    plain, noisy, lossy = Elementwise(Additive(), (1,)), Dequantize(), Slice(1, Normal((1,)))
    for make in (lambda t: Columns(([0], plain), ([1], t)), lambda t: Factor(1, t, plain), lambda t: Factor(1, plain, t)):
        assert make(plain).bijective and make(plain).exact
        assert make(noisy).stochastic_forward and not make(noisy).stochastic_inverse
        assert make(lossy).stochastic_inverse and make(lossy).exact
    assert Slice(1, Flow(Normal((1,)), Dequantize())).stochastic_forward


def table_flow() -> Flow:
    """Identity in between, so that only the preprocessing and the cast remain."""
    part = Chain(Dequantize(), Standardize([1.0e9, 50.0], [5e8, 30.0]))
    return Flow(Normal((3,)), Columns(([0, 1], part), ([2], Standardize(1.6e9, 1e7))), Cast(), LULinear(3))


def table_rows() -> Tensor:
    torch.manual_seed(0)
    big, small = torch.randint(0, 2_000_000_001, (20000,)), torch.randint(0, 101, (20000,))
    real = 1.6e9 + 1e7 * torch.randn(20000, dtype=torch.float64)
    rows = torch.stack([big.double(), small.double(), real], 1)
    rows[0, 0], rows[1, 0] = 0.0, 2e9
    return rows


def test_large_values_return_in_float64():
    flow, x = table_flow().double(), table_rows()
    back = flow.decode(flow.encode(x))
    assert torch.equal(back[:, :2], x[:, :2])
    torch.testing.assert_close(back[:, 2], x[:, 2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("cast", [lambda f: f, lambda f: f.to(torch.float32), lambda f: f.double().float()])
def test_large_values_return_in_float32_within_the_stated_bound(cast):
    flow, x = cast(table_flow()), table_rows()
    z = flow.encode(x)
    assert z.dtype == torch.float32
    back = flow.decode(z)
    assert back.dtype == torch.float64
    spread = torch.tensor([5e8, 30.0, 1e7], dtype=torch.float64)
    assert ((back - x).abs() <= spread * 2**-22 + torch.tensor([1.0, 0.0, 0.0])).all()
    assert torch.equal(back[:, 1], x[:, 1])
    assert flow.log_prob(x).dtype == torch.float64


def test_integers_near_their_mean_return_exactly_in_float32():
    flow = Flow(Normal((1,)), Dequantize(), Standardize(1.6e9, 2e6), Cast())
    x = 1_600_000_000 + torch.randint(-8_000_000, 8_000_001, (20000, 1)).double()
    assert torch.equal(flow.decode(flow.encode(x)), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_statistics_stay_float64(dtype):
    layer = Standardize([1.6e9 + 0.125], [1e7 / 3])
    moved = layer.to(dtype)
    assert moved.mean.dtype == moved.std.dtype == torch.float64
    assert moved.mean.item() == 1.6e9 + 0.125 and moved.std.item() == 1e7 / 3
    other = Standardize(0.0, 1.0)
    other.load_state_dict(moved.state_dict())
    assert other.mean.item() == 1.6e9 + 0.125


def test_cast_follows_the_nets():
    x = torch.randn(4, 2, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        layer = Cast().to(dtype)
        z, ldj = layer(x)
        back, inverse_ldj = layer.inverse(z)
        assert (z.dtype, ldj.dtype, back.dtype, inverse_ldj.dtype) == (dtype, torch.float64, torch.float64, torch.float64)
    assert not Cast().state_dict()


# --- dequantization ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dequantize_stays_inside_the_bin(dtype):
    """Also where x + u rounds, up to the integers that the dtype can hold: a full-width bin is left to float64."""
    torch.manual_seed(0)
    top = 2 ** {torch.bfloat16: 6, torch.float32: 20, torch.float64: 31}[dtype]
    x = torch.cat([torch.zeros(50000), torch.randint(0, top, (50000,))])[:, None].to(dtype)
    layer = Dequantize()
    z, _ = layer(x)
    assert (z >= x).all() and (z < x + 1).all() and (z[:50000] > 0).all()
    assert torch.equal(layer.inverse(z)[0], x) and torch.equal(layer.decode(layer.encode(x)), x)


def test_dequantize_clamps_to_the_levels():
    z = torch.tensor([[-3.2], [0.5], [4.999], [5.0], [80.0]])
    assert Dequantize(levels=5).inverse(z)[0][:, 0].tolist() == [0, 0, 4, 4, 4]
    assert Dequantize().inverse(z)[0][:, 0].tolist() == [-4, 0, 4, 5, 80]


def test_dequantize_passes_gradients_to_x():
    x = torch.tensor([[3.0]], requires_grad=True)
    Dequantize()(x)[0].sum().backward()
    assert x.grad is not None and x.grad.item() == 1


@pytest.mark.parametrize("levels", [1, 5])
def test_dequantized_mass_sums_to_one(levels):
    """A base on the closed interval: each level has the mass of its bin, and all together have 1."""
    flow = Flow(Box((1,)), Dequantize(levels=levels), Standardize(0.0, levels)).double()
    assert flow.kind == "bound"
    outcomes = torch.arange(-2.0, levels + 2, dtype=torch.float64)[:, None]
    mass = flow.log_prob(outcomes, samples=50).exp()
    torch.testing.assert_close(mass[2:-2], torch.full((levels,), 1 / levels, dtype=torch.float64))
    torch.testing.assert_close(mass.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_mass_of_levels_behind_a_logit_sums_to_one():
    """The logit of [0, levels] closes the support: nothing leaks beyond the levels."""
    levels = 5
    part = Chain(Dequantize(levels), Standardize(0.0, levels), Elementwise(Logit(), (1,)), Standardize(0.4, 1.5))
    flow = Flow(Normal((1,)), Columns(([0], part)), Cast()).double()
    torch.manual_seed(0)
    mass = flow.log_prob(torch.arange(levels, dtype=torch.float64)[:, None], samples=200_000).exp()
    edges = torch.arange(levels + 1, dtype=torch.float64) / levels
    cdf = torch.distributions.Normal(torch.tensor(0.4, dtype=torch.float64), 1.5).cdf(edges.logit())
    torch.testing.assert_close(mass, cdf.diff(), atol=1e-3, rtol=0)
    assert mass.sum().item() == pytest.approx(1.0, abs=2e-3)


def test_dequantized_normal_mass_is_the_integral_over_the_bin():
    flow = Flow(Normal((1,)), Dequantize(), Standardize(0.3, 1.7)).double()
    x = torch.arange(-12.0, 13.0, dtype=torch.float64)[:, None]
    torch.manual_seed(0)
    mass = flow.log_prob(x, samples=100_000).exp()
    cdf = torch.distributions.Normal(torch.tensor(0.3, dtype=torch.float64), 1.7).cdf
    torch.testing.assert_close(mass, (cdf(x + 1) - cdf(x))[:, 0], atol=1e-3, rtol=0)
    assert flow.log_prob(x, samples=1000).mean() > flow.log_prob(x).mean()  # the bound tightens


# --- factor and slice ---


def test_factor_is_slice_with_a_place_for_what_left():
    """Its density is p(x_kept) p(x_left | x_kept), here a bivariate normal, whichever index is kept."""
    torch.manual_seed(0)
    x = torch.randn(100, 2, dtype=torch.float64)
    for keep, order in (((0,), [0, 1]), ((1,), [1, 0])):
        flow = Flow(Normal((2,)), Factor(keep, Residual(0.8, 0.6), Elementwise(Affine(), (1,)))).double()
        expected = bivariate(0.8, 0.6).log_prob(x[:, order])
        torch.testing.assert_close(flow.log_prob(x), expected)
        z = flow.encode(x)
        torch.testing.assert_close(z[:, keep[0]], x[:, keep[0]])
        torch.testing.assert_close(flow.decode(z), x)


def bivariate(a: float, s: float) -> torch.distributions.MultivariateNormal:
    """x_0 ~ N(0, 1), x_1 | x_0 ~ N(a x_0, s^2)."""
    covariance = torch.tensor([[1.0, a], [a, a * a + s * s]], dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)


@pytest.mark.parametrize("keep, order", [(1, [0, 1]), ((0,), [0, 1]), ((1,), [1, 0])])
def test_slice_of_a_linear_gaussian_pair_is_the_bivariate_normal(keep, order):
    torch.manual_seed(0)
    flow = Flow(Normal((1,)), Slice(keep, Line(0.8, 0.6)), shape=(2,)).double()
    assert flow.kind == "exact" and not flow.transform.bijective
    x = torch.randn(100, 2, dtype=torch.float64) * 2
    torch.testing.assert_close(flow.log_prob(x), bivariate(0.8, 0.6).log_prob(x[:, order]))
    x, log_prob = flow.sample_and_log_prob((50_000,))
    torch.testing.assert_close(log_prob, bivariate(0.8, 0.6).log_prob(x[:, order]))
    covariance = torch.cov(x[:, order].T)
    torch.testing.assert_close(covariance, bivariate(0.8, 0.6).covariance_matrix, atol=0.03, rtol=0)
    assert torch.cov(flow.sample((50_000,))[:, order].T)[0, 1].item() == pytest.approx(0.8, abs=0.03)


def test_inverse_slice_is_an_augmented_model_with_a_bound():
    """Augmentation: log p(z_kept, z_new) - log q(z_new | z_kept); tight if q is the posterior, and then exact for every draw."""
    posterior = Line(0.8, 0.6)
    joint = Flow(Normal((1,)), Slice(1, Line(0.8, 0.6)), shape=(2,)).double()
    flow = Flow(joint, Inverse(Slice(1, posterior)), shape=(1,)).double()
    assert flow.kind == "bound"
    x = torch.randn(20, 1, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(x), Normal((1,)).log_prob(x))
    loose = Flow(joint, Inverse(Slice(1, Line(0.0, 1.0))), shape=(1,)).double()
    one, many = (torch.stack([loose.log_prob(x, samples=k) for _ in range(100)]).mean(0) for k in (1, 100))
    exact = Normal((1,)).log_prob(x)
    assert (one < many).all() and (many < exact + 0.02).all()


# --- errors ---


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Permute((0, 2)), "Permute: order"),
        (lambda: Permute((0, 0, 1)), "Permute: order"),
        (lambda: Permute((1, 0))(torch.zeros(2, 3)), "Permute: made for 2 channels"),
        (lambda: Reverse(2)(torch.zeros(2, 3)), "Reverse: made for 2 channels"),
        (lambda: LULinear(2)(torch.zeros(2, 3)), "LULinear: made for 2 channels"),
        (lambda: LULinear(2).inverse(torch.zeros(2, 3)), "LULinear: made for 2 channels"),
        (lambda: ActNorm(2)(torch.zeros(2, 3)), "ActNorm: made for 2 channels"),
        (lambda: ActNorm(2).initialize(torch.zeros(2, 3)), "ActNorm: made for 2 channels"),
        (lambda: Standardize([0.0, 0.0], [1.0]), "Standardize: expected as many"),
        (lambda: Standardize(0.0, 0.0), "Standardize: means must be finite"),
        (lambda: Standardize(math.nan, 1.0), "Standardize: means must be finite"),
        (lambda: Standardize([0.0, 0.0], [1.0, 1.0])(torch.zeros(2, 3)), "Standardize: made for 2 channels"),
        (lambda: Columns(), "Columns: all columns together"),
        (lambda: Columns(([0, 1], ActNorm(2)), ([1], ActNorm(1))), "Columns: all columns together"),
        (lambda: Columns(([-1], ActNorm(1))), "Columns: all columns together"),
        (lambda: Columns(([3], ActNorm(1)))(torch.zeros(2, 3)), "Columns: expected at least 4"),
        (lambda: Columns(([0, 1], Slice(1, Normal((1,)))))(torch.zeros(2, 3)), "Columns: a transform of 2 columns"),
        (lambda: Dequantize(levels=0), "Dequantize: levels"),
        (lambda: Factor(0, ActNorm(1), ActNorm(1)), "Factor: keep"),
        (lambda: Factor((1, 1), ActNorm(1), ActNorm(1)), "Factor: keep"),
        (lambda: Factor(3, ActNorm(1), ActNorm(3))(torch.zeros(2, 3)), "Factor: keep needs 4 or more"),
        (lambda: Factor((4,), ActNorm(1), ActNorm(3))(torch.zeros(2, 3)), "Factor: keep needs 5 or more"),
        (lambda: Factor(2, ActNorm(1), Slice(1, Normal((1,))))(torch.zeros(2, 3)), "Factor: part and rest"),
        (lambda: Slice(3, Normal((1,)))(torch.zeros(2, 3)), "Slice: keep needs 4 or more"),
        (lambda: Slice(1, Normal((1,)))(torch.zeros(2, 3)), "Normal: expected x"),
        (lambda: Slice(1, Line(1.0, 1.0))(torch.zeros(2, 2), torch.zeros(2, 1)), "Line: expected context"),
        (lambda: Flow(Normal((3,)), Permute((1, 0))), "Flow: layer 0 \\(Permute\\)"),
    ],
)
def test_errors_say_who_and_what(make, message):
    with pytest.raises(ValueError, match=message):
        make()
