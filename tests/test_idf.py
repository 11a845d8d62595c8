"""Integer discrete flows: bijections of whole numbers, probabilities of all of them, and the model of images made of both."""

from __future__ import annotations

import itertools
import math
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward import likelihoods
from pushforward.core import Flow, join
from pushforward.data import load_images
from pushforward.distributions import Free, Given, Normal, SplitPrior, parts, unroll
from pushforward.likelihoods import IntegerLogisticMixture
from pushforward.models import idf
from pushforward.nets import ConvNet, DenseNet
from pushforward.transforms import IntegerCoupling
from pushforward.transforms.integer import straight_through

LEVELS = 6
LIKELIHOODS = {f"{k} components": IntegerLogisticMixture(LEVELS, k) for k in (1, 2, 3, 5)}
contexts = pytest.mark.parametrize("context", [0, 2])
mixtures = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)


Module = TypeVar("Module", bound=nn.Module)


def perturbed(module: Module, noise: float = 0.1) -> Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return module


def build(shape: tuple[int, ...], context: int = 0, noise: float = 0.1, **options) -> Flow:
    """A small model in float64, perturbed."""
    torch.manual_seed(context)
    options = {"levels": LEVELS, "scales": 1, "steps": 2, "width": 8, "depth": 2, "components": 3} | options
    return perturbed(idf(shape, context=context, **options).double(), noise)


def images(n: int, *shape: int, levels: int = LEVELS) -> Tensor:
    return torch.randint(levels, (n, *shape)).double()


def given(context: int, n: int) -> Tensor | None:
    return torch.randn(n, context, dtype=torch.float64) if context else None


# --- the coupling ---


def coupling(dtype: torch.dtype = torch.float64, scale: float = 256.0) -> IntegerCoupling:
    """Translations of some hundred levels, by a net that reads three channels and two numbers of context."""
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    layer = perturbed(IntegerCoupling([1, 0, 1, 1], net, scale).to(dtype))
    with torch.no_grad():
        layer.gain.fill_(2.0)
    return layer


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2**23), (torch.float64, 2**52)])
@pytest.mark.parametrize("scale", [1.0, 256.0, 2.0**20])
def test_whole_numbers_come_back_exactly(dtype, most, scale):
    """Of any size up to what the docstring says, whatever the net makes of them; the others are not touched."""
    torch.manual_seed(1)
    layer, c = coupling(dtype, scale), torch.randn(4000, 2, dtype=dtype)
    size = 2.0 ** torch.rand(4000, 4, dtype=torch.float64).mul(math.log2(most))
    x = (size * (2 * torch.rand(4000, 4, dtype=torch.float64) - 1)).round().to(dtype)
    x[0], x[1] = most, -most
    z, ldj = layer(x, c)
    back, other = layer.inverse(z, c)
    assert torch.equal(back, x) and torch.equal(z, z.round()) and not ldj.any() and not other.any()
    assert torch.equal(z[:, [0, 2, 3]], x[:, [0, 2, 3]]) and (z[:, 1] != x[:, 1]).double().mean() > 0.5
    assert torch.equal(layer(back, c)[0], z)


def test_a_translation_beyond_all_bounds():
    """It is cut off where whole numbers end to be floats."""
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, 1e30)
    layer = IntegerCoupling([1, 0], net)
    nn.init.ones_(layer.gain)
    x = torch.tensor([[1.0, 2.0**23], [-1.0, -3.0], [0.0, 5.0]])
    z, _ = layer(x)
    assert z.isfinite().all() and torch.equal(layer.inverse(z)[0], x) and z[0, 1] == 2**24


