"""Weights shared out among processes: what is gathered together, and that a step is the same, over the registry of recipes."""

from __future__ import annotations

import copy

import pytest
import test_any_order
import test_image_models
import test_ladder
import test_model_laws
import test_pixel_models
import torch
from torch import nn

from pushforward.core import Chain, Flow
from pushforward.kernels import door
from pushforward.models import TAUGHT_MODELS, glow, maf, pixel_cnn_pp, real_nvp, wavenet
from pushforward.objectives import MaximumLikelihood, choose_objective
from pushforward.training import fit
from pushforward.training.checkpoint import Learner, load_weights, weights
from pushforward.training.ema import Ema
from pushforward.training.sharding import gathered, shard, units

REFUSED = {  # by name, which of the reasons
    "i_resnet": "spectral norms",
    "implicit_flow": "spectral norms",
    "residual_flow": "spectral norms",
    "residual_flow_image": "spectral norms",
    "residual_flow_image-dense": "spectral norms",
    "made_image": "no layers or blocks with weights",
}
MODELS = {
    **{name: lambda name=name: test_model_laws.build(name, 6)[:2] for name in test_model_laws.MODELS},
    **{name: lambda name=name: of_images(test_pixel_models.build(name, (1, 4, 4)), 2) for name in test_pixel_models.TINY},
    **{name: lambda name=name: of_images(test_ladder.build(name, (1, 4, 4)), 4) for name in test_ladder.SMALL},
    "any_order": lambda: rows(*test_any_order.tiny(ignorable=True)),
    "wavenet": lambda: of_sounds(wavenet((1, 32), levels=16, width=4, depth=2, cycles=2, skip=4).double()),
}
assert not set(TAUGHT_MODELS) & set(MODELS)


def of_images(flow: Flow, levels: int):
    return flow, test_image_models.images(6, 1, 4, 4).remainder(levels)


def of_sounds(flow: Flow):
    return flow, torch.randint(16, (4, 1, 32)).double()


def rows(flow: Flow, x):
    return flow, x[:6]


