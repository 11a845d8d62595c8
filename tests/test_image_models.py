"""The laws of the flows of images, over the registry of their recipes; without a latent: test_pixel_models, with a whole one: test_idf."""

from __future__ import annotations

import math

import pytest
import torch

from pushforward.core import Flow
from pushforward.models import IMAGE_MODELS, PIXEL_MODELS

LEVELS = 4
SMALL = {
    "ffjord_image": {"scales": 1, "width": 4, "depth": 1, "steps": 8, "trace": "exact"},
    "glow": {"scales": 2, "steps": 2, "width": 8},
    "glow-additive": {"scales": 2, "steps": 2, "width": 8, "coupling": "additive"},
    "glow-plu": {"scales": 1, "steps": 2, "width": 8, "mixing": "plu"},
    "glow-qr": {"scales": 1, "steps": 2, "width": 8, "mixing": "qr"},
    "glow-emerging": {"scales": 1, "steps": 2, "width": 8, "mixing": "emerging"},
    "glow-periodic": {"scales": 1, "steps": 2, "width": 8, "mixing": "periodic"},
    "mintnet_image": {"scales": 1, "steps": 1, "width": 4},
    "real_nvp_image": {"scales": 2, "width": 4, "depth": 1},
    "real_nvp_image-patches": {"scales": 1, "width": 4, "depth": 1, "patch": 2},
    "real_nvp_image-good": {"partition": "good", "width": 4, "depth": 1},
    "real_nvp_image-bad": {"partition": "bad", "width": 4, "depth": 1},
    "residual_flow_image": {"scales": 1, "steps": 1, "width": 4, "last_width": 4, "log_det": "exact"}
    | {"coefficient": 0.5, "tolerance": 1e-10},
    "residual_flow_image-dense": {"scales": 1, "steps": 1, "width": 4, "units": "clipswish", "dense": True, "last_steps": 0}
    | {"log_det": "exact", "coefficient": 0.5, "tolerance": 1e-10},
    "flow_pp": {
        "boards": (1, 1),
        "mixes": (1, 0),
        "leave": False,
        "width": 8,
        "depth": 1,
        "components": 2,
        "heads": 2,
        "noise_width": 8,
        "noise_depth": 1,
    },
    "flow_pp-leave": {
        "boards": (2, 1),
        "mixes": (1, 1),
        "leave": True,
        "width": 8,
        "depth": 1,
        "components": 2,
        "dequantization": "uniform",
    },
    "flow_pp-spline": {
        "boards": (2,),
        "mixes": (0,),
        "width": 8,
        "depth": 1,
        "components": 4,
        "coupling": "spline",
        "dequantization": "uniform",
    },
    "flow_pp-affine": {"boards": (2,), "mixes": (1,), "width": 8, "depth": 1, "coupling": "affine", "dequantization": "logit_normal"}
    | {"attention": False, "noise_width": 8, "noise_depth": 1},
}
models = pytest.mark.parametrize("name", SMALL)
contexts = pytest.mark.parametrize("context", [0, 2])


def build(name: str, shape: tuple[int, ...], context: int = 0, noise: float = 0.05, **options) -> Flow:
    """A small model in float64 that has seen a batch and is then perturbed."""
    torch.manual_seed(context)
    options = SMALL[name] | {"levels": LEVELS} | options
    flow = IMAGE_MODELS[name.split("-")[0]](shape, context=context, **options).double()
    flow.initialize(torch.randint(options["levels"], (64, *shape)).double(), rows(context, 64))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow


def images(n: int, *shape: int) -> torch.Tensor:
    return torch.randint(LEVELS, (n, *shape)).double()


def rows(context: int, n: int) -> torch.Tensor | None:
    return torch.randn(n, context, dtype=torch.float64) if context else None


def test_every_recipe_is_tested():
    assert {name.split("-")[0] for name in SMALL} == set(IMAGE_MODELS) - set(PIXEL_MODELS) - {"idf"}


