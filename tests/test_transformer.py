"""The causal transformer: its two evaluations agree, see only what they may, and cost what they should."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pushforward.models.common import autoregressive
from pushforward.nets import CausalAttention, CausalTransformer
from pushforward.univariate import Affine

PARAMS = 2
CASES = {  # dim, context, order, options
    "one feature": (1, 2, None, {}),
    "two features": (2, 0, [1, 0], {"depth": 1}),
    "with context": (5, 3, [2, 0, 4, 1, 3], {"heads": 2}),
    "three blocks": (3, 1, None, {"depth": 3}),
    "many": (33, 0, list(range(32, -1, -1)), {"width": 8, "heads": 8}),
}
cases = pytest.mark.parametrize("name", CASES)


def build(name: str, rows: int = 7) -> tuple[CausalTransformer, Tensor, Tensor | None]:
    """A perturbed net in float64, data and context."""
    dim, context, order, options = CASES[name]
    torch.manual_seed(dim)
    net = CausalTransformer(dim, PARAMS, context=context, order=order, **({"width": 16} | options)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net, torch.randn(rows, dim).double(), torch.randn(rows, context).double() if context else None


def decode(h: Tensor, z: Tensor) -> Tensor:
    """An affine map's inverse: ``h`` is ``(B, 2, 1)``, ``z`` ``(B, 1)``."""
    return (z - h[:, 0]) * (-0.3 * h[:, 1].tanh()).exp()


def cached(net: CausalTransformer, z: Tensor, context: Tensor | None) -> Tensor:
    return net.unroll(lambda i, h: decode(h, z[:, i : i + 1]), len(z), context)


def naive(net: CausalTransformer, z: Tensor, context: Tensor | None) -> Tensor:
    """One full pass for each feature."""
    x = torch.zeros_like(z)
    for i in net.order:
        h = net(x, context).view(len(z), PARAMS, -1)[:, :, i : i + 1]
        x = torch.where(torch.arange(z.shape[1]) == i, decode(h, z[:, i : i + 1]), x)
    return x


@cases
@pytest.mark.parametrize("recorded", [False, True])
def test_unroll_visits_with_the_parameters_of_forward(name, recorded):
    net, x, context = build(name)
    visited = {}

    def solve(i: int, h: Tensor) -> Tensor:
        assert h.shape == (len(x), PARAMS, 1)
        visited[i] = h
        return x[:, i : i + 1]

    with torch.set_grad_enabled(recorded):
        torch.testing.assert_close(net.unroll(solve, len(x), context), x, atol=0, rtol=0)
    assert tuple(visited) == net.order
    h = torch.cat([visited[i] for i in range(net.dim)], 2)
    torch.testing.assert_close(h.flatten(1), net(x, context), atol=1e-12, rtol=1e-12)


@cases
def test_cached_sampling_is_the_naive_one_with_its_gradients(name):
    """The values, and the gradients of z, of the context and of every parameter."""
    net, z, context = build(name)
    inputs = [t.requires_grad_() for t in (z, context) if t is not None] + [p for p in net.parameters() if p.numel()]
    got, expected = cached(net, z, context), naive(net, z, context)
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(cached(net, z, context), expected, atol=1e-10, rtol=1e-10)
    weights = torch.randn_like(got)
    gradients = [torch.autograd.grad((x * weights).sum(), inputs) for x in (got, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@cases
def test_outputs_see_the_features_before_them_only(name):
    """All of those, and the context."""
    net, x, context = build(name, rows=1)
    jacobian = torch.autograd.functional.jacobian(lambda row: net(row, context).view(PARAMS, -1), x)[:, :, 0]  # (params, D, D)
    ordered = jacobian[:, list(net.order)][:, :, list(net.order)]
    depends = torch.ones(net.dim, net.dim, dtype=torch.bool).tril(-1)
    torch.testing.assert_close((ordered != 0).all(0), depends)
    if context is not None:
        reached = torch.autograd.functional.jacobian(lambda c: net(x, c).view(PARAMS, -1), context)[:, :, 0]
        assert (reached != 0).all()


def test_starts_as_the_identity_of_its_layer():
    assert not CausalTransformer(3, 2)(torch.randn(4, 3)).any()


def test_sampling_takes_the_operations_of_one_pass():
    """Products of matrices, counted; D passes would take 32 times as many."""
    net, z = CausalTransformer(32, PARAMS, width=32).requires_grad_(False), torch.randn(16, 32)
    counts = []
    for run in (lambda: net(z), lambda: cached(net, z, None)):
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    assert counts[0] > 0 and counts[1] <= 1.01 * counts[0]


def test_recorded_sampling_takes_memory_in_proportion_to_the_features():
    """What autograd keeps for 64 features is about twice what it keeps for 32: no copies of the growing cache."""

    def kept(dim: int) -> int:
        net, z = CausalTransformer(dim, PARAMS, width=32), torch.randn(64, dim)
        own = {p.untyped_storage().data_ptr() for p in net.parameters()}
        sizes: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            x = cached(net, z, None)
        assert x.requires_grad
        return sum(size for pointer, size in sizes.items() if pointer not in own)

    assert kept(64) < 2.2 * kept(32)


@pytest.mark.slow
def test_sampling_is_much_faster_than_one_pass_for_each_feature():
    net, z = CausalTransformer(32, PARAMS, width=32), torch.randn(256, 32)
    seconds = []
    with torch.no_grad():
        for sample in (cached, naive):
            sample(net, z, None)
            start = time.perf_counter()
            sample(net, z, None)
            seconds.append(time.perf_counter() - start)
    assert seconds[1] > 4 * seconds[0]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CausalTransformer(3, 2, order=[0, 1, 1]), r"permutation of 0..2, got \(0, 1, 1\)"),
        (lambda: CausalTransformer(3, 2, width=30, heads=4), "width 30 and 4 heads"),
        (lambda: CausalTransformer(3, 2, depth=0), "at least one block, got depth 0"),
        (lambda: CausalAttention(0, 1), "width 0 and 1 heads"),
        (lambda: CausalTransformer(3, 2)(torch.zeros(4, 2)), r"x of shape \(B, 3\), got \(4, 2\)"),
        (lambda: CausalTransformer(3, 2, context=2)(torch.zeros(4, 3)), r"context of shape \(4, 2\), got none"),
        (lambda: CausalTransformer(1, 2, context=2)(torch.zeros(4, 1), torch.zeros(1, 2)), r"context of shape \(4, 2\), got \(1, 2\)"),
        (lambda: CausalTransformer(3, 2, context=2).unroll(lambda i, h: h[:, 0], 4), r"context of shape \(4, 2\), got none"),
    ],
)
def test_errors_say_who_and_what(make, message):
    with pytest.raises(ValueError, match=r"Causal(Transformer|Attention): .*" + message):
        make()


@pytest.mark.parametrize("width, heads", [(1, 1), (17, 1), (30, 1), (32, 2), (48, 3), (100, 2), (128, 8)])
def test_recipes_choose_heads_that_divide_the_width(width, heads):
    options = {"order": "random", "depth": 1, "residual": False, "context": 0}
    net = autoregressive(Affine(), 5, 3, width=width, net="transformer", **options).net
    assert net.blocks[0].attention.heads == heads
    assert net.order == autoregressive(Affine(), 5, 3, width=width, net="made", **options).net.order
