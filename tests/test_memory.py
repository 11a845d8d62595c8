"""Chains that do not keep their activations: the same gradients, less memory, and what can't work says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pushforward.core import Chain, Flow, Inverse, Transform
from pushforward.distributions import Normal
from pushforward.nets import MADE, MLP, ConvNet, GatedConvNet
from pushforward.training.budget import kept
from pushforward.transforms import (
    ActNorm,
    Autoregressive,
    Conv1x1,
    Coupling,
    Dequantize,
    Elementwise,
    Factor,
    LULinear,
    Permute,
    Squeeze,
    Standardize,
)
from pushforward.univariate import Affine, MixtureQuantile, RationalQuadratic

Layers = list[Transform]


def coupling(channels: int, univariate=None, context: int = 0, net: Callable[[int, int], nn.Module] | None = None) -> Coupling:
    univariate, kept = univariate or Affine(), channels // 2
    net = net or (lambda inputs, outputs: ConvNet(inputs, outputs, width=8))
    return Coupling([True] * kept + [False] * (channels - kept), univariate, net(kept + context, univariate.params * (channels - kept)))


def steps(channels: int, count: int, univariate=None, context: int = 0) -> Layers:
    return [layer for _ in range(count) for layer in (ActNorm(channels), Conv1x1(channels), coupling(channels, univariate, context))]


def scales(memory: str) -> Layers:
    """Two scales, the second inside the first."""
    inner = Chain(Squeeze(), *steps(8, 2), Inverse(Squeeze()), memory=memory)
    prior = Coupling([False] * 2, Affine(), ConvNet(2, 4, width=8))
    return [Squeeze(), *steps(4, 2), Factor(2, prior, inner), Inverse(Squeeze())]


def vectors(univariate=None) -> Layers:
    layers: Layers = []
    for _ in range(4):
        layers += [LULinear(4), Permute([3, 2, 1, 0]), coupling(4, univariate, net=lambda i, o: MLP(i, o, width=16, depth=1))]
    return layers


# name -> layers given the memory, shape of x, channels of the context
CASES: dict[str, tuple[Callable[[str], Layers], tuple[int, ...], int]] = {
    "glow": (lambda memory: steps(4, 4), (5, 4, 4, 4), 0),
    "one-row": (lambda memory: steps(4, 2), (1, 4, 4, 4), 0),
    "context": (lambda memory: steps(4, 3, context=2), (5, 4, 4, 4), 2),
    "scales": (scales, (3, 1, 8, 8), 0),
    "noise-between": (lambda memory: [Elementwise(Affine(), (4,)), Dequantize(), *steps(4, 2)], (5, 4, 4, 4), 0),
    "spline": (lambda memory: vectors(RationalQuadratic()), (5, 4), 0),
    "mixture": (lambda memory: vectors(MixtureQuantile(3, "logistic")), (5, 4), 0),
    "no-parameters": (lambda memory: [Permute([1, 0, 2]), Standardize(0.5, 2.0)], (5, 3), 0),
    "autoregressive": (lambda memory: [Autoregressive(Affine(), MADE(3, 2, width=8, depth=1)) for _ in range(2)], (5, 3), 0),
}


def made(name: str, memory: str, dtype: torch.dtype) -> Chain:
    """As after some training: nothing at its start, and each ActNorm in scale."""
    torch.manual_seed(0)
    chain = Chain(*CASES[name][0](memory), memory=memory).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    x, context = inputs(name, torch.float64)
    chain.initialize(
        x.repeat(8, *(1 for _ in x.shape[1:])) + 0.1 * torch.randn(8 * len(x), *x.shape[1:]),
        None if context is None else context.repeat(8, 1),
    )
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return chain.to(dtype)


def gradients(chain: Chain, x: Tensor, context: Tensor | None, inverse: bool) -> list[Tensor]:
    """Of a function of z and ldj with respect to x, context and all parameters, and z and ldj themselves."""
    torch.manual_seed(1)  # for the noise
    leaves = [x.clone().requires_grad_(), *([] if context is None else [context.clone().requires_grad_()]), *chain.parameters()]
    z, ldj = (chain.inverse if inverse else chain)(*leaves[: 1 if context is None else 2])
    loss = (z.cos() * torch.linspace(1, 2, z[0].numel()).view_as(z[0])).sum() + (ldj * torch.arange(1, len(ldj) + 1)).sum()
    return [z.detach(), ldj.detach(), *torch.autograd.grad(loss, leaves)]


def inputs(name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    _, shape, context = CASES[name]
    torch.manual_seed(2)
    return torch.randn(shape).to(dtype), torch.randn(shape[0], context).to(dtype) if context else None


def assert_same(a: list[Tensor], b: list[Tensor], tolerance: float) -> None:
    for u, v in zip(a, b, strict=True):
        assert u.dtype == v.dtype
        assert (u - v).norm() <= tolerance * u.norm(), (float((u - v).norm()), float(u.norm()), tuple(u.shape))


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("memory", ["constant", "checkpoint"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_same(name, memory, dtype, inverse):
    x, context = inputs(name, dtype)
    expected = gradients(made(name, "full", dtype), x, context, inverse)
    found = gradients(made(name, memory, dtype), x, context, inverse)
    assert_same(expected, found, 1e-8 if dtype == torch.float64 else 1e-4)


def saved(chain: Chain, x: Tensor) -> int:
    return kept(lambda: chain(x), chain.parameters())


def test_kept_memory_does_not_grow_with_depth():
    x = torch.randn(4, 8, 8, 8)
    few, many = (
        {memory: saved(Chain(*steps(8, depth), memory=memory), x) for memory in ("full", "constant", "checkpoint")} for depth in (4, 16)
    )
    assert many["constant"] == few["constant"] == 2 * x.nbytes  # what enters and what leaves
    assert many["full"] > 3.9 * few["full"] and many["checkpoint"] > 3.9 * few["checkpoint"]
    assert many["checkpoint"] < 0.5 * many["full"]


def test_nothing_is_computed_twice_for_a_chain_inside_a_chain():
    """Each net: once in forward; in backward once to undo the layer and once with gradient. The first of a run needs no undoing."""
    calls: list[str] = []

    class Counting(ConvNet):
        def __init__(self, inputs: int, outputs: int, name: str):
            super().__init__(inputs, outputs, width=4)
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            calls.append(self.name)
            return super().forward(x)

    def layers(name: str, channels: int) -> Layers:
        return [ActNorm(channels), coupling(channels, net=lambda inputs, outputs: Counting(inputs, outputs, name))]

    prior = Coupling([False] * 2, Affine(), Counting(2, 4, "prior"))
    factor = Factor(2, prior, Chain(*layers("inner", 2), memory="constant"))
    chain = Chain(Squeeze(), *layers("before", 4), factor, *layers("after", 4), memory="constant")
    z, ldj = chain(torch.randn(2, 1, 4, 4))
    assert sorted(calls) == sorted(["before", "inner", "prior", "after"])
    (z.sum() + ldj.sum()).backward()
    assert {name: calls.count(name) for name in ("before", "inner", "prior", "after")} == {"before": 3, "inner": 3, "prior": 1, "after": 3}


def test_second_derivatives_are_refused():
    chain = made("glow", "constant", torch.float64)
    x = inputs("glow", torch.float64)[0].requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(chain(x)[1].sum(), x, create_graph=True)
    assert torch.autograd.grad(made("glow", "checkpoint", torch.float64)(x)[1].sum(), x, create_graph=True)[0].requires_grad


def test_frozen_parameters_and_data_without_gradient():
    """A layer before the first that learns is not walked back through; a frozen one passes gradients on."""
    grads = {}
    for memory in ("full", "constant"):
        chain = made("glow", memory, torch.float64)
        for i in (0, 1, 4):
            chain.transforms[i].requires_grad_(False)
        z, ldj = chain(inputs("glow", torch.float64)[0])
        (z.square().sum() - ldj.sum()).backward()
        grads[memory] = [p.grad for p in chain.parameters()]
    assert [g is None for g in grads["full"]] == [g is None for g in grads["constant"]]
    assert_same([g for g in grads["full"] if g is not None], [g for g in grads["constant"] if g is not None], 1e-8)
    chain.requires_grad_(False)
    assert not chain(inputs("glow", torch.float64)[0])[0].requires_grad


def test_shared_layers_hooks_and_borrowed_parameters():
    """A layer used twice sums its gradients; a hook sees each gradient once; functional_call's parameters are the ones differentiated."""
    found = {}
    for memory in ("full", "constant"):
        torch.manual_seed(0)
        layer = coupling(4, net=lambda i, o: MLP(i, o, width=8, depth=1))
        other = coupling(4, net=lambda i, o: MLP(i, o, width=8, depth=1))
        other.net.hidden[0].weight = layer.net.hidden[0].weight
        block = Chain(layer, Permute([3, 2, 1, 0]), layer, other)  # one step: the same module, and the same parameter, twice inside
        chain = Chain(layer, Permute([3, 2, 1, 0]), block, LULinear(4), memory=memory).double()
        for parameter in chain.parameters():
            parameter.register_hook(lambda grad: 2 * grad)
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
        z, ldj = chain(x)
        (z.square().sum() - ldj.sum()).backward()
        found[memory] = [p.grad for p in chain.parameters()]
        chain = Chain(*vectors(), memory=memory).double()
        borrowed = {name: (p.detach() + 0.1).requires_grad_() for name, p in chain.named_parameters()}
        z, ldj = torch.func.functional_call(chain, borrowed, (x,))
        found[memory] += torch.autograd.grad(z.square().sum() - ldj.sum(), list(borrowed.values()))
    assert_same(found["full"], found["constant"], 1e-8)


