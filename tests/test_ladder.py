"""The hierarchy of latent maps: against a linear model whose likelihood is known, its two directions, and the recipes made of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pushforward.distributions as pd
import pushforward.likelihoods as pl
from pushforward import options, presets, training
from pushforward.core import Flow, Inverse
from pushforward.models import LATENT_MODELS, iaf_vae
from pushforward.nets import MADE, CausalNet, LadderBlock, MaskedConvNet
from pushforward.objectives import ELBO
from pushforward.objectives.apart import taken_apart
from pushforward.transforms import VAE, Autoregressive, LadderVAE
from pushforward.univariate import Affine, Gate

D, Z, H, K = 4, 2, 5, 3


class LinearBlock(LadderBlock):
    """One linear map for each way; priors and posteriors have constant scales."""

    def __init__(self) -> None:
        super().__init__((Z,))
        self.features, self.prior = nn.Linear(H, 2 * Z + K), nn.Linear(H, 2 * Z)
        self.onwards, self.adds = nn.Linear(H, H), nn.Linear(Z, H)
        self.register_buffer("mask", 0.1 * (torch.arange(2 * Z + K) < Z))
        with torch.no_grad():
            self.features.weight[Z : 2 * Z] = 0
            self.prior.weight[Z:] = 0
            self.features.bias[Z : 2 * Z] = 0.4  # posteriors wide enough for weights of importance that 40,000 draws know

    def up(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.features(h), self.onwards(h)

    def down(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.prior(h), F.pad(h, (0, 2 * Z + K - H)) * self.mask, h

    def merge(self, h: Tensor, z: Tensor, rest: Tensor) -> Tensor:
        return rest + self.adds(z)


class Counting(CausalNet):
    """A masked net that counts its passes and visits."""

    def __init__(self, net: CausalNet):
        super().__init__()
        self.net, self.passes, self.visits = net, 0, 0

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.passes += 1
        return self.net(x, context)

    def unroll(self, solve, batch: int, context: Tensor | None = None) -> Tensor:
        self.visits += 1
        return self.net.unroll(solve, batch, context)


def ladder(levels: int = 2, flows: bool = False, context: int = 0) -> Flow:
    """A linear-Gaussian hierarchy with posteriors that are not the true ones."""
    torch.manual_seed(levels)
    decoder = pd.Given(pl.Normal(), nn.Linear(H, 2 * D), (D,), context=H)
    with torch.no_grad():
        decoder.net.weight[D:] = decoder.net.bias[D:] = 0
    steps = [Autoregressive(Affine(), Counting(MADE(Z, 2, width=8, context=K))) for _ in range(levels)] if flows else ()
    given = nn.Linear(context, H) if context else None
    layer = LadderVAE(nn.Linear(D + context, H), [LinearBlock() for _ in range(levels)], decoder, (H,), steps, given)
    flow = Flow(pd.Normal((levels * Z,)), layer, shape=(D,), context=context).double()
    if flows:
        with torch.no_grad():
            for parameter in layer.flows.parameters():
                parameter.add_(0.15 * torch.randn_like(parameter))
    return flow


def law(flow: Flow) -> torch.distributions.MultivariateNormal:
    """Of x: a linear map of the noise of all maps, and the decoder's own."""
    layer = flow.transform.transforms[0]
    zero = torch.zeros(1, flow.base.shape[0], dtype=torch.float64)
    gain = torch.autograd.functional.jacobian(lambda z: layer.decode(z)[0], zero)[:, 0]
    scale = 5 * torch.tanh(layer.decoder.net.bias[D:] / 5)
    return torch.distributions.MultivariateNormal(layer.decode(zero)[0].detach(), gain @ gain.mT + (2 * scale).exp().diag())


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("flows", [False, True])
def test_the_bound_is_below_the_likelihood_and_rises_to_it(levels, flows):
    """On average on each row; the importance-weighted one is closer, and its mean of likelihoods the likelihood."""
    flow = ladder(levels, flows)
    exact = law(flow)
    x = exact.sample((4,))
    torch.manual_seed(0)
    with torch.no_grad():
        bound = flow.log_prob(x.repeat(40_000, 1)).view(40_000, 4)
    truth = exact.log_prob(x).detach()
    assert (bound.mean(0) + 4 * bound.std(0) / 200 < truth).all()
    ratio = (bound - truth).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / 200).all() and (ratio.std(0) < 12).all()
    assert flow.kind == "bound"


