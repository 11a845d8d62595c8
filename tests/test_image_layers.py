"""Known answers of the layers and nets of images that the laws don't hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core import Flow
from pushforward.distributions import Normal
from pushforward.nets import ConvNet, DenseNet, GatedConvNet, ResNet
from pushforward.transforms import (
    CausalConv,
    Conv1x1,
    Coupling,
    EmergingConv,
    PeriodicConv,
    Squeeze,
    checkerboard,
    half_channels,
    half_plane,
)
from pushforward.univariate import Affine

NETS = {
    "resnet": lambda inputs, outputs: ResNet(inputs, outputs, width=6, depth=1),
    "densenet": lambda inputs, outputs: DenseNet(inputs, outputs, width=6, depth=2),
    "convnet": lambda inputs, outputs: ConvNet(inputs, outputs, width=6),
    "gated": lambda inputs, outputs: GatedConvNet(inputs, outputs, width=4, depth=1, heads=2),
    "gated-local": lambda inputs, outputs: GatedConvNet(inputs, outputs, width=4, depth=1, heads=2, attention=False),
}
nets = pytest.mark.parametrize("name", NETS)


def perturbed(module: nn.Module, noise: float = 0.1) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return module


def reach(function, shape: tuple[int, ...], row: int, column: int) -> list[list[int]]:
    """1 for each site that the output at one site depends on, in some of 16 images, ``(H, W)``."""
    torch.manual_seed(1)
    x = torch.randn(16, *shape).double().requires_grad_()
    out = function(x)[:, :, row, column]
    (gradient,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), x)
    return (gradient.abs().sum((0, 1)) > 1e-12).int().tolist()


def test_squeeze_stacks_the_pixels_of_a_patch():
    x = torch.arange(2 * 6 * 9.0).view(1, 2, 6, 9)
    z, _ = Squeeze(3)(x)
    for c in range(2):
        for i in range(3):
            for j in range(3):
                torch.testing.assert_close(z[:, 9 * c + 3 * i + j], x[:, c, i::3, j::3], atol=0, rtol=0)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_squeeze_keeps_the_memory_format(direction):
    x = torch.randn(2, 8, 4, 4)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        z, _ = getattr(Squeeze(), direction)(x.contiguous(memory_format=memory_format))
        assert z.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize(
    ("mask", "rows"),
    [
        (checkerboard((1, 3, 2)), [[1, 0], [0, 1], [1, 0]]),
        (checkerboard((1, 2, 3), odd=True), [[0, 1, 0], [1, 0, 1]]),
        (half_plane((1, 3, 2)), [[1, 1], [0, 0], [0, 0]]),
        (half_plane((1, 2, 4), axis="width", odd=True), [[0, 0, 1, 1], [0, 0, 1, 1]]),
    ],
)
def test_masks_over_space(mask, rows):
    assert mask.dtype == torch.bool and mask.int().tolist() == [rows]


def test_masks():
    assert half_channels(5).tolist() == [True, True, False, False, False]
    assert (half_channels(5) != half_channels(5, odd=True)).all()
    assert checkerboard((3, 2, 2)).shape == half_plane((3, 2, 2)).shape == (3, 2, 2)
    assert (checkerboard((3, 4, 4))[0] == checkerboard((3, 4, 4))[2]).all()


def test_checkerboard_coupling_keeps_what_it_reads():
    mask = checkerboard((2, 4, 4))
    layer = perturbed(Coupling(mask, Affine(), ResNet(2, 4, width=4, depth=1))).double()
    x = torch.randn(3, 2, 4, 4).double()
    moved = layer(x)[0] != x
    assert (moved == ~mask).all()
    other = torch.where(mask, x, torch.randn_like(x))  # parameters come from what is kept
    torch.testing.assert_close(layer(other)[1], layer(x)[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: checkerboard((3, 3)), "checkerboard: expected the shape of an image"),
        (lambda: half_channels(1), "half_channels: expected at least 2 channels"),
        (lambda: half_plane((1, 2, 2), axis="depth"), "half_plane: axis must be height or width"),
        (lambda: Squeeze(1), "Squeeze: factor must be at least 2"),
        (lambda: Squeeze()(torch.zeros(1, 1, 3, 4)), "Squeeze: expected .* sides divisible by 2"),
        (lambda: Squeeze().inverse(torch.zeros(1, 3, 4, 4)), "Squeeze: expected .* C divisible by 4"),
        (lambda: Conv1x1(3)(torch.zeros(1, 2, 4, 4)), "Conv1x1: made for 3 channels"),
        (lambda: CausalConv(3, 0), "CausalConv: size must be a whole number of at least 1"),
        (lambda: CausalConv(3)(torch.zeros(1, 3)), "CausalConv: expected images"),
        (lambda: EmergingConv(3, 2), "EmergingConv: kernel must be odd"),
        (lambda: EmergingConv(3)(torch.zeros(1, 2, 4, 4)), "made for 3 channels"),
        (lambda: PeriodicConv(3, 0), "PeriodicConv: kernel must be a whole number of at least 1"),
        (lambda: PeriodicConv(3)(torch.zeros(1, 2, 4, 4)), "PeriodicConv: made for 3 channels"),
        (lambda: PeriodicConv(3).inverse(torch.zeros(1, 3)), "PeriodicConv: expected images"),
        (lambda: ConvNet(0, 2), "at least one input"),
        (lambda: GatedConvNet(2, 2, width=6, heads=4), "width must be a multiple of heads"),
        (lambda: GatedConvNet(2, 2, dropout=1.0), "dropout must be a fraction"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_conv1x1_starts_as_a_rotation_and_is_a_convolution():
    layer, x = Conv1x1(5).double(), torch.randn(2, 5, 3, 3).double()
    z, ldj = layer(x)
    torch.testing.assert_close(z.norm(dim=1), x.norm(dim=1), atol=1e-5, rtol=1e-5)  # made in float32
    torch.testing.assert_close(ldj, torch.zeros(2).double(), atol=1e-5, rtol=0)
    assert not torch.allclose(z, x)
    perturbed(layer)
    torch.testing.assert_close(layer(x)[0], F.conv2d(x, layer.weight[:, :, None, None]))


@pytest.mark.parametrize("make", [CausalConv, EmergingConv, PeriodicConv])
def test_convolutions_start_as_the_identity(make):
    x = torch.randn(2, 3, 4, 5)
    z, ldj = make(3)(x)
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(ldj, torch.zeros(2))


@pytest.mark.parametrize("make", [Conv1x1, CausalConv, EmergingConv, PeriodicConv])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inverses_at_low_precision(make, dtype):
    layer = perturbed(make(4), 0.05).to(dtype)
    x = torch.randn(2, 4, 12, 9).to(dtype)
    z, ldj = layer(x)
    back, other = layer.inverse(z)
    assert z.dtype == back.dtype == dtype and ldj.dtype == other.dtype == torch.float32
    torch.testing.assert_close(back, x, atol=1e-5 if dtype == torch.float32 else 0.15, rtol=0)


@pytest.mark.parametrize("reverse", [False, True])
def test_causal_conv_is_triangular(reverse):
    """No site depends on one after it, nor a channel on later ones of its own site; ``reverse``: before it."""
    layer = perturbed(CausalConv(2, 3, reverse)).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0][0], torch.randn(2, 4, 4).double())
    jacobian = jacobian.permute(1, 2, 0, 4, 5, 3).reshape(32, 32)  # by row, column, channel
    beyond, within = (jacobian.tril(-1), jacobian.triu(1)) if reverse else (jacobian.triu(1), jacobian.tril(-1))
    assert not beyond.any() and within.any()


def test_what_convolutions_read():
    causal, emerging, periodic = (perturbed(make(2)).double() for make in (CausalConv, EmergingConv, PeriodicConv))
    square = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert reach(lambda x: causal(x)[0], (2, 3, 3), 1, 1) == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert reach(lambda x: emerging(x)[0], (2, 5, 5), 2, 2) == square
    assert reach(lambda x: periodic(x)[0], (2, 4, 4), 0, 0) == [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1]]


def test_periodic_conv_is_a_convolution_of_the_wrapped_image():
    layer, x = perturbed(PeriodicConv(2)).double(), torch.randn(3, 2, 4, 5).double()
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), layer.weight)
    torch.testing.assert_close(layer(x)[0], expected)


@nets
def test_nets_start_at_zero_and_serve_any_size(name):
    net = NETS[name](2, 6)
    for size in ((4, 4), (3, 5), (1, 1)):
        out = net(torch.randn(3, 2, *size))
        assert out.shape == (3, 6, *size) and not out.any()
    with pytest.raises(ValueError, match=r"expected images \(B, 2, H, W\), got \(3, 1, 4, 4\); is a context missing"):
        net(torch.randn(3, 1, 4, 4))


@nets
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_nets_follow_memory_format_and_dtype(name, dtype):
    net = perturbed(NETS[name](2, 6)).to(dtype)
    x = torch.randn(3, 2, 5, 4).to(dtype)
    outs = [net(x.contiguous(memory_format=layout)) for layout in (torch.contiguous_format, torch.channels_last)]
    assert outs[0].is_contiguous() and outs[1].is_contiguous(memory_format=torch.channels_last)
    assert outs[0].dtype == outs[1].dtype == dtype
    tolerance = 1e-10 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(outs[1].contiguous(), outs[0], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_convnet_in_place_is_the_plain_one(layout):
    """Value and gradients to 1e-10, also a second time through the same graph; then second derivatives."""
    net = perturbed(NETS["convnet"](2, 6)).double()
    x = torch.randn(3, 2, 5, 4).double()
    x = {"contiguous": x, "channels_last": x.contiguous(memory_format=torch.channels_last), "transposed": x.mT}[layout].requires_grad_()
    weights = torch.randn_like(net(x))

    def plain(x: Tensor) -> Tensor:
        return net.last(F.relu(net.middle(F.relu(net.first(x)))))

    out, expected = net(x), plain(x)
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    inputs = [x, *net.parameters()]
    wanted = torch.autograd.grad((expected * weights).sum(), inputs)
    for _ in range(2):
        found = torch.autograd.grad((out * weights).sum(), inputs, retain_graph=True)
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-10)

    def twice(function) -> tuple[Tensor, ...]:
        (gradient,) = torch.autograd.grad((function(x) * weights).sum(), x, create_graph=True)
        return torch.autograd.grad((gradient * torch.cos(gradient)).sum(), [net.first.weight, net.middle.weight, net.last.weight])

    torch.testing.assert_close(twice(net), twice(plain), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("name", "sites"), [("resnet", 7), ("convnet", 5), ("gated-local", 7), ("gated", 9)])
def test_what_nets_read(name, sites):
    """A square around each site; with attention everything."""
    net = perturbed(NETS[name](2, 4)).double()
    seen = reach(net, (2, 9, 9), 4, 4)
    edge = (9 - sites) // 2
    assert seen == [[int(edge <= i < 9 - edge and edge <= j < 9 - edge) for j in range(9)] for i in range(9)]


@pytest.mark.parametrize(("name", "alike"), [("gated", False), ("gated-local", True)])
def test_attention_knows_places(name, alike):
    """Two sites with equal surroundings, far from the border."""
    out = perturbed(NETS[name](1, 2)).double()(torch.zeros(1, 1, 9, 9).double())
    assert torch.allclose(out[..., 4, 4], out[..., 4, 5], atol=1e-9, rtol=0) == alike


def test_dropout_ends_with_training():
    net = perturbed(GatedConvNet(2, 2, width=8, depth=1, dropout=0.5))
    x = torch.randn(2, 2, 4, 4)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_normalized_weights_in_a_flow():
    """Direction and length apart: the scale of a direction does not matter, and a flow can be checked on the meta device."""
    net = perturbed(ResNet(2, 4, width=4, depth=1))
    flow = Flow(Normal((2, 4, 4)), Coupling(checkerboard((2, 4, 4)), Affine(), net))
    x: Tensor = torch.randn(3, 2, 4, 4)
    before = flow(x)
    with torch.no_grad():
        net.first.parametrizations.weight.original1.mul_(3.0)
    torch.testing.assert_close(flow(x), before)
    with torch.no_grad():
        net.first.parametrizations.weight.original0.mul_(3.0)
    assert not torch.allclose(flow(x), before)