def test_gradients_go_straight_through():
    """Those of the same sum without rounding, to the bit, of x, the context and every parameter; the value is the rounded one."""
    layer, x, c = coupling(), images(7, 4, levels=256), torch.randn(7, 2).double()
    wave = torch.arange(28.0).sin().view(7, 4).double()

    def gradients(function) -> list[Tensor]:
        leaves = x.clone().requires_grad_(), c.clone().requires_grad_()
        return list(torch.autograd.grad((function(*leaves) * wave).sum(), [*leaves, *layer.parameters()]))

    def plain(x: Tensor, c: Tensor) -> Tensor:
        t = layer.scale * layer.gain * layer.net(join(x[:, [0, 2, 3]] / layer.scale, c))
        return torch.cat([x[:, :1], x[:, 1:2] + t, x[:, 2:]], 1)

    for found, expected in zip(gradients(lambda x, c: layer(x, c)[0]), gradients(plain), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
        assert expected.any()
    assert torch.equal(layer(x, c)[0].detach(), plain(x, c).detach().round())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_straight_through_is_the_rounded_value(dtype):
    t = torch.cat([torch.randn(10_000, dtype=dtype) * 10.0**power for power in range(-9, 7)]).requires_grad_()
    rounded = straight_through(t)
    assert torch.equal(rounded, t.round())
    assert (torch.autograd.grad(rounded.sum(), t)[0] == 1).all()


def test_it_starts_as_the_identity_and_learns():
    torch.manual_seed(0)
    layer = IntegerCoupling([1, 1, 0, 1], DenseNet(3, 1, width=8, depth=2, gain=1.0), LEVELS)
    x = images(5, 4, 3, 3).float()
    z, _ = layer(x)
    assert torch.equal(z, x)
    z.square().sum().backward()
    assert layer.gain.grad.any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: IntegerCoupling([1, 1], nn.Identity()), "a mask that keeps some channels and changes others"),
        (lambda: IntegerCoupling([0, 0], nn.Identity()), "a mask that keeps some channels and changes others"),
        (lambda: IntegerCoupling([1, 0], nn.Identity(), 0.0), "scale must be above 0, got 0"),
        (lambda: IntegerCoupling([1, 0], nn.Identity())(torch.zeros(2, 3)), "IntegerCoupling"),
        (lambda: DenseNet(1, 1, width=2, depth=3), "width must be at least depth"),
        (lambda: IntegerLogisticMixture(4, 0), "components must be a whole number"),
        (lambda: SplitPrior(free(1, 2, 2), part(1, 3, 3)), "must have the same space"),
        (lambda: SplitPrior(free(2, 2, 2), part(1, 2, 2)), r"must take the context \(2, 2, 2\), or more channels, got \(1, 2, 2\)"),
        (lambda: SplitPrior(build((1, 2, 2), 1), part(3, 2, 2)), r"rest must take the context \(2,\) or none, got \(1,\)"),
        (lambda: unroll(idf((1, 2, 2), context=2), lambda likelihood, h: h, 1), "context"),
        (lambda: parts(no_code(), torch.zeros(1, 2)), "expected Free or Given, within SplitPrior"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def free(*shape: int) -> Free:
    return Free(IntegerLogisticMixture(LEVELS, 1), shape)


def part(inputs: int, *space: int) -> Given:
    return Given(IntegerLogisticMixture(LEVELS, 1), ConvNet(inputs, 3, width=4), (1, *space), (inputs, *space))


def no_code() -> Flow:
    return Flow(Normal((2,)))  # numbers that are no whole ones


# --- the likelihood ---


def parameters(likelihood: IntegerLogisticMixture, *shape: int, spread: float = 1.0) -> Tensor:
    torch.manual_seed(sum(shape))
    start = torch.tensor(likelihood.start, dtype=torch.float64).view(1, -1, *(1 for _ in shape))
    return start + spread * torch.randn(1, likelihood.params, *shape, dtype=torch.float64)


@mixtures
def test_probabilities_of_all_whole_numbers_sum_to_one(likelihood):
    """Over a box, beyond which the distribution function says how little there is; and it is their cumulated sum."""
    h = parameters(likelihood, 4)
    x = torch.arange(-3000.0, 3000.0, dtype=torch.float64).unsqueeze(1).expand(-1, 4)
    mass = likelihood.log_prob(x, h).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(4, dtype=torch.float64), atol=1e-10, rtol=0)
    torch.testing.assert_close(likelihood.cdf(x, h), mass.cumsum(0), atol=1e-10, rtol=0)
    torch.testing.assert_close(likelihood.cdf(x + 0.7, h), likelihood.cdf(x, h))


def test_it_is_the_difference_of_the_distribution_function():
    likelihood = IntegerLogisticMixture(10, 2, bound=6.0)
    h = parameters(likelihood, 1)
    logits, means, scales = h[0, :, 0].view(3, 2)
    weights, middle, scale = logits.softmax(0), 4.5 + 5 * means, 5 * (6 * (scales / 6).tanh()).exp()
    for x in (-13.0, 0.0, 4.0, 9.0, 31.0):
        expected = (weights * (((x + 0.5 - middle) / scale).sigmoid() - ((x - 0.5 - middle) / scale).sigmoid())).sum()
        found = likelihood.log_prob(torch.full((1, 1), x).double(), h).exp().squeeze()
        torch.testing.assert_close(found, expected, atol=1e-14, rtol=1e-9)


