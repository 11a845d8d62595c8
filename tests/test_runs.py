"""Several layers of vectors at once: the same values and gradients as layer by layer, and every reason to go layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pushforward import kernels
from pushforward.core import Chain, Transform
from pushforward.kernels import run
from pushforward.nets import MADE, MLP, ResidualMLP
from pushforward.transforms import ActNorm, Autoregressive, Coupling, LULinear, Permute, Reverse
from pushforward.univariate import Affine, RationalQuadratic

DIM = 5
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def made(univariate: Affine | RationalQuadratic, context: int = 0, **options: object) -> Autoregressive:
    return Autoregressive(univariate, MADE(DIM, univariate.params, width=24, context=context, **options))  # type: ignore[arg-type]


def coupled(univariate: Affine | RationalQuadratic, context: int = 0, residual: bool = False) -> Coupling:
    net = ResidualMLP if residual else MLP
    return Coupling([1, 0, 1, 0, 0], univariate, net(2 + context, 3 * univariate.params, width=20, depth=1))


CHAINS = {
    "affine": lambda: [made(Affine()), made(Affine(), order=range(DIM - 1, -1, -1))],
    "after actnorm": lambda: [ActNorm(DIM), made(Affine()), ActNorm(DIM), coupled(Affine())],
    "spline flow": lambda: [ActNorm(DIM), LULinear(DIM), made(RationalQuadratic(4), residual=True), ActNorm(DIM), LULinear(DIM)],
    "orders": lambda: [Permute([3, 1, 4, 0, 2]), coupled(RationalQuadratic(3), residual=True), Reverse(DIM), coupled(Affine())],
    "linear maps last": lambda: [coupled(Affine()), LULinear(DIM), Permute([1, 2, 3, 4, 0]), ActNorm(DIM)],
    "one net": lambda: [made(Affine())],
    "many linear maps": lambda: [Permute([4, 0, 3, 1, 2]), LULinear(DIM), Reverse(DIM), ActNorm(DIM), LULinear(DIM), made(Affine())],
    "another between": lambda: [ActNorm(DIM), made(Affine()), made(Affine(), activation=torch.tanh), LULinear(DIM), coupled(Affine())],
}


def chain(name: str) -> Chain:
    torch.manual_seed(len(name))
    return perturbed(Chain(*CHAINS[name]()))


def perturbed(found: Chain) -> Chain:
    for parameter in found.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return found.double()


def by_layer(found: Chain, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """The plain way."""
    total = x.new_zeros(len(x))
    with kernels.without():
        for layer in reversed(found.transforms) if inverse else found.transforms:  # type: ignore[call-overload]
            x, ldj = layer.inverse(x, context) if inverse else layer(x, context)
            total = total + ldj
    return x, total


def gradients(way, found: Chain, x: Tensor, twice: bool = False) -> list[Tensor]:
    x = x.clone().requires_grad_()
    z, ldj = way(x)
    inputs = [x, *found.parameters()]
    first = torch.autograd.grad(z.sin().sum() + (ldj**2).sum(), inputs, create_graph=twice)
    if not twice:
        return [z, ldj, *first]
    return list(torch.autograd.grad(sum(g.square().sum() for g in first), inputs))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers each call of the library was given."""
    found: list[int] = []
    launch = run.launch
    monkeypatch.setattr(run, "launch", lambda *arguments: (found.append(arguments[-1]), launch(*arguments))[1])
    return found


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("name", CHAINS)
def test_runs_are_their_layers(name: str, rows: int) -> None:
    found, x = chain(name), torch.randn(rows, DIM, dtype=torch.float64)
    for got, expected in zip(gradients(found, found, x), gradients(lambda x: by_layer(found, x), found, x), strict=True):
        torch.testing.assert_close(got, expected, **EXACT)
    with torch.no_grad():
        for got, expected in zip(found(x), by_layer(found, x), strict=True):
            torch.testing.assert_close(got, expected, **EXACT)
        for got, expected in zip(found.inverse(x), by_layer(found, x, inverse=True), strict=True):
            torch.testing.assert_close(got, expected, **EXACT)
        torch.testing.assert_close(found.encode(x), by_layer(found, x)[0], **EXACT)
        torch.testing.assert_close(found.decode(x), by_layer(found, x, inverse=True)[0], **EXACT)
        torch.testing.assert_close(found.generate(x), found.decode(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", CHAINS)
def test_gradients_of_gradients(name: str) -> None:
    found, x = chain(name), torch.randn(9, DIM, dtype=torch.float64)
    expected = gradients(lambda x: by_layer(found, x), found, x, twice=True)
    torch.testing.assert_close(gradients(found, found, x, twice=True), expected, **EXACT)


def test_a_run_is_one_call(calls: list[int]) -> None:
    found, x = chain("many linear maps"), torch.randn(8, DIM, dtype=torch.float64)
    found(x)[0].sum().backward()
    with torch.no_grad():
        found.decode(x)
    assert calls == [6, 6, 6]


@pytest.mark.parametrize("width", [0, 3])
def test_contexts(width: int, calls: list[int]) -> None:
    torch.manual_seed(0)
    found = perturbed(Chain(ActNorm(DIM), made(Affine(), context=width), coupled(Affine(), context=width)))
    x, context = torch.randn(20, DIM, dtype=torch.float64), torch.randn(20, width, dtype=torch.float64) if width else None
    for got, expected in zip(
        gradients(lambda x: found(x, context), found, x), gradients(lambda x: by_layer(found, x, context), found, x), strict=True
    ):
        torch.testing.assert_close(got, expected, **EXACT)
    assert calls == [3, 3]


def test_no_rows() -> None:
    z, ldj = chain("spline flow")(torch.zeros(0, DIM, dtype=torch.float64))
    assert z.shape == (0, DIM) and ldj.shape == (0,)


def test_what_is_watched_is_called(calls: list[int]) -> None:
    found, x, seen = chain("after actnorm"), torch.randn(8, DIM, dtype=torch.float64), []
    found.transforms[2].register_forward_hook(lambda *_: seen.append("layer"))
    found.transforms[3].net.register_forward_hook(lambda *_: seen.append("net"))  # type: ignore[attr-defined]
    expected = by_layer(found, x)
    assert seen == ["layer", "net"]
    torch.testing.assert_close(found(x), expected, **EXACT)
    assert seen == ["layer", "net"] * 2 and calls == [2]


def test_a_subclass_is_another_layer() -> None:
    class Doubled(ActNorm):
        def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            z, ldj = super().forward(x, context)
            return 2 * z, ldj + x.shape[1] * torch.log(torch.tensor(2.0))

    torch.manual_seed(0)
    found = perturbed(Chain(made(Affine()), Doubled(DIM), coupled(Affine())))
    x = torch.randn(8, DIM, dtype=torch.float64)
    torch.testing.assert_close(found(x), by_layer(found, x), **EXACT)
    assert Doubled.run is None and ActNorm.run is not None


def test_a_parametrized_layer() -> None:
    class Halved(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    found, x = chain("spline flow"), torch.randn(8, DIM, dtype=torch.float64)
    nn.utils.parametrize.register_parametrization(found.transforms[1], "weight", Halved())
    torch.testing.assert_close(found(x), by_layer(found, x), **EXACT)


@pytest.mark.parametrize("layer", [ActNorm(3), LULinear(3), Permute([0, 2, 1]), Reverse(3)], ids=lambda layer: type(layer).__name__)
def test_rows_of_another_width_are_refused_by_their_layer(layer: Transform) -> None:
    found = Chain(made(Affine()), layer)
    with pytest.raises(ValueError, match=f"{type(layer).__name__}: made for 3 channels"):
        found(torch.randn(4, DIM))


def test_a_context_of_other_rows_is_refused() -> None:
    found = Chain(made(Affine()), coupled(Affine(), context=2))
    with pytest.raises(ValueError, match="context has 1 rows but x has 4"):
        found(torch.randn(4, DIM), torch.randn(1, 2))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads: int) -> None:
    found, x = chain("spline flow"), torch.randn(300, DIM, dtype=torch.float64)
    expected, before = gradients(lambda x: by_layer(found, x), found, x), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        got, again = gradients(found, found, x), gradients(found, found, x)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(got, expected, **EXACT)
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))