@pytest.mark.parametrize("flows", [False, True])
def test_the_parts_add_up_to_the_bound(flows):
    """On average, and with less noise; a group for each channel of each map, in closed form and not below 0 between normals."""
    flow = ladder(3, flows)
    x = law(flow).sample((3,)).detach()
    with torch.no_grad():
        reconstruction, groups = taken_apart(flow, x.repeat(20_000, 1))
        torch.manual_seed(1)
        whole = flow.log_prob(x.repeat(20_000, 1)).view(-1, 3)
    by_parts = (reconstruction - sum(groups)).view(-1, 3)
    difference = by_parts.mean(0) - whole.mean(0)
    assert (difference.abs() < 4 * torch.hypot(by_parts.std(0), whole.std(0)) / math.sqrt(20_000)).all()
    assert len(groups) == 3 * Z and (by_parts.std(0) < whole.std(0)).all() and (flows or torch.stack(groups).min() >= 0)


def test_another_prior_behind_counts_with_the_first_group():
    flow = ladder(2, flows=True)
    behind = pd.DiagonalMixture((2 * Z,), 3).double()
    other = Flow(behind, *flow.transform.transforms, shape=(D,))
    x = law(flow).sample((6,)).detach()
    layer, found = flow.transform.transforms[0], []
    for each in (flow, other):
        torch.manual_seed(1)
        found.append(layer.parts(x, None, each.base))
    z = found[0].z
    difference = flow.base.log_prob(z) - behind.log_prob(z)
    assert torch.equal(z, found[1].z) and torch.equal(found[0].kl[:, 1:], found[1].kl[:, 1:]) and difference.abs().min() > 1e-3
    torch.testing.assert_close(found[1].kl[:, 0] - found[0].kl[:, 0], difference, atol=1e-10, rtol=1e-10)


class Fixed(pd.Given):
    """A decoder that draws the x it is told."""

    x: Tensor

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.x, self.log_prob(self.x, context)


@pytest.mark.parametrize("flows", [False, True])
@pytest.mark.parametrize("context", [0, 2])
def test_the_two_directions_cancel(flows, context):
    """Latents drawn from x and x drawn from these latents again: the same ldj with the other sign."""
    flow = ladder(3, flows, context)
    layer = flow.transform.transforms[0]
    fixed = Fixed(pl.Normal(), layer.decoder.net, (D,), context=H).double()
    layer.decoder = fixed
    x = fixed.x = torch.randn(5, D, dtype=torch.float64)
    c = torch.randn(5, context, dtype=torch.float64) if context else None
    z, ldj = layer(x, c)
    again, back = layer.inverse(z, c)
    assert torch.equal(again, x)
    torch.testing.assert_close(back, -ldj, atol=1e-8, rtol=1e-8)


def test_passes_of_the_autoregressive_nets():
    """One for a draw with its density, whatever D; none for a sample; a visit for the density of what is given."""
    flow = ladder(2, flows=True)
    layer = flow.transform.transforms[0]
    nets = [step.net for step in layer.flows]

    def counted(function) -> set[tuple[int, int]]:
        for net in nets:
            net.passes = net.visits = 0
        function()
        return {(net.passes, net.visits) for net in nets}

    x = torch.randn(5, D, dtype=torch.float64)
    assert counted(lambda: flow.log_prob(x)) == {(1, 0)}
    assert counted(lambda: flow.encode(x)) == {(1, 0)}
    assert counted(lambda: ELBO(flow)(x)) == {(1, 0)}
    assert counted(lambda: flow.sample((5,))) == {(0, 0)}
    assert counted(lambda: flow.decode(torch.zeros(5, 2 * Z, dtype=torch.float64))) == {(0, 0)}
    assert counted(lambda: flow.sample_and_log_prob((5,))) == {(0, 1)}


