"""VAEs: the bound as a number, where it is exact, the theorems, the objectives' gradients, and the recipe from fit to pictures."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

import pushforward.distributions as pd
import pushforward.likelihoods as pl
from pushforward.core import Distribution, Flow, Inverse
from pushforward.data import Rows
from pushforward.evaluation import surgery
from pushforward.evaluation.surgery import aggregated
from pushforward.models import real_nvp, vae
from pushforward.nets import MADE
from pushforward.objectives import ELBO, IWAE
from pushforward.objectives.apart import taken_apart
from pushforward.transforms import VAE, Autoregressive, RowTriangular
from pushforward.univariate import Affine

D, LATENT, NOISE = 5, 2, 0.7


def perturbed(module, size: float = 0.3):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module


def close(a, b, tolerance: float = 1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def log_scale(sigma: torch.Tensor, bound: float = 5.0) -> torch.Tensor:
    """The raw parameter whose bounded logarithm is that of sigma."""
    return bound * torch.atanh(sigma.log() / bound)


def gaussian(inputs: int, outputs: int) -> pd.Given:
    return pd.Given(pl.Normal(), nn.Linear(inputs, 2 * outputs), (outputs,), context=inputs)


def affine(mean_weight: torch.Tensor, mean_bias: torch.Tensor, sigma: torch.Tensor) -> pd.Given:
    """``N(W c + b, sigma^2)``."""
    made = gaussian(mean_weight.shape[1], mean_weight.shape[0]).double()
    with torch.no_grad():
        made.net.weight.copy_(torch.cat([mean_weight, torch.zeros_like(mean_weight)]))
        made.net.bias.copy_(torch.cat([mean_bias, log_scale(sigma)]))
    return made


def linear_gaussian() -> tuple[Flow, torch.distributions.MultivariateNormal]:
    """Factor analysis as a VAE with the exact posterior, which has a full covariance, and the law of x."""
    torch.manual_seed(0)
    w, b = torch.randn(D, LATENT, dtype=torch.float64), torch.randn(D, dtype=torch.float64)
    precision = torch.eye(LATENT, dtype=torch.float64) + w.mT @ w / NOISE**2
    covariance = precision.inverse()
    gain = covariance @ w.mT / NOISE**2
    factor = torch.linalg.cholesky(covariance)  # z = mean + L eps = L (L^-1 mean + eps)
    base = affine(torch.linalg.solve(factor, gain), -torch.linalg.solve(factor, gain @ b), torch.ones(LATENT, dtype=torch.float64))
    layer = RowTriangular(LATENT).double()
    with torch.no_grad():
        layer.h.constant.copy_(torch.cat([log_scale(factor.diagonal()), factor[1:2, 0]]))
    encoder = Flow(base, Inverse(layer), context=D)
    decoder = affine(w, b, torch.full((D,), NOISE, dtype=torch.float64))
    model = Flow(pd.Normal((LATENT,)).double(), VAE(encoder, decoder), shape=(D,))
    law = torch.distributions.MultivariateNormal(b, w @ w.mT + NOISE**2 * torch.eye(D, dtype=torch.float64))
    return model, law


def small(posterior: Distribution | None = None, prior: Flow | None = None) -> Flow:
    """A VAE whose bound is loose."""
    torch.manual_seed(1)
    encoder = posterior or gaussian(D, LATENT)
    before = prior or Flow(pd.Normal((LATENT,)))
    decoder = pd.Given(pl.Normal(), nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 2 * D)), (D,), context=LATENT)
    return perturbed(Flow(before.base, VAE(encoder, decoder), *before.transform.transforms, shape=(D,)).double())


def rows(n: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- the bound ---


def test_with_the_exact_posterior_the_bound_is_the_likelihood():
    """Each draw of z gives ``log p(x)`` itself, so that more draws change nothing."""
    model, law = linear_gaussian()
    x = law.sample((20,))
    close(model.log_prob(x), law.log_prob(x))
    close(model.log_prob(x, samples=7), law.log_prob(x))
    assert model.kind == "bound"


def test_more_draws_tighten_the_bound():
    """On average, on every row, by a paired test; and the limit is the likelihood."""
    model, law = linear_gaussian()
    with torch.no_grad():
        model.transform.transforms[0].encoder.base.net.bias.add_(0.3)  # no longer the posterior
    x = law.sample((8,))
    torch.manual_seed(0)
    with torch.no_grad():
        ladder = [torch.stack([model.log_prob(x, samples=k) for _ in range(400)]) for k in (1, 4, 16)]
    for low, high in pairwise(ladder):
        difference = high - low
        assert (difference.mean(0) > 3 * difference.std(0) / math.sqrt(len(difference))).all()
    assert (ladder[-1].mean(0) < law.log_prob(x)).all()
    close(model.log_prob(x, samples=20_000).detach(), law.log_prob(x), 0.02)


def test_samples_have_the_law_of_the_model():
    model, law = linear_gaussian()
    torch.manual_seed(0)
    x = model.sample(20_000)
    close(x.mean(0), law.mean, 0.08)
    close(torch.cov(x.mT), law.covariance_matrix, 0.2)
    drawn, log_prob = model.sample_and_log_prob(50)
    close(log_prob, law.log_prob(drawn))  # the exact posterior again


def test_a_hierarchy_of_two():
    """``z1 -> z2`` by a second VAE behind the first: with exact posteriors the likelihood again."""
    model, law = linear_gaussian()
    first = model.transform.transforms[0]
    one = torch.ones(LATENT, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(LATENT, LATENT, dtype=torch.float64))[0]
    shrink = 0.6  # z1 = .6 R z2 + .8 noise is standard normal, and so is z2 given z1 = .6 R^T z1 + .8 noise
    down = affine(shrink * rotation, 0 * one, 0.8 * one)
    up = affine(shrink * rotation.mT, 0 * one, 0.8 * one)
    deep = Flow(pd.Normal((LATENT,)).double(), first, VAE(up, down), shape=(D,))
    x = law.sample((20,))
    close(deep.log_prob(x), law.log_prob(x))
    reconstruction, groups = taken_apart(deep, x)
    close(reconstruction - sum(groups), law.log_prob(x))
    assert len(groups) == 2


def test_an_autoregressive_prior_is_an_inverse_autoregressive_posterior():
    """The prior's flow moved into the posterior, with the decoder behind its inverse: the same bound on every row, draw by draw."""
    torch.manual_seed(3)
    f = perturbed(Autoregressive(Affine(), MADE(LATENT, 2, width=8, depth=1))).double()
    prior_side = small(prior=Flow(pd.Normal((LATENT,)), copy.deepcopy(f)))
    layer, f = prior_side.transform.transforms
    decoder = Flow(layer.decoder, context=LATENT, embed=Decoded(f))
    encoder = Flow(layer.encoder, Inverse(f), context=D)
    posterior_side = Flow(pd.Normal((LATENT,)).double(), VAE(encoder, decoder), shape=(D,))
    x = rows(20)
    values = []
    for model in (prior_side, posterior_side):
        torch.manual_seed(0)
        values.append(model.log_prob(x))
    close(*values)
    values = []
    for model in (prior_side, posterior_side):
        torch.manual_seed(0)
        values.append(ELBO(model)(x))
    close(*values)


