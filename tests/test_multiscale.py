"""Multiscale PixelCNN: exact, each step reads what came before, and few calls."""

from __future__ import annotations

import math

import pytest
import test_pixel_models
import torch
from torch import Tensor

from pushforward.core import Flow
from pushforward.models import multiscale_pixel_cnn

TINY = test_pixel_models.TINY["multiscale_pixel_cnn"]


def build(shape: tuple[int, ...], levels: int, context: int = 0, **options) -> Flow:
    torch.manual_seed(0)
    flow = multiscale_pixel_cnn(shape, levels=levels, context=context, **TINY, **options).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def every(shape: tuple[int, ...], levels: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(levels, dtype=torch.float64)] * math.prod(shape)).view(-1, *shape)


@pytest.mark.parametrize(
    "shape, levels, options",
    [((1, 2, 2), 3, {}), ((1, 2, 2), 3, {"pixel": "mixture"}), ((3, 2, 2), 2, {}), ((1, 2, 6), 2, {}), ((1, 4, 4), 2, {"scales": 2})],
)
def test_probabilities_of_all_images_sum_to_one(shape, levels, options):
    flow = build(shape, levels, **options)
    with torch.no_grad():
        log_prob = flow.log_prob(every(shape, levels))
    assert flow.kind == "exact" and log_prob.std() > 0.1 and abs(log_prob.exp().sum() - 1) < 1e-10


def test_tied_colours_sum_to_one():
    flow = build((2, 2, 2), 3, pixel="mixture")
    with torch.no_grad():
        assert abs(flow.log_prob(every((2, 2, 2), 3)).exp().sum() - 1) < 1e-10


def test_order():
    """Coarse pixels row by row, then (1, 1), (0, 1), (1, 0) of each 2 x 2, at each scale anew."""
    assert build((1, 4, 4), 2, scales=1).base.order[0].tolist() == [[0, 5, 1, 5], [6, 4, 6, 4], [2, 5, 3, 5], [6, 4, 6, 4]]
    assert build((3, 2, 2), 2).base.order[:, 0, 1].tolist() == [6, 7, 8]  # channels in turn
    assert build((3, 2, 2), 256).base.order[:, 0, 1].tolist() == [2, 2, 2]  # tied
    assert build((1, 8, 8), 2, scales=3).base.order.max() == build((1, 8, 8), 2, scales=3).base.calls == 9


@pytest.mark.parametrize("shape, levels, scales", [((1, 4, 4), 2, 2), ((1, 4, 6), 2, 1), ((3, 4, 4), 4, 1)])
def test_what_comes_later_changes_nothing(shape, levels, scales):
    """Another number at one place: equal to the bit at all turns up to its own but for itself, and something later changes."""
    base = build(shape, levels, scales=scales).base
    order = base.order
    x = torch.randint(levels, (16, *shape)).double()
    with torch.no_grad():
        terms = base.terms(x)
        for place in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
            other = x.clone()
            other[(slice(None), *place)] = (other[(slice(None), *place)] + 1) % levels
            changed = (base.terms(other) != terms).any(0)
            turn = order[tuple(place)]
            earlier = (order <= turn).clone()
            earlier[tuple(place)] = False
            assert not changed[earlier].any()
            assert turn == order.max() or changed[order > turn].any()


@pytest.mark.parametrize("shape, levels", [((1, 4, 4), 2), ((3, 4, 4), 4), ((3, 4, 4), 256)])
@pytest.mark.parametrize("context", [0, 2])
def test_samples_have_the_log_probability_that_they_came_with(shape, levels, context):
    flow = build(shape, levels, context)
    c = torch.randn(6, 2, dtype=torch.float64) if context else None
    x, log_prob = flow.sample_and_log_prob((1,) if context else (6,), c)
    torch.testing.assert_close(flow.log_prob(x.view(6, *shape), c), log_prob.view(6))
    assert torch.equal(x, x.round()) and x.min() >= 0 and x.max() < levels
    if context:
        assert (flow.log_prob(x[0], c) != flow.log_prob(x[0], c + 1)).all()


def test_samples_are_as_frequent_as_they_are_probable():
    flow = build((1, 2, 2), 2)
    with torch.no_grad():
        expected = flow.log_prob(every((1, 2, 2), 2)).exp()
        drawn = flow.sample((20_000,)).flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    seen = torch.bincount(drawn.long(), minlength=16) / 20_000
    assert (seen - expected).abs().max() < 5 * math.sqrt(0.25 / 20_000)


def test_every_parameter_learns():
    flow = build((3, 8, 8), 4, scales=1)
    (-flow(torch.randint(4, (8, 3, 8, 8)).double()).mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in flow.parameters())


def test_refuses():
    with pytest.raises(ValueError, match="multiples of 4, got 6 x 8"):
        multiscale_pixel_cnn((1, 6, 8), scales=2)
