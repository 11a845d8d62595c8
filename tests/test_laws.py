"""The laws of every layer, in float64, after every parameter is perturbed: with kernels, by plain PyTorch, and by kernels in three threads.

Law 11, on hooks, is in test_hooks.py. test_planted_faults.py shows that each law can fail.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import pytest
import torch
from catalog import LAYERS, Layer
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from pushforward import kernels, univariate
from pushforward.core import Transform, copies
from pushforward.nets import MADE
from pushforward.transforms import Autoregressive

BATCH = 5
MANY = 150  # rows that give each of three threads some work
MAPS = univariate.RationalQuadratic, univariate.GaussianMixtureCDF, univariate.LogisticMixtureCDF, univariate.MixtureQuantile


def accelerated(part: object) -> bool:
    """A kernel may stand in for some of it."""
    if isinstance(part, Autoregressive) and isinstance(part.net, MADE) and isinstance(part.univariate, univariate.Affine):
        return True
    parts = [*vars(part).values(), *(part.children() if isinstance(part, torch.nn.Module) else ())]
    return isinstance(part, MAPS) or any(accelerated(p) for p in parts if isinstance(p, torch.nn.Module | univariate.Univariate))


BUILT = {name: entry.make() for name, entry in LAYERS.items()}
WITH_KERNELS = [name for name, layer in BUILT.items() if accelerated(layer)]
PATHS = ["kernels", "plain", "threads"]


@pytest.fixture(autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Law 13: each law holds on each path that a layer can take."""
    chosen = getattr(request, "param", "kernels")
    threads = torch.get_num_threads()
    if chosen == "threads":
        monkeypatch.setattr(sys.modules[__name__], "BATCH", MANY)
    torch.set_num_threads(3 if chosen == "threads" else 1)
    with kernels.without() if chosen == "plain" else nullcontext():
        yield
    torch.set_num_threads(threads)


def entries(which: Callable[[str], object] = lambda name: True, paths: Sequence[str] = PATHS) -> pytest.MarkDecorator:
    """The names for which that holds, on each path; where nothing has a kernel there is one path only."""
    cases = [(name, way) for name in LAYERS if which(name) for way in (paths if name in WITH_KERNELS else paths[:1])]
    ids = [name if way == "kernels" else f"{name}-{way}" for name, way in cases]
    return pytest.mark.parametrize(("name", "path"), cases, indirect=["path"], ids=ids)


layers = entries()
conditional = entries(lambda name: LAYERS[name].context)
exact_bijections = entries(lambda name: BUILT[name].bijective and BUILT[name].exact)
one_way_given = entries(lambda name: not (BUILT[name].stochastic_forward and BUILT[name].stochastic_inverse))
estimates = entries(lambda name: BUILT[name].estimate)
directions = pytest.mark.parametrize("direction", ["forward", "inverse"])


def build(name: str, dtype: torch.dtype = torch.float64) -> tuple[Layer, Transform, Tensor, Tensor | None]:
    """The layer of that name with noise of 0.1 on every parameter, a batch of data, and its context."""
    entry = LAYERS[name]
    torch.manual_seed(sum(map(ord, name)))
    layer = entry.make().to(dtype)
    perturb(layer)
    return entry, layer, *draw(entry, BATCH, dtype)


def draw(entry: Layer, rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor | None]:
    """Rows of data and of context."""
    x = entry.domain(rows, *entry.shape).to(dtype)
    return x, torch.randn(rows, entry.context, dtype=dtype) if entry.context else None


