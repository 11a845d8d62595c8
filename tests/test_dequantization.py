"""Dequantization: the bounds in their order where the integral is known, and noise that stays within its bin."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pushforward.core import Distribution, Flow
from pushforward.distributions import Normal, Uniform
from pushforward.models.dequantizer import dequantizer
from pushforward.nets import MLP
from pushforward.transforms import ActNorm, Coupling, Dequantize, Elementwise, Standardize
from pushforward.univariate import Affine, GaussianMixtureCDF, Logit

Y = torch.arange(4.0, dtype=torch.float64).unsqueeze(1)


def toy() -> Elementwise:
    """The distribution function of narrow Gaussians, to a uniform: two meet in one bin, others sit at an edge or in a corner."""
    layer = Elementwise(GaussianMixtureCDF(5), (1,)).double()
    log_scale = torch.tensor([0.08, 0.08, 0.25, 0.15, 0.5], dtype=torch.float64).log()
    with torch.no_grad():
        layer.h[0, :5, 0] = torch.tensor([0.3, 0.5, 0.0, 0.2, -0.5])
        layer.h[0, 5:10, 0] = torch.tensor([0.25, 0.75, 2.0, 3.8, 1.4])
        layer.h[0, 10:, 0] = 5 * torch.atanh(log_scale / 5)
    return layer.requires_grad_(False)


def logit_normal() -> Flow:
    net = MLP(1, 2, width=16, depth=1)
    return Flow(Normal((1,)), Elementwise(Logit(), (1,)), Coupling([False], Affine(), net), context=1).double()


class Posterior(Distribution):
    """``p(u|y)`` of the toy: a uniform share of the bin's mass, through the quantile function; ``log q = log p(y + u) - log P(y)``."""

    def __init__(self, cdf: Elementwise, levels: int):
        super().__init__((1,), 1)
        self.map, self.levels = cdf, levels

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        y = ((context + 1) * self.levels - 1) / 2
        return self.map(y + x)[1] - (self.map(y + 1)[0] - self.map(y)[0]).log()[:, 0]

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = ((context + 1) * self.levels - 1) / 2
        low, high = self.map(y)[0], self.map(y + 1)[0]
        u = self.map.inverse(low + (high - low) * torch.rand_like(y))[0] - y
        return u, self.log_prob(u, context)


def log_mass(cdf: Elementwise) -> Tensor:
    return (cdf(Y + 1)[0] - cdf(Y)[0]).log()[:, 0]


def expected(cdf: Elementwise, noise: Distribution | None) -> Tensor:
    """``E_q[log p(y + u) - log q(u|y)]`` for each y, by the midpoint rule."""
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    rows = (Y + u).reshape(-1, 1)
    log_p = cdf(rows)[1].view(4, -1)
    if noise is None:
        return log_p.mean(1)
    context = ((2 * Y + 1) / 4 - 1).repeat_interleave(20_000, 0)
    log_q = noise.log_prob(u.repeat(4).unsqueeze(1), context).view(4, -1).detach()
    torch.testing.assert_close(log_q.exp().mean(1), torch.ones(4, dtype=torch.float64), atol=1e-4, rtol=0)
    return (log_q.exp() * (log_p - log_q)).mean(1)


@pytest.fixture(scope="module")
def trained() -> tuple[Elementwise, Flow]:
    """The toy and logit-normal noise fitted to it: only the bound is maximized, p stays as it is."""
    torch.manual_seed(0)
    cdf, noise = toy(), logit_normal()
    flow = Flow(Uniform((1,)).double(), Dequantize(4, noise), cdf)
    optimizer = torch.optim.Adam(noise.parameters(), lr=0.05, betas=(0.9, 0.9))
    rows = Y.repeat(128, 1)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        loss = -flow.log_prob(rows).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return cdf, noise.requires_grad_(False)


def test_uniform_below_variational_below_the_discrete_likelihood(trained):
    """At every level strictly, by quadrature; and what the layers draw has these means."""
    cdf, noise = trained
    uniform, variational, mass = expected(cdf, None), expected(cdf, noise), log_mass(cdf)
    assert (uniform < variational - 0.02).all() and (variational < mass - 2e-3).all()
    assert uniform.mean() < variational.mean() - 0.3 and variational.mean() > mass.mean() - 0.3
    torch.manual_seed(1)
    for q, mean in ((None, uniform), (noise, variational)):
        flow = Flow(Uniform((1,)).double(), Dequantize(4, q), cdf)
        assert flow.kind == "bound"
        draws = flow.log_prob(Y.repeat(20_000, 1)).view(20_000, 4)
        assert ((draws.mean(0) - mean).abs() < 4 * draws.std(0) / math.sqrt(20_000)).all()


