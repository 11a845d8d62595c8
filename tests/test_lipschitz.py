"""Nets that bring points closer together: the bound holds whatever the weights, after training too, and is reached."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

import pushforward.nets as pn
from pushforward.nets.spectral import SpectralMap, schatten_gradient
from pushforward.training.ema import Ema

NETS: dict[str, Callable[..., pn.LipschitzNet]] = {
    "mlp": lambda **more: pn.LipschitzMLP(3, width=8, **more),
    "mlp-pairs": lambda **more: pn.LipschitzMLP(3, width=8, units="clipswish", **more),
    "mlp-sine": lambda **more: pn.LipschitzMLP(3, width=8, depth=1, units="sine", **more),
    "mlp-dense": lambda **more: pn.LipschitzMLP(3, width=8, depth=2, units="clipswish", dense=True, **more),
    "conv": lambda **more: pn.LipschitzConv((2, 4, 3), width=6, **more),
    "conv-dense": lambda **more: pn.LipschitzConv((2, 4, 3), width=6, units="clipswish", dense=True, **more),
}
ROUNDING = 1e-12
every = pytest.mark.parametrize("name", NETS)


def build(name: str, spread: float = 1.0, dtype: torch.dtype = torch.float64, **more: object) -> pn.LipschitzNet:
    """The net with noise on every parameter, its norms up to date."""
    torch.manual_seed(0)
    net = NETS[name](**more).to(dtype)
    perturb(net, spread)
    net.refresh()
    return net


def perturb(net: nn.Module, spread: float) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))


def points(net: pn.LipschitzNet, rows: int) -> Tensor:
    return 3 * torch.randn(rows, *net.shape, dtype=next(net.parameters()).dtype)


def stretch(net: nn.Module, x: Tensor, context: Tensor | None = None) -> float:
    """The largest factor by which the net spreads points about one of x: the largest singular value of a Jacobian."""
    given = (x,) if context is None else (x, context)
    with torch.no_grad():
        found = vmap(jacrev(lambda *row: net(*(part[None] for part in row)).flatten()))(*given)
    return float(torch.linalg.matrix_norm(found.flatten(2), 2).max())


@pytest.mark.parametrize("units", [pn.LipSwish, pn.CLipSwish, pn.Sine])
def test_units_have_slopes_of_at_most_one(units):
    """Closely: at their steepest they are within 2e-4 of it. Smooth at 0, where a quotient by x would have no slope."""
    layer = units().double()
    for sharpness in (-3.0, 0.5, 4.0) if list(layer.parameters()) else (0.0,):
        for parameter in layer.parameters():
            nn.init.constant_(parameter, sharpness)
        x = torch.linspace(-100, 100, 100_001, dtype=torch.float64)
        slopes = vmap(jacrev(lambda one: layer(one.view(1, 1)).flatten()))(x).norm(dim=1)
        assert 1 - 2e-4 <= slopes.max() <= 1
        if units is pn.CLipSwish:
            assert slopes.min() > 0.64
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, zero) and torch.autograd.gradgradcheck(layer, zero)


MAPS: dict[str, tuple[Callable[[], SpectralMap], float]] = {  # and how much of the coefficient a random one has to reach at least
    "1-1": (lambda: pn.SpectralLinear(1, 1, coefficient=0.7), 0.9999),
    "3-8": (lambda: pn.SpectralLinear(3, 8, coefficient=0.7), 0.999),
    "8-3": (lambda: pn.SpectralLinear(8, 3, coefficient=0.7), 0.999),
    "40-40": (lambda: pn.SpectralLinear(40, 40, coefficient=0.7), 0.99),
    "conv-1-4": (lambda: pn.SpectralConv2d((1, 14, 14), 4, coefficient=0.7), 0.95),
    "conv-4-2": (lambda: pn.SpectralConv2d((4, 6, 7), 2, coefficient=0.7), 0.9),
    "conv-of-side-1": (lambda: pn.SpectralConv2d((4, 2, 2), 3, kernel=1, coefficient=0.7), 0.999),
    "conv-of-side-5": (lambda: pn.SpectralConv2d((2, 6, 6), 2, kernel=5, coefficient=0.7), 0.75),
    "conv-wider-than-the-image": (lambda: pn.SpectralConv2d((2, 1, 3), 2, kernel=5, coefficient=0.7), 0.1),  # most of it meets zeros
}


@pytest.mark.parametrize("size", [1e-30, 0.01, 30.0, 1e30])
@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_brought_down_to_its_coefficient_and_never_up(name, size):
    """A convolution falls short of it in small images, since its bound is that of images that wrap around."""
    torch.manual_seed(0)
    make, reached = MAPS[name]
    layer = make().double()
    with torch.no_grad():
        layer.weight.copy_(size * torch.randn_like(layer.weight))
        layer.refresh()
    row = layer.shape if isinstance(layer, pn.SpectralConv2d) else layer.weight.shape[1:]
    after = stretch(layer, torch.randn(1, *row, dtype=torch.float64))
    assert layer.gradient.isfinite().all()
    if size < 1:
        assert torch.equal(layer.normalized(), layer.weight)
    else:
        assert 0.7 * reached <= after <= 0.7 * (1 + ROUNDING)


@pytest.mark.parametrize("name", MAPS)
def test_the_gradient_of_the_norm(name):
    """It is that of the norm which it gives; the forward pass has the same."""
    torch.manual_seed(0)
    layer = MAPS[name][0]().double()
    norm, found = (layer.gradient * layer.weight).sum(), layer.gradient.clone()
    assert torch.autograd.grad(norm, layer.weight)[0].equal(layer.gradient)
    weight, step = layer.weight.detach().clone(), 1e-6 * torch.randn_like(layer.weight)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            layer.weight.copy_(weight + sign * step)
        layer.refresh()
        values.append((layer.gradient * layer.weight).sum())
    torch.testing.assert_close((values[0] - values[1]) / 2, (found * step).sum(), atol=1e-13, rtol=1e-4)


@pytest.mark.parametrize("singular", [[1.0] * 5, [1.0, 0.99, 0.5, 0.1, 0.0], [0.0] * 5])
def test_the_norm_is_schattens(singular):
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 5, dtype=torch.float64))[0] for n in (7, 5))
    values = torch.tensor(singular, dtype=torch.float64)
    for weight in (left * values @ right.t(), (left * values @ right.t()).t()):
        norm = (schatten_gradient(weight) * weight).sum()
        torch.testing.assert_close(norm, torch.linalg.vector_norm(values, ord=258), atol=1e-12, rtol=1e-12)
    many = singular[0] * torch.ones(200_000, 1, 1)  # in float32, where powers of so many equal ones vanish
    torch.testing.assert_close((schatten_gradient(many) * many).sum(), torch.linalg.vector_norm(many.double(), ord=258).float())


@every
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_the_bound_holds_whatever_the_weights(name, spread):
    """And does not where norms are those of other weights."""
    net = build(name, spread)
    assert stretch(net, points(net, 50)) <= net.lipschitz * (1 + ROUNDING)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(30)
    for part in net.modules():
        if isinstance(part, SpectralMap):
            part.gradient.zero_()
    assert stretch(net, points(net, 50)) > 1
    net.refresh()
    assert stretch(net, points(net, 50)) <= net.lipschitz * (1 + ROUNDING)


@every
def test_the_bound_holds_after_training_and_is_reached(name):
    """A net that is asked to spread points as far as it can."""
    net = build(name, 0.1, torch.float32)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(80):
        net.refresh()
        x = points(net, 32)
        y = x + 0.1 * torch.randn_like(x)
        loss = -((net(x) - net(y)).flatten(1).norm(dim=1) / (x - y).flatten(1).norm(dim=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.refresh()
    assert 0.8 * net.lipschitz < stretch(net, points(net, 50)) <= net.lipschitz * (1 + 1e-5)


@every
def test_refresh_alone_changes_buffers_and_nothing_else(name):
    net = build(name)
    perturb(net, 1.0)
    x, held = points(net, 4), copy.deepcopy(net.state_dict())
    for mode in (True, False):
        net.train(mode)(x)
        assert all(torch.equal(held[key], value) for key, value in net.state_dict().items())
    before = net(x)
    net.refresh()
    moved = {key for key, value in net.state_dict().items() if not torch.equal(held[key], value)}
    assert moved and moved <= {key for key, _ in net.named_buffers()}
    assert not torch.equal(net(x), before)


@every
def test_a_state_dict_brings_the_bound_along(name):
    net, other = build(name), NETS[name]().double()
    other.load_state_dict(net.state_dict())
    x = points(net, 20)
    assert torch.equal(other(x), net(x)) and stretch(other, x) <= net.lipschitz * (1 + ROUNDING)
    assert torch.equal(copy.deepcopy(net)(x), net(x))


@every
def test_averaged_weights_keep_the_bound(name):
    """Their norms are not those of the weights that they are the average of."""
    net = build(name, 30.0)
    average = Ema(net, net, decay=0.5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=1e-3)
    average.update(100)
    net.refresh()
    average.sync()
    assert stretch(average.module, points(net, 50)) <= net.lipschitz * (1 + ROUNDING)


@every
def test_zero_weights(name):
    """Nets start at zero; with weights that are all zero they have finite gradients, and a way on."""
    net = NETS[name]()
    x = points(net, 4)
    assert not net(x).any()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    net.refresh()
    (net(x) - 1).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert net.last.bias.grad.any()


@every
def test_gradients_of_gradients(name):
    """In x, b and all weights, norms included."""
    net = build(name, 0.5)
    x = points(net, 2).requires_grad_()
    names, values = zip(*net.named_parameters(), strict=True)

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


@every
def test_context_shifts_and_does_not_stretch(name):
    net = build(name, context=2)
    x, context = points(net, 20), torch.randn(20, 2, dtype=torch.float64)
    assert ((net(x, context) != net(x, context + 1)).flatten(1).double().mean(1) > 0.9).all()
    assert stretch(net, x, context) <= net.lipschitz * (1 + ROUNDING)
    one = net(x[:1], context[:1])
    torch.testing.assert_close(net(x, context)[:1], one, atol=1e-12, rtol=0)
    if len(net.shape) == 3:
        image = context.view(20, 2, 1, 1).expand(20, 2, *net.shape[1:])
        torch.testing.assert_close(net(x, image), net(x, context), atol=1e-12, rtol=0)
    for wrong in (None, context[:3], context[:, :1]):
        with pytest.raises(ValueError, match="expected a context"):
            net(x, wrong)


@every
def test_dtype_and_meta(name):
    net = build(name, dtype=torch.float32)
    x = points(net, 4)
    assert net(x).dtype == torch.float32 and net(x).shape == x.shape and net(x[:0]).shape == x[:0].shape
    meta = net.to("meta")
    meta.refresh()
    assert meta(x.to("meta")).shape == x.shape
    with torch.device("meta"):
        NETS[name]().refresh()


@every
def test_one_graph_and_an_export(name):
    net = build(name).eval()
    x = points(net, 5)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    other = points(net, 7)
    torch.testing.assert_close(program.module()(other), net(other), atol=1e-12, rtol=0)


def test_what_is_refused():
    for coefficient in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="coefficient"):
            pn.LipschitzMLP(3, coefficient=coefficient)
    with pytest.raises(ValueError, match="units lipswish, clipswish, sine"):
        pn.LipschitzMLP(3, units="relu")
    for kernels in ((3,), (3, 2), (3, 0)):
        with pytest.raises(ValueError, match="kernel"):
            pn.LipschitzConv((1, 4, 4), kernels=kernels)
    with pytest.raises(ValueError, match="expected x of shape"):
        pn.LipschitzMLP(3)(torch.randn(4, 2))
    for missing in (lambda net: net(torch.ones(1, 1)), lambda net: net.lipschitz):
        with pytest.raises(NotImplementedError, match="LipschitzNet does not define"):
            missing(pn.LipschitzNet())
