"""The laws of every layer (DESIGN.md, section 6), in float64, after every parameter is perturbed."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from catalog import LAYERS, Layer
from torch import Tensor

from pushforward import kernels

BATCH = 5

layers = pytest.mark.parametrize("name", LAYERS)
conditional = pytest.mark.parametrize("name", [name for name, entry in LAYERS.items() if entry.context])
exact_bijections = pytest.mark.parametrize("name", [name for name, entry in LAYERS.items() if (t := entry.make()).bijective and t.exact])


def build(name: str, dtype: torch.dtype = torch.float64) -> tuple[Layer, torch.nn.Module, Tensor, Tensor | None]:
    """The layer of that name with noise of 0.1 on every parameter, a batch of data, and its context."""
    entry = LAYERS[name]
    torch.manual_seed(sum(map(ord, name)))
    layer = entry.make().to(dtype)
    perturb(layer)
    x = entry.domain(BATCH, *entry.shape).to(dtype)
    context = torch.randn(BATCH, entry.context, dtype=dtype) if entry.context else None
    return entry, layer, x, context


def perturb(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def latent_of(entry: Layer, layer: torch.nn.Module, x: Tensor, context: Tensor | None) -> Tensor:
    if entry.latent is not None:
        return entry.latent(BATCH, *layer(x, context)[0].shape[1:]).to(x.dtype)
    return layer(x, context)[0].detach()


def slogdet(function, x: Tensor, context: Tensor | None) -> Tensor:
    """log|det| of the autograd Jacobian, row by row."""
    rows = []
    for i in range(x.shape[0]):
        c = None if context is None else context[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda row, c=c: function(row[None], c)[0].flatten(), x[i])
        size = x[i].numel()
        rows.append(torch.linalg.slogdet(jacobian.reshape(size, size))[1])
    return torch.stack(rows)


@layers
def test_round_trip(name):
    """Law 1, in whichever direction the layer is deterministic."""
    entry, layer, x, context = build(name)
    if not layer.stochastic_inverse:
        z, _ = layer(x, context)
        torch.testing.assert_close(layer.inverse(z, context)[0], x, atol=entry.tolerance, rtol=entry.tolerance)
        torch.testing.assert_close(layer.decode(layer.encode(x, context), context), x, atol=entry.tolerance, rtol=entry.tolerance)
    if not layer.stochastic_forward:
        z = latent_of(entry, layer, x, context)
        x, _ = layer.inverse(z, context)
        torch.testing.assert_close(layer(x, context)[0], z, atol=entry.tolerance, rtol=entry.tolerance)


@layers
def test_ldj_cancels(name):
    """Law 2: the contributions of the two directions cancel."""
    entry, layer, x, context = build(name)
    if layer.stochastic_inverse:
        z = latent_of(entry, layer, x, context)
        x, back = layer.inverse(z, context)
        _, ldj = layer(x, context)
    else:
        z, ldj = layer(x, context)
        _, back = layer.inverse(z, context)
    assert ldj.shape == back.shape == (BATCH,)
    torch.testing.assert_close(ldj + back, torch.zeros_like(ldj), atol=entry.tolerance, rtol=0)


@exact_bijections
def test_ldj_is_slogdet(name):
    """Law 3: ldj equals log|det| of the autograd Jacobian, in both directions (others have known answers in test_transforms.py)."""
    entry, layer, x, context = build(name)
    _, ldj = layer(x, context)
    torch.testing.assert_close(ldj, slogdet(layer, x, context), atol=entry.tolerance, rtol=entry.tolerance)
    z = latent_of(entry, layer, x, context)
    _, ldj = layer.inverse(z, context)
    torch.testing.assert_close(ldj, slogdet(layer.inverse, z, context), atol=entry.tolerance, rtol=entry.tolerance)


@layers
def test_rows_are_independent(name):
    """Law 4: row i of the output depends on row i of the input only."""
    entry, layer, x, context = build(name)
    for function, start in ((layer, x), (layer.inverse, latent_of(entry, layer, x, context))):
        row = start.clone()
        row[1:] = start[1:].flip(0)
        torch.manual_seed(0)
        a, la = function(start, context)
        torch.manual_seed(0)
        b, lb = function(row, context)
        torch.testing.assert_close(a[0], b[0], atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(la[0], lb[0], atol=1e-10, rtol=1e-10)


@conditional
def test_context(name):
    """Law 5: context changes every output feature unless a mask leaves it; a missing one raises."""
    entry, layer, x, context = build(name)
    (z, ldj), (z1, ldj1) = layer(x, context), layer(x, context + 1)
    changed = z != z1
    touched = [i for i in range(changed.shape[1]) if i not in entry.untouched]
    assert touched or (ldj != ldj1).all()
    assert changed[:, touched].all() and not changed[:, list(entry.untouched)].any()
    with pytest.raises(ValueError):
        layer(x, None)


@layers
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_gradients(name, direction):
    """Law 6: every parameter gets a finite, somewhere non-zero gradient, in both directions."""
    entry, layer, x, context = build(name)
    start = x if direction == "forward" else latent_of(entry, layer, x, context)
    start = start.clone().requires_grad_()
    out, ldj = getattr(layer, direction)(start, context)
    weights = torch.randn_like(out)
    ((out * weights).sum() + (ldj * torch.randn_like(ldj)).sum()).backward()
    for parameter_name, parameter in layer.named_parameters():
        if parameter.numel():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
            assert parameter.grad.any(), f"{parameter_name} never matters"
    if layer.bijective:
        assert start.grad is not None and start.grad.isfinite().all()


@layers
def test_dtype_and_meta(name):
    """Law 7: shape and dtype follow the input, and shapes are found on the meta device."""
    entry, layer, x, context = build(name)
    z, ldj = layer(x, context)
    if entry.keeps_dtype:
        assert z.dtype == ldj.dtype == torch.float64
        _, layer32, x32, context32 = build(name, torch.float32)
        z32, ldj32 = layer32(x32, context32)
        assert z32.dtype == torch.float32 and ldj32.dtype == torch.float32
        back, _ = layer32.inverse(z32, context32)
        assert back.dtype == torch.float32 and back.shape == x32.shape
    meta = layer.to("meta")
    zm, ldjm = meta(x.to("meta"), None if context is None else context.to("meta"))
    assert zm.shape == z.shape and ldjm.shape == ldj.shape and zm.device.type == "meta"
    with torch.device("meta"):
        entry.make()


@layers
def test_state(name):
    """Law 8: state_dict round trip, deepcopy, repr."""
    entry, layer, x, context = build(name)
    other = entry.make().double()
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer)):
        torch.manual_seed(0)
        z, ldj = layer(x, context)
        torch.manual_seed(0)
        z2, ldj2 = twin(x, context)
        torch.testing.assert_close(z2, z, atol=0, rtol=0)
        torch.testing.assert_close(ldj2, ldj, atol=0, rtol=0)
    assert type(layer).__name__ in repr(layer)


@layers
def test_structure(name):
    """Law 9: the claimed structure holds: an untouched part, a triangular Jacobian."""
    entry, layer, x, context = build(name)
    z, _ = layer(x, context)
    for i in entry.untouched:
        torch.testing.assert_close(z[:, i], x[:, i], atol=0, rtol=0)
    if entry.order is not None:
        c = None if context is None else context[:1]
        jacobian = torch.autograd.functional.jacobian(lambda row: layer(row[None], c)[0][0], x[0])
        jacobian = jacobian[list(entry.order)][:, list(entry.order)]
        assert not jacobian.triu(1).any() and jacobian.tril(-1).any()


@layers
def test_one_graph(name):
    """Law 10: one graph, forward and backward, with equal results."""
    _, layer, x, context = build(name)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        torch.manual_seed(0)
        z, ldj = layer(x, context)
        torch.manual_seed(0)
        zc, ldjc = compiled(x, context)
        torch.testing.assert_close(zc, z)
        torch.testing.assert_close(ldjc, ldj)
        if not any(p.requires_grad and p.numel() for p in layer.parameters()):
            return
        learnt = [p for p in layer.parameters() if p.requires_grad]
        grads = torch.autograd.grad(z.sum() + ldj.sum(), learnt, allow_unused=True)
        grads_c = torch.autograd.grad(zc.sum() + ldjc.sum(), learnt, allow_unused=True)
    for g, gc in zip(grads, grads_c, strict=True):
        if g is not None:
            torch.testing.assert_close(gc, g)


@pytest.mark.parametrize("name", [name for name in LAYERS if any(word in name for word in ("spline", "mixture", "autoregressive"))])
@pytest.mark.parametrize("law", [test_round_trip, test_ldj_cancels, test_ldj_is_slogdet, test_rows_are_independent])
def test_without_kernels(law, name):
    """The PyTorch paths, which a machine with a compiler would not take."""
    with kernels.without():
        law(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coupling-affine", "autoregressive-affine-context", "lu-linear", "coupling-spline"])
def test_default_compiler(name):
    """Law 10 with the compiler's own backend, in both directions of the gradient's way."""
    _, layer, x, context = build(name)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        compiled = torch.compile(layer, fullgraph=True)
        for out, expected in zip(compiled(x, context), layer(x, context), strict=True):
            torch.testing.assert_close(out, expected, atol=1e-9, rtol=1e-9)
        parameters = [p for p in layer.parameters() if p.numel()]
        gradients = [torch.autograd.grad(sum(part.sum() for part in f(x, context)), parameters) for f in (compiled, layer)]
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-9)
