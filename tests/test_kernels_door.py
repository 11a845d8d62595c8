"""Only what has memory reaches a raw pointer: every other tensor, mode and transform goes the plain way, with the same result."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward import kernels
from pushforward.kernels import door, library, masked_layer, run

pytestmark = pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path())

Pair = tuple[Tensor, Tensor]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The names of the kernels that were called."""
    names: list[str] = []
    launch = library.launch

    def counted(name: str, *arguments) -> None:
        names.append(name)
        launch(name, *arguments)

    for module in (library, run):
        monkeypatch.setattr(module, "launch", counted)
    return names


def perturbed(module: torch.nn.Module, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.to(dtype).parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def masked() -> pt.Autoregressive:
    return perturbed(pt.Autoregressive(pu.RationalQuadratic(4), pn.MADE(3, 11, width=9, depth=2)))


def coupling(univariate: pu.Univariate) -> pt.Coupling:
    return perturbed(pt.Coupling([1, 1, 0], univariate, pn.MLP(2, univariate.params, width=8)))


LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "masked": masked,
    "coupling": lambda: coupling(pu.Affine()),
    "spline": lambda: coupling(pu.RationalQuadratic(4)),
    "mixture": lambda: coupling(pu.MixtureQuantile(3)),
}
layers = pytest.mark.parametrize("name", LAYERS)


def rows(n: int = 5) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(n, 3, dtype=torch.float64)


def plain(function: Callable[[], Pair]) -> list[Tensor]:
    with kernels.without():
        return [t.detach() for t in function()]


def assert_plain(calls: list[str], found: Pair, expected: list[Tensor]) -> None:
    assert not calls
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-12, rtol=1e-12)


@layers
def test_ordinary_tensors_take_the_kernel(name, calls):
    layer, x = LAYERS[name](), rows()
    expected = plain(lambda: layer(x))
    z, ldj = layer(x)
    with torch.no_grad():
        layer.inverse(z)
    assert len(calls) == 2
    for a, b in zip((z, ldj), expected, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-12, rtol=1e-12)
    (z.sum() + ldj.sum()).backward()
    assert calls[2].endswith("_gradient")


@layers
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, of what it makes fake
def test_fake_tensors(name, grad, calls):
    """They say that they are on the CPU, and have no memory."""
    layer = LAYERS[name]()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.set_grad_enabled(grad):
        x = torch.randn(5, 3, dtype=torch.float64)
        z, ldj = layer(x)
        assert z.shape == (5, 3) and layer.inverse(z)[0].shape == (5, 3) and ldj.shape == (5,)
    fake = FakeTensorMode(allow_non_fake_inputs=True).from_tensor(rows())
    assert layer(fake)[0].shape == (5, 3) and not calls  # out of its mode


class Subclass(torch.Tensor):
    pass


class Watcher(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@layers
@pytest.mark.parametrize("mode", [Watcher, lambda: FlopCounterMode(display=False)])
def test_modes_see_each_operation(name, mode, calls):
    layer, x = LAYERS[name]().float(), rows().float()
    with mode():
        z, _ = layer(x)
    assert z.shape == x.shape and not calls


@layers
def test_kernels_run_under_autocast(name, calls):
    """It allows nets fewer digits, and kernels are faster than that: nothing changes where the net is in the kernel."""
    layer, x = LAYERS[name]().float(), rows().float()
    expected, launched = layer(x), list(calls)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert launched and calls == 2 * launched
    both = [torch.autograd.grad(z.sum() + ldj.sum(), list(layer.parameters())) for z, ldj in (found, expected)]
    for a, b in zip((*found, *both[0]), (*expected, *both[1]), strict=True):
        assert a.dtype == torch.float32 and (name == "mixture" or torch.equal(a, b))


@layers
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, of forward derivatives
def test_tensors_of_other_kinds(name, calls):
    layer, x = LAYERS[name](), rows()
    expected = plain(lambda: layer(x))
    assert_plain(calls, layer(x.as_subclass(Subclass)), expected)
    negative = torch.complex(x, -x).conj().imag  # a view that negates what is in memory
    assert negative.is_neg()
    found = layer(negative)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-12, rtol=1e-12)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        tangent = forward_ad.unpack_dual(layer(dual)[0]).tangent
    (jacobian,) = (torch.autograd.functional.jvp(lambda x: layer(x)[0], x, torch.ones_like(x))[1],)
    torch.testing.assert_close(tangent, jacobian)