@mixtures
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_far_out(likelihood, dtype):
    """A million levels away and for parameters of any size, with finite gradients; only what is no whole number has no probability."""
    torch.manual_seed(0)
    extremes = 1e4 * torch.randint(-1, 2, (300, likelihood.params, 2)).to(dtype)
    for h in (extremes, parameters(likelihood, 2).to(dtype).expand(300, -1, -1)):
        for x in (0.0, -1.0, 5.0, 1e6, -1e6):
            leaf = h.detach().requires_grad_()
            log_prob = likelihood.log_prob(torch.full((300, 2), x, dtype=dtype), leaf)
            assert log_prob.isfinite().all() and log_prob.dtype == dtype
            assert torch.autograd.grad(log_prob.sum(), leaf)[0].isfinite().all()
    outside = torch.tensor([0.5, math.inf, -math.inf, math.nan], dtype=dtype).unsqueeze(1).expand(-1, 2)
    leaf = parameters(likelihood, 2).to(dtype).requires_grad_()
    log_prob = likelihood.log_prob(outside, leaf)
    assert (log_prob == -math.inf).all() and not likelihood.support.check(outside).any()
    assert torch.autograd.grad(torch.where(log_prob.isfinite(), log_prob, 0.0).sum(), leaf)[0].isfinite().all()


@mixtures
def test_draws_and_quantiles(likelihood):
    """Draws fall as the probabilities say, from -20 to 20 and beyond; a quantile is the least number that reaches its level."""
    h = parameters(likelihood, 2, spread=0.3)
    torch.manual_seed(1)
    draws = likelihood.draw(h.expand(40_000, -1, -1))
    assert likelihood.support.check(draws).all()
    for x in range(-20, 21):
        share = (draws == x).double().mean(0)
        expected = likelihood.log_prob(torch.full((1, 2), float(x)).double(), h).exp()[0]
        assert ((share - expected).abs() < 5 * (expected / 40_000).sqrt() + 5e-4).all()
    u = torch.rand(500, 2, dtype=torch.float64)
    x = likelihood.quantile(u, h)
    assert likelihood.support.check(x).all()
    assert (likelihood.cdf(x, h) >= u).all() and (likelihood.cdf(x - 1, h) < u).all()
    assert torch.equal(likelihood.center(h), likelihood.quantile(torch.full((1, 2), 0.5).double(), h))
    assert torch.equal(likelihood.unscaled(likelihood.scaled(draws)), draws)


# --- the model ---


@pytest.mark.parametrize("options", [{}, {"halve": False}, {"steps": 1, "components": 1}], ids=str)
@contexts
def test_mass_of_a_box_is_one(options, context):
    """All of -7..9 for each of the four pixels of an image, by enumeration, for each context: within 1e-6, not above 1."""
    flow = build((1, 2, 2), context, noise=0.05, levels=3, **options)
    sharpen(flow)
    line = torch.arange(-7.0, 10.0, dtype=torch.float64)
    every = torch.tensor(list(itertools.product(line.tolist(), repeat=4)), dtype=torch.float64).view(-1, 1, 2, 2)
    c = given(context, 1)
    with torch.no_grad():
        log_prob = torch.cat([flow.log_prob(x, None if c is None else c.expand(len(x), -1)) for x in every.split(20_000)])
        inside = ((every >= 0) & (every < 3)).flatten(1).all(1)
    assert flow.kind == "exact" and log_prob.isfinite().all() and log_prob.std() > 0.1
    assert abs(log_prob.exp().sum().item() - 1) < 1e-6
    assert 0.1 < log_prob[inside].exp().sum() < 1


def sharpen(flow: Flow) -> None:
    """Narrower logistics, so that a small box holds their mass."""
    for module in flow.modules():
        if isinstance(module, (Free, Given)):
            module.start[2 * module.likelihood.components :] -= 0.7
            if isinstance(module, Free):
                with torch.no_grad():
                    module.h[:, 2 * module.likelihood.components :] -= 0.7


@contexts
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 8)])
def test_images_come_back_and_samples_are_whole_numbers(shape, context):
    flow = build(shape, context, scales=2, levels=256)
    x, c = images(5, *shape, levels=256), given(context, 5)
    z = flow.encode(x, c)
    assert torch.equal(z, z.round()) and (z != x.reshape(z.shape)).any() and torch.equal(flow.decode(z, c), x)
    known = parts(flow, x, c)
    assert sum(part[0].numel() for part in known) == x[0].numel()
    draws, log_prob = flow.sample_and_log_prob((1,) if context else (5,), c)
    draws = draws.reshape(5, *shape)
    assert torch.equal(draws, draws.round()) and draws.unique().numel() > 20
    torch.testing.assert_close(flow.log_prob(draws, c), log_prob.reshape(5), atol=1e-8, rtol=1e-8)
    assert flow.log_prob(x + 0.5, c).isneginf().all() and torch.equal(flow.center(5, c), flow.center(5, c).round())
    (-flow(x, c).mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())


