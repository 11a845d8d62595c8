"""Flows over dequantized numbers as codecs: maps on a grid that forget nothing, what comes back, and in how many bits of the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward import transforms
from pushforward.compression import AnsStack, Damage, LocalCodec, codec_of
from pushforward.compression.grid import POINT, bend, draw, from_grid, keep, rescale, to_grid
from pushforward.compression.grid_cells import NoisyCells
from pushforward.compression.grid_layers import through_layer
from pushforward.compression.standard import by_standard
from pushforward.models import ffjord_image, flow_pp, glow, idf, real_nvp_image
from pushforward.nets import MADE, MLP
from pushforward.univariate import Additive, Affine, Compose, MixtureQuantile, RationalQuadratic

SMALL = {"width": 8, "components": 2, "noise_width": 8, "boards": (1,), "mixes": (1,)}
MODELS = {
    "real_nvp": lambda: real_nvp_image((1, 4, 4), levels=16, width=4, depth=1),
    "glow": lambda: glow((1, 8, 8), levels=256, steps=2, width=8),
    "to the ends of the line": lambda: glow((1, 4, 4), levels=2, steps=1, width=8, alpha=0.0),
    "triangles and a context": lambda: glow((3, 4, 4), levels=16, steps=1, width=8, mixing="plu", context=2),
    "rotations and shifts": lambda: glow((3, 4, 4), levels=16, steps=1, width=8, mixing="qr", coupling="additive"),
    "mixtures": lambda: flow_pp((1, 4, 4), levels=16, dequantization="uniform", **SMALL),
    "noise of a flow": lambda: flow_pp((1, 4, 4), levels=16, context=2, **SMALL),
    "noise of a normal": lambda: flow_pp((3, 4, 4), levels=16, dequantization="logit_normal", coupling="affine", **SMALL),
    "splines": lambda: flow_pp((1, 4, 4), levels=16, dequantization="uniform", coupling="spline", **SMALL),
}
LAYERS = {
    "ActNorm": lambda: transforms.ActNorm(4),
    "Conv1x1": lambda: transforms.Conv1x1(4),
    "LULinear": lambda: transforms.LULinear(4),
    "QRLinear": lambda: transforms.QRLinear(4),
    "SVDLinear": lambda: transforms.SVDLinear(4),
    "Triangular": lambda: transforms.Triangular(4, upper=True),
    "Householder": lambda: transforms.Householder(4),
    "Permute": lambda: transforms.Permute([2, 0, 3, 1]),
    "Inverse": lambda: pf.core.Inverse(transforms.LULinear(4)),
    "affine": lambda: transforms.Coupling([1, 0, 1, 0], Affine(), MLP(2, 4, width=8)),
    "additive": lambda: transforms.Coupling([1, 0, 1, 0], Additive(), MLP(2, 2, width=8)),
    "mixture": lambda: transforms.Coupling([1, 0, 1, 0], Compose(MixtureQuantile(3, "logistic"), Affine()), MLP(2, 22, width=8)),
    "spline": lambda: transforms.Coupling([1, 0, 1, 0], RationalQuadratic(4, 4.0), MLP(2, 2 * RationalQuadratic(4, 4.0).params, width=8)),
    "autoregressive": lambda: transforms.Autoregressive(Affine(), MADE(4, 2, width=16)),
    "Elementwise": lambda: transforms.Elementwise(Affine(), (4,)),
    "Factor": lambda: transforms.Factor(2, transforms.Coupling([0, 0], Affine(), MLP(2, 4, width=8)), transforms.LULinear(2)),
}


def perturbed(flow: torch.nn.Module, noise: float) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow.eval()


def started(name: str, rows: int) -> tuple[pf.Flow, torch.Tensor, torch.Tensor | None]:
    """A model whose nets say something, rows that it made, and their contexts."""
    torch.manual_seed(0)
    flow = MODELS[name]().double()
    context = None if flow.context_shape is None else torch.randn(max(rows, 100), 2, dtype=torch.float64)
    flow.initialize(torch.randint(flow.transform.transforms[0].levels, (max(rows, 100), *flow.shape)).double(), context)
    perturbed(flow, 0.01)
    context = None if context is None else context[:rows]
    return flow, flow.sample((rows,)) if context is None else flow.sample((1,), context)[0], context


def configured(flow: pf.Flow, x: torch.Tensor, context: torch.Tensor | None) -> LocalCodec:
    codec = codec_of(flow, "it", len(x), "local")
    codec.configure(codec.options(x, context))
    return codec


def held(stack: AnsStack) -> int:
    """Bits on a stack, above its bottom."""
    return 8 * len(stack.to_bytes()) - stack.initial_bits


@pytest.mark.parametrize("seed", range(5))
def test_rescaling_forgets_nothing(seed):
    """Any factors of either kind: back to the number, and bits as many as the logarithm of the factor."""
    random, stack = np.random.default_rng(seed), AnsStack()
    k = random.integers(-(2**18), 2**18, 3000)
    up, down = (2 ** random.uniform(0, 17, 3000)).astype(np.int64), (2 ** random.uniform(0, 17, 3000)).astype(np.int64)
    z = rescale(stack, k, up, down)
    assert (np.abs(z - k * (up / down)) <= up / down + 1).all()
    assert abs(held(stack) - np.log2(down / up).sum()) < 64 + 0.002 * 3000
    assert (rescale(stack, z, up, down, back=True) == k).all()
    stack.finish()


def test_whatever_is_drawn_is_below_its_size():
    """Also where a size is just above a power of two, so that first digits have few or many numbers behind them."""
    sizes = np.array([1, 2, 3, 4095, 4096, 4097, 4099, 2**24, 2**24 + 1, 2**30 + 5] * 3000)
    stack = AnsStack()
    values = draw(stack, sizes)
    assert (values >= 0).all() and (values < sizes).all()
    for size in (3, 4097, 2**24 + 1):
        share = values[sizes == size] / size
        assert abs(share.mean() - (size - 1) / (2 * size)) < 5 / math.sqrt(12 * 3000)
    keep(stack, sizes, values)
    stack.finish()
    keep(stack, sizes, sizes - 1)
    assert (draw(stack, sizes) == sizes - 1).all()
    with pytest.raises(Damage, match="there is none"):
        draw(stack, np.array([0]))


def test_bending_forgets_nothing():
    stack, k = AnsStack(), np.random.default_rng(0).integers(-(2**17), 2**17, 3000)
    curve = lambda part: lambda x: torch.sinh(x / 2) + 0.01 * x  # noqa: E731
    x = from_grid(k)
    z = bend(stack, curve, k)
    assert (from_grid(z) - torch.sinh(x / 2) - 0.01 * x).abs().max() < 1e-2
    assert abs(held(stack) + (torch.cosh(x / 2) / 2 + 0.01).log2().sum().item()) < 64 + 0.002 * 3000
    assert (bend(stack, curve, z, back=True) == k).all()
    stack.finish()
    with pytest.raises(Damage, match="does not rise"):
        bend(AnsStack(), lambda part: lambda x: -x, k)
    for back in (False, True):
        with pytest.raises(Damage, match="too far"):
            bend(AnsStack(), lambda part: torch.tanh, k << 22, back)
    with pytest.raises(Damage, match="too far"):
        rescale(AnsStack(), np.array([2**61]), np.array([3]), np.array([2]))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_forget_nothing(name):
    """Both directions: close to the layer, back to the bit, and the stack changes by its log-determinant."""
    torch.manual_seed(0)
    layer = perturbed(LAYERS[name]().double(), 0.2)
    k = to_grid(torch.randn(500, 4, dtype=torch.float64))
    for back in (False, True):
        stack = AnsStack()
        with torch.no_grad():
            z = through_layer(stack, layer, k, None, back)
            expected, ldj = (layer.inverse if back else layer)(from_grid(k))
            assert (from_grid(z) - expected).abs().max() < 0.05
            assert abs(held(stack) + ldj.sum().item() / math.log(2)) < 64 + 0.003 * k.size
            assert (through_layer(stack, layer, z, None, not back) == k).all()
        stack.finish()


@pytest.mark.parametrize("alpha", [0.05, 0.0])
def test_noise_is_uniform_and_leaves_the_cell(alpha):
    """y is f(x + u) with u uniform, for the ends of the range too, and x is read from y alone."""
    (layer, *_), *_ = (list(glow((1, 2, 2), levels=5, scales=1, steps=1, width=4, alpha=alpha).double().transform.transforms),)
    flow = glow((1, 2, 2), levels=5, scales=1, steps=1, width=4, alpha=alpha).double()
    cells, rest = NoisyCells.of(list(flow.transform.transforms))
    assert isinstance(layer, transforms.Dequantize) and len(cells.f) == 2 and len(rest) > 1
    x, stack = np.random.default_rng(0).integers(0, 5, (5000, 1, 2, 2)), AnsStack()
    y = cells.put(stack, x, None)
    u = from_grid(y)
    for part in cells.f[::-1]:
        u = part.inverse(u)[0]
    u = u.numpy() - x
    for level in range(5):
        counts = np.histogram(u[x == level], np.linspace(0, 1, 17))[0]
        expected = counts.sum() / 16
        assert ((counts - expected) ** 2 / expected).sum() < 15 + 5 * math.sqrt(30)
    assert u.min() > -0.01 and u.max() < 1.01
    assert (cells.take(stack, y, None) == x).all()
    stack.finish()


def test_standard_normals_cost_their_density():
    stack, z = AnsStack(), torch.randn(4000, dtype=torch.float64)
    with stack.pushing() as coder:
        by_standard(coder, (4000,), to_grid(z))
    density = (0.5 * z.square() + 0.5 * math.log(2 * math.pi)).sum().item() / math.log(2)
    assert abs(held(stack) - density - 4000 * POINT) < 64 + 4
    assert (by_standard(stack.popping, (4000,), None) == to_grid(z)).all()
    with pytest.raises(Damage, match="too far"), stack.pushing() as coder:
        by_standard(coder, (1,), to_grid(torch.tensor([200.0])))


@pytest.mark.parametrize("name", MODELS)
def test_images_come_back(name):
    """Rows that the model made, others, and one alone."""
    flow, x, context = started(name, 12)
    codec = configured(flow, x, context)
    assert torch.equal(codec.decode(codec.encode(x, context), 12, context), x)
    other = torch.randint_like(x, flow.transform.transforms[0].levels)
    assert torch.equal(codec.decode(codec.encode(other, context), 12, context), other)
    one = None if context is None else context[:1]
    assert torch.equal(codec.decode(codec.encode(x[:1], one), 1, one), x[:1])
    for wrong in (x - 1000, x + 1000):
        with pytest.raises(Damage, match="does not have"):
            codec.encode(wrong, context)


@pytest.mark.parametrize("name", MODELS)
def test_rows_cost_their_bound(name):
    """The dequantized bound to .02 bits for each number and what one draw of the noise differs from another."""
    flow, x, context = started(name, 60)
    codec = configured(flow, x, context)
    size = 8 * len(codec.encode(x, context)) - codec.initial_bits
    with torch.no_grad():
        draws = -torch.stack([flow.log_prob(x, context).sum() for _ in range(10)]) / math.log(2)
    assert abs(size - draws.mean().item()) < 0.02 * x.numel() + 4 * draws.std().item()
    assert codec.initial_bits < 32 * x[0].numel() + 64


def test_a_thousand_images_cost_their_bound():
    """With the initial bits at most .02 bits for each number."""
    flow, x, _ = started("glow", 1000)
    codec = configured(flow, x, None)
    size = 8 * len(codec.encode(x, None))
    with torch.no_grad():
        bound = -torch.stack([flow.log_prob(x).sum() for _ in range(3)]).mean().item() / math.log(2)
    assert 0 < codec.initial_bits < 0.018 * x.numel()
    assert size - bound < 0.02 * x.numel() and size - codec.initial_bits - bound > -0.005 * x.numel()


@pytest.mark.parametrize("name", ["glow", "noise of a flow", "splines"])
def test_noise_of_floats_changes_nothing(name):
    """Parameters that differ in their last bits read what the others wrote."""
    flow, x, context = started(name, 20)
    codec = configured(flow, x, context)
    data, options = codec.encode(x, context), codec.options(x, context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1 + 1e-14 * torch.randn_like(parameter))
    other = codec_of(flow, "it", 20)
    other.configure(options)
    assert torch.equal(other.decode(data, 20, context), x)


def test_the_probe_sees_the_weights():
    flow, *_ = started("real_nvp", 4)
    first = codec_of(flow, "it").probe()
    assert codec_of(flow, "it").probe() == first
    with torch.no_grad():
        flow.transform.transforms[4].net.last.bias.add_(1e-2)
    assert codec_of(flow, "it").probe() != first


def test_altered_streams_are_damage():
    """Something else than the bottom of the stack is left, or a number where the model has none."""
    flow, x, _ = started("glow", 8)
    codec, random = configured(flow, x, None), np.random.default_rng(0)
    data = codec.encode(x, None)
    for place in random.integers(0, len(data), 20):
        altered = bytearray(data)
        altered[place] ^= 1 << random.integers(8)
        with pytest.raises(Damage):
            codec.decode(bytes(altered), 8, None)
    for size in (0, 8, 400, 4000):
        with pytest.raises(Damage):
            codec.decode(random.bytes(size), 8, None)


def test_models_that_can_not_say_why():
    image = {"levels": 4, "width": 4}
    for flow, match in (
        (glow((1, 4, 4), scales=1, steps=1, mixing="emerging", **image), "it is no model .* its layer EmergingConv has no form on a grid"),
        (ffjord_image((1, 4, 4), levels=4), "no form on a grid"),
        (pf.models.maf((3,)), "gives a density of real numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            codec_of(flow, "it")
    with pytest.raises(ValueError, match="it is coded by method range and not by local"):
        codec_of(idf((1, 4, 4), levels=4, steps=1, width=8, depth=1), "it", method="local")