def perturb(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def latent_of(entry: Layer, layer: Transform, x: Tensor, context: Tensor | None) -> Tensor:
    if entry.latent is not None:
        return entry.latent(len(x), *layer(x, context)[0].shape[1:]).to(x.dtype)
    return layer(x, context)[0].detach()


def start_of(direction: str, entry: Layer, layer: Transform, x: Tensor, context: Tensor | None) -> Tensor:
    """What enters that direction."""
    return x if direction == "forward" else latent_of(entry, layer, x, context)


def seeded(function: Callable, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """Every call draws the same noise."""
    torch.manual_seed(0)
    return function(*inputs)


def jacobian(function: Callable, x: Tensor, context: Tensor | None) -> Tensor:
    """The autograd Jacobian of each row, given that rows do not mix (law 4): ``(B, D, D)``."""
    x = x.clone().requires_grad_()
    outputs = function(x, context)[0].flatten(1).unbind(1)
    return torch.stack([torch.autograd.grad(out.sum(), x, retain_graph=True)[0].flatten(1) for out in outputs], 1)


def slogdet(function: Callable, x: Tensor, context: Tensor | None) -> Tensor:
    return torch.linalg.slogdet(jacobian(function, x, context))[1]


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


@one_way_given
def test_ldj_cancels(name):
    """Law 2: the contributions of the two directions cancel. (Random both ways, they are of different draws: see test_vae.py.)"""
    entry, layer, x, context = build(name)
    if layer.stochastic_inverse:
        z = latent_of(entry, layer, x, context)
        x, back = seeded(layer.inverse, z, context)
        _, ldj = seeded(layer, x, context)
    else:
        z, ldj = seeded(layer, x, context)
        _, back = seeded(layer.inverse, z, context)
    assert ldj.shape == back.shape == (BATCH,)
    torch.testing.assert_close(ldj + back, torch.zeros_like(ldj), atol=entry.tolerance, rtol=0)


@exact_bijections
@directions
def test_ldj_is_slogdet(name, direction):
    """Law 3: ldj equals log|det| of the autograd Jacobian (others have known answers in test_transforms.py)."""
    entry, layer, x, context = build(name)
    start, function = start_of(direction, entry, layer, x, context), getattr(layer, direction)
    _, ldj = function(start, context)
    torch.testing.assert_close(ldj, slogdet(function, start, context), atol=entry.tolerance, rtol=entry.tolerance)


@estimates
@directions
def test_estimates_are_unbiased(name, direction):
    """Law 3 for estimates: the mean of 4,000, each with noise of its own, comes within 4 standard errors of log|det|."""
    entry, layer, x, context = build(name)
    start, function = start_of(direction, entry, layer, x, context), getattr(layer, direction)
    expected = slogdet(function, start, context)
    with torch.no_grad():
        draws = function(copies(start, 4000), None if context is None else copies(context, 4000))[1].view(4000, -1)
    assert draws.std(0).min() > 1e-4, "no estimate"
    assert ((draws.mean(0) - expected).abs() < 4 * draws.std(0) / 4000**0.5).all()


@layers
@directions
def test_rows_are_independent(name, direction):
    """Law 4: a row of the output depends on that row of the input only: the others are drawn anew."""
    entry, layer, x, context = build(name)
    other, given = draw(entry, BATCH)
    start, changed = (start_of(direction, entry, layer, *rows) for rows in ((x, context), (other, given)))
    changed[0] = start[0]
    if context is not None and given is not None:
        given[0] = context[0]
    function = getattr(layer, direction)
    for a, b in zip(seeded(function, start, context), seeded(function, changed, given), strict=True):
        torch.testing.assert_close(a[0], b[0], atol=1e-10, rtol=1e-10)


@conditional
def test_context(name):
    """Law 5: context changes every output feature unless a mask leaves it, with the same noise; a missing one raises."""
    entry, layer, x, context = build(name)
    (z, ldj), (z1, ldj1) = seeded(layer, x, context), seeded(layer, x, context + 1)
    changed = (z != z1).double().mean(0)
    touched = [i for i in range(len(changed)) if i not in entry.untouched]
    assert touched or (ldj != ldj1).all()
    assert (changed[touched] > 0.9).all(), "one row in ten may meet dead units only"
    assert not changed[list(entry.untouched)].any()
    with pytest.raises(ValueError):
        layer(x, None)


def gradients(layer: Transform, direction: str, x: Tensor, context: Tensor | None, create_graph: bool = False) -> dict[str, Tensor]:
    """Of a weighted sum of all outputs, with respect to x, context and each parameter; as they are in a model, all depend on one leaf."""
    leaf = torch.zeros(1, dtype=x.dtype, requires_grad=True)
    x = x + leaf
    context = None if context is None else context + leaf
    out, ldj = seeded(getattr(layer, direction), x, context)
    wave = torch.arange(out.numel(), dtype=out.dtype).sin().view_as(out)
    total = (out * wave).sum() + (ldj * torch.arange(1.0, 1 + len(ldj), dtype=ldj.dtype)).sum()
    leaves = {"x": x, "context": context, **dict(layer.named_parameters())}
    wanted = {key: value for key, value in leaves.items() if value is not None and value.numel()}
    found = torch.autograd.grad(total, list(wanted.values()), create_graph=create_graph, allow_unused=True)
    return {key: value for key, value in zip(wanted, found, strict=True) if value is not None}


@layers
@directions
def test_gradients(name, direction):
    """Law 6: every parameter gets a finite, somewhere non-zero gradient."""
    entry, layer, x, context = build(name)
    found = gradients(layer, direction, start_of(direction, entry, layer, x, context), context)
    for parameter, value in layer.named_parameters():
        if value.numel():
            assert parameter in found and found[parameter].isfinite().all(), parameter
            assert found[parameter].any(), f"{parameter} never matters"
    if layer.bijective:
        assert found["x"].isfinite().all()


@layers
@directions
def test_gradients_of_higher_order(name, direction):
    """Law 6: gradients are the same where they can be differentiated again."""
    entry, layer, x, context = build(name)
    start = start_of(direction, entry, layer, x, context)
    once, again = (gradients(layer, direction, start, context, create_graph) for create_graph in (False, True))
    assert once.keys() == again.keys()
    for key, value in once.items():
        torch.testing.assert_close(again[key].detach(), value, atol=1e-9, rtol=1e-9, msg=lambda m, key=key: f"{key}: {m}")


@layers
@directions
def test_without_gradients(name, direction):
    """What no gradient is asked of is the same: inverses have faster ways there."""
    entry, layer, x, context = build(name)
    start, function = start_of(direction, entry, layer, x, context), getattr(layer, direction)
    with torch.no_grad():
        found = seeded(function, start, context)
    for value, expected in zip(found, seeded(function, start, context), strict=True):
        torch.testing.assert_close(value, expected.detach(), atol=entry.tolerance, rtol=entry.tolerance)


@layers
@directions
@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(name, direction, rows):
    """Law 7: no rows and one row, with gradients."""
    entry, layer, x, context = build(name)
    start, function = start_of(direction, entry, layer, x, context), getattr(layer, direction)
    whole = function(start, context)
    few, given = start[:rows].requires_grad_(), None if context is None else context[:rows]
    out, ldj = function(few, given)
    assert out.shape == (rows, *whole[0].shape[1:]) and ldj.shape == (rows,)
    assert out.dtype == whole[0].dtype and ldj.dtype == whole[1].dtype
    if layer.bijective and layer.exact:
        torch.testing.assert_close(out, whole[0][:rows], atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(ldj, whole[1][:rows], atol=1e-10, rtol=1e-10)
    if any(t.requires_grad for t in (out, ldj)):
        (out.sum() + ldj.sum()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


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
        found = jacobian(layer, x, context)[:, list(entry.order)][:, :, list(entry.order)]
        assert not found.triu(1).any() and found.tril(-1).any()


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


@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:`torch.jit.script`")  # of torch, about itself
@entries(paths=PATHS[:1])
@directions
def test_torch_func(name, direction):
    """Law 12: vmap gives each row's own result, jacrev its Jacobian, jvp that times a vector, vmap of grad each row's own gradients.

    No kernel runs in there, so that there is one path.
    """
    entry, layer, x, context = build(name)
    start = start_of(direction, entry, layer, x, context)[:2]
    context = None if context is None else context[:2]
    random = layer.stochastic_forward if direction == "forward" else layer.stochastic_inverse
    names = {key: value for key, value in layer.named_parameters() if value.numel()}

    def one(parameters: dict[str, Tensor], row: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        call = functional_call(
            Directed(layer, direction), {f"layer.{k}": v for k, v in parameters.items()}, (row[None], None if c is None else c[None])
        )
        return call[0][0], call[1][0]

    given = None if context is None else 0
    out, ldj = vmap(one, (None, 0, given), randomness="different")(names, start, context)
    jacobians = vmap(jacrev(lambda row, c: one(names, row, c)[0]), (0, given), randomness="different")(start, context)
    tangent = torch.ones_like(start)
    moved = vmap(lambda row, t, c: jvp(lambda r: one(names, r, c)[0], (row,), (t,))[1], (0, 0, given), randomness="different")(
        start, tangent, context
    )

    def loss(parameters: dict[str, Tensor], row: Tensor, c: Tensor | None) -> Tensor:
        found = one(parameters, row, c)
        return found[0].sum() + found[1]

    own = vmap(grad(loss), (None, 0, given), randomness="different")(names, start, context)
    expected = getattr(layer, direction)(start, context)
    assert out.shape == expected[0].shape and ldj.shape == expected[1].shape
    if random or layer.estimate:
        return
    tolerance = {"atol": entry.tolerance, "rtol": entry.tolerance}
    torch.testing.assert_close(out, expected[0], **tolerance)
    torch.testing.assert_close(ldj, expected[1], **tolerance)
    torch.testing.assert_close(moved.flatten(1), flat(jacobians, out, start).sum(2), **tolerance)
    if layer.bijective:
        torch.testing.assert_close(torch.linalg.slogdet(flat(jacobians, out, start))[1], ldj, **tolerance)
    if names:
        total = torch.autograd.grad(expected[0].sum() + expected[1].sum(), list(names.values()), materialize_grads=True)
        for key, value in zip(names, total, strict=True):
            torch.testing.assert_close(own[key].sum(0), value, **tolerance)


def flat(jacobians: Tensor, out: Tensor, start: Tensor) -> Tensor:
    """``(B, outputs, inputs)``."""
    return jacobians.reshape(len(start), out[0].numel(), start[0].numel())


class Directed(torch.nn.Module):
    """One direction of a layer as the forward of a module, which functional_call can call."""

    def __init__(self, layer: Transform, direction: str):
        super().__init__()
        self.layer, self.direction = layer, direction

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return getattr(self.layer, self.direction)(x, context)


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in WITH_KERNELS])
def test_the_others_have_no_kernels(name):
    """Law 13 misses nobody: to the bit the same without kernels."""
    entry, layer, x, context = build(name)
    with torch.no_grad():
        z = latent_of(entry, layer, x, context)
        found = *seeded(layer, x, context), *seeded(layer.inverse, z, context)
        with kernels.without():
            plain = *seeded(layer, x, context), *seeded(layer.inverse, z, context)
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


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
