"""Block autoregressive layers: against plain loops, onto R, normalized, and inverted with the right gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from pushforward.models import bnaf
from pushforward.transforms import BlockAutoregressive
from pushforward.transforms.block_autoregressive import SPREAD


def strong(dim: int, noise: float = 1.0, seed: int = 0, dtype: torch.dtype = torch.float64, **options: int) -> BlockAutoregressive:
    """A small layer with noise on every parameter, drawn in float32 so that it is the same in any dtype."""
    torch.manual_seed(seed)
    layer = BlockAutoregressive(dim, **({"width": 4} | options))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer.to(dtype)


def by_loops(layer: BlockAutoregressive, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """z and the log-slopes of one row, unit by unit from the parameters, with slopes as the paper keeps them: logsumexp of logs."""
    units, logs = [[x[i]] for i in range(layer.dim)], [[torch.zeros_like(x[0])] for _ in range(layer.dim)]
    given = None if context is None else layer.embed(context)
    least = (1 - layer.floor) * torch.sigmoid(layer.straight[:, 0]) + layer.floor
    for number, linear in enumerate(layer.layers):
        _, outputs, inputs = linear.diagonal.shape
        last = number == layer.depth
        new_units, new_logs = [], []
        for i in range(layer.dim):
            own, own_logs = [], []
            for o in range(outputs):
                positive = torch.log1p(linear.diagonal[i, o].exp())
                total = linear.bias[i * outputs + o, 0] + sum(positive[k] * units[i][k] for k in range(inputs))
                for j in range(i):
                    free = linear.lower[(i - 1) * outputs + o, j * inputs : (j + 1) * inputs]
                    total = total + sum(free[k] * units[j][k] for k in range(inputs))
                slope = torch.stack([positive[k].log() + logs[i][k] for k in range(inputs)]).logsumexp(0)
                if last:
                    own.append(total + least[i] * x[i])
                    own_logs.append(torch.logaddexp(slope, least[i].log()))
                else:
                    if given is not None:
                        total = total + given[(number * layer.dim + i) * outputs + o]
                    own.append(total.tanh())
                    own_logs.append(slope - 2 * total.cosh().log())
            new_units.append(own)
            new_logs.append(own_logs)
        units, logs = new_units, new_logs
    return torch.stack([u[0] for u in units]), torch.stack([v[0] for v in logs])


@pytest.mark.parametrize("dim, depth, context", [(1, 1, 0), (1, 3, 2), (3, 1, 2), (4, 2, 0)])
def test_against_loops_and_autograd(dim, depth, context):
    """The values, the paper's log-slopes, the diagonal of autograd's Jacobian and its log-determinant all agree."""
    layer = strong(dim, depth=depth, context=context)
    x = 2 * torch.randn(3, dim, dtype=torch.float64)
    c = torch.randn(3, context, dtype=torch.float64) if context else None
    z, ldj = layer(x, c)
    for row in range(3):
        own = None if c is None else c[row]
        expected, logs = by_loops(layer, x[row], own)
        jacobian = torch.autograd.functional.jacobian(lambda x, own=own: layer(x[None], None if own is None else own[None])[0][0], x[row])
        torch.testing.assert_close(z[row], expected, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(jacobian.diagonal().log(), logs, atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(ldj[row], torch.linalg.slogdet(jacobian)[1], atol=1e-11, rtol=1e-11)
        assert not jacobian.triu(1).any() and (dim == 1 or jacobian.tril(-1).any())


def nodes(edges: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights of every panel between neighbouring edges (last axis)."""
    points, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(order))
    half, middle = edges.diff().unsqueeze(-1) / 2, (edges[..., 1:] + edges[..., :-1]).unsqueeze(-1) / 2
    return (middle + half * points).flatten(-2), (half * weights).flatten(-2)


def mass(layer: BlockAutoregressive, panels: int, order: int) -> float:
    """The integral of the density of x under a standard normal z, with panels that are narrow where the layer is steep."""
    z = torch.linspace(-8, 8, panels + 1, dtype=torch.float64)
    rest = torch.zeros(panels + 1, layer.dim - 1, dtype=torch.float64)
    x, weight = nodes(layer.inverse(torch.cat([z.unsqueeze(1), rest], 1))[0][:, 0], order)
    x = x.unsqueeze(1)
    if layer.dim == 2:  # for each node of the first feature, panels of the second
        first = layer(torch.cat([x, torch.zeros_like(x)], 1))[0][:, 0]
        corners = torch.stack([first.unsqueeze(1).expand(-1, panels + 1), z.expand(len(x), -1)], 2)
        second, inner = nodes(layer.inverse(corners.flatten(0, 1))[0][:, 1].view(len(x), -1), order)
        x, weight = torch.stack([x.expand_as(second), second], 2).flatten(0, 1), (weight.unsqueeze(1) * inner).flatten()
    z, ldj = layer(x)
    return ((ldj - 0.5 * z.square().sum(1) - 0.5 * layer.dim * math.log(2 * math.pi)).exp() * weight).sum().item()


