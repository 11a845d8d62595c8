"""The compiled kernels against the PyTorch paths beside them."""

from __future__ import annotations

import math
import os
import shutil

import kernel_numerics
import pytest
import torch
from torch import Tensor

import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward import kernels
from pushforward.kernels import library
from pushforward.models import maf, nsf

pytestmark = pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="there is no C compiler")

MAPS = {
    "affine": pu.Affine,
    "affine-free": lambda: pu.Affine(float("inf")),
    "spline": lambda: pu.RationalQuadratic(8, bound=3.0),
    "two-bins": lambda: pu.RationalQuadratic(2, bound=3.0),
}
NETS = {  # dim, batch, options
    "plain": (6, 100, {"width": 20, "depth": 2}),
    "one-layer": (4, 33, {"width": 9, "depth": 1}),
    "deep": (5, 64, {"width": 7, "depth": 4}),
    "residual": (6, 70, {"width": 20, "depth": 2, "residual": True}),
    "one-block": (3, 5, {"width": 8, "depth": 1, "residual": True, "context": 2}),
    "context": (3, 65, {"width": 10, "depth": 2, "context": 3}),
    "one-feature": (1, 40, {"width": 6, "depth": 2, "context": 2}),
    "more-features-than-units": (9, 31, {"width": 4, "depth": 2}),
    "more-features-than-columns": (70, 40, {"width": 80, "depth": 1}),
}
COUPLINGS = {  # what passes unchanged, batch, net and its options, numbers of context
    "alternating": ([1, 0] * 3, 100, pn.MLP, {"width": 20, "depth": 2}, 0),
    "one-changes": ([1, 1, 1, 0], 33, pn.MLP, {"width": 9, "depth": 1}, 0),
    "one-is-kept": ([0, 0, 1, 0, 0, 0, 0, 0], 64, pn.MLP, {"width": 7, "depth": 4}, 2),
    "residual": ([0, 1, 1, 0, 0], 70, pn.ResidualMLP, {"width": 20, "depth": 2}, 0),
    "one-block": ([0, 1, 0], 5, pn.ResidualMLP, {"width": 8, "depth": 1}, 2),
    "more-features-than-columns": ([1] * 70 + [0] * 70, 40, pn.MLP, {"width": 80, "depth": 1}, 0),
}
float64 = {"atol": 1e-10, "rtol": 1e-10}


def layer(map_name: str, net_name: str, dtype: torch.dtype = torch.float64) -> tuple[pt.Autoregressive, Tensor, Tensor | None]:
    """A perturbed layer in a random order, rows within and beyond a spline's interval, and contexts."""
    dim, batch, options = NETS[net_name]
    torch.manual_seed(len(net_name))
    univariate = MAPS[map_name]()
    made = pt.Autoregressive(univariate, pn.MADE(dim, univariate.params, order=torch.randperm(dim).tolist(), **options)).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) / max(4, parameter.shape[-1]))
    width = options.get("context", 0)
    return made, 2 * torch.randn(batch, dim, dtype=dtype), torch.randn(batch, width, dtype=dtype) if width else None


def coupling(map_name: str, name: str, dtype: torch.dtype = torch.float64) -> tuple[pt.Coupling, Tensor, Tensor | None]:
    """The same for a coupling."""
    mask, batch, net, options, width = COUPLINGS[name]
    torch.manual_seed(len(name))
    univariate = MAPS[map_name]()
    made = pt.Coupling(mask, univariate, net(sum(mask) + width, univariate.params * (len(mask) - sum(mask)), **options)).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) / max(4, parameter.shape[-1]))
    return made, 2 * torch.randn(batch, len(mask), dtype=dtype), torch.randn(batch, width, dtype=dtype) if width else None


def gradients(function, x: Tensor, *parameters: Tensor) -> list[Tensor]:
    """Values and gradients of a function of x; the weights of the sum are the same each time."""
    x = x.detach().requires_grad_()
    out, ldj = function(x)
    generator = torch.Generator().manual_seed(0)
    g_out, g_ldj = (torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in (out, ldj))
    return [out, ldj, *torch.autograd.grad((out, ldj), (x, *parameters), (g_out, g_ldj), allow_unused=True)]


