"""Laws of every model of the registry as a density: at the ends of the numbers, of few rows, and under torch.func."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
import test_image_models
import test_models
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from pushforward import kernels
from pushforward.core import Flow

IMAGE = (1, 4, 8)  # squeezed twice it has two sites: of one, torch (2.13) has no float64 gradients of a convolution under vmap
MODELS: dict[str, tuple[str, Callable[[int], Flow]]] = {
    **{name: ("vector", lambda context, name=name: test_models.build(name, 3, context)) for name in test_models.NAMES},
    **{name: ("image", lambda context, name=name: test_image_models.build(name, IMAGE, context)) for name in test_image_models.SMALL},
}

FAR = [(torch.float32, (1e10, 1e20, 1e30, 1e36, 3e38)), (torch.float64, (1e200, 1e300))]

models = pytest.mark.parametrize("name", MODELS)
contexts = pytest.mark.parametrize("context", [0, 2])


def build(name: str, rows: int, context: int = 0) -> tuple[Flow, Tensor, Tensor | None]:
    """A perturbed model in float64 with data and contexts."""
    kind, make = MODELS[name]
    flow = make(context)
    x = torch.randn(rows, 3, dtype=torch.float64) if kind == "vector" else test_image_models.images(rows, *IMAGE)
    return flow, x, test_models.rows(context, rows)


@models
@pytest.mark.parametrize("where", ["first", "last", "all"])
def test_nothing_lies_at_infinity(name, where):
    """-inf there, NaN of a NaN, and neither touches the other rows or the gradients."""
    flow, x, _ = build(name, 6)
    place = {"first": 0, "last": -1, "all": slice(None)}[where]
    far = x.clone()
    far.flatten(1)[1, place], far.flatten(1)[2, place], far.flatten(1)[3, place] = torch.inf, -torch.inf, torch.nan
    far.flatten(1)[4] = torch.inf
    far.flatten(1)[4, 0] = torch.nan
    torch.manual_seed(0)
    found = flow.log_prob(far)
    torch.manual_seed(0)
    expected = flow.log_prob(x)
    assert (found[1:3] == -torch.inf).all() and found[3:5].isnan().all()
    torch.testing.assert_close(found[[0, 5]], expected[[0, 5]], atol=1e-10, rtol=1e-10)
    kept = far[[0, 1, 2, 5]].requires_grad_()
    log_prob = flow.log_prob(kept)
    log_prob[[0, 3]].sum().backward()
    assert kept.grad is None or (kept.grad.isfinite().all() and not kept.grad[1:3].any())
    assert all(p.grad is None or p.grad.isfinite().all() for p in flow.parameters())


@models
@pytest.mark.parametrize("dtype, sizes", FAR, ids=["float32", "float64"])
def test_far_out_is_a_number_or_nowhere(name, dtype, sizes):
    """Where squares or products overflow: -inf, never NaN; and a NaN of the parameters is not hidden near the data."""
    flow, x, _ = build(name, 1)
    flow, x = flow.to(dtype), x.to(dtype)
    far = torch.cat(
        [
            t
            for size in sizes
            for t in (torch.full_like(x, size), torch.full_like(x, -size), x.flatten(1).index_fill(1, torch.tensor(0), size).view_as(x))
        ]
    )
    with torch.no_grad():
        for path in (nullcontext, kernels.without)[: 1 + (dtype == torch.float32)]:
            with path():
                assert (flow.log_prob(far) < 0).all()  # and so not NaN
        next(p for p in flow.parameters() if p.numel()).fill_(torch.nan)
        assert flow.log_prob(x).isnan().all()


@models
def test_no_rows_without_kernels(name):
    with kernels.without():
        test_few_rows(name, 0, 0)


@models
@contexts
@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(name, context, rows):
    """Density with its gradient, both ways, and samples."""
    flow, x, c = build(name, rows, context)
    log_prob = flow.log_prob(x, c)
    assert log_prob.shape == (rows,)
    log_prob.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in flow.parameters())
    z = flow.encode(x, c)
    back = flow.decode(z, c)
    assert z.shape[0] == rows and back.shape == x.shape
    torch.testing.assert_close(flow.encode(back, c), z, atol=1e-8, rtol=1e-8)
    if not flow.transform.stochastic_inverse:
        torch.testing.assert_close(back, x, atol=1e-8, rtol=1e-8)
    given = c if context else None
    shape = (1,) if context else (rows,)
    assert flow.sample(shape, given).numel() == x.numel()
    drawn, density = flow.sample_and_log_prob(shape, given)
    assert drawn.numel() == x.numel() and density.numel() == rows


@pytest.mark.parametrize(  # where rows are mapped over, MintNet makes all sweeps, one for each number of an image
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "mintnet_image" else name for name in MODELS]
)
@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:`torch.jit.script`")  # of torch, about itself
def test_torch_func(name):
    """vmap, vmap of grad, jacrev and jvp of log_prob, encode and decode say what plain calls say."""
    flow, x, c = build(name, 2, 2)
    parameters = {key: value for key, value in flow.named_parameters() if value.numel()}
    each = partial(vmap, randomness="different")

    def density(parameters: dict[str, Tensor], x: Tensor, c: Tensor) -> Tensor:
        return functional_call(flow, parameters, (x[None], c[None]))[0]

    def encode(x: Tensor, c: Tensor) -> Tensor:
        return flow.encode(x[None], c[None])[0]

    def decode(z: Tensor, c: Tensor) -> Tensor:
        return flow.decode(z[None], c[None])[0]

    z = flow.encode(x, c).detach()
    own = each(grad(density), (None, 0, 0))(parameters, x, c)
    torch.testing.assert_close(each(encode)(x, c), flow.encode(x, c), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(each(decode)(z, c), flow.decode(z, c), atol=1e-8, rtol=1e-8)
    for function, start in ((encode, x), (decode, z)):
        jacobian = each(jacrev(function))(start, c).reshape(2, z[0].numel(), z[0].numel())
        ones = torch.ones_like(start)
        moved = each(lambda s, t, c, f=function: jvp(lambda v: f(v, c), (s,), (t,))[1])(start, ones, c)
        torch.testing.assert_close(moved.flatten(1), jacobian.sum(2), atol=1e-8, rtol=1e-8)
    if flow.kind == "exact":
        torch.testing.assert_close(each(density, (None, 0, 0))(parameters, x, c), flow.log_prob(x, c), atol=1e-8, rtol=1e-8)
        total = torch.autograd.grad(flow.log_prob(x, c).sum(), list(parameters.values()), materialize_grads=True)
        for key, value in zip(parameters, total, strict=True):
            torch.testing.assert_close(own[key].sum(0), value, atol=1e-8, rtol=1e-8)