def test_importance_weighting_climbs_to_the_discrete_likelihood(trained):
    """On the same draws more samples never give less, and the mean of many is the integral; learned noise needs fewer."""
    cdf, noise = trained
    torch.manual_seed(2)
    bounds = {}
    for name, q in (("uniform", None), ("learned", noise)):
        draws = Flow(Uniform((1,)).double(), Dequantize(4, q), cdf).log_prob(Y.repeat(2**15, 1)).view(-1, 4)
        means = torch.stack([(draws.view(-1, k, 4).logsumexp(1) - math.log(k)).mean(0) for k in (1, 4, 16, 256, 2**15)])
        assert (means.diff(dim=0) > 0).all()
        assert (means[-1] - log_mass(cdf)).abs().max() < 0.05
        bounds[name] = means
    assert (bounds["learned"][:2] > bounds["uniform"][:2]).all()
    flow = Flow(Uniform((1,)).double(), Dequantize(4, noise), cdf)
    few, many = flow.log_prob(Y.repeat(200, 1)), flow.log_prob(Y.repeat(200, 1), samples=50)
    assert few.mean() < many.mean() < log_mass(cdf).mean() + 0.02


def test_the_posterior_closes_the_gap():
    """With ``q = p(u|y)`` every single draw gives the discrete likelihood, from the data's side and from the model's."""
    cdf = toy()
    flow = Flow(Uniform((1,)).double(), Dequantize(4, Posterior(cdf, 4)), cdf)
    torch.testing.assert_close(flow.log_prob(Y.repeat(50, 1)), log_mass(cdf).repeat(50), atol=1e-8, rtol=0)
    draws, log_prob = flow.sample_and_log_prob((200,))
    inside = ((draws > 0) & (draws < 3))[:, 0]  # the toy puts mass beyond the levels, which decoding clamps to them
    torch.testing.assert_close(log_prob[inside], log_mass(cdf)[draws[inside, 0].long()], atol=1e-8, rtol=0)


def test_the_model_side_lies_above(trained):
    """``log p(z) - log q(u|x)`` of the model's own samples is on average above ``log P(x)``."""
    cdf, noise = trained
    torch.manual_seed(3)
    for q in (None, noise):
        draws, log_prob = Flow(Uniform((1,)).double(), Dequantize(4, q), cdf).sample_and_log_prob((20_000,))
        above = (log_prob - log_mass(cdf)[draws[:, 0].long()])[((draws > 0) & (draws < 3))[:, 0]]
        assert above.mean() > 4 * above.std() / math.sqrt(len(above))


def test_uniform_is_a_special_case():
    """The same draws, but for half a step of the floats, and the same ldj."""
    x = torch.randint(0, 5, (1000, 2, 3)).float()
    torch.manual_seed(0)
    z, ldj = Dequantize(5)(x)
    torch.manual_seed(0)
    z_noise, ldj_noise = Dequantize(5, Uniform((2, 3)))(x)
    torch.testing.assert_close(z_noise, z, atol=1e-6, rtol=0)
    assert torch.equal(ldj_noise, ldj) and not ldj.any()
    assert torch.equal(Dequantize(5, Uniform((2, 3))).inverse(z)[1], torch.zeros(1000))