@pytest.mark.parametrize("grad", [True, False])
def test_weights_in_any_layout(grad, calls):
    """Loaded transposed, or tied to another's transpose: they are copied, not read as if they were contiguous."""
    layer, x = masked(), rows()
    for linear in (layer.net.first, *layer.net.hidden, layer.net.last):
        linear.weight = torch.nn.Parameter(linear.weight.detach().t().contiguous().t())
    assert not layer.net.last.weight.is_contiguous()
    expected = plain(lambda: layer(x))
    with torch.set_grad_enabled(grad):
        found = layer(x)
    assert calls == ["run"]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-12, rtol=1e-12)
    if grad:
        found[0].sum().backward()
        got = layer.net.last.weight.grad.clone()
        with kernels.without():
            layer.zero_grad()
            layer(x)[0].sum().backward()
        torch.testing.assert_close(got, layer.net.last.weight.grad, atol=1e-12, rtol=1e-12)


def test_a_layer_of_another_dtype_is_refused_by_torch(calls):
    layer = masked()
    layer.net.hidden[0].float()
    with pytest.raises(RuntimeError, match=r"dtype|Float|Double"):
        layer(rows())
    assert not calls


def test_freed_memory_is_refused():
    """As parameters have it that are sharded and gathered only while their module runs."""
    x, spline = rows(), pu.RationalQuadratic(4)
    x.untyped_storage().resize_(0)
    h = torch.zeros(1, spline.params, 1, dtype=torch.float64)
    for function in (masked(), lambda x: spline.forward(x, h)):
        with torch.no_grad(), pytest.raises((ValueError, RuntimeError), match=r"has no memory|storage of size 0"):
            function(x)


