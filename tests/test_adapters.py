"""Flows inside Pyro and sbi, with the real packages."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from pushforward import MLP, ActNorm, Affine, Coupling, Flow, LULinear, Normal, as_pyro, as_sbi

# The two packages and what they import warn about themselves; our own warnings are errors in every other test.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def packages():
    torch.manual_seed(0)
    return pytest.importorskip("pyro"), pytest.importorskip("sbi")


def affine_flow(dim: int, context: int) -> Flow:
    """Couplings that can express a Gaussian whose mean is linear in the context."""
    layers = []
    for step in range(4):
        mask = [(i + step) % 2 == 0 for i in range(dim)]
        layers += [ActNorm(dim), LULinear(dim)]
        layers.append(Coupling(mask, Affine(), MLP(sum(mask) + context, 2 * (dim - sum(mask)), width=32, depth=2)))
    return Flow(Normal((dim,)), *layers, context=context)


def test_pyro_shapes():
    flow, context = affine_flow(2, 3), torch.randn(10, 3)
    d = as_pyro(flow, context)
    assert (d.batch_shape, d.event_shape, d.has_rsample) == ((10,), (2,), True)
    value = d()
    torch.testing.assert_close(d.log_prob(value), flow.log_prob(value, context))
    assert value.requires_grad
    assert d.expand((4, 10))().shape == d.expand_by([4])().shape == (4, 10, 2)
    assert d.to_event(1).log_prob(value).shape == ()
    assert d.mask(torch.arange(10) < 3).log_prob(value).count_nonzero() == 3
    assert as_pyro(affine_flow(2, 0)).expand((7,))().shape == (7, 2)
    twin = pickle.loads(pickle.dumps(d))
    torch.testing.assert_close(twin.log_prob(value), d.log_prob(value))
    with pytest.raises(ValueError):
        d.log_prob(torch.randn(10, 3))
    with pytest.raises(ValueError, match="context"):
        as_pyro(flow)


def test_pyro_samples_follow_their_context():
    """Each row of a plate is drawn at its own context: the contexts are far apart."""
    flow = affine_flow(2, 1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    context = torch.tensor([[-100.0], [0.0], [100.0]])
    means = as_pyro(flow, context).expand((2000, 3))().mean(0)
    for row, mean in zip(context, means, strict=True):
        torch.testing.assert_close(flow.sample((2000,), row).mean(0), mean, atol=0.1, rtol=0.2)


def test_pyro_guide_with_plates():
    """z_i ~ N(0, 1), x_i ~ N(z_i, 1/2): the posterior is N(0.8 x_i, 0.2), learned by an amortized guide."""
    import pyro
    from pyro.distributions import Normal as Gaussian
    from pyro.infer import SVI, Trace_ELBO

    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    pyro.enable_validation(True)
    x = torch.randn(256, 2) * 1.25**0.5
    flow = affine_flow(2, 2)

    def model(x):
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", Gaussian(0.0, 1.0).expand([2]).to_event(1))
            pyro.sample("x", Gaussian(z, 0.5).to_event(1), obs=x)

    def guide(x):
        pyro.module("flow", flow)
        with pyro.plate("rows", len(x)):
            pyro.sample("z", as_pyro(flow, x))

    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 5e-3, "lrd": 0.997}), Trace_ELBO(num_particles=4, vectorize_particles=True))
    for _ in range(800):
        loss = svi.step(x)
    at = torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    z = as_pyro(flow, at).sample((20_000,))
    assert (z.mean(0) - 0.8 * at).abs().max() < 0.05
    assert (z.std(0) - 0.2**0.5).abs().max() < 0.05
    evidence = Gaussian(0.0, 1.25**0.5).log_prob(x).sum().item()
    assert -loss / len(x) > evidence / len(x) - 0.05  # a tight bound


def test_pyro_global_guide():
    """An unconditional flow as the guide of a global latent: mean of 50 observations, known posterior."""
    import pyro
    from pyro.distributions import Normal as Gaussian
    from pyro.infer import SVI, Trace_ELBO

    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    x = torch.randn(50, 2) + torch.tensor([1.0, -2.0])
    flow = affine_flow(2, 0)

    def model():
        mean = pyro.sample("mean", Gaussian(0.0, 10.0).expand([2]).to_event(1))
        with pyro.plate("rows", len(x)):
            pyro.sample("x", Gaussian(mean, 1.0).to_event(1), obs=x)

    def guide():
        pyro.module("flow", flow)
        pyro.sample("mean", as_pyro(flow))

    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 1e-2, "lrd": 0.995}), Trace_ELBO(num_particles=16, vectorize_particles=True))
    for _ in range(600):
        svi.step()
    draws = as_pyro(flow).sample((20_000,))
    precision = 50 + 0.01
    assert (draws.mean(0) - x.sum(0) / precision).abs().max() < 0.03
    assert (draws.std(0) - precision**-0.5).abs().max() < 0.03


def test_sbi_shapes():
    flow = affine_flow(2, 3)
    estimator = as_sbi(flow)
    theta, x = torch.randn(7, 5, 2), torch.randn(5, 3)
    assert (estimator.input_shape, estimator.condition_shape) == ((2,), (3,))
    log_prob = estimator.log_prob(theta, x)
    assert log_prob.shape == (7, 5)
    torch.testing.assert_close(log_prob[3], flow.log_prob(theta[3], x))
    assert estimator.log_prob(theta, x[:1]).shape == (7, 5)
    torch.testing.assert_close(estimator.loss(theta[0], x), -log_prob[0])
    assert estimator.sample((4,), x).shape == (4, 5, 2)
    draws, scores = estimator.sample_and_log_prob((4,), x)
    assert draws.shape == (4, 5, 2)
    torch.testing.assert_close(estimator.log_prob(draws, x), scores, atol=1e-4, rtol=1e-4)
    for twin in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        torch.testing.assert_close(twin.log_prob(theta, x), log_prob)
    with pytest.raises(ValueError, match="no context"):
        as_sbi(affine_flow(2, 0))


def test_sbi_posterior():
    """Neural posterior estimation on a linear Gaussian simulator, whose posterior is known."""
    from sbi.inference import NPE

    design = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]])
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    theta = prior.sample((4000,))
    x = theta @ design + 0.5 * torch.randn(4000, 3)
    inference = NPE(prior, density_estimator=lambda theta, x: as_sbi(affine_flow(2, 3)), show_progress_bars=False)
    estimator = inference.append_simulations(theta, x).train(max_num_epochs=80, learning_rate=2e-3)
    posterior = inference.build_posterior(estimator)

    observed = torch.tensor([1.0, 0.5, -0.5])
    covariance = torch.linalg.inv(torch.eye(2) + design @ design.T / 0.25)
    mean = covariance @ design @ observed / 0.25
    draws = posterior.sample((5000,), x=observed, show_progress_bars=False)
    assert (draws.mean(0) - mean).abs().max() < 0.08
    assert (draws.std(0) - covariance.diagonal().sqrt()).abs().max() < 0.06
    assert posterior.sample_batched((50,), x=x[:4], show_progress_bars=False).shape == (50, 4, 2)
