"""The laws of the models that go pixel by pixel: they are exact, and a visit with caches draws what one without would."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pushforward.core import Flow
from pushforward.models import PIXEL_MODELS
from pushforward.nets import CausalNet, SiteNet

TINY: dict[str, dict] = {
    "pixel_cnn_pp": {"width": 6, "depth": 1},
    "pixel_cnn_pp-one": {"width": 6, "depth": 1, "scales": 1},
    "image_transformer": {"width": 8, "depth": 1, "heads": 2},
    "image_transformer-local": {"width": 8, "depth": 2, "heads": 2, "block": 3, "memory": 2},
    "pixel_snail": {"width": 6, "depth": 1, "convs": 1, "key": 4},
}
models = pytest.mark.parametrize("name", TINY)


def build(name: str, shape: tuple[int, ...], levels: int, context: int = 0, noise: float = 0.3, **options) -> Flow:
    """A small model in float64 that has seen a batch and is then perturbed."""
    torch.manual_seed(0)
    flow = PIXEL_MODELS[name.split("-")[0]](shape, levels=levels, context=context, **TINY[name] | options).double()
    flow.initialize(torch.randint(levels, (32, *shape)).double(), rows(context, 32))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow


def rows(context: int, n: int) -> Tensor | None:
    return torch.randn(n, context, dtype=torch.float64) if context else None


OUTCOMES = {  # shape, levels, pixel
    "bits": ((1, 3, 4), 2, "auto"),
    "levels": ((1, 2, 2), 3, "categorical"),
    "mixture": ((1, 2, 2), 3, "mixture"),
    "colours": ((3, 2, 2), 2, "auto"),
}


@models
@pytest.mark.parametrize("tiny", OUTCOMES)
def test_probabilities_sum_to_one(name, tiny):
    """Over all images of a tiny size, for each of two contexts; and the likelihood is exact."""
    shape, levels, pixel = OUTCOMES[tiny]
    context = 0 if tiny == "bits" else 2
    flow = build(name, shape, levels, context, pixel=pixel)
    every = torch.cartesian_prod(*[torch.arange(levels, dtype=torch.float64)] * math.prod(shape)).view(-1, *shape)
    assert flow.kind == "exact" and len(every) == levels ** math.prod(shape)
    with torch.no_grad():
        for c in rows(context, 2) if context else [None]:
            given = None if c is None else c.expand(len(every), -1)
            total = flow.log_prob(every, given).exp().sum()
            assert abs(total - 1) < 1e-10


def test_tied_colours_sum_to_one():
    """A mixture of logistics over the three channels of one pixel and the next: 4^6 images."""
    flow = build("pixel_cnn_pp", (3, 1, 2), 4, pixel="mixture")
    every = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 6).view(-1, 3, 1, 2)
    with torch.no_grad():
        assert abs(flow.log_prob(every).exp().sum() - 1) < 1e-10


class Naive(CausalNet):
    """The same net, visited by a full pass for each position."""

    def __init__(self, net: SiteNet):
        super().__init__()
        self.net, self.in_turn = net, net.in_turn

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x, context)

    def unroll(self, solve: Callable[[int, Tensor], Tensor], batch: int, context: Tensor | None = None) -> Tensor:
        channels, *sides = self.net.shape
        x = torch.full((batch, *self.net.shape), 7.0, dtype=torch.float64)  # nobody reads what is not there yet
        turns = [slice(c, c + 1) for c in range(channels)] if self.in_turn else [slice(None)]
        for i in range(math.prod(sides)):
            for n, turn in enumerate(turns):
                h = self(x, context).view(batch, self.net.params, channels, -1)[:, :, turn, i]
                x.flatten(2)[:, turn, i] = solve(i * len(turns) + n, h)
        return x


SAMPLED = {
    "bits": ((1, 4, 6), 2),
    "levels": ((1, 4, 4), 8),
    "grey": ((1, 4, 4), 256),
    "colours": ((3, 4, 4), 256),
    "in-turn": ((3, 2, 4), 4),
}


@models
@pytest.mark.parametrize("drawn", SAMPLED)
def test_samples_with_caches_are_those_without(name, drawn):
    """To the bit, with the same random numbers; their log probability is that of one pass."""
    shape, levels = SAMPLED[drawn]
    flow = build(name, shape, levels, context=2)
    context = rows(2, 7)
    with torch.no_grad():
        torch.manual_seed(1)
        x, log_prob = flow.sample_and_log_prob((), context)
        torch.testing.assert_close(log_prob, flow.log_prob(x, context), atol=1e-10, rtol=1e-10)
        flow.base.net = Naive(flow.base.net)
        torch.manual_seed(1)
        assert torch.equal(x, flow.sample((), context))
    assert torch.equal(x, x.round()) and x.min() >= 0 and x.max() < levels and len(x.unique()) > 1


@models
def test_context_reaches_every_pixel(name):
    """Each parameter of each number changes in some of many images, since rectified units are deaf to some changes."""
    flow = build(name, (1, 4, 4), 256, context=2)
    x, c = torch.randint(256, (64, 1, 4, 4)).double(), rows(2, 64)
    with torch.no_grad():
        before, after = (flow.base.parameters_at(x, d) for d in (c, c + 1))
    assert (before != after).any(0).all()
    with pytest.raises(ValueError, match="needs a context"):
        flow.log_prob(x)


@models
def test_a_training_step_lowers_the_loss(name):
    """With every parameter: each has a gradient, but for those behind a head that starts at zero."""
    flow = build(name, (1, 4, 4), 256, noise=0.0).float()
    x = (torch.arange(64).view(64, 1, 1, 1) % 256).expand(64, 1, 4, 4).float().contiguous()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = -flow(x).mean()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())


@pytest.mark.parametrize("name", ["pixel_cnn_pp", "pixel_snail"])
def test_weights_start_from_data(name):
    """Each convolution gives its batch mean 0 and standard deviation 1, or 0.1 before a gate; in the same order as in a pass."""
    from pushforward.nets.shifted_conv import ShiftedConv

    torch.manual_seed(0)
    flow = PIXEL_MODELS[name]((1, 8, 8), levels=256, context=2, **TINY[name] | {"width": 8}).double()
    x, context = torch.randint(256, (64, 1, 8, 8)).double(), rows(2, 64)
    flow.initialize(x, context)
    seen: list[str] = []

    def check(module: ShiftedConv, args: tuple, out: Tensor) -> None:
        std, mean = torch.std_mean(out.transpose(0, 1).flatten(1), 1, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-10, rtol=0)
        torch.testing.assert_close(std, torch.full_like(std, module.gain), atol=1e-10, rtol=0)
        seen.append(repr(module))

    layers = [module for module in flow.modules() if isinstance(module, ShiftedConv)]
    for layer in layers:
        layer.register_forward_hook(check)
    flow.log_prob(x, context)
    assert len(seen) == len(layers) > 10
