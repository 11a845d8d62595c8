"""Priors of latents: the VampPrior and its tie to the encoder, and a mixture that starts without data."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import pushforward.likelihoods as pl
from pushforward.core import Distribution, Flow, Inverse
from pushforward.distributions import DiagonalMixture, Given, Normal, PseudoInputs, VampPrior
from pushforward.training.atomic import write_tensors
from pushforward.training.checkpoint import load_weights, weights
from pushforward.training.ema import Ema
from pushforward.transforms import VAE, Coupling, Planar
from pushforward.univariate import Affine

PIXELS, LATENT, K = 6, 2, 5


class Trunk(nn.Module):
    """A small net that knows how many rows it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PIXELS, 8), nn.Tanh())
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return self.net(x)


def encoders(name: str) -> tuple[PseudoInputs, Distribution, Trunk]:
    u, trunk = PseudoInputs((PIXELS,), K), Trunk()
    if name == "given":
        return u, Given(pl.Normal(), nn.Sequential(u, trunk, nn.Linear(8, 2 * LATENT)), (LATENT,), context=PIXELS), trunk
    base = Given(pl.Normal(), nn.Linear(8, 2 * LATENT), (LATENT,), context=8)
    layers = {
        "flow": [],
        "planar": [Inverse(Planar(LATENT, nn.Linear(8, 2 * LATENT + 1)))],
        "coupling": [Coupling([1, 0], Affine(), nn.Linear(9, 2))],
    }[name]
    return u, Flow(base, *layers, context=PIXELS, embed=nn.Sequential(u, trunk)), trunk


def model(name: str = "flow") -> tuple[Flow, PseudoInputs, Trunk]:
    """A VAE of bits with a tied prior."""
    torch.manual_seed(0)
    u, encoder, trunk = encoders(name)
    decoder = Given(pl.Bernoulli(), nn.Linear(LATENT, PIXELS), (PIXELS,), context=LATENT)
    return Flow(VampPrior(encoder, u), VAE(encoder, decoder), shape=(PIXELS,)), u, trunk


@pytest.mark.parametrize("name", ["given", "flow", "planar", "coupling"])
def test_vamp_is_the_mixture_of_posteriors(name):
    """As torch.distributions has it, with the encoder asked for one pseudo-input at a time; the encoder reads K rows, not K for each z."""
    torch.manual_seed(0)
    u, encoder, trunk = encoders(name)
    prior = VampPrior(encoder.double(), u)
    z = torch.randn(7, LATENT, dtype=torch.float64)
    trunk.rows = 0
    found = prior.log_prob(z)
    assert trunk.rows == K
    each = torch.stack([encoder.log_prob(z, row.expand(7, PIXELS)) for row in u.rows()], 1)
    torch.testing.assert_close(found, each.logsumexp(1) - math.log(K), atol=1e-12, rtol=1e-12)
    drawn, log_prob = prior.sample_and_log_prob((9,))
    torch.testing.assert_close(prior.log_prob(drawn), log_prob, atol=1e-9, rtol=1e-9)


def test_vamp_draws_components_at_random():
    """Posteriors far apart and narrow: each is drawn as often as the others, in no order."""
    u = PseudoInputs((PIXELS,), K)
    net = nn.Sequential(u, nn.Linear(PIXELS, 2 * LATENT))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[0] = 100 * torch.randn(PIXELS)
        net[1].bias.fill_(-5.0)
    prior = VampPrior(Given(pl.Normal(), net, (LATENT,), context=PIXELS), u)
    with torch.no_grad():
        means = net(u.rows())[:, 0]
        nearest = (prior.sample((4000,))[:, 0, None] - means).abs().argmin(1)
    shares = torch.bincount(nearest, minlength=K) / 4000
    assert (shares - 1 / K).abs().max() < 0.03 and abs((nearest.diff() != 0).double().mean() - 0.8) < 0.05


def test_pseudo_inputs_start_from_rows():
    """Through the model's own start, whatever layers stand before; rows on a bound are moved inwards, a row taken twice comes apart."""
    flow, u, _ = model()
    x = torch.randint(2, (3, PIXELS)).float()
    flow.initialize(x)
    assert torch.equal(u(x), x)
    torch.testing.assert_close(u.rows()[:3], x.clamp(0.02, 0.98))
    assert (u.rows()[3:] != u.rows()[:2]).all() and (u.rows()[3:] - x[:2]).abs().max() < 0.2
    (gradient,) = torch.autograd.grad(flow.log_prob(x).sum(), u.v)
    assert gradient.isfinite().all() and (gradient != 0).any(1).all()
    free = PseudoInputs((PIXELS,), 2, bounds=None)
    free.initialize(5 * x)
    assert torch.equal(free.rows(), 5 * x[:2])


