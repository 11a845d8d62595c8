"""Autocast reaches the nets; what flows through the layers, and their log-dets, stays float32."""

from __future__ import annotations

import catalog
import pytest
import test_distributions
import test_pixel_models
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import pushforward.nets as pn
from pushforward import kernels
from pushforward.models import IMAGE_MODELS, glow

# whose own nets give bfloat16 as it comes
OF_THE_TESTS = {"estimate", "factor-context", "slice-context", "inverse-slice", "augment", "gaps-context"}
NETS = (nn.Linear, nn.Conv2d, pn.MADE, pn.CausalTransformer)  # what autocast is for
IN_FULL = {"ffjord_image", "mintnet_image", "residual_flow_image"}  # whose nets are the map
SOLVERS = ("linalg", "solve", "matrix_exp", "cholesky", "logdet", "det", "inverse", "lu", "qr")  # words of their operators' names
SMALL: dict[str, dict[str, object]] = {
    "glow": {"scales": 2, "steps": 2, "width": 16},
    "idf": {"scales": 2, "steps": 2, "width": 16},
    "real_nvp_image": {"scales": 2, "width": 8, "depth": 1},
    "flow_pp": {"width": 8, "depth": 1, "heads": 2, "components": 2, "boards": (1, 1), "mixes": (1, 0), "noise_width": 8, "noise_depth": 1},
}


def perturbed(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


class Solvers(TorchDispatchMode):
    """Notes operators of linear algebra that are given bfloat16; no CPU has them."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        words = func.name().split("::")[1].split(".")[0].split("_")
        if any(word in SOLVERS for word in words) and any(isinstance(a, Tensor) and a.dtype == torch.bfloat16 for a in args):
            self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", catalog.LAYERS)
def test_layers_under_autocast(name):
    """They run both ways with gradients, in float32, and without a net to the bit as without."""
    torch.manual_seed(0)
    entry = catalog.LAYERS[name]
    layer, x = perturbed(entry.make()), entry.domain(4, *entry.shape).float()
    context = torch.randn(4, entry.context) if entry.context else None

    def run() -> list[Tensor]:
        torch.manual_seed(1)
        y = x.clone().requires_grad_()
        z, ldj = layer(y, context)
        return [z, ldj, *layer.inverse(z, context)]

    with kernels.without():  # as in a mode
        plain = run()
    with torch.autocast("cpu", torch.bfloat16), Solvers() as solvers:
        cast = run()
    assert not solvers.seen
    sum(t.float().sum() for t in cast).backward()
    assert all(p.grad is None or (p.grad.dtype == torch.float32 and p.grad.isfinite().all()) for p in layer.parameters())
    for a, b in zip(plain, cast, strict=True):
        assert b.isfinite().all() and (name in OF_THE_TESTS or b.dtype == a.dtype)
        if not any(isinstance(module, NETS) for module in layer.modules()) and name not in OF_THE_TESTS:
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", test_distributions.BASES)
def test_densities_under_autocast(name):
    entry, base, context = test_distributions.build(name)
    base, context = base.float(), None if context is None else context.float().expand(5, -1)
    x = torch.rand(5, 2) * 0.8 + 0.1
    expected = base.log_prob(x, context)
    with torch.autocast("cpu", torch.bfloat16), Solvers() as solvers:
        found = base.log_prob(x, context)
        drawn, log_prob = base.draw(5, context)
    assert not solvers.seen and found.dtype == log_prob.dtype == drawn.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.1 if entry.context else 0, rtol=0)


@pytest.mark.parametrize("name", [name for name in IMAGE_MODELS if name not in IN_FULL])
def test_log_likelihoods_under_autocast(name):
    """In float32, and as close as bfloat16 nets of three digits can be; the round trip is as exact as without."""
    torch.manual_seed(0)
    options = SMALL.get(name) or test_pixel_models.TINY[name]
    flow = IMAGE_MODELS[name]((3, 8, 8), levels=256, **options)  # type: ignore[arg-type]
    x = torch.randint(256, (16, 3, 8, 8)).float()
    perturbed(flow).initialize(x)  # type: ignore[operator]
    seen: set[torch.dtype] = set()
    for module in flow.modules():
        if isinstance(module, (nn.Conv2d, pn.CausalNet)):
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