@pytest.mark.parametrize("scalar", [Affine, Gate])
def test_passes_of_an_iaf_posterior(scalar):
    """The log density of a draw is never asked for again: one pass of each net and of the trunk, whatever the dimension."""
    nets = [Counting(MADE(Z, 2, width=8, context=K, order=order)) for order in ([0, 1], [1, 0])]
    trunk = Counting(MADE(D, 1, width=8))
    base = pd.Given(pl.Normal(), nn.Linear(K, 2 * Z), (Z,), context=K)
    layers = [Inverse(Autoregressive(scalar(), net)) for net in nets]
    encoder = Flow(base, *layers, context=D, embed=nn.Sequential(trunk, nn.Linear(D, K)))
    decoder = pd.Given(pl.Normal(), nn.Linear(Z, 2 * D), (D,), context=Z)
    flow = Flow(pd.Normal((Z,)), VAE(encoder, decoder), shape=(D,))
    x = torch.randn(5, D)

    def counted(function) -> set[tuple[int, int]]:
        for net in [*nets, trunk]:
            net.passes = net.visits = 0
        function()
        return {(net.passes, net.visits) for net in nets}

    for function in (flow.log_prob, flow.encode, ELBO(flow), ELBO(flow).train()):
        assert counted(lambda function=function: function(x)) == {(1, 0)} and trunk.passes == 1
    assert counted(lambda: flow.log_prob(x, samples=3)) == {(1, 0)} and trunk.passes == 1
    assert counted(lambda: flow.sample((5,))) == {(0, 0)} and trunk.passes == 0
    assert counted(lambda: encoder.log_prob(torch.zeros(5, Z), x)) == {(0, 1)}
    z, log_q = encoder.sample_and_log_prob((), x)
    torch.testing.assert_close(encoder.log_prob(z, x), log_q, atol=1e-4, rtol=1e-4)


def test_samples_have_the_law_of_the_model():
    flow = ladder(3)
    exact = law(flow)
    torch.manual_seed(0)
    x = flow.sample((20_000,))
    torch.testing.assert_close(x.mean(0), exact.mean, atol=0.05, rtol=0.05)
    torch.testing.assert_close(torch.cov(x.mT), exact.covariance_matrix.detach(), atol=0.1, rtol=0.1)


def test_free_bits_leave_each_channel_of_each_map_free():
    """Averaged over the batch before the maximum, then summed."""
    flow = ladder(2)
    x = law(flow).sample((6,)).detach()
    torch.manual_seed(1)
    reconstruction, groups = taken_apart(flow, x)
    torch.manual_seed(1)
    loss = ELBO(flow, free_bits=1.0).train()(x)
    expected = sum(max(group.mean().item(), 1.0) for group in groups) - reconstruction.mean().item()
    assert loss.item() == pytest.approx(expected) and any(group.mean() < 1 for group in groups)


def test_what_does_not_fit_is_refused():
    decoder = pd.Given(pl.Normal(), nn.Linear(H, 2 * D), (D,), context=H)
    with pytest.raises(ValueError, match="a flow for each or none, got 0 and 0"):
        LadderVAE(nn.Linear(D, H), [], decoder, (H,))
    step = Autoregressive(Affine(), MADE(Z, 2, width=8, context=K))
    with pytest.raises(ValueError, match="got 2 and 1"):
        LadderVAE(nn.Linear(D, H), [LinearBlock(), LinearBlock()], decoder, (H,), [step])
    with pytest.raises(ValueError, match="needs a context"):
        ladder(1, context=2).transform.transforms[0](torch.randn(2, D, dtype=torch.float64), None)


# --- recipes ---

SMALL = {
    "iaf_vae": {"latents": 2, "blocks": 2, "width": 6},
    "iaf_vae-normal": {"latents": 2, "blocks": 2, "width": 6, "posterior": "normal", "components": 2},
    "vae": {"latent": 3, "width": 12, "posterior": "iaf", "posterior_steps": 1, "prior": "maf", "prior_steps": 1},
    "vae-pixel_cnn": {"latent": 3, "width": 12, "decoder": "pixel_cnn", "maps": 6, "blocks": 1},
    "vlae": {"latent": 3, "window": 1, "maps": 6, "width": 12, "prior_steps": 2, "prior_width": 8},
}
models = pytest.mark.parametrize("name", SMALL)
contexts = pytest.mark.parametrize("context", [0, 2])