def test_the_tie_is_counted_once_and_kept():
    """Parameters once; a copy, an average and a file keep prior and layer at one encoder."""
    flow, _, _ = model()
    layer = flow.transform.transforms[0]
    assert flow.base.encoder is layer.encoder
    names = [name for name, _ in flow.named_parameters()]
    assert sum("encoder" in name for name in names) == 5 and set(flow.state_dict()) >= set(names)
    assert sum("encoder" in name for name in flow.state_dict()) == 5
    numbers = {name: torch.zeros_like(p) for name, p in flow.named_parameters()}
    x = torch.randint(2, (5, PIXELS)).float()
    old = flow.base.log_prob(torch.zeros(5, LATENT))
    assert (torch.func.functional_call(flow, numbers, (x,)) - math.log(0.5) * PIXELS).abs().max() < 1e-5, "q = p"
    assert torch.equal(flow.base.log_prob(torch.zeros(5, LATENT)), old)
    twin = copy.deepcopy(flow)
    assert twin.base.encoder is twin.transform.transforms[0].encoder is not layer.encoder
    average = Ema(flow, flow, 0.9)
    assert average.part.base.encoder is average.part.transform.transforms[0].encoder
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.1)
    before, average_before = [p.clone() for p in layer.encoder.parameters()], [p.clone() for p in average.part.parameters()]
    flow.log_prob(x).sum().backward()
    optimizer.step()
    average.update(1)
    assert all((p != old).any() for p, old in zip(layer.encoder.parameters(), before, strict=True))
    assert all((p != old).any() for p, old in zip(average.part.parameters(), average_before, strict=True))


def test_the_tie_comes_back_from_a_file(tmp_path):
    from safetensors.torch import load_file

    flow, _, _ = model("planar")
    write_tensors(tmp_path / "weights", weights(flow), {})
    other, _, _ = model("planar")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    load_weights(other, load_file(tmp_path / "weights"))
    x = torch.randint(2, (5, PIXELS)).float()
    assert other.base.encoder is other.transform.transforms[0].encoder
    found = []
    for each in (flow, other):
        torch.manual_seed(1)
        found.append(each.log_prob(x))
    assert torch.equal(*found)


def test_gradients_of_prior_and_posterior_meet():
    """Each way to the encoder alone, and their sum."""
    flow, u, _ = model()
    x, parameters = torch.randint(2, (5, PIXELS)).float(), [p for p in flow.base.encoder.parameters() if p is not u.v]
    z, ldj = flow.transform(x)
    whole = torch.autograd.grad((flow.base.log_prob(z) + ldj).sum(), parameters, retain_graph=True)
    prior = torch.autograd.grad(flow.base.log_prob(z.detach()).sum(), parameters, retain_graph=True)
    fixed = copy.deepcopy(flow).base
    posterior = torch.autograd.grad((fixed.log_prob(z) + ldj).sum(), parameters)
    for a, b, c in zip(whole, prior, posterior, strict=True):
        torch.testing.assert_close(a, b + c, atol=1e-4, rtol=1e-4)
        assert b.any() and c.any()


def test_a_step_lowers_the_loss():
    flow, _, _ = model()
    x = (torch.arange(64).unsqueeze(1) % 2).expand(64, PIXELS).float()
    flow.initialize(x)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        loss = -flow(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_what_does_not_fit_is_refused():
    u, encoder, _ = encoders("given")
    with pytest.raises(ValueError, match=r"pseudo-inputs of shape \(4,\) do not fit an encoder whose context is \(6,\)"):
        VampPrior(encoder, PseudoInputs((4,), 3))
    with pytest.raises(ValueError, match="an encoder whose context is None"):
        VampPrior(Normal((2,)), u)
    with pytest.raises(ValueError, match="low < high"):
        PseudoInputs((4,), 3, bounds=(1.0, 0.0))


def test_a_mixture_starts_where_no_data_are():
    """Mean 0 and variance 1 in each number, before anything is seen; from a batch, the batch's; both to the noise of means."""
    torch.manual_seed(0)
    mixture = DiagonalMixture((3,), 2000).double()

    def moments() -> tuple[Tensor, Tensor]:
        mean, scales = mixture.mean.detach(), mixture.scales().detach()
        return mean.mean(0), (mean.square() + scales.square()).mean(0) - mean.mean(0).square()

    mean, variance = moments()
    assert mean.abs().max() < 0.05 and (variance - 1).abs().max() < 0.05
    x = torch.randn(500, 3, dtype=torch.float64) * torch.tensor([0.1, 1.0, 100.0]) + torch.tensor([5.0, 0.0, -3.0])
    mixture.initialize(x)
    mean, variance = moments()
    torch.testing.assert_close(variance, x.var(0, correction=0), rtol=0.1, atol=0)
    assert ((mean - x.mean(0)).abs() < 0.05 * x.std(0)).all()
    gain = mixture.log_prob(torch.randn_like(x) * x.std(0) + x.mean(0)).mean() - mixture.log_prob(x).mean()
    assert gain.abs() < 0.2, "rows it has seen score as others do"


def test_densities_integrate_to_one_and_nothing_lies_at_infinity():
    flow, _, _ = model("planar")
    edges = torch.linspace(-9, 9, 401)
    z = torch.cartesian_prod((edges[1:] + edges[:-1]) / 2, (edges[1:] + edges[:-1]) / 2)
    with torch.no_grad():
        mass = torch.cat([flow.base.log_prob(part).double().exp() for part in z.split(20_000)]).sum() * (edges[1] - edges[0]) ** 2
        assert abs(mass - 1) < 1e-3
        assert flow.base.log_prob(torch.tensor([[math.inf, 0.0], [0.0, -math.inf]])).tolist() == [-math.inf, -math.inf]
        assert flow.base.log_prob(z[:0]).shape == (0,) and flow.base.draw(0)[0].shape == (0, LATENT)
