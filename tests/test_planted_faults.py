"""Each law can fail: a layer with one fault is noticed by the laws that the fault breaks, and by no other."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product

import pytest
import test_hooks
import test_laws as laws
import test_model_laws
import torch
from catalog import LAYERS, Layer, NoisyTrace, integers
from torch import Tensor, nn

from pushforward import kernels
from pushforward.core import Chain, Flow, Transform
from pushforward.distributions import Normal
from pushforward.kernels import library
from pushforward.transforms import Triangular

BOTH = [{"direction": "forward"}, {"direction": "inverse"}]
LAWS: dict[str, list[dict[str, object]]] = {
    "round_trip": [{}],
    "ldj_cancels": [{}],
    "ldj_is_slogdet": BOTH,
    "estimates_are_unbiased": BOTH,
    "rows_are_independent": BOTH,
    "context": [{}],
    "gradients": BOTH,
    "gradients_of_higher_order": BOTH,
    "without_gradients": BOTH,
    "few_rows": [{**way, "rows": rows} for way, rows in product(BOTH, (0, 1))],
    "dtype_and_meta": [{}],
    "state": [{}],
    "structure": [{}],
    "one_graph": [{}],
    "torch_func": BOTH,
    "the_others_have_no_kernels": [{}],
}


class Scaling(Transform):
    """``z = exp(a + tanh(W c)) x``, as it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(3))
        self.net = nn.Linear(2, 3)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s = self.log_scale(context)
        return x * s.exp(), s.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s = self.log_scale(context)
        return z * (-s).exp(), -s.sum(1)

    def log_scale(self, context: Tensor | None) -> Tensor:
        if context is None:
            raise ValueError("Scaling: needs a context")
        return self.constant + torch.tanh(self.net(context))


class WrongDecode(Scaling):
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.inverse(z, context)[0] + 1e-6


class WrongConstant(Scaling):
    """A log-det that is off by a constant, and in the other direction by its negative."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ldj = super().forward(x, context)
        return z, ldj + 1e-6

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        return x, ldj - 1e-6


class WrongSign(Scaling):
    """In one direction."""

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        return x, -ldj


class Biased(NoisyTrace):
    def _trace(self, x: Tensor) -> Tensor:
        return super()._trace(x) + self.weight.square().sum()


class BatchStatistic(Scaling):
    """A log-det that depends on the whole batch."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ldj = super().forward(x, context)
        return z, ldj + 8e-9 * x.mean()


class AdaptiveStep(Scaling):
    """A search that stops once the worst row of the batch is found."""

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        return x + 2e-9 * z.abs().mean(), ldj


class Deaf(Transform):
    """Noise that does not hear its context."""

    stochastic_forward = True

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if context is None:
            raise ValueError("Deaf: needs a context")
        return x + torch.rand_like(x), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.floor(), z.new_zeros(z.shape[0])


class Detached(Scaling):
    """A parameter that never learns."""

    def log_scale(self, context: Tensor | None) -> Tensor:
        return super().log_scale(context) - self.constant + self.constant.detach()


class CountedTwice(Scaling):
    """A gradient that is another one where it can be differentiated again."""

    def log_scale(self, context: Tensor | None) -> Tensor:
        s = super().log_scale(context)
        if s.requires_grad and not torch._C._are_functorch_transforms_active() and not torch.compiler.is_compiling():
            s.register_hook(lambda g: 1.5 * g if torch.is_grad_enabled() else g)
        return s


class OtherWayWithoutGradients(Scaling):
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        return x if torch.is_grad_enabled() else x + 1e-6, ldj


class AmbiguousReshape(Scaling):
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ldj = super().forward(x, context)
        return z.reshape(x.shape[0], 3, -1).squeeze(2), ldj


class WrongDtype(Scaling):
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        return x.double(), ldj


class Forgetful(Scaling):
    """A random start that is no part of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.start = random.random()

    def log_scale(self, context: Tensor | None) -> Tensor:
        return super().log_scale(context) + self.start


class Broken(Scaling):
    """A graph in two parts."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        torch._dynamo.graph_break()
        return super().forward(x, context)


class InPlace(Scaling):
    """A result that is written into what was made for it."""

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, ldj = super().inverse(z, context)
        found = torch.empty(z.shape, dtype=z.dtype, device=z.device)
        found[:, 0], found[:, 1:] = x[:, 0], x[:, 1:]
        return found, ldj


