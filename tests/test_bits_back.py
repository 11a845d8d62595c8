"""Models with random latents as codecs: what comes back, in how many bits of the bound, and what their stack of bits does."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward import likelihoods
from pushforward.compression import AnsStack, BitsBackCodec, Damage, codec_of
from pushforward.compression.bins import BIN_COUNT, by_mixture, by_normal, middles
from pushforward.compression.chain_codec import batches
from pushforward.compression.digits import by_chance, surplus_of
from pushforward.models import iaf_vae, vae, vlae
from pushforward.transforms import VAE

TINY = {"latent": 4, "width": 16, "depth": 1}
MODELS = {
    "bits": lambda: vae((1, 4, 4), levels=2, **TINY),
    "colours and a context": lambda: vae((3, 4, 4), levels=16, context=2, **TINY),
    "more than two digits": lambda: vae((1, 4, 4), levels=1000, **TINY),
    "a mixture as prior": lambda: vae((1, 4, 4), levels=2, prior="mixture", components=5, **TINY),
    "posteriors as prior": lambda: vae((1, 4, 4), levels=2, prior="vamp", components=5, **TINY),
    "a flow as prior": lambda: vae((1, 4, 4), levels=2, prior="real_nvp", prior_steps=2, context=2, **TINY),
    "an autoregressive prior": lambda: vlae((1, 4, 4), levels=2, latent=3, maps=4, width=8, prior_width=8, prior_steps=2),
    "splines as prior": lambda: vae((1, 4, 4), levels=2, prior="nsf", prior_steps=1, **TINY),
    "pixel by pixel": lambda: vae((1, 4, 4), levels=2, decoder="pixel_cnn", maps=4, blocks=1, **TINY),
    "a ladder": lambda: iaf_vae((1, 4, 4), levels=2, latents=2, blocks=3, width=8, posterior="normal"),
    "a ladder of tied colours": lambda: iaf_vae((3, 4, 4), levels=8, latents=2, blocks=2, width=8, posterior="normal", context=2),
    "latents of latents": lambda: latents_of_latents(),
}


def latents_of_latents() -> pf.Flow:
    """A chain of two: ``p(z2) p(z1|z2) p(x|z1)`` and ``q(z1|x) q(z2|z1)``."""

    def normal(inputs: int, outputs: int) -> pf.distributions.Given:
        net = nn.Linear(inputs, 2 * outputs)
        with torch.no_grad():
            net.weight.mul_(0.3)
        return pf.distributions.Given(likelihoods.Normal(), net, (outputs,), context=inputs)

    bits = pf.distributions.Given(likelihoods.Bernoulli(), nn.Linear(3, 9), (9,), context=3)
    return pf.Flow(pf.distributions.Normal((2,)), VAE(normal(9, 3), bits), VAE(normal(3, 2), normal(2, 3)), shape=(9,))


def started(name: str, rows: int, noise: float = 0.1) -> tuple[pf.Flow, torch.Tensor, torch.Tensor | None]:
    """A model whose nets say something, rows that it made, and their contexts."""
    torch.manual_seed(0)
    flow = MODELS[name]().double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
        context = None if flow.context_shape is None else torch.randn(rows, 2, dtype=torch.float64)
        x = flow.sample((rows,)) if context is None else flow.sample((1,), context)[0]
    return flow, x, context


def configured(flow: pf.Flow, x: torch.Tensor, context: torch.Tensor | None, block: int | None = None) -> BitsBackCodec:
    codec = codec_of(flow, "it", block, "bits-back")
    codec.configure(json.loads(json.dumps(codec.options(x, context))))
    return codec


@pytest.mark.parametrize("seed", range(5))
def test_popping_and_pushing_undo_each_other(seed):
    """Whatever is popped, also what nobody pushed: pushed again with the same probabilities, the stack is what it was."""
    random, stack, done = np.random.default_rng(seed), AnsStack(), []
    for _ in range(40):
        surplus = surplus_of(np.concatenate([np.zeros((60, 1)), random.dirichlet(np.full(7, 0.2), 60).cumsum(1)], 1))
        sizes = random.integers(2, 2**17, 30)
        if random.random() < 0.6:
            done.append((surplus, stack.popping.choice(surplus, None), sizes, stack.popping.uniform(sizes, None)))
        else:
            symbols, numbers = random.integers(0, 7, 60), random.integers(0, sizes)
            with stack.pushing() as coder:
                coder.choice(surplus, symbols)
                coder.uniform(sizes, numbers)
            assert (stack.popping.choice(surplus, None) == symbols).all() and (stack.popping.uniform(sizes, None) == numbers).all()
    assert stack.initial_bits > 1000
    other = AnsStack(stack.to_bytes())
    for surplus, symbols, sizes, numbers in done[::-1]:
        with other.pushing() as coder:
            coder.choice(surplus, symbols)
            coder.uniform(sizes, numbers)
    other.finish()


def test_a_stack_costs_what_its_symbols_have():
    random, stack = np.random.default_rng(0), AnsStack()
    below = np.concatenate([np.zeros((4000, 1)), random.dirichlet(np.full(11, 0.1), 4000).cumsum(1)], 1)
    surplus = surplus_of(below)
    symbols = (random.random((4000, 1)) < below[:, 1:]).argmax(1)
    with stack.pushing() as coder:
        coder.choice(surplus, symbols)
    expected = -np.log2((np.take_along_axis(surplus, symbols[:, None], 1) + 1) / 2**24).sum()
    assert expected < 8 * len(stack.to_bytes()) < 1.001 * expected + 128 and stack.initial_bits == 64


def test_deep_stacks_draw_what_looks_random():
    stack = AnsStack()
    drawn = stack.popping.uniform(np.full(20_000, 256), None)
    counts = np.bincount(drawn, minlength=256)
    assert abs(((counts - 78.125) ** 2 / 78.125).sum() - 255) < 5 * math.sqrt(2 * 255)
    with stack.pushing() as coder:
        coder.uniform(np.full(20_000, 256), drawn)
    stack.finish()
    assert abs(stack.initial_bits - 160_000) < 200


def test_bytes_that_no_stack_wrote_are_damage():
    stack = AnsStack()
    with stack.pushing() as coder:
        by_chance(coder, np.full(40, 2**40, np.uint64), np.arange(40, dtype=np.uint64))
    data = stack.to_bytes()
    for wrong in (b"", b"abc", data[:-1], bytes(8), data[:-4], data[4:], bytes(4) + data):
        with pytest.raises(Damage):
            found = AnsStack(wrong)
            by_chance(found.popping, np.full(40, 2**40, np.uint64), None)
            found.finish()


def test_bins_cost_their_mass():
    """Of normals near and far from the middle, narrow and wide, and of a mixture of them."""
    random = np.random.default_rng(0)
    mean, std = np.repeat([0.0, 5.0, -7.5, 3.0], 500), np.repeat([1.0, 0.02, 0.3, 2.0], 500)
    width = np.full(2000, 2.0**-6)
    bins = np.clip(np.floor((mean + std * random.standard_normal(2000)) / width).astype(np.int64) + BIN_COUNT // 2, 0, BIN_COUNT - 1)
    stack = AnsStack()
    with stack.pushing() as coder:
        by_normal(coder, mean, std, width, bins)
    edges = (bins - BIN_COUNT // 2) * width
    masses = np.diff(torch.special.ndtr(torch.from_numpy(np.stack([edges - mean, edges + width - mean]) / std)).numpy(), axis=0)[0]
    assert abs(8 * len(stack.to_bytes()) + np.log2(masses).sum()) < 64 + 2
    assert (by_normal(stack.popping, mean, std, width, None) == bins).all()
    means, stds, pair = random.standard_normal((3, 2)) * 3, np.full((3, 2), 0.5), np.array([2.0**-5, 2.0**-3])
    x = means[random.integers(0, 3, 3000)] + 0.5 * random.standard_normal((3000, 2))
    bins = np.floor(x / pair).astype(np.int64) + BIN_COUNT // 2
    stack = AnsStack()
    with stack.pushing() as coder:
        by_mixture(coder, np.zeros(3), means, stds, pair, bins, 3000)
    white = (middles(bins, pair)[:, None] - means) / stds
    density = np.exp(-0.5 * (white**2).sum(2)).mean(1) / (2 * np.pi * 0.25)
    assert abs(8 * len(stack.to_bytes()) + np.log2(density * pair.prod()).sum()) < 64 + 0.002 * 3000
    assert (by_mixture(stack.popping, np.zeros(3), means, stds, pair, None, 3000) == bins).all()


def test_batches_hold_every_row_once():
    for rows in (0, 1, 7, 1000):
        for share in (0.0, 0.05, 3.0, 64.0):
            found = batches(rows, share)
            assert [i for part in found for i in range(part.start, part.stop)] == list(range(rows))
    assert len(batches(4096, 64.0)) < 70


@pytest.mark.parametrize("name", MODELS)
def test_images_come_back(name):
    """All rows, one row, and rows that the model did not make."""
    flow, x, context = started(name, 40)
    codec = configured(flow, x, context, 64)
    assert torch.equal(codec.decode(codec.encode(x, context), 40, context), x)
    other = torch.randint_like(x, int(x.max()) + 1)
    assert torch.equal(codec.decode(codec.encode(other, context), 40, context), other)
    one = None if context is None else context[:1]
    assert torch.equal(codec.decode(codec.encode(x[:1], one), 1, one), x[:1])
    assert not len(codec.decode(codec.encode(x[:0], None if context is None else context[:0]), 0, None))
    with pytest.raises(Damage, match=r"beyond its|does not have"):
        codec.encode(x + 2000, context)


@pytest.mark.parametrize("name", MODELS)
def test_many_rows_cost_their_bound(name):
    """The evidence lower bound to .1 %, or what one draw of latents differs from another; with initial bits at most .01 for each number."""
    flow, x, context = started(name, 700 if "ladder" in name else 1500, 0.05)
    codec = configured(flow, x, context)
    data = codec.encode(x, context)
    with torch.no_grad():
        draws = -torch.stack([flow.log_prob(x, context).sum() for _ in range(20)]) / math.log(2)
    bound, spread = draws.mean().item(), draws.std().item()
    assert spread < 0.015 * bound and 64 <= codec.initial_bits < 320
    assert abs(8 * len(data) - codec.initial_bits - bound) < max(0.001 * bound, 3 * spread)
    assert 8 * len(data) - bound < 0.01 * x.numel() + 2 * spread


@pytest.mark.parametrize("name", ["bits", "colours and a context", "more than two digits", "a mixture as prior", "posteriors as prior"])
def test_rows_cost_the_bound_of_their_latents(name, monkeypatch):
    """``log2 q(z|x) - log2 p(x|z) - log2 p(z)`` at the very latents that were drawn, by densities: to .1 %."""
    flow, x, context = started(name, 1500, 0.05)
    codec, drawn, values = configured(flow, x, context), [], BitsBackCodec._values
    monkeypatch.setattr(BitsBackCodec, "_values", lambda self, i, bins: (drawn.append(values(self, i, bins)), drawn[-1])[1])
    data, z, (layer,) = codec.encode(x, context), torch.cat(drawn), flow.transform.transforms
    with torch.no_grad():
        given, seen = (part if context is None else torch.cat([part, extra], 1) for part, extra in joined(x, z, context))
        terms = layer.decoder.log_prob(x, seen) + flow.base.log_prob(z) - layer.encoder.log_prob(z, given)
    bound = -terms.sum().item() / math.log(2)
    assert abs(8 * len(data) - codec.initial_bits - bound) < 0.001 * bound + 64


def joined(x: torch.Tensor, z: torch.Tensor, context: torch.Tensor | None) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Images and latents, each beside the context in its shape."""
    maps = None if context is None else context[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return [(x, maps), (z, context)]


def test_the_first_row_alone_draws_from_the_bottom():
    """In a chain of latents only the first ones do; those behind draw from what the first left."""
    flow, x, _ = started("latents of latents", 500)
    codec = configured(flow, x, None)
    codec.encode(x, None)
    both = codec.initial_bits
    assert both == 64
    flow, x, _ = started("a ladder", 500)
    codec = configured(flow, x, None)
    codec.encode(x, None)
    assert 64 <= codec.initial_bits < 24 * 8 + 64  # 24 latents


@pytest.mark.parametrize("name", ["bits", "a ladder", "pixel by pixel"])
def test_noise_of_floats_changes_nothing(name):
    """Parameters that differ in their last bits read what the others wrote."""
    flow, x, context = started(name, 30)
    codec = configured(flow, x, context)
    data, options = codec.encode(x, context), codec.options(x, context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1 + 1e-14 * torch.randn_like(parameter))
    other = codec_of(flow, "it")
    other.configure(options)
    assert torch.equal(other.decode(data, 30, context), x)


def test_the_probe_sees_every_part():
    flow, *_ = started("bits", 10)
    first = codec_of(flow, "it").probe()
    assert codec_of(flow, "it").probe() == first
    for part in (flow.transform.transforms[0].encoder, flow.transform.transforms[0].decoder):
        codec = codec_of(flow, "it")
        with torch.no_grad():
            list(part.parameters())[-1].add_(1e-4)
        assert codec_of(flow, "it").probe() != codec.probe()


def test_models_that_can_not_say_why():
    for flow, match in (
        (vae((1, 4, 4), prior="planar", **TINY), "its prior has a layer .*prior=standard"),
        (vae((1, 4, 4), posterior="iaf", **TINY), "posterior is a flow.*posterior=gaussian"),
        (iaf_vae((1, 4, 4), latents=2, blocks=1, width=8), "posterior is a flow.*posterior=normal"),
        (vae((5,), **TINY), "real numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            codec_of(flow, "it")
    with pytest.raises(ValueError, match="it is coded by method bits-back and not by range"):
        codec_of(started("bits", 1)[0], "it", method="range")
    with pytest.raises(ValueError, match="expected a method of auto, range"):
        codec_of(started("bits", 1)[0], "it", method="zip")


def test_options_that_no_file_of_ours_has_are_refused():
    flow, x, _ = started("bits", 8)
    codec = codec_of(flow, "it")
    right = codec.options(x)
    for wrong in ({"widths": [[1]]}, {"widths": [[99] * 4]}, {"widths": "no"}, {"share": -1.0}, {"share": math.nan}, {"share": 1e9}):
        with pytest.raises(ValueError, match=r"widths|share"):
            codec.configure(right | wrong)


def test_streams_that_checksums_do_not_guard_are_damage():
    """What is altered within a stream leaves something else than the bottom of the stack."""
    flow, x, _ = started("bits", 60)
    codec, random = configured(flow, x, None), np.random.default_rng(0)
    data = codec.encode(x, None)
    for place in random.integers(0, len(data), 30):
        altered = bytearray(data)
        altered[place] ^= 1 << random.integers(8)
        with pytest.raises(Damage, match="not one that"):
            codec.decode(bytes(altered), 60, None)
    for size in (0, 3, 8, 400):
        with pytest.raises(Damage):
            codec.decode(random.bytes(size), 60, None)
