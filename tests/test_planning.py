"""The cost of a fit, told before it is started."""

from __future__ import annotations

import json

import pytest
import test_pixel_models
import torch
from torch import nn

from pushforward import verbs
from pushforward.cli import main
from pushforward.core import Flow
from pushforward.distributions import Normal
from pushforward.models import IMAGE_MODELS, glow
from pushforward.training.budget import Operations, budget, kept
from pushforward.transforms import Coupling
from pushforward.univariate import Affine

SMALL = ["model.scales=2", "model.steps=2", "model.width=64", "train.batch=32", "train.steps=1000"]
TINY: dict[str, dict[str, object]] = {
    "ffjord_image": {"scales": 1, "width": 4, "depth": 1, "memory": "checkpoint"},
    "glow": {"width": 16, "scales": 2, "steps": 2},
    "idf": {"width": 16, "scales": 2, "steps": 2},
    "mintnet_image": {"scales": 1, "steps": 1, "width": 2},
    "real_nvp_image": {"width": 16, "scales": 2, "depth": 1},
    "residual_flow_image": {"scales": 1, "steps": 1, "width": 2, "last_width": 2, "log_det": "truncated", "memory": "checkpoint"},
    "flow_pp": {"width": 16, "depth": 1, "components": 2, "boards": (1, 1), "mixes": (1, 0), "noise_width": 16, "noise_depth": 1},
}


def test_operations_and_bytes_by_hand():
    """One coupling of one convolution of side 3, 2 to 4 channels at 16 x 16 sites."""
    torch.manual_seed(0)
    flow = Flow(Normal((4, 16, 16)), Coupling([1, 1, 0, 0], Affine(), nn.Conv2d(2, 4, 3, padding=1)))
    x = torch.randn(8, 4, 16, 16)
    found = budget(flow, x)
    convolution = 2 * 2 * 4 * 9 * 16 * 16
    assert found.forward == convolution
    assert found.step == 2 * convolution  # the data want no gradient, so backward has the weights' alone
    assert found.parameters == 2 * 4 * 9 + 4 and found.states == 5 * 4 * found.parameters
    # what is kept of x (as a view, whose storage is that of x) and what leaves the rectifier; the weights are known
    layer = nn.Conv2d(2, 4, 3)
    assert kept(lambda: nn.functional.relu(layer(x[:, :2])), layer.parameters()) == x.nbytes + 4 * 8 * 4 * 14 * 14


def test_the_peak_is_that_of_live_tensors():
    """Of a chain of additions two tensors are alive at a time, of which one is kept by nothing; products keep each factor."""
    x = torch.ones(1000, requires_grad=True)
    with Operations([x]) as sums:
        y = x
        for _ in range(5):
            y = y + 1
    assert sums.peak == 2 * x.nbytes and sums.bytes == x.nbytes
    with Operations([x]) as products:
        y = x
        for _ in range(5):
            y = y * y
    assert products.peak == products.bytes == 5 * x.nbytes
    del y
    assert products.bytes == 0


def test_on_the_meta_device_as_with_numbers():
    real, x = glow((3, 8, 8), scales=2, steps=2, width=8), torch.randint(256, (4, 3, 8, 8)).float()
    with torch.device("meta"):
        shapes = glow((3, 8, 8), scales=2, steps=2, width=8).to("meta")
    assert budget(shapes, x.to("meta")) == budget(real, x)


def test_memory_options_differ_as_they_should():
    """Steps four times as deep keep four times as much, or hardly more; what is computed again is counted."""

    def at(depth: int, memory: str):
        with torch.device("meta"):
            flow = glow((3, 16, 16), scales=2, steps=depth, width=32, memory=memory).to("meta")  # type: ignore[arg-type]
            return budget(flow, torch.zeros(4, 3, 16, 16))

    full, constant, checkpoint = ((at(4, memory), at(16, memory)) for memory in ("full", "constant", "checkpoint"))
    assert full[1].activations > 3 * full[0].activations
    assert constant[1].activations < 1.05 * constant[0].activations < full[0].activations
    assert constant[1].fixed == pytest.approx(4 * constant[1].parameters, rel=0.6)  # gradients of the deepest run
    assert constant[1].activations < checkpoint[1].activations < full[1].activations / 2
    assert full[1].forward == constant[1].forward == checkpoint[1].forward
    assert full[1].step == pytest.approx(3 * full[1].forward, rel=0.05)
    assert checkpoint[1].step == pytest.approx(4 * full[1].forward, rel=0.05)
    assert constant[1].step == pytest.approx(5 * full[1].forward, rel=0.05)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_every_model_of_images_can_be_counted(name):
    """From shapes alone, with the recomputation by inverses where there are some."""
    options = {"memory": "constant"} | TINY[name] if name in TINY else test_pixel_models.TINY[name]
    with torch.device("meta"):
        flow = IMAGE_MODELS[name]((1, 28, 28), **options).to("meta")  # type: ignore[arg-type]
        found = budget(flow, torch.zeros(2, 1, 28, 28))
    twice = name not in TINY or name == "residual_flow_image"  # whose series has no graph but of its last term
    assert found.forward > 0 and found.step > (2 if twice else 3) * found.forward and found.activations > 0


def test_hours_follow_from_operations():
    one, two = (verbs.plan("cifar10", "glow", options=[*SMALL, f"train.precision={p}"], devices=[1, 4, 64]) for p in ("no", "bf16"))
    seconds = one.budget.step * 32 * 1000 / (0.3 * 19.5e12)
    assert one.hours["A100"] == {1: pytest.approx(seconds / 3600), 4: pytest.approx(seconds / 4 / 3600), 64: None}
    assert two.hours["A100"][1] == pytest.approx(one.hours["A100"][1] * 19.5 / 312)
    assert one.hours["this machine"][1] > 0
    assert one.epochs == pytest.approx(32 * 1000 / 45_000)
    assert one.activations["full"] == {n: pytest.approx(one.budget.activations * 32 / n + one.budget.fixed) for n in (1, 4)}


def test_a_table_and_a_hub_name(capsys):
    """Nothing is trained, written or fetched."""
    assert verbs.plan("celeba", "glow", options=SMALL).shape == (3, 64, 64)
    assert verbs.plan("cifar10", "glow", options=SMALL, bits=5, size=16, gray=True).shape == (1, 16, 16)
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "wine", "--dry-run", "--json", "train.steps=10"])
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 10 and found["rows"] == 142 and found["shape"] == [13]
    with pytest.raises(ValueError, match="utilization"):
        verbs.plan("wine", utilization=2.0)


def test_the_table_of_the_command_line(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "cifar10", "--model", "glow", "--dry-run", *SMALL])
    out = capsys.readouterr().out
    for words in (
        "glow on cifar10",
        "parameters",
        "GFLOP per row",
        "0.7 passes",
        "full (chosen)",
        "constant",
        "A100",
        "this machine",
        "Note:",
    ):
        assert words in out, words
