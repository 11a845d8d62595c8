"""MintNet's layers: triangular, exact, onto, and inverted in at most as many sweeps as numbers, with the right gradients."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from pushforward.models import mintnet
from pushforward.transforms import Mint

SHAPES = {"vector": (5,), "image": (2, 3, 2), "line": (1, 1, 6)}
cases = pytest.mark.parametrize("reverse", [False, True])
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def strong(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, noise: float = 0.3, **options) -> Mint:
    """A layer far from its start."""
    torch.manual_seed(0)
    layer = Mint(shape, **({"width": 4} | options)).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return layer


def jacobians(layer: Mint, x: Tensor) -> Tensor:
    """``(B, D, D)``."""
    dim = math.prod(layer.shape)
    whole = torch.autograd.functional.jacobian(lambda x: layer(x)[0].sum(0), x)
    return whole.reshape(dim, len(x), dim).transpose(0, 1)


@shapes
@cases
def test_triangular_with_the_stated_log_determinant(shape, reverse):
    layer, x = strong(shape, reverse=reverse), 2 * torch.randn(7, *shape, dtype=torch.float64)
    found = jacobians(layer, x)
    assert not (found.tril(-1) if reverse else found.triu(1)).any()
    diagonal = found.diagonal(dim1=1, dim2=2)
    assert (diagonal >= layer.floor).all()
    torch.testing.assert_close(layer(x)[1], diagonal.log().sum(1), atol=1e-8, rtol=0)
    torch.testing.assert_close(layer(x)[1], torch.linalg.slogdet(found)[1], atol=1e-8, rtol=0)


@cases
def test_a_number_changes_itself_and_those_after_it(reverse):
    """To the bit nothing before it; and all that three convolutions reach, each from the channels before and from its own sites before."""
    numbers = list(product(range(2), range(3), range(3)))
    step = torch.tensor([[reads(i, j, reverse) for j in numbers] for i in numbers]).double()
    reached = torch.linalg.matrix_power(step, 3) > 0
    layer, x = strong((2, 3, 3), reverse=reverse), torch.randn(1, 2, 3, 3, dtype=torch.float64)
    z = layer(x)[0].flatten()
    for j in range(18):
        other = x.clone()
        other.view(-1)[j] += 0.7
        assert torch.equal(layer(other)[0].flatten() != z, reached[:, j])


def reads(i: tuple[int, int, int], j: tuple[int, int, int], reverse: bool) -> bool:
    """A convolution of side 3 at number i reads number j."""
    near = abs(i[1] - j[1]) < 2 and abs(i[2] - j[2]) < 2
    return near and (j >= i if reverse else j <= i)


@shapes
@cases
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_round_trip(shape, reverse, dtype, error):
    layer, x = strong(shape, dtype, reverse=reverse), 3 * torch.randn(50, *shape, dtype=dtype)
    with torch.no_grad():
        z, ldj = layer(x)
        back, ldj_back = layer.inverse(z)
        assert (back - x).abs().max() < error and (ldj + ldj_back).abs().max() < 10 * error
        assert (layer(back)[0] - z).abs().max() < error


def chained(dim: int, dtype: torch.dtype) -> Mint:
    """Each number reads the one before it, much more than itself: what is wrong in one makes the next one wrong."""
    layer = Mint((dim,), width=2).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        first, second, last = layer.weights
        first.view(2, dim, dim).diagonal(-1, 1, 2).copy_(torch.tensor([[3.0], [-3.0]]).expand(2, dim - 1))
        first.view(2, dim, dim).diagonal(0, 1, 2).fill_(1.0)
        second.view(2, dim, 2, dim)[0, :, 0].diagonal().fill_(1.0)
        second.view(2, dim, 2, dim)[1, :, 1].diagonal().fill_(1.0)
        last.view(dim, 2, dim).diagonal(0, 0, 2).fill_(1.0)
    return layer


def test_as_many_sweeps_as_numbers_are_enough():
    """A chain needs them all, one by one; rows that need few take few whatever the others need."""
    layer = chained(8, torch.float64)
    x = torch.randn(16, 8, dtype=torch.float64)
    with torch.no_grad():
        z = layer(x)[0]
        sweeps, back = layer.sweeps(z), layer.inverse(z)[0]
    assert sweeps.max() == 8 and (layer(back)[0] - z).abs().max() < 1e-9
    assert Mint((64,), width=2).double().sweeps(torch.randn(4, 64, dtype=torch.float64)).max() < 32
    assert torch.equal(layer.sweeps(z[:1]), sweeps[:1])
    torch.testing.assert_close(layer.inverse(z[:1])[0], back[:1], atol=1e-9, rtol=0)


def test_the_damped_iteration_takes_more_sweeps():
    """The paper's step, the whole residual over the slope, is not there after D sweeps; ours is."""
    layer = chained(8, torch.float64)
    z = layer(2 * torch.randn(64, 8, dtype=torch.float64))[0].detach()
    x = torch.zeros_like(z)
    with torch.no_grad():
        for _ in range(8):
            passed = layer._passed(x, layer._taps(), None)
            x = x - (passed.z - z) / passed.slope
        assert (layer(x)[0] - z).abs().max() > 1e-3
        assert (layer(layer.inverse(z)[0])[0] - z).abs().max() < 1e-9


@pytest.mark.parametrize("shape", [(4,), (2, 1, 2)], ids=["vector", "image"])
@cases
def test_gradients_through_the_inverse(shape, reverse):
    """By finite differences of the sweeps: for z, the context and every parameter; and the second ones."""
    layer = strong(shape, width=2, context=2, reverse=reverse)
    z, context = (torch.randn(2, *s, dtype=torch.float64, requires_grad=True) for s in (shape, (2,)))
    assert torch.autograd.gradcheck(lambda z, c: layer.inverse(z, c), (z, context), fast_mode=True)
    weight = layer.weights[1]

    def of_weight(w: Tensor) -> Tensor:
        return torch.func.functional_call(_Inverse(layer), {"layer.weights.1": w}, (z.detach(), context.detach()))

    assert torch.autograd.gradcheck(of_weight, (weight.detach().requires_grad_(),), fast_mode=True)
    if len(shape) == 1:
        assert torch.autograd.gradgradcheck(lambda z: layer.inverse(z, context.detach())[0], (z,), fast_mode=True)


class _Inverse(nn.Module):
    def __init__(self, layer: Mint):
        super().__init__()
        self.layer = layer

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return self.layer.inverse(z, context)[0]


def test_integrates_to_one():
    torch.manual_seed(0)
    flow = mintnet((2,), steps=1, width=4).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        side = torch.linspace(-20, 20, 401, dtype=torch.float64)
        total = flow.log_prob(torch.cartesian_prod(side, side)).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(total - 1) < 1e-3


REFUSED = [
    (lambda: Mint((2, 3)), "vector"),
    (lambda: Mint((0,)), "vector"),
    (lambda: Mint((1, 4, 4), kernel=2), "odd kernel"),
    (lambda: Mint((2,), floor=0.0), "floor"),
    (lambda: Mint((2,), width=0), "width must be"),
    (lambda: Mint((2,))(torch.randn(4, 3)), r"\(B, 2\), got \(4, 3\)"),
    (lambda: Mint((2,), context=3)(torch.randn(4, 2)), "context.*none"),
    (lambda: Mint((2,), context=3).inverse(torch.randn(4, 2), torch.randn(4, 1)), r"context.*\(4, 1\)"),
]


@pytest.mark.parametrize("make, words", REFUSED)
def test_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()