def test_checks_are_there_without_asserts():
    """``python -O`` removes asserts: what they guarded must be guarded otherwise."""
    code = (
        "import torch, pushforward as pf; from pushforward import kernels; torch.manual_seed(0);"
        "f = pf.models.maf((3,), width=8); x = torch.randn(4, 3);"
        "w = [m.net.last for m in f.modules() if isinstance(m, pf.Autoregressive)];"
        "[setattr(l, 'weight', torch.nn.Parameter(torch.randn(6, 8).t().contiguous().t())) for l in w];"
        "a = f.log_prob(x)\nwith kernels.without(): print(torch.allclose(a, f.log_prob(x), atol=1e-4), __debug__)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@layers
def test_transforms_of_functions(name, calls):
    layer, x = LAYERS[name](), rows()

    def one(row: Tensor) -> Tensor:
        z, ldj = layer(row[None])
        return z.sum() + ldj.sum()

    torch.testing.assert_close(torch.func.vmap(one)(x), torch.stack([one(row) for row in x]))
    calls.clear()
    slopes = torch.func.vmap(torch.func.grad(one))(x)
    assert not calls
    y = x.clone().requires_grad_()
    torch.testing.assert_close(slopes, torch.autograd.grad(sum(t.sum() for t in layer(y)), y)[0])


@layers
def test_tracing(name, calls):
    layer, x = LAYERS[name](), rows()
    traced = torch.fx.experimental.proxy_tensor.make_fx(lambda x: layer(x)[0])(x)
    assert not calls and "pushforward" not in traced.code
    torch.testing.assert_close(traced(2 * x), layer(2 * x)[0])


@layers
def test_compiled_graphs_hold_the_kernel_or_what_can_be_fused(name):
    layer, graphs = LAYERS[name](), []

    def backend(graph: torch.fx.GraphModule, _):
        graphs.append(graph.code)
        return graph.forward

    torch._dynamo.reset()
    torch.compile(layer, fullgraph=True, backend=backend)(rows())
    assert ("torch.ops.pushforward" in graphs[0]) == (name != "mixture")


def test_operators_refuse_what_does_not_belong_together():
    x, h = torch.randn(2, 6), torch.randn(2, 11, 6)
    assert torch.ops.pushforward.spline(x, h, 4, 3.0, 0.01, False)[0].shape == (2, 6)
    with pytest.raises(ValueError, match="expected parameters"):
        torch.ops.pushforward.spline(x, h[:, :10], 4, 3.0, 0.01, False)
    with pytest.raises(ValueError, match=r"expected parameters .* of torch\.float32"):
        torch.ops.pushforward.spline(x, h.double(), 4, 3.0, 0.01, False)
    net = pn.MADE(3, 2, width=5)
    options = (0, 5.0, 0.0, list(net.order), list(net.ends), False, 0, False)
    weights = [t.detach() for t in net.masked().weights]
    assert torch.ops.pushforward.masked(*options, torch.randn(3, 4), None, weights)[1].shape == (4,)
    with pytest.raises(ValueError, match="belong together"):
        torch.ops.pushforward.masked(*options, torch.randn(4, 4), None, weights)
    with pytest.raises(ValueError, match="belong together"):
        torch.ops.pushforward.masked(*options, torch.randn(3, 4), None, [*weights[:-1], weights[-1][:-1]])
    with pytest.raises(ValueError, match="permutation"):
        torch.ops.pushforward.masked(*options[:3], [0, 1, 7], *options[4:], torch.randn(3, 4), None, weights)
    for kept in (1, 2, 3, -1):
        with pytest.raises(ValueError, match=r"permutation|belong together"):
            torch.ops.pushforward.masked(*options[:6], kept, False, torch.randn(3, 4), None, weights)
    with pytest.raises(ValueError, match="rise to 5"):
        torch.ops.pushforward.masked(*options[:4], [0, 9, 5], *options[5:], torch.randn(3, 4), None, weights)


def test_operators_refuse_sizes_beyond_their_memory():
    """Arrays of C have room for 64 bins; gradients are read as far as x reaches."""
    spline, gradient = torch.ops.pushforward.spline, torch.ops.pushforward.spline_gradient
    for bins in (65, 200, 1, 0, -3):
        x, h = torch.randn(2, 6), torch.randn(2, max(0, 3 * bins - 1), 6)
        with pytest.raises((ValueError, RuntimeError)):
            spline(x, h, bins, 3.0, 0.001, False)
        with pytest.raises((ValueError, RuntimeError)):
            gradient(x, h, x, x, bins, 3.0, 0.001, False)
    x, h = torch.randn(2, 6), torch.randn(2, 11, 6)
    assert gradient(x, h, x, x, 4, 3.0, 0.01, False)[0].shape == (2, 6)
    for wrong in ((x[:1], x), (x, x[:, :3])):
        with pytest.raises(ValueError, match="expected gradients"):
            gradient(x, h, *wrong, 4, 3.0, 0.01, False)
    with pytest.raises(ValueError, match="at most 64 bins"):
        spline(x[0], h, 4, 3.0, 0.01, False)
    net = pn.MADE(3, 2, width=5)
    weights = [t.detach() for t in net.masked().weights]
    y, layer = torch.randn(3, 4), (0, 5.0, 0.0, list(net.order), list(net.ends), False, 0)
    masked_gradient = torch.ops.pushforward.masked_gradient
    assert masked_gradient(*layer, y, None, weights, y, y[0])[0].shape == (3, 4)
    for wrong in ((y[:2], y[0]), (y, y[0, :3])):
        with pytest.raises(ValueError, match="expected gradients"):
            masked_gradient(*layer, y, None, weights, *wrong)


BROKEN: dict[str, Callable[[torch.nn.Module], object]] = {
    "a hidden layer": lambda net: net.hidden.__setitem__(0, torch.nn.Linear(4, 4).double()),
    "the first layer": lambda net: setattr(net, "first", torch.nn.Linear(4, 9).double()),
    "the last layer": lambda net: setattr(net, "last", torch.nn.Linear(9, 11).double()),
    "a bias": lambda net: setattr(net.last, "bias", torch.nn.Parameter(torch.zeros(5).double())),
    "the order": lambda net: setattr(net, "order", (0, 1)),
}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("path", ["kernels", "plain"])
@pytest.mark.parametrize("what", BROKEN)
def test_a_net_whose_parts_were_replaced(what, path, grad):
    """By others that do not fit: an exception, whichever way it goes."""
    layer = masked()
    BROKEN[what](layer.net)
    with (
        torch.set_grad_enabled(grad),
        kernels.without() if path == "plain" else nullcontext(),
        pytest.raises((RuntimeError, ValueError, IndexError)),
    ):
        layer.inverse(rows()) if what == "the order" else layer(rows())


@pytest.mark.parametrize("components", [64, 65, 130])
def test_more_bins_and_components_than_the_kernel_has(components, calls):
    """The plain path takes them."""
    x = rows()
    for curve in (pu.RationalQuadratic(components, floor=1e-3), pu.MixtureQuantile(components), pu.LogisticMixtureCDF(components)):
        h = torch.randn(5, curve.params, 3, dtype=torch.float64)
        calls.clear()
        z, _ = curve.forward(x, h)
        assert bool(calls) == (components <= library.MOST)
        with kernels.without():
            torch.testing.assert_close(z, curve.forward(x, h)[0], atol=1e-9, rtol=1e-9)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_any_number_of_threads(threads):
    """The same values; the gradients of weights are sums in another order."""
    made = perturbed(pt.Autoregressive(pu.RationalQuadratic(4), pn.MADE(6, 11, width=20, depth=2, context=2)))
    split = coupling(pu.MixtureQuantile(3))
    x, context = torch.randn(300, 6, dtype=torch.float64), torch.randn(300, 2, dtype=torch.float64)
    found = []
    for number in (1, 2, 3, 8):
        threads(number)
        values = [*made(x, context), *split(x[:, :3])]
        with torch.no_grad():
            values += [*made.inverse(x, context), *split.inverse(x[:, :3])]
        parameters = [*made.parameters(), *split.parameters()]
        values += torch.autograd.grad(sum(t.square().sum() for t in values[:4]), parameters)
        found.append([t.detach() for t in values])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)
        assert all((a == b).all() for a, b in zip(found[0][:8], other[:8], strict=True))