class Decoded(nn.Module):
    """``z -> f^-1(z)``, which is what the other model's decoder sees."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, z):
        return self.f.inverse(z)[0]


class CountedMADE(MADE):
    """Counts its passes and visits."""

    passes = visits = 0

    def forward(self, x, context=None):
        CountedMADE.passes += 1
        return super().forward(x, context)

    def unroll(self, solve, batch, context=None):
        CountedMADE.visits += 1
        return super().unroll(solve, batch, context)


def test_an_inverse_autoregressive_posterior_is_drawn_in_one_pass():
    """Bound, loss and samples ask for no density of a given z, which would take a visit of each number."""
    net = CountedMADE(LATENT, 2, width=8, depth=1, context=D)
    encoder = Flow(gaussian(D, LATENT), Inverse(Autoregressive(Affine(), net)), context=D)
    model = small(encoder)
    CountedMADE.passes = CountedMADE.visits = 0
    model.log_prob(rows())
    assert (CountedMADE.passes, CountedMADE.visits) == (1, 0)
    ELBO(model)(rows())
    assert (CountedMADE.passes, CountedMADE.visits) == (2, 0)
    model.sample(3)
    model.encode(rows())
    assert CountedMADE.visits == 0
    model.sample_and_log_prob(3)  # asks for log q of the z that x came from
    assert CountedMADE.visits == 1


# --- objectives ---


def test_the_closed_form_is_used_where_there_is_one():
    """It has no noise beside that of the reconstruction, its mean is the estimate's, and layers behind the VAE or in the encoder end it."""
    model = small()
    x = rows()
    torch.manual_seed(0)
    many = torch.stack([taken_apart(model, x)[1][0] for _ in range(3)]).detach()
    close(many[0], many[1])
    layer = model.transform.transforms[0]
    h = layer.encoder.parameters_of(x)
    q = torch.distributions.Normal(h[:, 0], (5 * torch.tanh(h[:, 1] / 5)).exp())
    close(many[0], torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).detach())
    estimates = torch.stack([_estimate(model, x) for _ in range(3000)])
    gap = estimates.mean(0) - many[0]
    assert (gap.abs() < 4 * estimates.std(0) / math.sqrt(3000)).all()
    for other in (small(Flow(gaussian(D, LATENT), Inverse(RowTriangular(LATENT)), context=D)), small(prior=real_nvp((LATENT,), steps=2))):
        one, two = (taken_apart(other, x)[1][0] for _ in range(2))
        assert (one - two).abs().min() > 1e-6


