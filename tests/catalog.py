"""Every layer and every model, as tiny instances: one line each, and test_laws.py runs all laws over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import pushforward.distributions as pd
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward.core import Chain, Inverse, Transform


def gaussian(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape)


def unit(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape) * 0.98 + 0.01


def positive(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape).exp()


def integers(n: int, *shape: int) -> Tensor:
    return torch.randint(0, 5, (n, *shape)).double()


def wide(n: int, *shape: int) -> Tensor:
    """Inside, beyond and far beyond a spline's interval."""
    return torch.randn(n, *shape) * 4


@dataclass(frozen=True)
class Layer:
    """A tiny layer. `domain` draws data, `latent` draws z (default: the forward image of data)."""

    make: Callable[[], Transform]
    shape: tuple[int, ...] = (3,)
    context: int = 0
    domain: Callable[..., Tensor] = gaussian
    latent: Callable[..., Tensor] | None = None
    tolerance: float = 1e-8
    why: str = ""  # the reason of a looser tolerance
    untouched: tuple[int, ...] = ()  # features on axis 1 that context leaves alone
    order: tuple[int, ...] | None = None  # the Jacobian is lower triangular in this order
    keeps_dtype: bool = True


def linear(inputs: int, outputs: int) -> nn.Module:
    """The smallest net."""
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


LAYERS: dict[str, Layer] = {
    "elementwise-affine": Layer(lambda: pt.Elementwise(pu.Affine(), (3,))),
    "elementwise-additive": Layer(lambda: pt.Elementwise(pu.Additive(), (3,))),
    "elementwise-affine-image": Layer(lambda: pt.Elementwise(pu.Affine(), (2, 1, 1)), shape=(2, 3, 3)),
    "inverse": Layer(lambda: Inverse(pt.Elementwise(pu.Affine(), (3,)))),
    "chain": Layer(lambda: Chain(pt.Elementwise(pu.Affine(), (3,)), Inverse(pt.Elementwise(pu.Affine(), (3,))))),
    # --- univariate maps (elementwise) ---
    # --- mechanisms ---
    # --- linear, reordering, normalization ---
    # --- data ---
    # --- surjections and stochastic layers ---
}