def assert_same(found: list[Tensor], expected: list[Tensor], **tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        if b is not None and b.numel():
            torch.testing.assert_close(a, b, **tolerance)


def test_a_compiler_is_enough():
    assert library.loaded() is not None


@pytest.mark.parametrize("made_by, name", [*((layer, name) for name in NETS), *((coupling, name) for name in COUPLINGS)])
@pytest.mark.parametrize("map_name", MAPS)
def test_whole_layers(map_name, made_by, name):
    """Both directions and the gradient; the plain path is the oracle."""
    made, x, context = made_by(map_name, name)
    with kernels.without():
        plain = gradients(lambda x: made(x, context), x, *made.parameters())
        with torch.no_grad():
            back = made.inverse(x, context)
    found = gradients(lambda x: made(x, context), x, *made.parameters())
    assert "Differentiated" in found[1].grad_fn.name()
    assert_same(found, plain, **float64)
    with torch.no_grad():
        assert_same(list(made(x, context)), plain[:2], **float64)
        assert_same(list(made.inverse(x, context)), list(back), **float64)


@pytest.mark.parametrize("made_by, name", [(layer, "context"), (coupling, "one-is-kept")])
@pytest.mark.parametrize("map_name", MAPS)
def test_whole_layers_in_float32(map_name, made_by, name):
    made, x, context = made_by(map_name, name, torch.float32)
    with kernels.without():
        plain = gradients(lambda x: made(x, context), x, *made.parameters())
    found = gradients(lambda x: made(x, context), x, *made.parameters())
    assert found[0].dtype == torch.float32
    assert_same(found, plain, atol=2e-4, rtol=1e-4)


def test_which_couplings_are_whole_layers():
    """Of vectors, with a plain dense net that nobody watches; a context goes to what the first layer adds."""
    x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)

    def whole(layer: pt.Coupling) -> bool:
        grad_fn = layer.double()(x)[1].grad_fn
        return grad_fn is not None and "Differentiated" in grad_fn.name()

    class Other(pn.MLP):
        pass

    watched = pt.Coupling([1, 0, 1, 0], pu.Affine(), pn.MLP(2, 4))
    assert whole(watched)
    seen = []
    watched.net.register_forward_hook(lambda *_: seen.append(1))
    assert not whole(watched) and seen
    for net in (Other(2, 4), pn.ResidualMLP(2, 4, linear_end=True), pn.MLP(2, 4, depth=0), torch.nn.Linear(2, 4)):
        assert not whole(pt.Coupling([1, 0, 1, 0], pu.Affine(), net))
    assert not whole(pt.Coupling([1, 0, 1, 0], pu.Additive(), pn.MLP(2, 2)))
    for change in (
        lambda net: torch.nn.utils.parametrizations.spectral_norm(net.hidden[0]),
        lambda net: net.hidden.__setitem__(0, torch.nn.Linear(2, 128, bias=False)),
        lambda net: net.hidden[1].register_forward_hook(lambda *_: None),
    ):
        net = pn.MLP(2, 4)
        change(net)
        assert not whole(pt.Coupling([1, 0, 1, 0], pu.Affine(), net)), "what a layer is beside its numbers counts"
    with pytest.raises(ValueError, match="expected 2 features"):
        watched(x, torch.randn(8, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="does not fit"):
        watched(torch.randn(8, 5, dtype=torch.float64))


def test_a_mask_that_is_loaded_counts():
    """It is part of the state."""
    x = torch.randn(8, 4, dtype=torch.float64)
    ours, theirs = (pt.Coupling(mask, pu.Affine(), pn.MLP(2, 4)).double() for mask in ([1, 0, 1, 0], [0, 0, 1, 1]))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter))
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        assert_same(list(ours(x)), list(theirs(x)), **float64)
        with kernels.without():
            assert_same(list(ours(x)), list(theirs(x)), **float64)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("layout", ["rows", "innermost", "constants", "image", "image-constants", "expanded", "float32"])