class Unnoticed(Scaling):
    """A kernel that the catalog does not know of."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ldj = super().forward(x, context)
        return z, ldj * (1 if library.switched_off() else 1 + 1e-15)


@dataclass(frozen=True)
class Fault:
    entry: Layer
    noticed: set[str]


def given(make: Callable[[], Transform], *noticed: str) -> Fault:
    return Fault(Layer(make, context=2), set(noticed))


FAULTS = {
    "none": given(Scaling),
    "decode": given(WrongDecode, "round_trip"),
    "ldj-constant": given(WrongConstant, "ldj_is_slogdet", "torch_func"),
    "ldj-sign": given(WrongSign, "ldj_cancels", "ldj_is_slogdet", "torch_func"),
    "biased": Fault(Layer(lambda: Biased(3)), {"estimates_are_unbiased"}),
    "batch-statistic": given(BatchStatistic, "rows_are_independent", "few_rows"),
    "adaptive-step": given(AdaptiveStep, "rows_are_independent", "few_rows"),
    "deaf": Fault(Layer(Deaf, context=2, domain=integers), {"context"}),
    "detached": given(Detached, "gradients"),
    "counted-twice": given(CountedTwice, "gradients_of_higher_order"),
    "without-gradients": given(OtherWayWithoutGradients, "without_gradients"),
    "reshape": given(AmbiguousReshape, "few_rows"),
    "dtype": given(WrongDtype, "dtype_and_meta"),
    "state": given(Forgetful, "state"),
    "structure": Fault(Layer(lambda: Triangular(3), order=(2, 1, 0)), {"structure"}),
    "graph": given(Broken, "one_graph"),
    "in-place": given(InPlace, "torch_func"),
    "kernel": given(Unnoticed, "the_others_have_no_kernels"),
}


def applies(law: str, layer: Transform, entry: Layer) -> bool:
    if law == "ldj_is_slogdet":
        return layer.bijective and layer.exact
    return {"estimates_are_unbiased": layer.estimate, "context": bool(entry.context)}.get(law, True)


@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:`torch.jit.script`")  # of torch, about itself
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noticed(fault, monkeypatch):
    entry, expected = FAULTS[fault].entry, FAULTS[fault].noticed
    monkeypatch.setitem(LAYERS, fault, entry)
    noticed = set()
    for law, cases in LAWS.items():
        if not applies(law, entry.make(), entry):
            continue
        for case in cases:
            try:
                getattr(laws, f"test_{law}")(fault, **case)
            except Exception as error:
                assert law in expected, f"{law} {case}: {error}"
                noticed.add(law)
    assert noticed == expected


def test_every_law_has_its_fault():
    assert {f"test_{law}" for law in LAWS} == {name for name in dir(laws) if name.startswith("test_")} - {"test_default_compiler"}
    assert set(LAWS) == set().union(*(fault.noticed for fault in FAULTS.values()))


def test_each_path_is_taken(monkeypatch):
    """Law 13: what is wrong with kernels alone, without them alone, or in several threads alone, is noticed there and only there."""
    ways = {
        "kernels": lambda: torch.get_num_threads() == 1 and not library.switched_off(),
        "plain": lambda: library.switched_off(),
        "threads": lambda: torch.get_num_threads() > 1,
    }
    assert list(ways) == laws.PATHS
    threads = torch.get_num_threads()
    for wrong, active in ways.items():

        class Wrong(WrongSign):
            def inverse(self, z: Tensor, context: Tensor | None = None, active: Callable[[], bool] = active) -> tuple[Tensor, Tensor]:
                return super().inverse(z, context) if active() else Scaling.inverse(self, z, context)

        monkeypatch.setitem(LAYERS, "wrong", Layer(Wrong, context=2))
        for way in ways:
            with kernels.without() if way == "plain" else nullcontext():
                torch.set_num_threads(3 if way == "threads" else 1)
                try:
                    laws.test_ldj_cancels("wrong")
                    noticed = False
                except AssertionError:
                    noticed = True
                finally:
                    torch.set_num_threads(threads)
            assert noticed == (way == wrong)


def test_a_container_that_passes_nothing_on_is_noticed(monkeypatch):
    """Law 11."""

    class Silent(Chain):
        def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
            pass

    monkeypatch.setitem(test_hooks.CONTAINERS, "silent", lambda: Flow(Normal((3,)), Silent(test_hooks.SpyLayer(), test_hooks.SpyLayer())))
    with pytest.raises(AssertionError):
        test_hooks.test_hooks_reach_everything("silent")


def test_arithmetic_at_infinity_is_noticed(monkeypatch):
    """A density that computes with infinity as with any number."""

    class Careless(Flow):
        def log_prob(self, x: Tensor, context: Tensor | None = None, samples: int = 1) -> Tensor:
            return self._log_prob(x, context)

    for name in ("nsf", "maf"):
        flow = test_model_laws.MODELS[name][1](0)
        careless = Careless(flow.base, *flow.transform.transforms)
        monkeypatch.setitem(test_model_laws.MODELS, "careless", ("vector", lambda context, model=careless: model))
        with pytest.raises(AssertionError):
            test_model_laws.test_nothing_lies_at_infinity("careless", "first")