@torch.no_grad()
def _estimate(model, x):
    layer = model.transform.transforms[0]
    z, log_q = layer.encoder.sample_and_log_prob((), x)
    return log_q - model.base.log_prob(z)


def test_what_is_reported_is_the_plain_bound():
    """Whatever beta, warm-up and free bits, in evaluation the loss is minus the bound."""
    model = small()
    x = rows(200)
    plain, odd = ELBO(model).eval(), ELBO(model, beta=0.3, warmup=0.5, free_bits=2.0).eval()
    torch.manual_seed(0)
    first = plain(x)
    torch.manual_seed(0)
    close(first, odd(x))
    torch.manual_seed(0)
    second = -model.log_prob(x.repeat(50, 1)).mean()
    close(first, second, 0.1)


def test_beta_warms_up_and_free_bits_are_free():
    model = small()
    x = rows(50)
    torch.manual_seed(0)
    reconstruction, (kl,) = taken_apart(model, x)

    def loss(progress, **options):
        torch.manual_seed(0)
        return ELBO(model, **options)(x, progress=progress)

    close(loss(1.0), (kl - reconstruction).mean())
    close(loss(0.25, warmup=0.5, beta=2.0), (kl - reconstruction).mean())  # half way to 2
    close(loss(0.0, warmup=0.5), -reconstruction.mean())
    free = float(kl.mean()) + 1  # the mean over the batch is what counts, not each row
    assert (kl.detach() > free).any()
    close(loss(1.0, free_bits=free), free - reconstruction.mean())


@pytest.mark.parametrize("draws", [1, 5])
def test_the_doubly_reparameterised_gradient_is_unbiased(draws):
    """Same value and same mean gradient as the plain one, with less variance for the encoder."""
    torch.manual_seed(0)
    model = small()
    x = rows(3)
    found = {}
    for doubly in (False, True):
        loss = IWAE(model, draws=draws, doubly=doubly)
        gradients, values = [], []
        torch.manual_seed(0)
        for _ in range(3000):
            model.zero_grad()
            value = loss(x)
            value.backward()
            values.append(value.detach())
            gradients.append(torch.cat([p.grad.flatten() for p in model.transform.transforms[0].encoder.parameters()]))
        found[doubly] = torch.stack(gradients), torch.stack(values)
    (plain, first), (double, second) = found[False], found[True]
    close(first[:10], second[:10], 1e-8)  # the same noise, the same bound
    error = (plain.var(0) + double.var(0)).div(len(plain)).sqrt()
    assert ((plain.mean(0) - double.mean(0)).abs() < 4.5 * error).all()
    assert (plain.mean(0).abs() > 5 * error).any()
    assert double.var(0).sum() < 0.8 * plain.var(0).sum()


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior():
    """With one draw and ``doubly`` the encoder's gradient is zero draw by draw where q is the posterior."""
    model, law = linear_gaussian()
    x = law.sample((10,))
    IWAE(model, draws=1, doubly=True)(x).backward()
    gradients = [p.grad for p in model.transform.transforms[0].encoder.parameters()]
    assert max(float(g.abs().max()) for g in gradients) < 1e-10
    model.zero_grad()
    IWAE(model, draws=1)(x).backward()
    assert max(float(p.grad.abs().max()) for p in model.transform.transforms[0].encoder.parameters()) > 1e-2


