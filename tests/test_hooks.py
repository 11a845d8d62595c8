"""Law 11: the two hooks reach every part of a model, whatever holds it, and facts are those of the parts at the time they are asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pushforward.core import Chain, DataDependent, Distribution, Flow, Hooked, Inverse, Transform, zeros
from pushforward.distributions import Normal, SplitPrior
from pushforward.transforms import (
    VAE,
    Abs,
    Augment,
    Columns,
    Coupling,
    Dequantize,
    Elementwise,
    Factor,
    Gaps,
    IntegerCoupling,
    Slice,
    Standardize,
)
from pushforward.univariate import Additive, Logit

BATCH = 6


class SpyLayer(Transform):
    """The identity, with a note of what its hooks were given."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[Tensor, Tensor | None, bool]] = []
        self.refreshed = 0

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, zeros(x)

    inverse = forward

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        self.started.append((x, context, inverse))

    def refresh(self) -> None:
        self.refreshed += 1


class SpyNet(DataDependent):
    """A linear net, with a note of what its hooks were given."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.started: list[tuple[Tensor, ...]] = []
        self.refreshed = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def initialize(self, *inputs: Tensor) -> None:
        self.started.append(inputs)

    def refresh(self) -> None:
        self.refreshed += 1


class SpyDistribution(Distribution):
    """A normal about what a net reads from the context, with a note of what its hooks were given."""

    def __init__(self, shape: tuple[int, ...], context: int = 0) -> None:
        super().__init__(shape, context)
        self.normal = Normal(shape)
        self.net = nn.Sequential(SpyNet(context, shape[0])) if context else None
        self.started: list[tuple[Tensor, Tensor | None]] = []
        self.refreshed = 0

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.normal.log_prob(x - (0 if self.net is None else self.net(context)))

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, log_prob = self.normal.draw(rows)
        return u + (0 if self.net is None else self.net(context)), log_prob

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        self.started.append((x, context))

    def refresh(self) -> None:
        self.refreshed += 1


def coupled() -> Coupling:
    """A layer whose net holds a spy."""
    return Coupling([1, 0], Additive(), nn.Sequential(SpyNet(1, 1)))


def integers() -> IntegerCoupling:
    return IntegerCoupling([1, 0], nn.Sequential(SpyNet(1, 1)))


def noise() -> Flow:
    return Flow(SpyDistribution((3,), 3), Inverse(SpyLayer()), Inverse(Standardize(0.0, 0.1)), context=3)


CONTAINERS: dict[str, Callable[[], Flow]] = {
    "flow": lambda: Flow(SpyDistribution((3,)), SpyLayer()),
    "chain": lambda: Flow(SpyDistribution((3,)), Chain(SpyLayer(), Chain(SpyLayer()))),
    "chain-constant": lambda: Flow(SpyDistribution((3,)), Chain(SpyLayer(), SpyLayer(), memory="constant"), memory="checkpoint"),
    "inverse": lambda: Flow(SpyDistribution((3,)), Inverse(SpyLayer()), Inverse(Chain(SpyLayer()))),
    "inverse-twice": lambda: Flow(SpyDistribution((3,)), Inverse(Inverse(SpyLayer()))),
    "columns": lambda: Flow(SpyDistribution((3,)), Columns(([2, 0], Chain(SpyLayer(), coupled())), ([1], SpyLayer()))),
    "factor": lambda: Flow(SpyDistribution((3,)), Factor(2, SpyLayer(), Chain(coupled(), SpyLayer()))),
    "inverse-factor": lambda: Flow(SpyDistribution((3,)), Inverse(Factor(2, SpyLayer(), Chain(coupled(), SpyLayer())))),
    "slice": lambda: Flow(SpyDistribution((2,)), Slice(2, SpyDistribution((1,))), shape=(3,)),
    "slice-given": lambda: Flow(SpyDistribution((2,)), Slice(2, SpyDistribution((1,), 2)), shape=(3,)),
    "slice-flow": lambda: Flow(SpyDistribution((2,)), Slice(2, Flow(SpyDistribution((1,), 2), SpyLayer(), context=2)), shape=(3,)),
    "dequantize": lambda: Flow(SpyDistribution((3,)), Dequantize(noise=noise())),
    "abs": lambda: Flow(SpyDistribution((3,)), Abs(SpyDistribution((3,), 3))),
    "gaps": lambda: Flow(SpyDistribution((3,)), Gaps(Chain(SpyLayer(), coupled()))),
    "inverse-gaps": lambda: Flow(SpyDistribution((3,)), Inverse(Gaps(Chain(SpyLayer(), coupled())))),
    "inverse-augment": lambda: Flow(SpyDistribution((2,)), Inverse(Augment(SpyDistribution((1,), 2))), shape=(3,)),
    "vae": lambda: Flow(
        SpyDistribution((2,)), VAE(Flow(SpyDistribution((2,), 3), SpyLayer(), context=3), SpyDistribution((3,), 2)), coupled(), shape=(3,)
    ),
    "prior": lambda: Flow(Flow(SpyDistribution((3,)), SpyLayer(), Columns(([0, 1], coupled()))), SpyLayer()),
    "split-prior": lambda: Flow(SplitPrior(Flow(SpyDistribution((2,)), SpyLayer(), integers()), SpyDistribution((1,), 2)), SpyLayer()),
    "split-prior-given": lambda: Flow(SplitPrior(SpyDistribution((2,), 2), SpyDistribution((1,), 4)), SpyLayer(), context=2),
    "prior-given": lambda: Flow(SpyDistribution((3,), 2), SpyLayer(), context=2),
    "embedding": lambda: Flow(SpyDistribution((3,), 4), SpyLayer(), context=2, embed=nn.Sequential(SpyNet(2, 4))),
    "prepended": lambda: Flow(SpyDistribution((3,)), SpyLayer()).prepend(Columns(([1], SpyLayer()))),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_hooks_reach_everything(name):
    """Each spy is started once, from one row of what it stands before for each row of data, and refreshed once a step."""
    torch.manual_seed(0)
    flow = CONTAINERS[name]()
    x = torch.randint(1, 5, (BATCH, 3)).float() if name == "dequantize" else torch.randn(BATCH, 3)
    flow.initialize(x, torch.randn(BATCH, 2) if flow.context_shape else None)
    flow.refresh()
    spies = [module for module in flow.modules() if isinstance(module, SpyLayer | SpyNet | SpyDistribution)]
    assert len(spies) >= 2
    for spy in spies:
        assert spy.refreshed == 1, spy
        assert len(spy.started) == 1, spy
        assert spy.started[0][0].shape[0] == BATCH and spy.started[0][0].any()


def test_a_start_sees_what_enters():
    """Layers on either side, nets within them and a conditional base see what reaches them, in the direction that they will be used."""
    torch.manual_seed(0)
    first, back, base = SpyLayer(), SpyLayer(), SpyDistribution((2,), 1)
    net = SpyNet(2, 1)
    flow = Flow(
        base, first, Standardize(1.0, 2.0), Coupling([1, 0], Additive(), net), Inverse(back), context=3, embed=nn.Linear(3, 1, bias=False)
    )
    x, raw = torch.randn(BATCH, 2), torch.randn(BATCH, 3)
    flow.initialize(x, raw)
    z, context = flow.encode(x, raw), flow.embedding(raw)
    (entered, given, inverse), (reached, _, turned), (latent, seen) = first.started[0], back.started[0], base.started[0]
    assert torch.equal(entered, x) and torch.equal(given, context) and not inverse
    assert torch.equal(reached, z) and turned
    assert torch.equal(latent, z) and torch.equal(seen, context)
    torch.testing.assert_close(net.started[0][0], torch.cat([(x[:, :1] - 1) / 2, context], 1))
    flow.log_prob(x + 1, raw)
    assert len(net.started) == 1, "it starts within initialize alone"
    flow.initialize(x, raw)
    assert len(net.started) == 2


class Trace(SpyLayer):
    """Noisy in training, exact in evaluation, as Hutchinson's estimate of a trace is."""

    @property
    def estimate(self) -> bool:
        return self.training