@contexts
def test_a_coder_finds_the_numbers_part_by_part(context):
    """The log probabilities that ``unroll`` shows add up to those of the images, which come back; in another order of the rows too."""
    flow, c = build((3, 8, 8), context, scales=2, levels=256), given(context, 6)
    x, total = images(6, 3, 8, 8, levels=256), torch.zeros(6, dtype=torch.float64)
    known = parts(flow, x, c)
    queue = iter(known)

    def solve(likelihood: likelihoods.Likelihood, h: Tensor) -> Tensor:
        z = next(queue)
        total.add_(likelihood.log_prob(z, h).detach().flatten(1).sum(1))
        return z

    assert torch.equal(unroll(flow, solve, 6, c), x) and next(queue, None) is None
    torch.testing.assert_close(total, flow.log_prob(x, c).detach(), atol=1e-8, rtol=1e-10)
    order = [4, 0, 5, 2, 1, 3]
    queue = iter([z[order] for z in known])
    assert torch.equal(unroll(flow, lambda likelihood, h: next(queue), 6, None if c is None else c[order]), x[order])
    queue = iter([z[2:4] for z in known])
    assert torch.equal(unroll(flow, lambda likelihood, h: next(queue), 2, None if c is None else c[2:4]), x[2:4])


def asked(flow: Flow, x: Tensor, context: Tensor) -> list[Tensor]:
    """The parameters that a coder is shown, part by part, while it finds the latents that x has at another context."""
    known, found = iter(parts(flow, x, torch.zeros_like(context))), []

    def solve(likelihood: likelihoods.Likelihood, h: Tensor) -> Tensor:
        found.append(h)
        return next(known)

    unroll(flow, solve, len(x), context)
    return found


def test_context_reaches_every_part():
    flow, x, c = build((1, 8, 8), 2, scales=2, levels=256, noise=0.3), images(4, 1, 8, 8, levels=256), given(2, 4)
    assert all((a != b).flatten(1).any(1).all() for a, b in zip(asked(flow, x, c), asked(flow, x, c + 1), strict=True))
    assert (flow.encode(x, c) != flow.encode(x, c + 1)).double().mean() > 0.05
    with pytest.raises(ValueError, match="needs a context"):
        flow.log_prob(x)


@pytest.mark.parametrize("memory", ["constant", "checkpoint"])
def test_memory_leaves_gradients_alone(memory):
    x, gradients = images(4, 1, 8, 8), []
    for kind in ("full", memory):
        flow = build((1, 8, 8), scales=2, memory=kind)
        flow.log_prob(x).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in flow.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-10, rtol=1e-8)


def test_shapes_that_do_not_fit():
    for shape in ((3, 6, 6), (12,)):
        with pytest.raises(ValueError, match="this model takes images"):
            build(shape, scales=2)


def test_digits_are_learned():
    """Fewer bits than the histogram of each pixel has, after 150 steps; the loss falls throughout."""
    loaded = load_images("digits")
    x, test = loaded.train.x.float(), loaded.test.x.float()
    levels, n = loaded.schema.levels, x[0].numel() * math.log(2)
    counts = F.one_hot(x.long(), levels).double().sum(0) + 1.0
    frequencies = (counts / counts.sum(-1, keepdim=True)).log()
    histogram = -frequencies.expand(len(test), *frequencies.shape).gather(-1, test.long().unsqueeze(-1)).flatten(1).sum(1).mean() / n
    torch.manual_seed(0)
    flow = idf(x.shape[1:], levels=levels, scales=2, steps=1, width=32, depth=2)
    optimizer, losses = torch.optim.Adam(flow.parameters(), lr=8e-3), []
    for _ in range(150):
        loss = -flow(x[torch.randint(len(x), (64,))]).mean() / n
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        bits = (-flow(test).mean() / n).item()
    assert losses[0] > sum(losses[40:60]) / 20 > sum(losses[-20:]) / 20
    assert bits < histogram.item() - 0.1, f"{bits:.3f} bits, {histogram:.3f} of the histogram"


def test_the_coupling_learns_what_a_prior_of_independent_numbers_can_not():
    """Four pixels of which the last is the sum of the others: it becomes a constant, and the rounding is no obstacle."""
    torch.manual_seed(0)
    x = torch.randint(4, (512, 4, 1, 1)).float()
    x[:, 3] = x[:, :3].sum(1)
    layer = IntegerCoupling([1, 1, 1, 0], nn.Conv2d(3, 1, 1), 4.0)
    flow = Flow(Free(IntegerLogisticMixture(8, 1, bound=9.0), (4, 1, 1)), layer)
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.03)
    for _ in range(400):
        loss = -flow(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = flow.encode(x)[:, 3].detach()
    assert (z == z.median()).double().mean() > 0.95
