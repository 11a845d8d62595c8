"""Mixture maps through the compiled kernel against the PyTorch path beside it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import pushforward.univariate as pu
from pushforward import kernels

pytestmark = pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path())

MAPS = {
    "gaussian-cdf": pu.GaussianMixtureCDF,
    "logistic-cdf": pu.LogisticMixtureCDF,
    "gaussian": lambda components: pu.MixtureQuantile(components, "gaussian"),
    "logistic": lambda components: pu.MixtureQuantile(components, "logistic"),
}
LAYOUTS = ["rows", "innermost", "constants", "image", "image-constants", "part", "expanded"]
maps = pytest.mark.parametrize("name", MAPS)


def case(name: str, components: int, layout: str = "rows", dtype: torch.dtype = torch.float64) -> tuple[pu.Univariate, Tensor, Tensor]:
    """A map, numbers near its components, and parameters around its identity."""
    torch.manual_seed(components)
    univariate = MAPS[name](components)
    shapes = {"innermost": (70, 3), "image": (3, 2, 5, 7), "image-constants": (3, 2, 5, 7), "part": (5, 2, 6, 6)}
    batch, channels, *rest = shapes.get(layout, (70, 3))
    h = torch.tensor(univariate.identity, dtype=dtype).view(1, -1, 1, *(1 for _ in rest))
    h = h + 0.5 * torch.randn(1 if "constants" in layout else batch, univariate.params, channels, *rest, dtype=dtype)
    x = torch.randn(batch, channels, *rest, dtype=dtype).clamp(-2, 2)
    if layout == "innermost":
        h = h.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    elif layout == "image":
        x = x.to(memory_format=torch.channels_last)
    elif layout == "image-constants":
        h = h[..., :1, :1]
    elif layout == "part":  # as Compose splits them: each row's parameters are contiguous, the batch is not
        h = torch.cat([h, h], 1)[:, : univariate.params]
    return univariate, x, h


def run(function, x: Tensor, h: Tensor, expanded: bool = False) -> list[Tensor]:
    """Values and gradients; the weights of the sum are the same each time, or one number."""
    x, h = x.detach().requires_grad_(), h.detach().requires_grad_()
    out, slope = function(x, h)
    if expanded:
        return [out, slope, *torch.autograd.grad(out.sum() + 2 * slope.sum(), (x, h))]
    weights = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape)
    return [out, slope, *torch.autograd.grad((weights * out + weights.flip(0) * slope).sum(), (x, h))]


def by_kernel(out: Tensor) -> bool:
    """Whether it is, or is a view of, what a kernel gave."""
    node = out.grad_fn
    while node is not None and "Differentiated" not in node.name():
        node = node.next_functions[0][0] if node.next_functions else None
    return node is not None


def assert_same(found: list[Tensor], expected: list[Tensor], error: float = 1e-10) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=error, rtol=error)


@maps
@pytest.mark.parametrize("components, layout", [*((5, layout) for layout in LAYOUTS), *((k, "rows") for k in (1, 3, 32, 64))])
def test_both_directions(name, components, layout):
    univariate, x, h = case(name, components, layout)
    with kernels.without():
        plain = run(univariate.forward, x, h, layout == "expanded")
        z = plain[0].detach()
        back = run(univariate.inverse, z, h, layout == "expanded")
    found = run(univariate.forward, x, h, layout == "expanded")
    assert by_kernel(found[0]) and not by_kernel(plain[0])
    assert_same(found, plain)
    assert_same(run(univariate.inverse, z, h, layout == "expanded"), back)
    with torch.no_grad():
        assert_same([*univariate.forward(x, h), *univariate.inverse(z, h)], [*plain[:2], *back[:2]])


@maps
def test_float32(name):
    """Both paths against float64: the kernel's errors are no larger than a few times the plain path's."""
    univariate, x, h = case(name, 5, dtype=torch.float32)
    with kernels.without():
        exact, plain = run(univariate.forward, x.double(), h.double()), run(univariate.forward, x, h)
    found = run(univariate.forward, x, h)
    for a, b, c in zip(found, plain, exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - c).abs().max() <= 4 * (b - c).abs().max() + 1e-6
    back, slope = univariate.inverse(found[0], h)
    assert ((back - x).abs() * found[1].exp()).max() <= 2e-6 and (slope + found[1])[x.abs() < 2].abs().max() <= 1e-3


@maps
def test_tails(name):
    """Forward as far as floats go on the left and beyond them on the right, and the way back by the digits that z has."""
    univariate, _, h = case(name, 3)
    far = torch.cat([-torch.logspace(3, -1, 20), torch.logspace(-1, 3, 20)]).double().unsqueeze(1)
    h = h[:1, :, :1]
    with kernels.without():
        plain = run(univariate.forward, far, h)
    found = run(univariate.forward, far, h)
    assert all(t.isfinite().all() for t in found)
    assert_same(found, plain, 1e-6)  # gradients of the Gaussian's quantile, where the plain path cancels numbers of 1e6
    x = torch.linspace(-24, 4, 300, dtype=torch.float64).unsqueeze(1)
    z, slope = univariate.forward(x, h)
    back, slope_back = univariate.inverse(z, h)
    loss = 1e-14 / slope.exp() * (z if "cdf" in name else 1 + z.abs())
    assert ((back - x).abs() <= 1e-10 + 4 * loss)[z > 1e-150 if "cdf" in name else slice(None)].all()
    assert (slope + slope_back)[x > -4].abs().max() <= 1e-8


@pytest.mark.parametrize("name", ["gaussian-cdf", "logistic-cdf"])
def test_outside_of_the_interval(name):
    """x of the nearest z inside, log derivative -inf, no gradient for z."""
    univariate, _, h = case(name, 3)
    z = torch.tensor([-1.0, 0.0, 1e-200, 1.0, 2.0], dtype=torch.float64).unsqueeze(1)
    with kernels.without():
        plain = univariate.inverse(z, h[:1, :, :1])
    found = univariate.inverse(z, h[:1, :, :1])
    assert_same([found[0][:3], found[1]], [plain[0][:3], plain[1]])  # at 1 many x share one z
    assert (univariate.forward(found[0], h[:1, :, :1])[0][3:] > 1 - 1e-15).all()
    z.requires_grad_()
    x, _ = univariate.inverse(z, h[:1, :, :1])
    (g,) = torch.autograd.grad(x.sum(), z)
    assert (g == 0).all() and x.isfinite().all()
    ends, slope = univariate.forward(torch.tensor([[-math.inf], [math.inf]], dtype=torch.float64), h[:1, :, :1])
    assert (ends > 0).all() and (ends < 1).all() and (slope == -math.inf).all()


@maps
def test_what_is_not_a_number_stays_so(name):
    """In its own place only."""
    univariate, x, h = case(name, 3)
    x[4, 1], h[9, 2, 0] = math.nan, math.nan
    for direction in (univariate.forward, univariate.inverse):
        y = univariate.forward(x, h)[0].detach() if direction == univariate.inverse else x
        for found in run(direction, y, h):
            places = {tuple(i) for i in (found.flatten(1, -2) if found.dim() == 3 else found[:, None]).isnan().any(1).nonzero().tolist()}
            assert places <= {(4, 1), (9, 0)} and (places or direction == univariate.inverse)
        assert direction(y, h)[0][[4, 9], [1, 0]].isnan().all()


@maps
def test_second_derivatives_go_through_the_plain_path(name):
    univariate, x, h = case(name, 3)
    x, h = x[:2].mul(0.5).requires_grad_(), h[:2].requires_grad_()
    z = univariate.forward(x, h)[0].detach().requires_grad_()
    for function, start in ((univariate.forward, x), (univariate.inverse, z)):
        assert torch.autograd.gradcheck(function, (start, h), eps=1e-6, atol=1e-6, rtol=1e-5)
        assert torch.autograd.gradgradcheck(function, (start, h), eps=1e-6, atol=1e-4, rtol=1e-3)
    out = univariate.forward(x, h)[1].sum()
    rows = torch.autograd.grad(out, x, torch.ones(2, dtype=torch.float64), is_grads_batched=True)[0]
    torch.testing.assert_close(rows[0], torch.autograd.grad(univariate.forward(x, h)[1].sum(), x)[0])


def test_what_the_kernel_does_not_take():
    univariate, x, h = case("logistic", 3)
    assert univariate.inverse(*univariate.forward(x[:0], h[:0])[:1], h[:1])[0].shape == (0, 3)
    univariate, x, h = case("logistic", 65)
    assert not by_kernel(univariate.forward(x.requires_grad_(), h)[0])