@pytest.mark.parametrize(
    "dim, noise, depth, panels, order",
    [(1, 1.0, 2, 64, 8), (1, 3.0, 2, 64, 16), (1, 3.0, 3, 64, 16), (2, 1.0, 2, 48, 8), (2, 3.0, 1, 32, 12)],
)
def test_integrates_to_one(dim, noise, depth, panels, order):
    """With parameters far from the start too: bounded units without the linear term would lose mass."""
    with torch.no_grad():
        assert abs(mass(strong(dim, noise, seed=1, depth=depth), panels, order) - 1) < 1e-4


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_onto_the_line(noise):
    """Every z has an x, however far; slopes are never below the floor."""
    layer = strong(2, noise)
    far = torch.tensor([-1e8, -1e4, -30.0, 0.0, 30.0, 1e4, 1e8], dtype=torch.float64)
    grid = torch.cartesian_prod(far, far)
    with torch.no_grad():
        z, _ = layer(layer.inverse(grid)[0])
        torch.testing.assert_close(z, grid, atol=1e-8, rtol=1e-12)
        _, ldj = layer(grid)
        assert ldj.isfinite().all() and (ldj >= 2 * math.log(layer.floor)).all()
        x, _ = layer.inverse(layer(grid)[0])
        torch.testing.assert_close(x, grid, atol=1e-5, rtol=1e-12)  # 1e8 stands beside numbers of size 1


@pytest.mark.parametrize("dim, noise", [(1, 1.0), (1, 3.0), (2, 1.0), (2, 3.0), (3, 1.0)])
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_round_trip(dim, noise, dtype, error):
    for seed in range(4):
        layer = strong(dim, noise, seed, dtype, width=8)
        x = 3 * torch.randn(200, dim, dtype=dtype)
        with torch.no_grad():
            z, ldj = layer(x)
            back, ldj_back = layer.inverse(z)
        assert back.dtype == dtype and (back - x).abs().max() <= error
        torch.testing.assert_close(ldj_back, -ldj, atol=100 * error, rtol=0)


def test_gradients_of_samples():
    """Against finite differences: of x and ldj, with respect to z, the context and every parameter."""
    layer = strong(3, 0.5, width=2, context=2)
    z, context = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    names, values = zip(*layer.named_parameters(), strict=True)

    class Sampler(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer.inverse(z, context)

    def sample(z: Tensor, context: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        return functional_call(Sampler(), {f"layer.{name}": value for name, value in zip(names, parameters, strict=True)}, (z, context))

    inputs = (z.requires_grad_(), context.requires_grad_(), *(value.detach().clone().requires_grad_() for value in values))
    assert torch.autograd.gradcheck(sample, inputs, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)


def test_implicit_function_theorem():
    """``dx/dz = J^-1`` and ``dx/dw = -J^-1 dz/dw`` with the Jacobian J of the forward direction, at strong parameters."""
    layer = strong(3, 1.0)
    x = torch.randn(3, dtype=torch.float64)
    z = layer(x[None])[0][0].detach()
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0][0], x)
    inverse = torch.autograd.functional.jacobian(lambda z: layer.inverse(z[None])[0][0], z)
    torch.testing.assert_close(inverse, torch.linalg.inv(jacobian), atol=1e-9, rtol=1e-9)
    x = layer.inverse(z[None])[0][0]
    for parameter in layer.parameters():
        of_z = torch.stack(
            [torch.autograd.grad(value, parameter, retain_graph=True)[0].flatten() for value in layer(x[None].detach())[0][0]]
        )
        of_x = torch.stack([torch.autograd.grad(value, parameter, retain_graph=True)[0].flatten() for value in x])
        torch.testing.assert_close(of_x, -torch.linalg.solve(jacobian, of_z), atol=1e-9, rtol=1e-9)


def test_the_search_reads_one_block():
    """Sampling costs about ``1 + 2 search / (D + 1)`` passes, not D times as many as there are evaluations."""
    layer, x = BlockAutoregressive(8, width=8, search=16), torch.randn(32, 8)
    with torch.no_grad():
        with FlopCounterMode(display=False) as dense:
            layer(x)
        with FlopCounterMode(display=False) as searched:
            layer.inverse(x)
    assert searched.get_total_flops() < 1.5 * (1 + 2 * layer.search / 9) * dense.get_total_flops()


def test_starts_near_a_standardized_line():
    """At the start z is increasing in x with slopes of about 1 over the data, and spreads the way x does."""
    torch.manual_seed(0)
    layer = BlockAutoregressive(2, width=32)
    z, _ = layer(torch.randn(2000, 2))
    assert z.std(0).min() > 0.5 and z.std(0).max() < 3 and z.abs().max() < 5 * SPREAD


@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_recipe_round_trip(dtype, error):
    torch.manual_seed(0)
    flow = bnaf((5,)).to(dtype)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        x = torch.randn(100, 5, dtype=dtype)
        assert (flow.decode(flow.encode(x)) - x).abs().max() <= error


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: BlockAutoregressive(0), "at least 1"),
        (lambda: BlockAutoregressive(2, width=0), "at least 1"),
        (lambda: BlockAutoregressive(2, floor=0.0), "floor"),
        (lambda: BlockAutoregressive(2)(torch.randn(4, 3)), r"\(B, 2\), got \(4, 3\)"),
        (lambda: BlockAutoregressive(2, context=3)(torch.randn(4, 2)), "context.*none"),
        (lambda: BlockAutoregressive(2, context=3).inverse(torch.randn(4, 2), torch.randn(4, 1)), r"context.*\(4, 1\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
