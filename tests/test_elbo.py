"""Losses of VAEs and their gradients, and the bound taken apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from vaes import LATENT, D, close, gaussian, linear_gaussian, perturbed, rows, small

import pushforward.distributions as pd
import pushforward.likelihoods as pl
from pushforward.core import Flow, Inverse
from pushforward.data import Rows
from pushforward.evaluation import surgery
from pushforward.evaluation.surgery import aggregated
from pushforward.models import real_nvp
from pushforward.objectives import ELBO, IWAE
from pushforward.objectives.apart import taken_apart
from pushforward.transforms import RowTriangular


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
    with torch.no_grad():
        reconstruction, (kl,) = taken_apart(model, x)

    def loss(progress, **options):
        torch.manual_seed(0)
        return ELBO(model, **options)(x, progress=progress)

    close(loss(1.0), (kl - reconstruction).mean())
    close(loss(0.25, warmup=0.5, beta=2.0), (kl - reconstruction).mean())  # half way to 2
    close(loss(0.0, warmup=0.5), -reconstruction.mean())
    free = float(kl.mean()) + 1  # the mean over the batch is what counts, not each row
    assert (kl > free).any()
    close(loss(1.0, free_bits=free), free - reconstruction.mean())


def test_without_free_bits_the_loss_is_a_mean_over_rows():
    """Also where the divergence is that of draws, whose mean over a few rows may be below zero: nothing is cut off there."""
    flow, x = small(Flow(gaussian(D, LATENT), Inverse(RowTriangular(LATENT)), context=D)), rows(100)
    with torch.no_grad():
        for parameter in flow.transform.transforms[0].encoder.parameters():
            parameter.mul_(0.1)  # near the prior
    below = 0
    for part in x.split(4):
        torch.manual_seed(0)
        reconstruction, (kl,) = taken_apart(flow, part)
        torch.manual_seed(0)
        close(ELBO(flow)(part), (kl - reconstruction).mean())
        below += int(kl.mean() < 0)
    assert below > 3


@pytest.mark.parametrize("draws", [1, 5])
def test_the_doubly_reparameterised_gradient_is_unbiased(draws):
    """Same value and same mean gradient as the plain one; of less variance for the encoder, where that is near the posterior."""
    model, law = linear_gaussian()
    encoder = model.transform.transforms[0].encoder
    with torch.no_grad():
        encoder.base.net.bias.add_(0.3)
    x = law.sample((3,)).repeat(20, 1)
    found = {}
    for doubly in (False, True):
        loss = IWAE(model, draws=draws, doubly=doubly)
        gradients, values = [], []
        torch.manual_seed(0)
        for _ in range(200):
            model.zero_grad()
            value = loss(x)
            value.backward()
            values.append(value.detach())
            gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
        found[doubly] = torch.stack(gradients), torch.stack(values)
    (plain, first), (double, second) = found[False], found[True]
    close(first, second, 1e-8)  # the same noise, the same bound
    error = (plain.var(0) + double.var(0)).div(len(plain)).sqrt()
    assert ((plain.mean(0) - double.mean(0)).abs() < 4.5 * error).all()
    assert (plain.mean(0).abs() > 5 * error).any()
    assert double.var(0).sum() < 0.5 * plain.var(0).sum()


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
    """Against densities of all pairs; for normal posteriors by matrix products, for others by their density."""
    plain = gaussian(D, LATENT)
    flow = Flow(gaussian(8, LATENT), Inverse(RowTriangular(LATENT, nn.Linear(8, 3))), context=D, embed=nn.Linear(D, 8))
    other = pd.Given(pl.Laplace(), nn.Linear(D, 2 * LATENT), (LATENT,), context=D)
    for encoder in (perturbed(plain.double()), perturbed(flow.double()), perturbed(other.double())):
        x, z = rows(40), rows(7, 1)[:, :LATENT]
        with torch.no_grad():
            pairs = torch.stack([encoder.log_prob(z[i : i + 1].expand(40, -1), x).logsumexp(0) for i in range(7)]) - math.log(40)
            close(aggregated(encoder, z, encoder.embedding(x)), pairs)
