"""Autocast reaches the nets; what flows through the layers, and their log-dets, stays float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pushforward.models import IMAGE_MODELS, glow
from pushforward.transforms import (
    CausalConv,
    Conv1x1,
    EmergingConv,
    Householder,
    LULinear,
    MatrixExp,
    Orthogonal,
    PeriodicConv,
    QRLinear,
    SVDLinear,
    Triangular,
)

LAYERS = [Conv1x1, LULinear, QRLinear, SVDLinear, EmergingConv, CausalConv, PeriodicConv, Orthogonal, Householder, MatrixExp, Triangular]
SMALL: dict[str, dict[str, object]] = {
    "glow": {"scales": 2, "steps": 2, "width": 16},
    "real_nvp_image": {"scales": 2, "width": 8, "depth": 1},
    "flow_pp": {"width": 8, "depth": 1, "heads": 2, "components": 2, "boards": (1, 1), "mixes": (1, 0), "noise_width": 8, "noise_depth": 1},
}


def perturbed(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_linear_layers_take_no_part_in_autocast(layer):
    torch.manual_seed(0)
    layer, x = perturbed(layer(4)), torch.randn(3, 4, 6, 6)
    plain = [*layer(x), *layer.inverse(x)]
    with torch.autocast("cpu", torch.bfloat16):
        cast = [*layer(x), *layer.inverse(x)]
    for a, b in zip(plain, cast, strict=True):
        assert b.dtype == torch.float32 and torch.equal(a, b)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_log_likelihoods_under_autocast(name):
    """In float32, and as close as bfloat16 nets of three digits can be; the round trip is as exact as without."""
    torch.manual_seed(0)
    flow = IMAGE_MODELS[name]((3, 8, 8), **SMALL[name])  # type: ignore[arg-type]
    x = torch.randint(256, (16, 3, 8, 8)).float()
    perturbed(flow).initialize(x)  # type: ignore[operator]
    seen: set[torch.dtype] = set()
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, args, out, seen=seen: seen.add(out.dtype))  # type: ignore[misc]
    torch.manual_seed(1)
    plain = flow(x)
    assert seen == {torch.float32}
    seen.clear()
    torch.manual_seed(1)  # the same noise
    with torch.autocast("cpu", torch.bfloat16):
        cast = flow(x)
        z = flow.encode(x)
        back = flow.decode(z)
    assert seen == {torch.bfloat16} and cast.dtype == z.dtype == torch.float32
    assert ((cast - plain).abs() / plain.abs()).max() < 0.01
    assert not torch.equal(cast, plain)
    assert torch.equal(back, x)


def test_gradients_under_autocast():
    flow, x = perturbed(glow((3, 8, 8), scales=2, steps=2, width=16)), torch.randint(256, (16, 3, 8, 8)).float()
    flow.initialize(x)  # type: ignore[operator]
    with torch.autocast("cpu", torch.bfloat16):
        loss = -flow(x).mean()
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in flow.parameters() if p.requires_grad
    )