def build(name: str, shape: tuple[int, ...], context: int = 0, noise: float = 0.1, levels: int = 4) -> Flow:
    """A small model in float64, perturbed: what starts at zero would hide its faults."""
    torch.manual_seed(context)
    flow = LATENT_MODELS[name.split("-")[0]](shape, levels=levels, context=context, **SMALL[name]).double()
    flow.initialize(images(32, levels, *shape), rows(context, 32))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow


def images(n: int, levels: int, *shape: int) -> Tensor:
    return torch.randint(levels, (n, *shape)).double()


def rows(context: int, n: int) -> Tensor | None:
    return torch.randn(n, context, dtype=torch.float64) if context else None


@models
@contexts
@pytest.mark.parametrize("levels", [2, 64])
def test_density_and_samples(name, context, levels):
    """Bits and many levels: samples are whole numbers of them, gradients are finite and reach every parameter."""
    flow = build(name, (3, 4, 4), context, levels=levels)
    x, c = images(5, levels, 3, 4, 4), rows(context, 5)
    assert flow.kind == "bound" and flow.log_prob(x, c).shape == (5,)
    assert flow.encode(x, c).shape == (5, *flow.base.shape) and flow.decode(flow.encode(x, c), c).shape == x.shape
    samples = flow.sample((2,), c)
    assert samples.shape == (2, *((5,) if context else ()), 3, 4, 4)
    assert torch.equal(samples, samples.round()) and samples.min() >= 0 and samples.max() < levels
    (-flow(x, c).mean()).backward()
    for key, parameter in flow.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), key


@models
def test_probabilities_sum_to_one(name):
    """The chance of all 2^4 images, by averages over draws of the latent, is 1."""
    flow = build(name, (1, 2, 2), levels=2)
    every = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 4).view(-1, 1, 2, 2)
    torch.manual_seed(0)
    with torch.no_grad():
        chances = torch.stack([flow.log_prob(every.repeat(128, 1, 1, 1)).exp().view(128, -1).sum(1) for _ in range(20)]).flatten()
    error = chances.std() / math.sqrt(len(chances))
    assert error < 0.05 and abs(chances.mean() - 1) < 4 * error


@models
def test_context_reaches_every_pixel(name):
    flow = build(name, (1, 4, 4), 2, noise=0.3)
    x, c = images(64, 4, 1, 4, 4), rows(2, 64)
    with torch.no_grad():
        z = flow.encode(x, c)
        a, b = (seeded(lambda d: flow.transform.generate(z, d), d) for d in (c, c + 3))
    assert (flow.encode(x, c) != flow.encode(x, c + 3)).any(0).all() and (a != b).any(0).all()
    with pytest.raises(ValueError, match="needs a context"):
        flow.log_prob(x)


def seeded(function, *inputs):
    torch.manual_seed(0)
    return function(*inputs)


