"""Known answers of flows, chains and conditioned flows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pushforward.core import Chain, Distribution, Flow, Inverse, Transform, join, sum_event, zeros
from pushforward.distributions import Normal
from pushforward.transforms import Cast, Coupling, Elementwise, Standardize
from pushforward.univariate import Affine

MEAN, STD = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 3.0], dtype=torch.float64)


class FromContext(Transform):
    """``z = (x - c) / 2``."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - context) / 2, zeros(x) - x.shape[1] * math.log(2)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * 2 + context, zeros(z) + z.shape[1] * math.log(2)


class Noisy(Transform):
    """The identity with an ldj that is noise of mean zero: an unbiased estimate."""

    estimate = True

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, torch.randn_like(zeros(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z, torch.randn_like(zeros(z))


def reference(mean: Tensor | float, std: Tensor | float) -> torch.distributions.Distribution:
    return torch.distributions.Independent(torch.distributions.Normal(torch.as_tensor(mean), torch.as_tensor(std).double()), 1)


def plain() -> Flow:
    return Flow(Normal((2,)), Standardize(MEAN, STD)).double()


def netted() -> Flow:
    return Flow(Normal((2,)), Coupling([1, 0], Affine(), torch.nn.Linear(1, 2)))


def conditional() -> Flow:
    return Flow(Normal((2,)), FromContext(), context=2).double()


def test_density_of_a_scaled_normal():
    flow, x = plain(), torch.randn(20, 2, dtype=torch.float64)
    expected = reference(MEAN, STD).log_prob(x)
    for log_prob in (flow.log_prob(x), flow(x), flow.log_prob(x, samples=3), flow.condition().log_prob(x)):
        torch.testing.assert_close(log_prob, expected)


def test_samples_carry_their_density():
    flow = plain()
    for x, log_prob in (flow.sample_and_log_prob((50, 4)), flow.draw(50), flow.condition().rsample_and_log_prob((50,))):
        torch.testing.assert_close(log_prob, reference(MEAN, STD).log_prob(x))


def test_a_number_of_draws_is_a_shape():
    """As a plain number, one of numpy, or a shape, for every way to draw."""
    import numpy as np

    flow, context = plain(), torch.zeros(3, 2, dtype=torch.float64)
    for five in (5, np.int64(5), (5,), [5], torch.Size([5])):
        assert flow.sample(five).shape == flow.sample_and_log_prob(five)[0].shape == Normal((2,)).sample(five).shape == (5, 2)
        assert flow.condition().sample(five).shape == flow.condition().rsample(five).shape == (5, 2)
        assert conditional().sample(five, context).shape == conditional().condition(context).rsample(five).shape == (5, 3, 2)


def test_conditional_density_and_samples():
    flow, context = conditional(), 10 * torch.randn(4, 2, dtype=torch.float64)
    expected = reference(context, torch.full((4, 2), 2.0))
    x = torch.randn(7, 4, 2, dtype=torch.float64)
    given = flow.condition(context)
    torch.testing.assert_close(given.log_prob(x), expected.log_prob(x))
    torch.testing.assert_close(flow.log_prob(x[0], context), expected.log_prob(x[0]))
    assert given.batch_shape == (4,) and given.event_shape == (2,) and given.expand((3, 4)).sample((5,)).shape == (5, 3, 4, 2)
    for x, log_prob in (given.rsample_and_log_prob((7,)), flow.sample_and_log_prob((7,), context)):
        assert x.shape == (7, 4, 2)
        torch.testing.assert_close(log_prob, expected.log_prob(x))


def test_each_context_gets_its_own_samples():
    """Sample i of context j lies near context j, whatever the two counts."""
    flow, context = conditional(), 1000 * torch.arange(12.0, dtype=torch.float64).reshape(3, 2, 2)
    for x in (flow.sample((5,), context), flow.sample_and_log_prob((5,), context)[0], flow.condition(context).sample((5,))):
        assert x.shape == (5, 3, 2, 2)
        assert (x - context).abs().max() < 20
    assert flow.sample((), context).shape == (3, 2, 2) and flow.sample((0,), context).shape == (0, 3, 2, 2)


def test_large_requests_are_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr("pushforward.core.distribution.CHUNK", 14)
    context = 1000 * torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
    x = conditional().sample((11,), context)
    assert x.shape == (11, 3, 2) and (x - context).abs().max() < 20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_enter_as_the_first_layers_want_them(dtype):
    """In float64 before a Cast, wherever it stands; else as the parameters; buffers alone say it, too."""
    plain = Flow(Normal((2,)), Standardize(0.0, 2.0), Elementwise(Affine(), (2,))).to(dtype)
    assert plain.entry == (dtype, torch.device("cpu")) and plain.to("meta").entry == (dtype, torch.device("meta"))
    for layers in ([Cast()], [Chain(Standardize(0.0, 2.0), Cast())]):
        flow = Flow(Normal((2,)), *layers, Elementwise(Affine(), (2,))).to(dtype)
        assert flow.entry.dtype == torch.float64
        flow.log_prob(torch.zeros(3, 2, dtype=flow.entry.dtype))
    assert Normal((2,)).to(dtype).entry.dtype == dtype


def test_an_estimate_is_averaged_and_a_bound_takes_log_mean_exp():
    torch.manual_seed(0)
    x = torch.randn(5, 2, dtype=torch.float64)
    flow = Flow(Normal((2,)), Noisy()).double()
    assert flow.kind == "estimate"
    torch.testing.assert_close(flow.log_prob(x, samples=40_000), Normal((2,)).log_prob(x), atol=0.03, rtol=0)


@pytest.mark.parametrize("samples", [1, 5])
def test_a_bound_and_an_estimate_at_once_is_refused_beyond_one_sample(samples):
    class Both(Noisy):
        stochastic_forward = True

    flow, x = Flow(Normal((2,)), Both()), torch.randn(3, 2)
    if samples == 1:
        assert flow.log_prob(x).shape == (3,)
    else:
        with pytest.raises(ValueError, match="both a bound and an estimate"):
            flow.log_prob(x, samples=samples)


def test_chain_and_inverse_known_answers():
    chain = Chain(Standardize(0.0, 2.0), Standardize(1.0, 5.0), Inverse(Standardize(0.0, 3.0)))
    x = torch.tensor([[12.0]], dtype=torch.float64)
    z, ldj = chain(x)
    assert z.item() == pytest.approx(3.0) and ldj.item() == pytest.approx(math.log(3 / 10))
    x, ldj = chain.inverse(z)
    assert x.item() == pytest.approx(12.0) and ldj.item() == pytest.approx(math.log(10 / 3))


def test_sums_do_not_lose_precision():
    x = torch.ones(2, 3, 5, dtype=torch.bfloat16)
    assert sum_event(x).dtype == zeros(x).dtype == torch.float32 and sum_event(x.double()).dtype == torch.float64
    assert sum_event(x).tolist() == [15.0, 15.0]


def test_join_puts_context_beside_x():
    image, vector = torch.zeros(2, 3, 4, 4), torch.tensor([[1.0], [2.0]])
    assert join(image, vector).shape == (2, 4, 4, 4) and (join(image, vector)[1, 3] == 2).all()
    assert join(torch.zeros(2, 3), vector).tolist() == [[0, 0, 0, 1], [0, 0, 0, 2]]
    ramp = torch.arange(64.0).reshape(1, 1, 8, 8).expand(2, 1, 8, 8)
    assert join(image, ramp)[0, 3, 0, 0].item() == pytest.approx((0 + 1 + 8 + 9) / 4)
    assert join(image, ramp[:, :, :2, :2])[0, 3, 0].tolist() == [0, 0, 1, 1]
    assert join(image, None) is image


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: plain().log_prob(torch.zeros(3, 4).double()), "Flow: expected x of shape"),
        (lambda: plain().log_prob(torch.zeros(3, 2).long()), "Flow: expected floating point"),
        (lambda: conditional().log_prob(torch.zeros(3, 2).double()), "Flow: needs a context"),
        (lambda: conditional().log_prob(torch.zeros(3, 2).double(), torch.zeros(4, 2).double()), "one row per row of x"),
        (lambda: conditional().sample((3,)), "Flow: needs a context"),
        (lambda: conditional().sample((3,), torch.zeros(4, 3)), "Flow: expected context"),
        (lambda: Flow(Normal((3,)), Coupling([1, 0], Affine(), torch.nn.Linear(1, 2))), "layer 0 \\(Coupling\\)"),
        (lambda: Flow(Normal((3,)), Standardize(0.0, 1.0), shape=(2,)), "the base has \\(3,\\)"),
        (lambda: plain().log_prob(torch.zeros(3, 2).double(), torch.zeros(3, 2)), "Flow: takes no context, but one was given"),
        (lambda: plain().encode(torch.zeros(3, 2).double(), torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: plain().decode(torch.zeros(3, 2).double(), torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: plain().sample(3, torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: plain().sample_and_log_prob(3, torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: plain().initialize(torch.zeros(3, 2).double(), torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: plain().condition(torch.zeros(3, 2)), "Flow: takes no context"),
        (lambda: Normal((2,)).log_prob(torch.zeros(3, 2), torch.zeros(3, 2)), "Normal: takes no context"),
        (lambda: plain().decode(torch.zeros(3, 4).double()), "Flow: expected z of shape"),
        (lambda: plain().log_prob(torch.zeros(3, 2).numpy()), "Flow: expected x as a tensor, got ndarray; give torch.as_tensor"),
        (lambda: conditional().sample(3, torch.zeros(3, 2).numpy()), "Flow: expected context as a tensor, got ndarray"),
        (lambda: netted().log_prob(torch.zeros(3, 2).double()), "Flow: x is float64 but the parameters are float32; give x.to"),
        (lambda: netted().decode(torch.zeros(3, 2).double()), "Flow: z is float64"),
        (lambda: Flow(torch.distributions.Normal(0.0, 1.0)), "as base, got Normal; wrap it in FromTorch"),
        (lambda: Flow(Normal((2,)), torch.nn.Linear(2, 2)), "layer 0 to be a Transform, got Linear; a net stands within a layer"),
        (lambda: Flow(Normal((2,)), Normal((2,))), "layer 0 to be a Transform, got Normal"),
        (lambda: Flow(torch.nn.Linear(2, 2)), "as base, got Linear; give one"),
        (lambda: plain().sample(-1), "expected a number of draws, or a shape such as \\(5,\\), got -1"),
        (lambda: plain().sample((2, -1)), "expected a number of draws"),
        (lambda: plain().sample(2.5), "expected a number of draws"),
        (lambda: plain().sample_and_log_prob((2, -1)), "expected a number of draws"),
        (lambda: plain().condition().sample(-1), "expected a number of draws"),
        (lambda: join(torch.zeros(3, 2), torch.zeros(4, 2)), "join: context has 4 rows but x has 3"),
    ],
)
def test_errors_say_who_and_what(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bare_bases_say_what_is_missing():
    with pytest.raises(NotImplementedError, match="Distribution does not define draw"):
        Distribution((2,)).sample((1,))
