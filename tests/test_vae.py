"""VAEs as layers: the bound as a number, where it is exact, and the theorems about priors and posteriors."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from vaes import LATENT, D, affine, close, gaussian, linear_gaussian, perturbed, rows, small

import pushforward.distributions as pd
from pushforward.core import Flow, Inverse
from pushforward.models.posteriors import posterior_of
from pushforward.nets import MADE
from pushforward.objectives import ELBO
from pushforward.objectives.apart import taken_apart
from pushforward.transforms import VAE, Autoregressive, LULinear, Permute, RowTriangular
from pushforward.univariate import Affine


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
        model.transform.transforms[0].encoder.base.net.bias.add_(0.8)  # no longer the posterior
    x = law.sample((8,))
    torch.manual_seed(0)
    with torch.no_grad():
        ladder = [torch.stack([model.log_prob(x, samples=k) for _ in range(400)]) for k in (1, 5, 40)]
    for low, high in pairwise(ladder):
        difference = high - low
        assert (difference.mean(0) > 3 * difference.std(0) / math.sqrt(len(difference))).all()
    assert (ladder[-1].mean(0) < law.log_prob(x)).all()
    close(model.log_prob(x, samples=20_000).detach(), law.log_prob(x), 0.02)


@pytest.mark.parametrize("context", [0, 2])
def test_many_draws_are_those_of_repeated_rows(context):
    """The encoder's net reads each row once; the numbers are the same."""
    passes = []
    trunk = nn.Sequential(nn.Linear(D + context, 8), nn.Tanh())
    trunk.register_forward_hook(lambda module, inputs, out: passes.append(len(out)))
    encoder = Flow(gaussian(8, LATENT), RowTriangular(LATENT, nn.Linear(8, 3)), context=D + context, embed=trunk)
    model = perturbed(
        Flow(
            pd.Normal((LATENT,)),
            Permute(range(D)),
            VAE(encoder, gaussian(LATENT + context, D)),
            LULinear(LATENT),
            shape=(D,),
            context=context,
        )
    ).double()
    x, c = rows(6), torch.randn(6, context, dtype=torch.float64) if context else None
    torch.manual_seed(0)
    expected = model.log_prob(x.repeat(7, 1), None if c is None else c.repeat(7, 1)).unflatten(0, (7, 6)).logsumexp(0) - math.log(7)
    passes.clear()
    torch.manual_seed(0)
    close(model.log_prob(x, c, samples=7), expected)
    assert passes == [6]


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
    torch.manual_seed(0)
    with torch.no_grad():
        bounds = []
        for _ in range(800):
            reconstruction, groups = taken_apart(deep, x)
            bounds.append(reconstruction - sum(groups))
    assert len(groups) == 2
    gap = torch.stack(bounds) - law.log_prob(x)  # the inner divergence is in closed form, which is right on average
    assert (gap.mean(0).abs() < 4.5 * gap.std(0) / math.sqrt(len(gap))).all() and (gap.std(0) > 0.1).all()


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


class Counted(Autoregressive):
    """Counts its passes, which are quick, and its visits of one number after the other."""

    passes = visits = 0

    def forward(self, x, context=None):
        Counted.passes += 1
        return super().forward(x, context)

    def inverse(self, z, context=None):
        Counted.visits += 1
        return super().inverse(z, context)


def test_an_inverse_autoregressive_posterior_is_drawn_in_one_pass():
    """Bound, loss and samples ask for no density of a given z, which would take a visit of each number."""
    net = MADE(LATENT, 2, width=8, depth=1, context=D)
    encoder = Flow(gaussian(D, LATENT), Inverse(Counted(Affine(), net)), context=D)
    model = small(encoder)
    Counted.passes = Counted.visits = 0
    model.log_prob(rows())
    assert (Counted.passes, Counted.visits) == (1, 0)
    ELBO(model)(rows())
    assert (Counted.passes, Counted.visits) == (2, 0)
    model.sample(3)
    model.encode(rows())
    assert Counted.visits == 0
    model.sample_and_log_prob(3)  # asks for log q of the z that x came from
    assert Counted.visits == 1


def test_the_density_of_a_strange_latent_under_an_iaf_posterior_is_a_number():
    """Gates expand on the way back, number after number: what a row's posterior says of another row's latent overflowed."""
    torch.manual_seed(0)
    trunk = nn.Linear(3, 8)
    posterior = posterior_of("iaf", 40, trunk=trunk, features=8, context=3, steps=4, rank=1)
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    x = torch.randn(64, 3)
    log_prob = posterior.log_prob(5 * torch.randn(64, 40), x)
    assert log_prob.isfinite().all() and log_prob.min() < -1e20  # the way back went to the end
    assert posterior.log_prob(posterior.sample(context=x), x).isfinite().all()