def test_python_threads_at_once():
    layer, x = masked(), rows(200)
    expected, results = layer(x)[1].detach(), []

    def work() -> None:
        for _ in range(20):
            results.append(bool((layer(x)[1] == expected).all()))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(results) and len(results) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child():
    """OpenMP's threads stay behind in the parent; the child must not wait for them."""
    code = (
        "import os, torch; from pushforward.models import nsf; torch.set_num_threads(2); f = nsf((3,), width=16); x = torch.randn(300, 3)\n"
        "with torch.no_grad(): a = f.log_prob(x)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    torch.set_num_threads(1)\n"
        "    with torch.no_grad(): os._exit(0 if torch.equal(a, f.log_prob(x)) else 3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "0", done.stderr


def test_too_little_memory_is_an_error():
    """Not a crash: the scratch space of a wide layer does not fit into the address space that is left."""
    code = """
import resource, torch
import pushforward.nets as pn, pushforward.transforms as pt, pushforward.univariate as pu
torch.set_num_threads(1)
layer, x = pt.Autoregressive(pu.Affine(), pn.MADE(2, 2, width=2500, depth=24)), torch.randn(1, 2)
with torch.no_grad():
    layer(x)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, -1))
    try:
        layer(x)
    except MemoryError as error:
        print("MemoryError", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("MemoryError kernels: run found no memory"), done.stdout + done.stderr


def test_copies_of_gradients_are_few(monkeypatch):
    """A thread without a tile of the batch has no copy, and many threads share what memory allows."""
    seen = []
    made = run.structure_of
    monkeypatch.setattr(run, "structure_of", lambda *a: (seen.append(a[1].numbers.get("copies")), made(*a))[1])
    layer = masked()
    layer(rows())[0].sum().backward()
    monkeypatch.setattr(masked_layer, "SHARE_OF_COPIES", 0)
    layer(rows(300))[0].sum().backward()
    assert seen[-1] == 1 and seen[1] > 1


def test_structures_are_those_of_the_library():
    found = library.loaded()
    assert {name for name, _ in found.structures["numbers"]._fields_} >= {"blocks", "bins", "components", "x", "g_h"}
    assert found.structures["layer"](batch=3, dim=2).batch == 3


def test_kernels_are_known_in_few_places():
    """Outside of the room."""
    source = door.__file__.rsplit("kernels", 1)[0]
    found = subprocess.run(
        ["grep", "-rlE", r"import kernels|from \.+kernels|pushforward\.kernels", source, "--include=*.py"], capture_output=True, text=True
    )
    outside = [path for path in found.stdout.split() if "/kernels/" not in path]
    assert 0 < len(outside) <= 6, outside  # four kinds of layers and maps, the doctor, and the codec, which does without