@models
@contexts
def test_density_and_samples(name, context):
    """Images come back from their latents, samples are whole numbers of the levels, the kind is a bound, gradients are finite."""
    flow = build(name, (3, 4, 4), context)
    x, c = images(5, 3, 4, 4), rows(context, 5)
    assert flow.kind == "bound" and flow.log_prob(x, c).shape == (5,)
    assert torch.equal(flow.decode(flow.encode(x, c), c), x)
    assert flow.encode(x, c).shape == x.shape
    samples = flow.sample((2,), c)
    assert samples.shape == (2, *((5,) if context else ()), 3, 4, 4)
    assert torch.equal(samples, samples.round()) and samples.min() >= 0 and samples.max() < LEVELS
    (-flow(x, c).mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters() if p.numel())


@models
def test_probabilities_sum_to_one(name):
    """With ``alpha=0`` the support is closed: the chance of all 2^4 images, by averages over the noise, is 1."""
    if name.split("-")[0] == "flow_pp" or SMALL[name].get("scales", 1) > 1:
        small = {key: value[:1] for key, value in SMALL[name].items() if isinstance(value, tuple)} or {"scales": 1}
    else:
        small = {"steps": 2} if name == "ffjord_image" else {}
    flow = build(name, (1, 2, 2), noise=0.02, levels=2, alpha=0.0, **small)
    every = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 4).view(-1, 1, 2, 2)
    torch.manual_seed(0)
    with torch.no_grad():
        chances = torch.stack([flow.log_prob(every.repeat(64, 1, 1, 1)).exp().view(64, -1).sum(1) for _ in range(40)]).flatten()
    error = chances.std() / math.sqrt(len(chances))
    assert error < 0.08 and abs(chances.mean() - 1) < 4 * error


@models
def test_context_reaches_every_pixel(name):
    flow = build(name, (1, 4, 4), 2)
    x, c = images(1, 1, 4, 4), rows(2, 1)
    a, b = (flow.decode(flow.encode(x, c), d) for d in (c, c + 1))
    assert not torch.equal(flow.encode(x, c), flow.encode(x, c + 1)) and a.shape == b.shape
    assert (flow.encode(x, c) != flow.encode(x, c + 1)).all()
    with pytest.raises(ValueError, match="needs a context"):
        flow.log_prob(x)


@models
def test_a_training_step_lowers_the_loss(name):
    flow = build(name, (1, 4, 4), noise=0.0).float()
    x = (torch.arange(64).view(64, 1, 1, 1) % LEVELS).expand(64, 1, 4, 4).float().contiguous()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)

    def loss() -> torch.Tensor:
        torch.manual_seed(0)
        return -flow(x).mean()

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize("name", ["glow", "real_nvp_image", "flow_pp-leave"])
@pytest.mark.parametrize("memory", ["constant", "checkpoint"])
def test_memory_leaves_gradients_alone(name, memory):
    x, gradients = images(4, 1, 8, 8), []
    for kind in ("full", memory):
        flow = build(name, (1, 8, 8), memory=kind)
        torch.manual_seed(1)
        flow.log_prob(x).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in flow.parameters() if p.numel()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize(("name", "shape"), [("glow", (3, 6, 6)), ("real_nvp_image", (3, 6, 6)), ("flow_pp", (3, 5, 4)), ("glow", (12,))])
def test_shapes_that_do_not_fit(name, shape):
    with pytest.raises(ValueError, match="this model takes images"):
        build(name, shape)


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="one number of boards and of mixes"):
        build("flow_pp", (1, 4, 4), boards=(1, 1), mixes=(1,))
    with pytest.raises(ValueError, match="alpha"):
        build("glow", (1, 4, 4), alpha=0.5)


def test_couplings_of_a_checkerboard_read_the_other_colour():
    """A board of a squeezed image is a checkerboard of the image."""
    from pushforward.models.images import board
    from pushforward.transforms import Squeeze, checkerboard

    mask, _ = Squeeze()(checkerboard((3, 4, 6)).double()[None])
    assert torch.equal(mask[0, :, 0, 0].bool(), torch.tensor(board(12)))
    assert torch.equal(mask.amin((0, 2, 3)), mask.amax((0, 2, 3)))
