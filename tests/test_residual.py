"""Residual steps: exact and estimated log-determinants, their gradients, and inverses to a tolerance that holds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pushforward.nets import LipschitzNet
from pushforward.transforms import Residual
from pushforward.transforms.fixed_point import identity_plus_jacobian

D = 4


class Turned(LipschitzNet):
    """``c U sin(V x + W context)`` with orthogonal U and V: its constant is c and is attained, where sines are steepest."""

    def __init__(self, coefficient: float, dim: int = D, context: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        maps = [torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q for _ in range(2)]
        self.outer, self.inner = (torch.nn.Parameter(q) for q in maps)
        self.given = torch.nn.Linear(context, dim, bias=False).double() if context else None
        self.coefficient = coefficient

    @property
    def lipschitz(self) -> float:
        return self.coefficient

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = x @ self.inner.mT
        return self.coefficient * torch.sin(h if self.given is None else h + self.given(context)) @ self.outer.mT


def rows(n: int = 5, dtype: torch.dtype = torch.float64, dim: int = D) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_the_nets_are_near_their_constant():
    """Else nothing below says much."""
    norms = torch.linalg.matrix_norm(identity_plus_jacobian(Turned(0.9), rows(200)) - torch.eye(D, dtype=torch.float64), 2)
    assert 0.85 < norms.max() <= 0.9


methods = pytest.mark.parametrize("method", ["banach", "anderson", "newton"])


@methods
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_round_trip(method, dtype, error):
    """In x to the tolerance with a coefficient of .9, in z too."""
    layer, x = Residual(Turned(0.9).to(dtype), (D,), method=method), 3 * rows(200, dtype)
    with torch.no_grad():
        z = layer.encode(x)
        back = layer.decode(z)
        assert (back - x).norm(dim=1).max() < error and (layer.encode(back) - z).abs().max() < error


@methods
def test_round_trip_near_one(method):
    """With .98 to 1e-4 in float32; and no method takes more than twice the evaluations of Banach's bound."""
    layer, x = Residual(Turned(0.98).float(), (D,), method=method), 3 * rows(200, torch.float32)
    with torch.no_grad():
        z = layer.encode(x)
        assert (layer.decode(z) - x).norm(dim=1).max() < 1e-4
        assert layer.evaluations(z).max() <= 2 * math.log(1e-6 * 0.02 / 1e3) / math.log(0.98)