@pytest.fixture(scope="module", autouse=True)
def _one_process():
    """A group of one: its mesh makes of each parameter the same as that of many."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def shared_out(flow: Flow) -> tuple[nn.Module, nn.Module]:
    """The usual objective of a flow, and a copy of it that is shared out."""
    objective = choose_objective(flow, "auto").train()
    twin = copy.deepcopy(objective)
    shard(twin, twin.flow)
    return objective, twin


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_the_same(name):
    """Loss and gradient to the bit, twice; and the weights come back whole."""
    flow, x = MODELS[name]()
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"train.strategy=fsdp: .*{REFUSED[name]}.*leave train.strategy at ddp"):
            shared_out(flow)
        return
    objective, twin = shared_out(flow)
    for _ in range(2):
        losses = []
        for module in (objective, twin):
            torch.manual_seed(1)
            losses.append(module(x))
            losses[-1].backward()
        assert losses[0].isfinite()
        if x.dim() == 2 and any(getattr(layer, "run", None) for layer in flow.modules()):  # which FSDP calls one by one
            torch.testing.assert_close(*losses, atol=1e-12, rtol=1e-12)
        else:
            assert torch.equal(*losses)
    for (key, ours), theirs in zip(objective.named_parameters(), twin.parameters(), strict=True):
        assert hasattr(theirs, "placements") or not ours.numel(), key
        assert (ours.grad is None) == (theirs.grad is None), key
        if ours.grad is not None:
            torch.testing.assert_close(gathered(theirs.grad), ours.grad, atol=1e-12, rtol=1e-12, msg=key)
    own = objective.state_dict()
    assert own.keys() == weights(twin).keys() and all(torch.equal(own[key], tensor) for key, tensor in weights(twin).items())


def test_what_is_gathered_together():
    """Each layer of a chain by itself, with its net; of a model that is one net, its blocks."""
    flow = real_nvp((4,), steps=3, width=8, depth=1)
    found = units(flow)
    assert found and all(unit in list(flow.transform.transforms) for unit in found)
    image = glow((1, 8, 8), levels=4, scales=2, steps=2, width=8)
    assert len(units(image)) > 8 and not any(isinstance(unit, Chain) for unit in units(image))
    for model in (image, pixel_cnn_pp((1, 8, 8), levels=4, width=6, depth=1)):
        held = {p for unit in units(model) for p in unit.parameters()}
        assert sum(p.numel() for p in held) > 0.85 * sum(p.numel() for p in model.parameters())


def test_a_net_is_whole_only_while_it_computes():
    _, twin = shared_out(maf((3,), steps=2, width=8, depth=1).double())
    layers = [layer for layer in units(twin.flow) if list(layer.parameters())]
    seen = []
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, number=number: seen.append([hasattr(next(u.parameters()), "placements") for u in layers]))
    twin(torch.randn(5, 3).double()).backward()
    assert len(seen) == len(layers) and all(others.count(True) == len(layers) - (not others[i]) for i, others in enumerate(seen))


def test_state_goes_out_and_comes_back():
    """A checkpoint of a model that is shared out is that of the model whole, and either can go on from it."""
    flow = maf((3,), steps=2, width=8, depth=1)
    objective, x = MaximumLikelihood(flow), torch.randn(64, 3)

    def learner(objective, average):
        return Learner(objective, average, torch.optim.AdamW(objective.parameters(), lr=1e-2, fused=True))

    def step(learner, number):
        learner.objective(x).backward()
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        learner.average.update(number)

    def pair():
        plain = learner(copy.deepcopy(objective), None)
        plain.average = Ema(plain.objective, plain.objective.flow, 0.9)
        spread = copy.deepcopy(plain.objective)
        average = Ema(spread, spread.flow, 0.9)
        for module, part in ((spread, spread.flow), (average.module, average.part)):
            shard(module, part)
        average.follow(spread)
        return plain, learner(spread, average)

    def same(a, b):
        assert a.keys() == b.keys() and len(a) > 20
        for name, tensor in a.items():
            torch.testing.assert_close(tensor, b[name], msg=name)

    plain, spread = pair()
    for number in range(3):
        step(plain, number)
        step(spread, number)
    same(plain.capture(), spread.capture())
    again, other = pair()
    again.restore(spread.capture(), weights(spread.average.part))
    other.restore(plain.capture(), weights(plain.average.part))
    for number in (3, 4):
        for each in (plain, spread, again, other):
            step(each, number)
    for each in (spread, again, other):
        same(plain.capture(), each.capture())
    with pytest.raises(ValueError, match="not finite"):
        load_weights(other.objective, {name: t * float("nan") for name, t in weights(plain.objective).items()})


def test_kernels_leave_what_is_shared_out_alone():
    _, twin = shared_out(maf((3,), steps=1, width=8, depth=1))
    assert not door.ordinary([next(twin.parameters())])


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda flow: setattr(flow, "own", nn.Parameter(torch.tensor(1.0))), "own is a single number"),
        (lambda flow: setattr(flow.transform, "memory", "constant"), "save memory"),
    ],
    ids=["a number", "memory"],
)
def test_what_can_not_be_shared_out_says_why(change, what):
    flow = real_nvp((4,), steps=2, width=8, depth=1)
    change(flow)
    with pytest.raises(ValueError, match=f"train.strategy=fsdp: .*{what}"):
        shared_out(flow)


def test_one_process_alone_holds_all():
    """The option is that of a run which may go on with another number of processes."""
    from pushforward.data import Rows

    flow = real_nvp((2,), steps=2, width=8, depth=1)
    fit(flow, Rows(torch.randn(64, 2)), Rows(torch.randn(16, 2)), steps=3, strategy="fsdp", progress=False)
    assert not any(hasattr(p, "placements") for p in flow.parameters())
    with pytest.raises(ValueError, match="expected strategy 'ddp' or 'fsdp', got 'zero'"):
        fit(flow, Rows(torch.randn(64, 2)), Rows(torch.randn(16, 2)), strategy="zero")
