"""Residual flows of images: estimates against exact log-determinants, round trips, and what a fit keeps."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from pushforward import verbs
from pushforward.core import Chain, Flow, copies, refresh
from pushforward.data import load_images
from pushforward.models import residual_flow_image
from pushforward.nets import LipschitzConv
from pushforward.training import Run
from pushforward.transforms import Residual

Module = TypeVar("Module", bound=nn.Module)
SHAPE = (1, 9, 9)  # more numbers than evaluation takes exactly


def perturbed(module: Module, spread: float) -> Module:
    """In float64, with weights large enough for their bounds to bite."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    refresh(module)
    return module


def layer(coefficient: float = 0.7, **options) -> Residual:
    torch.manual_seed(0)
    return perturbed(Residual(LipschitzConv(SHAPE, width=6, coefficient=coefficient), SHAPE, **options), 1.0).eval()


def rows(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)


def agree(drawn: Tensor, exact: Tensor) -> bool:
    """Means of ``(draws, B)`` within 4 standard errors, a tenth of them at most."""
    error = drawn.std(0) / math.sqrt(len(drawn))
    return bool((error < 0.1 * exact.abs()).all() and ((drawn.mean(0) - exact).abs() < 4 * error).all())


def test_above_the_exact_dimensions():
    """Both ways the estimate has the mean of the determinant of autograd's Jacobian, which is far from zero."""
    step, x = layer(log_det="poisson", evaluation_terms=2), rows(2)
    jacobian = vmap(jacrev(lambda row: step.encode(row[None])[0].flatten()))(x).flatten(2).detach()
    exact = torch.linalg.slogdet(jacobian).logabsdet
    assert step.estimate and exact.abs().min() > 0.1
    with torch.no_grad():
        z = step.encode(x)
        assert agree(step(copies(x, 1000))[1].view(1000, 2), exact)
        assert agree(step.inverse(copies(z, 300))[1].view(300, 2), -exact)


@pytest.mark.parametrize(
    ("coefficient", "dtype", "error"), [(0.7, torch.float64, 1e-6), (0.9, torch.float32, 1e-5), (0.98, torch.float32, 1e-4)]
)
def test_round_trip(coefficient, dtype, error):
    step, x = layer(coefficient).to(dtype), 3 * rows(20, dtype)
    with torch.no_grad():
        z = step.encode(x)
        back = step.decode(z)
        assert (z - x).abs().max() > 0.5 and (back - x).abs().max() < error and (step.encode(back) - z).abs().max() < error
        assert torch.equal(back[:3], step.decode(torch.cat([z[:3], 50 * z[3:]]))[:3])


def test_gradients_of_the_inverse():
    """By the system solved in backward as by dense linear algebra."""
    step, z = layer(tolerance=1e-12), rows(2).requires_grad_()
    wanted = (z, *step.parameters())
    found = torch.autograd.grad(step.decode(z).square().sum(), wanted)
    step.exact_up_to = 81
    for own, dense in zip(found, torch.autograd.grad(step.decode(z).square().sum(), wanted), strict=True):
        torch.testing.assert_close(own, dense, atol=1e-9, rtol=1e-9)


def test_a_flow_is_its_estimate_on_average():
    """Three layers at two scales, whose sum of estimates has the mean of the exact sum, with as many terms as are drawn."""
    flow = perturbed(residual_flow_image((1, 4, 4), levels=4, scales=1, steps=1, width=4, last_width=4, coefficient=0.7), 0.3).eval()
    chain, x = Chain(*flow.transform.transforms[1:]), 4 * torch.rand(2, 1, 4, 4, dtype=torch.float64)
    assert flow.kind == "bound" and not chain.estimate
    with torch.no_grad():
        exact = chain(x)[1]
        steps = [part for part in flow.modules() if isinstance(part, Residual)]
        for step in steps:
            step.exact_up_to, step.evaluation_terms = 0, 2
        assert len(steps) == 3 and chain.estimate and flow.kind == "bound" and "2 terms" in "".join(flow.how)
        assert agree(chain(copies(x, 3000))[1].view(3000, 2), exact)
    with pytest.raises(ValueError, match="both a bound and an estimate"):
        flow.log_prob(x.floor(), samples=2)


def test_checkpoints_leave_gradients_alone():
    gradients = []
    for memory in ("full", "checkpoint"):
        torch.manual_seed(0)
        flow = perturbed(residual_flow_image((1, 8, 8), levels=4, steps=1, width=4, last_width=4, memory=memory), 0.1)
        torch.manual_seed(1)
        flow.log_prob(torch.arange(64.0, dtype=torch.float64).view(1, 1, 8, 8) % 4).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-10, rtol=1e-10)


def lipschitz(flow: Flow, x: Tensor) -> float:
    """The largest share of its coefficient that a net of the flow takes, at what meets it."""
    shares = []
    with torch.no_grad():
        for step in flow.transform.transforms:
            if isinstance(step, Residual):
                jacobian = vmap(jacrev(lambda row, net=step.net: net(row[None])[0].flatten()))(x).flatten(2)
                shares.append(torch.linalg.matrix_norm(jacobian, 2).max() / step.net.lipschitz)
            x = step.encode(x)
    return float(max(shares))


def test_what_a_fit_keeps(tmp_path):
    """Averaged weights keep the bound; loaded again the model gives the same figures, which say what they are."""
    small = ["model.scales=1", "model.steps=1", "model.width=4", "model.last_width=8", "model.coefficient=0.7", "model.exact_up_to=1"]
    options = [*small, "train.steps=30", "train.batch=64", "train.lr=0.05", "train.ema=0.9"]
    run = verbs.fit("digits", "residual_flow_image", options=options, out=tmp_path / "run", progress=False)
    model, *_ = verbs.results(run)["scores"]
    assert "lower bound" in model["words"] and "20 terms of the log-determinant" in model["words"]
    again = Run.load(run.path)
    assert 0.1 < lipschitz(again.flow.eval(), load_images("digits").test.x[:50].float()) <= 1 + 1e-5
    assert verbs.evaluate(again).nats == pytest.approx(model["nats"], abs=1e-4)