def test_parameters_changed_before_backward_are_noticed():
    chain = made("glow", "constant", torch.float32)
    z, _ = chain(inputs("glow", torch.float32)[0])
    with torch.no_grad():
        next(chain.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


class Restless(Transform):
    """Draws other random numbers on its way back."""

    def forward(self, x, context=None):
        return x + torch.rand_like(x), x.new_zeros(len(x))

    def inverse(self, z, context=None):
        torch.rand(3)
        return z - torch.rand_like(z), z.new_zeros(len(z))


@pytest.mark.parametrize("inverse", [False, True])
def test_dropout_is_repeated(inverse):
    found, after = {}, {}
    for memory in ("full", "constant", "checkpoint"):
        torch.manual_seed(0)
        net = lambda inputs, outputs: GatedConvNet(inputs, outputs, width=8, depth=1, heads=2, dropout=0.3)  # noqa: E731
        chain = Chain(*(layer for _ in range(3) for layer in (Conv1x1(4), coupling(4, net=net))), memory=memory).double()  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in chain.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        found[memory] = gradients(chain, inputs("glow", torch.float64)[0], None, inverse)
        after[memory] = torch.rand(1)
    assert_same(found["full"], found["constant"], 1e-8)
    assert_same(found["full"], found["checkpoint"], 1e-8)
    assert after["full"] == after["constant"] == after["checkpoint"], "backward must leave the random state as it was"
    with pytest.raises(ValueError, match="memory='checkpoint'"):
        Chain(LULinear(4), Restless(), memory="constant")(torch.randn(5, 4))[0].sum().backward()


def test_autocast_is_replayed():
    """The nets compute in bfloat16 in both passes; casts made without gradient are not left behind in autocast's cache."""
    x = inputs("glow", torch.float32)[0]
    exact = gradients(made("glow", "full", torch.float32), x, None, False)
    off = {}
    for memory in ("full", "constant"):
        chain = made("glow", memory, torch.float32)
        seen: set[torch.dtype] = set()
        chain.transforms[2].net.last.register_forward_hook(lambda module, args, out, seen=seen: seen.add(out.dtype))  # type: ignore[union-attr]
        with torch.autocast("cpu", torch.bfloat16):
            z, ldj = chain(x)
            alone = torch.autograd.grad(chain.transforms[2](x)[0].sum(), list(chain.transforms[2].parameters()))
        loss = (z.cos() * torch.linspace(1, 2, z[0].numel()).view_as(z[0])).sum() + (ldj * torch.arange(1, len(ldj) + 1)).sum()
        outside = torch.autograd.grad(loss, list(chain.parameters()))
        assert seen == {torch.bfloat16} and z.dtype == ldj.dtype == torch.float32
        assert all(g.abs().max() > 0 for g in alone)
        off[memory] = [float((a - b).norm() / a.norm()) for a, b in zip(exact[3:], outside, strict=True)]
    # What is found again is off by float32's rounding, which may fall on the other side of bfloat16's: no more than bfloat16 costs anyway.
    assert max(off["full"]) < 0.1 and all(b < 2 * a + 0.01 for a, b in zip(off["full"], off["constant"])), off


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the compiler about breaks
def test_compiled_gives_the_same():
    x, _ = inputs("scales", torch.float64)
    for memory in ("constant", "checkpoint"):
        chain = made("scales", memory, torch.float64)
        expected = gradients(made("scales", "full", torch.float64), x, None, False)
        torch.compiler.reset()
        compiled = torch.compile(chain, backend="aot_eager")
        leaves = [x.clone().requires_grad_(), *chain.parameters()]
        z, ldj = compiled(leaves[0])
        loss = (z.cos() * torch.linspace(1, 2, z[0].numel()).view_as(z[0])).sum() + (ldj * torch.arange(1, len(ldj) + 1)).sum()
        assert_same(expected, [z.detach(), ldj.detach(), *torch.autograd.grad(loss, leaves)], 1e-8)


def test_distributed_gets_every_gradient(tmp_path):
    """DDP without find_unused_parameters, two steps: it would complain in the second of a parameter without a gradient."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        chain = made("scales", "constant", torch.float64)
        model = DistributedDataParallel(chain)
        x, _ = inputs("scales", torch.float64)
        for _ in range(2):
            chain.zero_grad()
            z, ldj = model(x)
            (z.square().sum() - ldj.sum()).backward()
    finally:
        torch.distributed.destroy_process_group()
    plain = made("scales", "full", torch.float64)
    z, ldj = plain(x)
    (z.square().sum() - ldj.sum()).backward()
    assert_same([p.grad for p in plain.parameters()], [p.grad for p in chain.parameters()], 1e-8)


def test_a_flow_passes_memory_on():
    flow = Flow(Normal((4,)), *vectors(), memory="constant")
    assert flow.transform.memory == flow.prepend(Standardize(0.0, 2.0)).transform.memory == "constant"
    _, log_prob = flow.sample_and_log_prob((3,))
    log_prob.sum().backward()
    assert all(p.grad is not None for p in flow.parameters())
    with pytest.raises(ValueError, match="'full', 'constant' or 'checkpoint'"):
        Flow(Normal((4,)), *vectors(), memory="little")
