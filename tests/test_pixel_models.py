"""The laws of the models that go pixel by pixel, over the registry of their recipes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from pushforward.core import Flow
from pushforward.kernels import without
from pushforward.models import PIXEL_MODELS
from pushforward.nets import CausalNet
from pushforward.nets.pixel_rnn_lines import diagonals, line_lstm, rows
from pushforward.nets.shifted_conv import ShiftedConv
from pushforward.training.budget import Operations

TINY: dict[str, dict[str, object]] = {
    "made_image": {"width": 24},
    "pixel_cnn": {"width": 8, "depth": 2, "kernel": 3},
    "gated_pixel_cnn": {"width": 6, "depth": 2, "kernel": 3},
    "pixel_rnn": {"width": 4, "depth": 2, "kernel": 3},
    "pixel_rnn-rows": {"width": 4, "depth": 2, "kernel": 3, "variant": "rows"},
    "pixel_cnn_pp": {"width": 6, "depth": 1},
    "pixel_cnn_pp-one": {"width": 6, "depth": 1, "scales": 1},
    "image_transformer": {"width": 8, "depth": 1, "heads": 2},
    "image_transformer-local": {"width": 8, "depth": 2, "heads": 2, "block": 3, "memory": 2},
    "pixel_snail": {"width": 6, "depth": 1, "convs": 1, "key": 4},
    "multiscale_pixel_cnn": {"width": 8, "depth": 1, "coarse_width": 8, "coarse_depth": 1},
}
VISITED = [name for name in TINY if name != "multiscale_pixel_cnn"]  # which goes in steps: see test_multiscale.py
models = pytest.mark.parametrize("name", VISITED)
contexts = pytest.mark.parametrize("context", [0, 2])


def build(name: str, shape: tuple[int, ...], context: int = 0, noise: float = 0.3, **options) -> Flow:
    """A small model in float64 that has seen a batch and is then perturbed: what starts at zero would hide its faults."""
    torch.manual_seed(context)
    flow = PIXEL_MODELS[name.split("-")[0]](shape, context=context, **TINY[name], **options).double()
    flow.initialize(images(32, options.get("levels", 2), *shape), given(context, 32))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow


def images(n: int, levels: int, *shape: int) -> Tensor:
    return torch.randint(levels, (n, *shape)).double()


def given(context: int, n: int) -> Tensor | None:
    return torch.randn(n, context, dtype=torch.float64) if context else None


def test_every_recipe_is_tested():
    assert {name.split("-")[0] for name in TINY} == set(PIXEL_MODELS)


OUTCOMES = {
    "2x2, 3 levels": ((1, 2, 2), {"levels": 3}),
    "2x2, a mixture of 3": ((1, 2, 2), {"levels": 3, "pixel": "mixture"}),
    "3x4, bits": ((1, 3, 4), {"levels": 2}),
    "2x2, colours of bits": ((3, 2, 2), {"levels": 2}),
}


@models
@pytest.mark.parametrize("case", OUTCOMES)
def test_probabilities_of_all_images_sum_to_one(name, case):
    shape, options = OUTCOMES[case]
    flow = build(name, shape, **options)
    every = torch.tensor(list(itertools.product(range(options["levels"]), repeat=torch.Size(shape).numel())), dtype=torch.float64)
    with torch.no_grad():
        log_prob = flow.log_prob(every.view(-1, *shape))
    assert flow.kind == "exact" and log_prob.std() > 0.1
    torch.testing.assert_close(log_prob.exp().sum().item(), 1.0, atol=1e-10, rtol=0)


def test_tied_colours_sum_to_one():
    """A mixture of logistics over the three channels of one pixel and the next: 4^6 images."""
    flow = build("pixel_cnn_pp", (3, 1, 2), levels=4, pixel="mixture")
    every = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 6).view(-1, 3, 1, 2)
    with torch.no_grad():
        assert abs(flow.log_prob(every).exp().sum() - 1) < 1e-10


class Naive(CausalNet):
    """A visit by a full pass for each number, of which all is thrown away but that number's parameters."""

    def __init__(self, net: CausalNet, shape: tuple[int, ...]):
        super().__init__()
        self.net, self.shape = net, shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x, context)

    def unroll(self, solve, batch: int, context: Tensor | None = None) -> Tensor:
        channels, _, width = self.shape
        x = torch.full((batch, *self.shape), torch.nan, dtype=torch.float64)  # nobody may read what is not there yet
        together = [slice(c, c + 1) for c in range(channels)] if self.net.in_turn else [slice(0, channels)]
        for i, (site, part) in enumerate(itertools.product(range(x[0, 0].numel()), together)):
            h = self(x.nan_to_num(7.0), context).view(batch, -1, *self.shape)
            x[:, part, site // width, site % width] = solve(i, h[:, :, part, site // width, site % width])
        return x


SAMPLED = {
    "bits": ((1, 4, 5), {"levels": 2}),
    "colours in turn": ((3, 2, 3), {"levels": 4}),
    "a mixture": ((1, 3, 4), {"levels": 64, "components": 2}),
    "colours of a mixture": ((3, 2, 3), {"levels": 64, "components": 2}),
}


@models
@contexts
@pytest.mark.parametrize("case", SAMPLED)
def test_cached_samples_are_naive_samples(name, context, case):
    """Equal to the bit with equal random numbers, and with them their log probabilities."""
    shape, options = SAMPLED[case]
    flow, c = build(name, shape, context, **options), given(context, 7)
    size = (1,) if context else (7,)
    torch.manual_seed(1)
    cached, log_prob = flow.sample_and_log_prob(size, c)
    torch.testing.assert_close(flow.log_prob(cached.view(7, *shape), c), log_prob.view(7))
    flow.base.net = Naive(flow.base.net, shape)
    torch.manual_seed(1)
    naive = flow.sample(size, c)
    assert torch.equal(cached, naive)
    assert torch.equal(naive, naive.round()) and 0 <= naive.min() < naive.max() < options["levels"]


@models
def test_a_sample_costs_one_pass(name):
    """Multiplications of a visit, all sites together: each layer once at each site."""
    flow = build(name, (3, 6, 7), levels=4)
    with torch.no_grad(), Operations() as one_pass:
        flow.log_prob(images(5, 4, 3, 6, 7))
    with torch.no_grad(), Operations() as visit, without():
        flow.sample((5,))
    assert 0.4 * one_pass.total < visit.total < 1.05 * one_pass.total


@models
def test_context_reaches_every_pixel(name):
    """Each parameter of each number changes in some of many images, since rectified units are deaf to some changes."""
    flow = build(name, (1, 4, 4), 2, levels=2)
    x, c = images(64, 2, 1, 4, 4), given(2, 64)
    with torch.no_grad():
        before, after = (flow.base.parameters_at(x, d) for d in (c, c + 1))
    assert (before != after).any(0).all()
    with pytest.raises(ValueError, match="needs a context"):
        flow.log_prob(x)


@models
@contexts
def test_gradients_reach_every_parameter(name, context):
    flow, x, c = build(name, (3, 4, 4), context, levels=4), images(5, 4, 3, 4, 4), given(context, 5)
    (-flow(x, c).mean()).backward()
    for parameter in flow.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any()


@models
def test_gradients_by_transforms(name):
    """torch.func takes its own way where a net writes down its derivative."""
    flow, x = build(name, (1, 3, 4), levels=2), images(5, 2, 1, 3, 4)
    values = dict(flow.named_parameters())
    found = torch.func.grad(lambda values: torch.func.functional_call(flow, values, (x,)).mean())(
        {k: v.detach() for k, v in values.items()}
    )
    expected = torch.autograd.grad(flow(x).mean(), list(values.values()))
    torch.testing.assert_close(list(found.values()), list(expected))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (3, 4), (4, 3)])