# --- the bound taken apart ---


def test_surgery_is_an_identity():
    """reconstruction - mutual information - marginal KL is the bound, with common draws; and MI stays below log n."""
    model = small()
    found = surgery(model, Rows(rows(300)), draws=20)
    assert abs(found.reconstruction - found.mutual_information - found.marginal_kl - found.bound) < 1e-8
    assert 0 < found.mutual_information <= found.cap == math.log(300)
    assert found.gap > 0 and found.units == LATENT and 0 <= found.active <= LATENT


def test_mutual_information_saturates_at_log_n():
    """Encoders that do not overlap tell all rows apart."""
    model = small()
    with torch.no_grad():
        net = model.transform.transforms[0].encoder.net
        net.weight.mul_(100)
        net.weight[LATENT:], net.bias[LATENT:] = 0, -20.0
    found = surgery(model, Rows(rows(100)))
    assert found.cap - 1e-6 < found.mutual_information <= found.cap + 1e-12


def test_the_aggregated_posterior_is_the_exact_mixture():
    """Against densities of all pairs; for normal posteriors by matrix products, for a flow's by its density."""
    plain = gaussian(D, LATENT)
    flow = Flow(gaussian(8, LATENT), Inverse(RowTriangular(LATENT, nn.Linear(8, 3))), context=D, embed=nn.Linear(D, 8))
    for encoder in (perturbed(plain.double()), perturbed(flow.double())):
        x, z = rows(40), rows(7, 1)[:, :LATENT]
        with torch.no_grad():
            pairs = torch.stack([encoder.log_prob(z[i : i + 1].expand(40, -1), x).logsumexp(0) for i in range(7)]) - math.log(40)
            close(aggregated(encoder, z, encoder.embedding(x)), pairs)


# --- the recipe ---

POSTERIORS = ["gaussian", "full", "planar", "radial", "sylvester", "householder", "triangular", "coupling", "iaf"]
PRIORS = ["standard", "mixture", "real_nvp", "maf", "nsf"]
TINY = {"latent": 3, "width": 8, "depth": 1, "posterior_steps": 2, "components": 2, "rank": 2, "maps": 4, "blocks": 1}


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posteriors(posterior):
    """The bound is below the tighter one, gradients reach everything, samples are levels."""
    check(vae((1, 4, 4), levels=2, posterior=posterior, **TINY), 2)


@pytest.mark.parametrize("prior", PRIORS)
def test_priors(prior):
    steps = {} if prior in ("standard", "mixture") else {"prior_steps": 1}
    check(vae((1, 4, 4), levels=5, prior=prior, **steps, **TINY), 5)


def test_decoders_and_contexts():
    check(vae((3, 4, 4), levels=4, decoder="pixel_cnn", **TINY), 4)
    check(vae((1, 4, 4), levels=4, context=2, posterior="iaf", decoder="pixel_cnn", **TINY), 4, 2)
    check(vae((1, 4, 4), levels=4, context=2, prior="nsf", **TINY), 4, 2)
    model = perturbed(vae((4,), context=2, **TINY))
    assert model.log_prob(torch.randn(5, 4), torch.randn(5, 2), samples=3).shape == (5,)
    with pytest.raises(ValueError, match="rows take decoder=independent"):
        vae((4,), decoder="pixel_cnn")


def check(model: Flow, levels: int, context: int = 0):
    torch.manual_seed(0)
    perturbed(model, 0.1)
    x = torch.randint(levels, (40, *model.shape)).float()
    given = torch.randn(40, context) if context else None
    model.initialize(x, given)
    loss = ELBO(model)(x, given)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        one, many = (torch.stack([model.log_prob(x, given, samples=k) for _ in range(30)]).mean() for k in (1, 20))
        close(-loss.detach(), one, 3.0)
        assert one < many < 0
        drawn = model.sample(3, given)
        assert ((drawn >= 0) & (drawn < levels) & (drawn == drawn.round())).all()
        back = model.decode(model.encode(x, given), given)
        assert back.shape == x.shape and (back == back.round()).all()