def test_spline(direction, layout):
    """Every layout of numbers and parameters, a gradient that is one number repeated, and numbers outside of the interval."""
    torch.manual_seed(0)
    spline = pu.RationalQuadratic(5, bound=2.0)
    dtype = torch.float32 if layout == "float32" else torch.float64
    x, h = 2 * torch.randn(70, 3, dtype=dtype), 2 * torch.randn(70, spline.params, 3, dtype=dtype)
    x[0, 0], x[1, 0], x[2, 0] = 1e30, 2.0, -2.0
    if layout == "innermost":
        h = torch.randn(spline.params, 3, 70, dtype=dtype).permute(2, 0, 1)
    elif layout == "constants":
        h = h[:1]
    elif layout == "image":
        x, h = torch.randn(2, 3, 4, 5, dtype=dtype), torch.randn(2, spline.params, 3, 4, 5, dtype=dtype)
        x = x.to(memory_format=torch.channels_last)
    elif layout == "image-constants":
        x, h = torch.randn(2, 3, 4, 5, dtype=dtype), torch.randn(1, spline.params, 3, 1, 1, dtype=dtype)

    def run() -> list[Tensor]:
        y, g = x.clone().requires_grad_(), h.clone().requires_grad_()
        out, slope = getattr(spline, direction)(y, g)
        if layout == "expanded":
            return [out, slope, *torch.autograd.grad(out.sum() + 2 * slope.sum(), (y, g))]
        weights = torch.linspace(-1, 1, x.numel(), dtype=dtype).view(x.shape)
        return [out, slope, *torch.autograd.grad((weights * out + weights.flip(0) * slope).sum(), (y, g))]

    with kernels.without():
        plain = run()
    found = run()
    assert "Differentiated" in found[0].grad_fn.name() and "Differentiated" not in plain[0].grad_fn.name()
    assert_same(found, plain, **({"atol": 1e-4, "rtol": 1e-3} if dtype == torch.float32 else float64))
    assert layout not in ("rows", "constants") or (found[0][0, 0] == 1e30 and found[2].isfinite().all())


@pytest.mark.parametrize("direction", kernel_numerics.DIRECTIONS)
@pytest.mark.parametrize("dtype", kernel_numerics.DTYPES, ids=str)
@pytest.mark.parametrize("bins, floor, scale", kernel_numerics.SPLINES)
def test_splines_are_as_exact_as_their_numbers(bins, floor, scale, dtype, direction):
    """Between knots, on them, at both bounds and beyond; the plain path too."""
    spline, cases = kernel_numerics.spline_cases(bins, floor, scale, direction, rows=60)
    rounding = torch.finfo(dtype).eps / floor  # of a bin's size, relative
    on_a_knot = 0.5 if dtype == torch.float32 else 1e-6  # there the slope itself turns within the least bin
    limits = {  # of value, log derivative and gradients; NaN is infinite
        "inside": (20 * rounding, 50 * rounding, 500 * rounding),
        "knots": (on_a_knot / 100, on_a_knot, math.inf),
        "bounds": (2 * torch.finfo(dtype).eps, 2 * torch.finfo(dtype).eps, 2e4 * rounding),
        "tails": (0, 0, 1e-12),
    }
    for place, case in cases.items():
        for path, found in kernel_numerics.misses(spline, direction, case, dtype, spline.bound).items():
            value, slope, gradients = limits[place]
            assert found[0] <= value and found[1] <= slope and max(found[2:]) < gradients, (place, path, found)


@pytest.mark.parametrize("direction", kernel_numerics.DIRECTIONS)
@pytest.mark.parametrize("name", kernel_numerics.MIXTURES)
def test_mixtures_are_as_exact_as_float32(name, direction):
    """Both paths; a normal component's tail ends in ``z^2 / 2``, and the log derivative has that number's rounding."""
    mixture, cases = kernel_numerics.mixture_cases(name, direction, rows=20)
    for place, case in cases.items():
        most = 0.1 if "CDF" in name and direction == "inverse" else 1.0
        for path, found in kernel_numerics.misses(mixture, direction, case, torch.float32, most).items():
            assert max(found) <= (0.3 if place == "tails" else 1e-4), (place, path, found)