@pytest.mark.parametrize("width", [1, 2])
def test_cells_of_lines_have_their_gradients(size, width):
    """What is written down is what autograd finds, step by step; one cell of one direction is where slices of a gradient are no copies."""
    for lines, directions, taps in ((rows(*size), 1, 3), (diagonals(*size), 2, 2)):
        gates = torch.randn(directions, 4 * width, size[0] * size[1], 2, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(directions, 4 * width, taps * width, dtype=torch.float64, requires_grad=True)
        grad = torch.randn(directions, width, size[0] * size[1], 2, dtype=torch.float64)

        def total(gates: Tensor, weight: Tensor, lines=lines, grad=grad) -> Tensor:
            return (line_lstm(gates, weight, lines) * grad).sum()

        expected = torch.func.grad(total, (0, 1))(gates.detach(), weight.detach())
        kept = grad.clone()
        found = torch.autograd.grad(line_lstm(gates, weight, lines), (gates, weight), grad)
        torch.testing.assert_close(found, expected)
        assert torch.equal(grad, kept)


@models
def test_no_rows(name):
    """Density with its gradient, and samples."""
    flow = build(name, (1, 4, 4), levels=2)
    log_prob = flow.log_prob(images(0, 2, 1, 4, 4))
    assert log_prob.shape == (0,) and flow.sample((0,)).shape == (0, 1, 4, 4)
    log_prob.sum().backward()


@models
def test_a_training_step_lowers_the_loss(name):
    flow = build(name, (1, 4, 4), noise=0.0, levels=4).float()
    x = (torch.arange(64).view(64, 1, 1, 1) % 4).expand(64, 1, 4, 4).float().contiguous()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):  # the last layer starts at zero: what is before it moves at the second step
        loss = -flow(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]


@models
def test_starts_where_nothing_is_known(name):
    """Every image equally likely, whatever the random weights within."""
    flow, x = build(name, (3, 4, 4), noise=0.0, levels=4), images(5, 4, 3, 4, 4)
    uniform = torch.tensor(4.0, dtype=torch.float64).log() * -48
    torch.testing.assert_close(flow.log_prob(x), uniform.expand(5))


@models
def test_refuses_what_is_no_image(name):
    with pytest.raises(ValueError, match="this model takes images"):
        build(name, (12,))


def test_there_is_no_module_that_remembers():
    """Caches of a visit are gone with it."""
    for name in VISITED:
        flow = build(name, (1, 3, 4), levels=2)
        before = {key: set(vars(module)) for key, module in flow.named_modules()}
        flow.sample((2,))
        assert before == {key: set(vars(module)) for key, module in flow.named_modules() if isinstance(module, nn.Module)}


@pytest.mark.parametrize("name", ["pixel_cnn_pp", "pixel_snail"])
def test_weights_start_from_data(name):
    """Each convolution gives its batch mean 0 and standard deviation 1, or 0.1 before a gate; in the same order as in a pass."""
    torch.manual_seed(0)
    flow = PIXEL_MODELS[name]((1, 8, 8), levels=256, context=2, **TINY[name] | {"width": 8}).double()
    x, context = torch.randint(256, (64, 1, 8, 8)).double(), given(2, 64)
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