class Fixed(Distribution):
    """Always the same u, and what it was given as context."""

    def __init__(self, u: float, dtype: torch.dtype = torch.float32, context: int = 0):
        super().__init__((1,), context)
        self.u, self.seen = torch.tensor([[u]], dtype=dtype), torch.empty(0)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x[:, 0] * 0

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.seen = torch.empty(0) if context is None else context
        return self.u.expand(rows, 1), self.u.new_zeros(rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("u", [0.0, 1e-30, 1 - 1e-7, 1.0])
def test_noise_stays_inside_the_bin(u, dtype):
    """However close to an end noise is drawn: the floor is x, and behind [0, levels] a logit is finite."""
    levels = 64 if dtype == torch.bfloat16 else 256
    x = torch.arange(-levels, levels).unsqueeze(1).to(dtype)
    layer = Dequantize(noise=Fixed(u, dtype))
    z, _ = layer(x)
    assert z.dtype == dtype and (z >= x).all() and (z < x + 1).all() and torch.equal(layer.inverse(z)[0], x)
    share = z[levels:] / levels
    assert share.logit().isfinite().all() and Elementwise(Logit(), (1,)).to(dtype)(share)[1].isfinite().all()


def test_what_the_noise_reads():
    """Centres of the bins in (-1, 1); raw numbers where the levels are unknown; then the layer's context, if it has room for it."""
    x, context = torch.arange(4.0).unsqueeze(1), torch.randn(4, 2)
    for levels, width, expected in (
        (4, 1, torch.tensor([[-0.75], [-0.25], [0.25], [0.75]])),
        (None, 1, x),
        (None, 3, torch.cat([x, context], 1)),
    ):
        noise = Fixed(0.5, context=width)
        layer = Dequantize(levels, noise)
        layer(x, context)
        assert torch.equal(noise.seen, expected)
    with pytest.raises(ValueError, match="expected context"):
        layer(x)


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"noise of shape \(2,\) does not fit x \(4, 3\)"):
        Dequantize(5, Uniform((2,)))(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="even sides"):
        dequantizer((1, 3, 4))
    with pytest.raises(ValueError, match=r"expected an image \(C, H, W\)"):
        dequantizer((4,))


def image_flow(kind: str, context: int = 0) -> Flow:
    noise = dequantizer((2, 4, 4), kind=kind, steps=1, width=8, depth=1, components=2, context=context)
    layers = [Dequantize(8, noise), Standardize(0.0, 8.0), Elementwise(Logit(), (1,)), ActNorm(2)]
    return Flow(Normal((2, 4, 4)), *layers, context=context or None)


kinds = pytest.mark.parametrize("kind", ["flow", "logit_normal"])


@kinds
def test_noise_of_images(kind):
    """It starts close to uniform, from uniform draws; it learns, and the whole numbers return."""
    torch.manual_seed(0)
    flow, x = image_flow(kind), torch.randint(0, 8, (64, 2, 4, 4)).float()
    layer = flow.transform.transforms[0]
    flow.initialize(x)
    with torch.no_grad():
        z, ldj = layer(x)
        u = (z - x).flatten()
        assert abs(ldj.mean() / 32) < 0.02 and abs(u.mean() - 0.5) < 0.05 and abs(12 * u.var() - 1) < 0.2
        assert torch.equal(flow.decode(flow.encode(x)), x) and torch.equal(flow.sample((5,)).frac(), torch.zeros(5, 2, 4, 4))
        flow.transform.transforms[3].log_scale.add_(0.5)  # too narrow for the data: steep within a bin
        before = flow.log_prob(x.repeat(10, 1, 1, 1)).mean()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)  # the density stays as it is: the bound comes closer to it
    for _ in range(30):
        loss = -flow.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in layer.parameters() if p.numel())
        optimizer.step()
    with torch.no_grad():
        assert flow.log_prob(x.repeat(10, 1, 1, 1)).mean() > before + 0.5


@kinds
def test_noise_of_images_in_low_precision_and_beside_float64(kind):
    """Autocast keeps log-dets in float32 and the bins exact; float64 rows meet float32 nets."""
    torch.manual_seed(0)
    flow, x = image_flow(kind), torch.randint(0, 8, (16, 2, 4, 4)).float()
    layer = flow.transform.transforms[0]
    with torch.autocast("cpu", torch.bfloat16):
        z, ldj = layer(x)
    assert z.dtype == ldj.dtype == torch.float32 and ldj.isfinite().all() and torch.equal(z.floor(), x)
    z, ldj = layer(x.double())
    assert z.dtype == ldj.dtype == torch.float64 and torch.equal(layer.inverse(z)[0], x.double())


@kinds
def test_noise_of_images_reads_labels(kind):
    torch.manual_seed(0)
    flow, x = image_flow(kind, context=3), torch.randint(0, 8, (16, 2, 4, 4)).float()
    layer = flow.transform.transforms[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    outs = []
    for label in (0, 1):
        torch.manual_seed(1)
        outs.append(layer(x, nn.functional.one_hot(torch.full((16,), label), 3).float())[0])
    assert (outs[0] != outs[1]).float().mean() > 0.9