def test_what_is_not_a_number_stays_so():
    """In its own row only; the plain path, which multiplies infinity by a mask's zero, has more of them."""
    made, x, _ = layer("spline", "plain")
    x[3, 1], x[4, 2] = float("nan"), float("inf")
    with torch.no_grad():
        for found in (made(x)[1], made.inverse(x)[1]):
            assert found[3].isnan() and not found[[0, 1, 2, 5, 6]].isnan().any()
        made.net.hidden[0].bias[-1] = float("nan")
        assert made(x)[1].isnan().sum() > 80  # all but rows where what it reaches lies in a tail
    spline = pu.RationalQuadratic(5)
    assert spline.forward(torch.tensor([[float("nan")]]), torch.zeros(1, 14, 1))[0].isnan().all()


@pytest.mark.parametrize("grad", [True, False])
def test_what_does_not_fit_is_refused(grad):
    """A kernel takes addresses: shapes that do not belong together must not reach it."""
    with torch.set_grad_enabled(grad):
        with pytest.raises(RuntimeError):
            pt.Autoregressive(pu.RationalQuadratic(8), pn.MADE(3, 2))(torch.randn(5, 3))
        with pytest.raises(RuntimeError):
            pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, context=2))(torch.randn(5, 3), torch.randn(4, 2))
        for curve in (pu.RationalQuadratic(8), pu.LogisticMixtureCDF(3)):
            for shape in ((5, curve.params - 1, 3), (4, curve.params, 3), (5, curve.params, 2)):
                with pytest.raises((RuntimeError, ValueError, IndexError)):
                    curve.forward(torch.rand(5, 3), torch.randn(shape))


def test_gradients_are_the_same_to_the_bit_from_run_to_run():
    made, x, _ = layer("spline", "more-features-than-columns", torch.float32)
    first, second = (gradients(made, x, *made.parameters()) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("map_name", ["affine", "spline"])
def test_second_derivatives_go_through_the_plain_path(map_name):
    made, x, context = layer(map_name, "one-block")

    def norm() -> list[Tensor]:
        y, c = x.clone().requires_grad_(), context.clone().requires_grad_()
        z, ldj = made(y, c)
        slopes = torch.autograd.grad(ldj.sum() + z.square().sum(), (y, c), create_graph=True)
        first = [slope.detach() for slope in slopes]
        return [*first, *torch.autograd.grad(sum(s.square().sum() for s in slopes), (y, c, *made.parameters()), allow_unused=True)]

    with kernels.without():
        plain = norm()
    assert_same(norm(), plain, **float64)


def test_transforms_of_functions_take_the_plain_path():
    made, x, _ = layer("affine", "plain")
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: made(row[None])[0][0]))(x[:4])
    torch.testing.assert_close(jacobian.slogdet()[1], made(x[:4])[1])


@pytest.mark.parametrize("map_name", ["affine", "spline"])
def test_gradients_of_many_vectors_at_once(map_name):
    made, x, _ = layer(map_name, "plain")
    one_by_one, at_once = (torch.autograd.functional.jacobian(lambda x: made(x)[0][0], x[:3], vectorize=v) for v in (False, True))
    torch.testing.assert_close(at_once, one_by_one, **float64)


@pytest.mark.parametrize("recipe", [maf, nsf])
def test_flows_agree_without_kernels(recipe):
    """Samples of one seed, and densities, whether there is a compiler or not."""
    flow = recipe((4,), width=16).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))

    def run() -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        x = flow.sample((50,))
        return x, flow.log_prob(x)

    with kernels.without():
        plain = run()
    assert_same(list(run()), list(plain), atol=1e-9, rtol=1e-9)