HOLDERS: dict[str, Callable[[Transform], Transform]] = {
    "chain": lambda layer: Chain(layer),
    "inverse": lambda layer: Inverse(layer),
    "columns": lambda layer: Columns(([0], layer)),
    "factor-part": lambda layer: Factor(2, layer, SpyLayer()),
    "factor-rest": lambda layer: Factor(2, SpyLayer(), layer),
    "slice": lambda layer: Slice(2, Flow(Normal((1,)), layer)),
    "dequantize": lambda layer: Dequantize(noise=Flow(Normal((3,)), Elementwise(Logit()), layer)),
    "gaps": lambda layer: Gaps(layer),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_facts_are_those_of_the_parts_now(name):
    """``eval()`` makes an estimate exact, through any container; what is random stays random, and turns with the direction."""
    layer = HOLDERS[name](Trace())
    base = Normal((2,)) if name == "slice" else Normal((3,))
    flow = Flow(base, Chain(layer), shape=(3,))
    assert layer.estimate and flow.estimate and not layer.exact
    flow.eval()
    assert not layer.estimate and not flow.estimate and flow.kind == ("bound" if name == "dequantize" else "exact")
    assert flow.train().estimate
    assert Flow(Flow(base, Trace()), SpyLayer()).estimate, "that of a base, too"
    assert layer.stochastic_forward == Inverse(layer).stochastic_inverse == (name == "dequantize")
    assert layer.stochastic_inverse == Inverse(layer).stochastic_forward == (name == "slice")


def test_hooks_are_optional():
    """A part without state, and a data-dependent net that says nothing of its start."""
    Hooked().refresh()
    with pytest.raises(NotImplementedError, match="DataDependent does not define initialize"):
        DataDependent().initialize(torch.ones(1))