@models
def test_training_lowers_the_loss(name):
    flow = build(name, (1, 4, 4), noise=0.0).float()
    x = (torch.arange(64).view(64, 1, 1, 1) % 4).expand(64, 1, 4, 4).float().contiguous()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    loss = ELBO(flow).train()
    losses = []
    for _ in range(4):
        torch.manual_seed(0)
        value = loss(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[3] < losses[0]


def test_starts_with_nothing_in_the_latents():
    """Posteriors are their priors, so that the bound is exact for as long as nothing is learned."""
    flow = build("iaf_vae", (1, 4, 4), noise=0.0)
    _, groups = taken_apart(flow, images(5, 4, 1, 4, 4))
    torch.testing.assert_close(torch.stack(groups), torch.zeros(4, 5, dtype=torch.float64), atol=1e-10, rtol=0)


@models
def test_log_likelihoods_under_autocast(name):
    """In float32, and as close as bfloat16 nets of three digits can be."""
    flow, x = build(name, (1, 4, 4), levels=64).float(), images(16, 64, 1, 4, 4).float()
    torch.manual_seed(1)
    plain = flow(x)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        cast, z = flow(x), flow.encode(x)
    assert cast.dtype == z.dtype == torch.float32 and not torch.equal(cast, plain)
    assert (cast - plain).abs().mean() < 0.02 * plain.abs().mean()


def test_every_recipe_is_tested():
    assert {name.split("-")[0] for name in SMALL} == set(LATENT_MODELS)


PRESETS = {path.stem: path for path in presets.shipped() if path.stem.startswith(("iaf_vae", "vlae"))}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_bind(name):
    """Four lines of words, a recipe that builds at the shape of its data, and options of a bound that training knows."""
    lines = PRESETS[name].read_text().splitlines()
    assert [line.partition(":")[0] for line in lines[1:4]] == ["# Paper", "# Expected", "# Hardware"] and "arXiv:" in lines[1]
    given = presets.read_preset(PRESETS[name])
    model = given.pop("model.name")
    recipe, train = options.parse_options(given, LATENT_MODELS[model], training.fit)
    assert train["objective"] == "elbo" and train["patience"] == 0
    with torch.device("meta"):
        flow = LATENT_MODELS[model]((1, 28, 28) if "mnist" in name else (3, 32, 32), levels=2 if "binary" in name else 256, **recipe)
    size = sum(p.numel() for p in flow.parameters())
    assert size < 7e6 if name.endswith("_small") else 2e7 < size < 1e8


@pytest.mark.parametrize("name", ["iaf_vae", "vlae"])
def test_shapes_that_do_not_fit(name):
    with pytest.raises(ValueError, match="this model takes images"):
        build(name, (12,))
    with pytest.raises(ValueError, match="multiples of 2"):
        iaf_vae((1, 5, 4))


@pytest.mark.parametrize("window", [1, 2])
def test_a_pixel_of_vlae_reads_its_window_and_z(window):
    """With z held, a change reaches the pixels of the window behind it and no other; z reaches all."""
    torch.manual_seed(0)
    flow = LATENT_MODELS["vlae"]((1, 7, 7), levels=2, **(SMALL["vlae"] | {"window": window})).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(torch.randn_like(parameter))
    decoder = next(layer for layer in flow.transform.transforms if hasattr(layer, "decoder")).decoder
    x, z = images(16, 2, 1, 7, 7), torch.randn(16, 3, dtype=torch.float64)

    def logits(x: Tensor, z: Tensor) -> Tensor:
        return decoder.base.parameters_at(x, decoder.embedding(z))[:, 0, 0]

    other = x.clone()
    other[:, 0, 2, 3] = 1 - other[:, 0, 2, 3]
    with torch.no_grad():
        reached = (logits(x, z) != logits(other, z)).any(0)
        assert (logits(x, z) != logits(x, z + 1)).any(0).all()
    row, column = torch.arange(7) - 2, torch.arange(7) - 3
    near = (row[:, None] <= window) & (column[None].abs() <= window) & ((row[:, None] > 0) | ((row[:, None] == 0) & (column[None] > 0)))
    assert torch.equal(reached, near)


def test_what_the_window_does_not_see_goes_through_z():
    """One fair bit at four places in turn with zeros: a window of 1 pays log 2 for each, or once by z; a window over all leaves z alone."""
    shape, found = (1, 1, 7), {}
    x = torch.zeros(64, *shape)
    x[:, 0, 0, ::2] = torch.arange(64).unsqueeze(1) % 2.0
    for window in (1, 6):
        torch.manual_seed(0)
        encoder = pd.Given(pl.Normal(), nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), (1,), context=shape)
        place = nn.Sequential(nn.Linear(1, 28), nn.Unflatten(1, (4, 1, 7)))
        net = MaskedConvNet(shape, 1, width=16, depth=0, kernel=2 * window + 1, context=4)
        decoder = Flow(pd.Causal(pl.Bernoulli(), net, shape, (4, 1, 7)), context=1, embed=place)
        flow = Flow(pd.Normal((1,)), VAE(encoder, decoder), shape=shape)
        loss, optimizer = ELBO(flow, warmup=0.6).train(), torch.optim.Adam(flow.parameters(), lr=0.05)
        for i in range(200):
            value = loss(x, progress=i / 200)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        with torch.no_grad():
            reconstruction, groups = taken_apart(flow, x.repeat(20, 1, 1, 1))
        divergence = sum(groups).mean().item() / math.log(2)
        found[window] = reconstruction.mean().item() / math.log(2) - divergence, divergence
    assert found[1][0] > -3.5 and found[1][1] > 0.9, found
    assert found[6][0] > -1.3 and found[6][1] < 0.6, found
