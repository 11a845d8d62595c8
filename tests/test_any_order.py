"""The any-order model of mixed tables: its layer, its probabilities, and the questions that it answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.core import Flow
from pushforward.distributions import Normal
from pushforward.models import any_order
from pushforward.questions import Exact, Sampled
from pushforward.transforms import Cast, Dequantize, LULinear, Quantize, Standardize, Support

COLUMNS = {
    "real": Support(),
    "amount": Support(low=0.0, closed=True),
    "share": Support(low=0.0, high=1.0, closed=True),
    "count": Support(whole=True, low=0.0),
    "signed": Support(whole=True),
    "rating": Support(whole=True, low=1.0, high=5.0),
    "wide": Support(whole=True, low=0.0),
    "word": Support(ordered=False, whole=True, low=0.0, high=299.0),
    "gaps": Support(missing=True),
}


def rows(n: int = 3000, seed: int = 0) -> Tensor:
    """A column of each sort."""
    draw = np.random.default_rng(seed)
    columns = [
        draw.normal(size=n),
        np.where(draw.random(n) < 0.4, 0.0, draw.lognormal(size=n)),
        draw.choice([0.0, 1.0, 0.5], n) * 0.5 + np.where(draw.random(n) < 0.3, 0.5 * draw.random(n), 0.0),
        draw.poisson(2.0, n),
        np.round(400 * draw.standard_t(3, n)),
        draw.integers(1, 6, n),
        draw.geometric(1e-4, n),
        np.minimum(draw.geometric(0.02, n), 299),
        np.where(draw.random(n) < 0.2, np.nan, draw.normal(size=n)),
    ]
    return torch.from_numpy(np.stack(columns, 1).astype(float))


@pytest.fixture(scope="module")
def layer() -> Quantize:
    layer = Quantize(list(COLUMNS.values()), cells=12, fine=8)
    layer.initialize(rows())
    return layer


def alone(i: int, values: Tensor) -> Tensor:
    """Rows in which only column i is there."""
    x = torch.full((len(values), len(COLUMNS)), torch.nan, dtype=torch.float64)
    x[:, i] = values
    return x


def test_codes_come_back_with_their_log_density(layer):
    x = rows(500, seed=1)
    z, ldj = layer(x)
    back, inverse = layer.inverse(z)
    again, forward = layer(back)
    assert torch.equal(z, again) and torch.equal(layer(layer.decode(z))[0], z)
    torch.testing.assert_close(inverse, -forward, atol=1e-10, rtol=1e-10)
    assert torch.equal(back.isnan(), x.isnan()) and ldj.isfinite().all()


@pytest.mark.parametrize("name", COLUMNS)
def test_points_lie_among_the_numbers(layer, name):
    """Their mean is finite, also where a value without weight is one of them."""
    i, x = list(COLUMNS).index(name), rows()
    _, values, shares = layer.points(i, 4)
    seen = x[:, i].nan_to_num()
    reach = 10 * (seen.max() - seen.min())
    assert (values > seen.min() - reach).all() and (values < seen.max() + reach).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares), dtype=torch.float64))


@pytest.mark.parametrize("name", [name for name, column in COLUMNS.items() if column.whole])
def test_each_part_of_whole_numbers_sums_to_one(layer, name):
    i = list(COLUMNS).index(name)
    reach = {"wide": 500_000, "signed": 200_000}.get(name, 1_000)
    values = torch.arange(-reach, reach + 1).double()
    codes, log_m = layer.split(alone(i, values))
    mass = log_m[:, i].exp()
    totals = torch.zeros(13 * 8, dtype=torch.float64).index_add_(0, codes[:, i] @ torch.tensor([8, 1]), mass)
    used = totals > 0
    assert used.sum() == len(layer.codes[i].unique())
    torch.testing.assert_close(totals[used], torch.ones_like(totals[used]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name, column in COLUMNS.items() if not column.whole])
def test_each_part_of_reals_integrates_to_one(layer, name):
    """Density between the atoms, by the midpoint rule, and the atoms' own masses."""
    i = list(COLUMNS).index(name)
    atoms = layer.values[i][layer.values[i] < 1e300]
    codes, log_m = layer.split(alone(i, atoms))
    totals = torch.zeros(13 * 8, dtype=torch.float64).index_add_(0, codes[:, i] @ torch.tensor([8, 1]), log_m[:, i].exp())
    length = len(layer.codes[i].unique())
    for low, high, scale, _ in layer.parts[i, :length]:
        low, high = (low, low + 40 * scale) if scale > 0 else (high + 40 * scale, high) if scale < 0 else (low, high)
        points = low + (high - low) * (torch.arange(4000).double() + 0.5) / 4000
        codes, log_m = layer.split(alone(i, points))
        totals.index_add_(0, codes[:, i] @ torch.tensor([8, 1]), log_m[:, i].exp() * (high - low) / 4000)
    used = totals > 0
    assert used.sum() == len(layer.codes[i].unique())
    torch.testing.assert_close(totals[used], torch.ones_like(totals[used]), atol=1e-4, rtol=0)
    assert len(atoms) == {"real": 0, "amount": 1, "share": 3, "gaps": 0}[name]


def test_nothing_lies_outside_the_support(layer):
    for name, value in [("amount", -1e-9), ("share", 1.0001), ("count", -1.0), ("count", 1.5), ("rating", 6.0), ("word", 300.0)]:
        assert layer(alone(list(COLUMNS).index(name), torch.tensor([value]).double()))[1].item() == -torch.inf, name
    x, _ = layer.inverse(layer(rows(3000))[0])
    for v, column in zip(x.T, COLUMNS.values(), strict=True):
        v = v[~v.isnan()]
        assert not column.whole or (v == v.round()).all()
        assert (column.low is None or v.min() >= column.low) and (column.high is None or v.max() <= column.high)


def test_favourite_values_keep_their_shares(layer):
    x, drawn = rows(), layer.inverse(layer(rows())[0])[0]
    for name, value in [("amount", 0.0), ("share", 0.25), ("rating", 3.0), ("count", 2.0)]:
        i = list(COLUMNS).index(name)
        assert abs((x[:, i] == value).double().mean() - (drawn[:, i] == value).double().mean()) < 0.03, name


def tiny(context: int = 0, perturbed: bool = True, ignorable: bool = False, orders: int = 1) -> tuple[Flow, Tensor]:
    """Three columns of 3, 4 and 2 levels, the last with gaps, in float64."""
    torch.manual_seed(0)
    supports = [
        Support(whole=True, low=0, high=2),
        Support(ordered=False, whole=True, low=0, high=3),
        Support(whole=True, low=0, high=1, missing=True, ignorable=ignorable),
    ]
    flow = any_order((3,), supports, cells=2, fine=2, width=16, depth=1, rank=4, orders=orders, context=context).double()
    draw = np.random.default_rng(0)
    x = torch.from_numpy(np.stack([draw.integers(0, n, 400) for n in (3, 4, 2)], 1)).double()
    x[::5, 2] = torch.nan
    flow.initialize(x, torch.randn(400, context).double() if context else None)
    if perturbed:
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return flow.eval(), x


def everything() -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1, 2], [0.0, 1, 2, 3], [0.0, 1, torch.nan])), dtype=torch.float64)


@pytest.mark.parametrize("orders", [1, 4])
@pytest.mark.parametrize("context", [0, 2])
def test_probabilities_sum_to_one(context, orders):
    flow, _ = tiny(context, orders=orders)
    given = torch.randn(1, context).double().expand(36, -1) if context else None
    assert flow.kind == "exact"
    torch.testing.assert_close(flow.log_prob(everything(), given).exp().sum().item(), 1.0, atol=1e-9, rtol=0)


def test_it_starts_as_independent_columns():
    flow, x = tiny(perturbed=False)
    every = everything()
    shares = sum(
        torch.stack([((x[:, i] == v) | (x[:, i].isnan() & v.isnan())).double().mean() for v in every[:, i]]).log() for i in range(3)
    )
    torch.testing.assert_close(flow.log_prob(every), shares, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("orders", [1, 4])
def test_chain_rule_and_conditionals(orders):
    """p(a, b) = p(a) p(b | a) in the model's own order, if it is the only one, and every conditional sums to 1."""
    flow, _ = tiny(orders=orders)
    ask, every = Exact(flow), everything()
    first, rest, none = (torch.tensor(mask).expand(36, 3) for mask in ([True, False, False], [False, True, True], [False] * 3))
    whole = flow.log_prob(every)
    parts = ask.terms(every, none, first).sum(1) + ask.terms(every, first, rest).sum(1)
    torch.testing.assert_close(ask.terms(every, none, ~none).sum(1), whole, atol=1e-10, rtol=0)
    if orders == 1:
        torch.testing.assert_close(parts, whole, atol=1e-10, rtol=0)
    for mask in itertools.product([False, True], repeat=3):
        given = torch.tensor(mask).expand(36, 3)
        p = ask.terms(every, given, ~given).sum(1).exp()
        fixed = torch.where(given, every.nan_to_num(-1), 0.0)
        for value in fixed.unique(dim=0):
            assert abs(p[(fixed == value).all(1)].sum().item() - 1) < 1e-9


@pytest.mark.parametrize("orders", [1, 4])
def test_samples_agree_with_probabilities(orders):
    flow, _ = tiny(orders=orders)
    torch.manual_seed(0)
    drawn, density = flow.sample_and_log_prob((20_000,))
    every = everything()
    p = flow.log_prob(every).exp()
    seen = torch.stack([((drawn == v) | (drawn.isnan() & v.isnan())).all(1).double().mean() for v in every])
    assert ((seen - p).abs() < 5 * (p / 20_000).sqrt() + 1e-4).all()
    torch.testing.assert_close(density, flow.log_prob(drawn), atol=1e-9, rtol=0)


def test_training_estimates_the_mean_over_orders():
    flow, x = tiny()
    flow.base.own = 0.0
    orders = []
    for order in itertools.permutations(range(3)):
        flow.base.orders = (order,)
        orders.append(flow.log_prob(x[:8]))
    flow.train()
    assert flow.kind == "estimate"
    torch.manual_seed(0)
    draws = flow.log_prob(x[:8].repeat(4000, 1)).detach().view(4000, 8)
    assert ((draws.mean(0) - torch.stack(orders).mean(0)).abs() < 5 * draws.std(0) / 4000**0.5).all()


def test_several_orders_are_a_mixture():
    """Of any columns given any others the mean of what each order says; the same for whoever builds it again; all are learned."""
    flow, x = tiny(orders=3)
    ask, every, orders = Exact(flow), everything(), flow.base.orders
    assert orders == tiny(orders=3)[0].base.orders and orders[0] == flow.base.order == (0, 1, 2) and len({*orders}) > 1 and flow.passes == 9
    for mask in itertools.product([False, True], repeat=3):
        given = torch.tensor(mask).expand(36, 3)
        mixed, each = ask.terms(every, given, ~given), []
        for order in orders:
            flow.base.orders = (order,)
            each.append(ask.terms(every, given, ~given).sum(1))
        flow.base.orders = orders
        torch.testing.assert_close(mixed.sum(1), torch.stack(each).logsumexp(0) - np.log(3), atol=1e-10, rtol=0)
        assert (mixed[given] == 0).all() and (mask.count(False) != 1 or torch.equal(each[0], each[1]))
    seen: set[tuple[bool, ...]] = set()
    flow.base.net.register_forward_pre_hook(lambda net, inputs: seen.update(map(tuple, inputs[2].tolist())))
    flow.base.own = 1.0
    flow.train().log_prob(x.repeat(4, 1))
    assert seen == {tuple(i in order[:k] for i in range(3)) for order in orders for k in range(3)}


def test_impossible_rows_of_several_orders():
    flow, _ = tiny(orders=4)
    x = torch.tensor([[0.0, 1.0, torch.nan], [9.0, 1.0, 0.0]], dtype=torch.float64)
    every = torch.ones(2, 3, dtype=torch.bool)
    assert flow.log_prob(x).isfinite().tolist() == [True, False]
    assert Exact(flow).terms(x, ~every, every, gaps=False).sum(1).tolist() == [-torch.inf, -torch.inf]


class TestIgnorableGaps:
    """A missing value is not known, and no outcome."""

    @pytest.mark.parametrize("orders", [1, 3])
    def test_it_is_integrated_out(self, orders):
        """Exactly, where the column is the last: rows without it have the sum of those with it."""
        flow, _ = tiny(ignorable=True, orders=orders)
        flow.base.orders = tuple(order for order in [(0, 1, 2), (1, 0, 2), (0, 1, 2)][:orders])
        p = flow.log_prob(everything()).exp().view(12, 3)
        torch.testing.assert_close(p[:, :2].sum(1), p[:, 2], atol=1e-9, rtol=0)
        torch.testing.assert_close(p[:, 2].sum().item(), 1.0, atol=1e-9, rtol=0)
        assert flow.log_prob(torch.full((1, 3), torch.nan).double()).item() == 0

    def test_what_is_not_known_tells_nothing(self):
        """Given a missing value is given nothing."""
        flow, _ = tiny(ignorable=True)
        x = torch.tensor([[1.0, torch.nan, torch.nan]], dtype=torch.float64)
        ask, first, rest = Exact(flow), torch.tensor([[True, False, False]]), torch.tensor([[False, True, True]])
        assert torch.equal(ask.terms(x, rest, first), ask.terms(x, ~rest & ~first, first))
        assert torch.equal(ask.predict(0, x, rest).weights, ask.predict(0, x, ~rest & ~first).weights)
        assert (ask.terms(x, first, rest) == 0).all()

    def test_samples_are_complete(self):
        flow, x = tiny(ignorable=True)
        torch.manual_seed(0)
        drawn, density = flow.sample_and_log_prob((5000,))
        assert not drawn.isnan().any()
        torch.testing.assert_close(density, flow.log_prob(drawn))
        start, _ = tiny(ignorable=True, perturbed=False)
        known = x[:, 2][~x[:, 2].isnan()]
        assert abs(start.sample((5000,))[:, 2].mean() - known.mean()) < 0.03

    def test_training_estimates_the_mean_over_orders(self):
        flow, x = tiny(ignorable=True)
        flow.base.own, some = 0.0, torch.cat([x[:5], torch.tensor([[torch.nan, 2.0, torch.nan]]).double()])
        assert some.isnan().sum() == 3
        orders = []
        for order in itertools.permutations(range(3)):
            flow.base.orders = (order,)
            orders.append(flow.log_prob(some))
        flow.train()
        torch.manual_seed(0)
        estimate = flow.log_prob(some.repeat(4000, 1)).view(4000, 6)
        estimate.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in flow.parameters())
        estimate = estimate.detach()
        assert ((estimate.mean(0) - torch.stack(orders).mean(0)).abs() < 5 * estimate.std(0) / 4000**0.5 + 1e-9).all()


def test_complete_draws_what_is_asked_and_keeps_the_rest():
    flow, _ = tiny()
    torch.manual_seed(0)
    x = torch.tensor([[1.0, torch.nan, torch.nan]], dtype=torch.float64).expand(20_000, 3)
    given = ~x.isnan()
    drawn = Exact(flow).complete(x, given)
    assert (drawn[:, 0] == 1).all() and not drawn.isnan().any()
    every = everything()[everything()[:, 0] == 1]
    p = (
        Exact(flow)
        .terms(every, torch.tensor([True, False, False]).expand(12, 3), torch.tensor([False, True, False]).expand(12, 3))
        .sum(1)
        .exp()
    )
    for value in range(4):
        share = (drawn[:, 1] == value).double().mean()
        assert abs(share - p[every[:, 1] == value][0]) < 0.02


def test_predictions_are_the_conditionals():
    flow, x = tiny()
    given = torch.tensor([True, True, False]).expand(400, 3)
    points = Exact(flow).predict(2, x, given)
    assert points.values.tolist() == [[0.0, 1.0]]
    torch.testing.assert_close(points.weights.sum(1), torch.ones(400).double())
    one = torch.where(given, x, 1.0)
    missing = torch.where(given, x, torch.nan)
    p, gap = (Exact(flow).terms(v, given, ~given).sum(1).exp() for v in (one, missing))
    torch.testing.assert_close(points.weights[:, 1], p / (1 - gap), atol=1e-6, rtol=1e-6)
    there = Exact(flow).terms(one, given, ~given, gaps=False).sum(1).exp()
    torch.testing.assert_close(there, p / (1 - gap), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(points.crps(torch.ones(400).double()), points.weights[:, 0] ** 2, atol=1e-9, rtol=0)


def test_its_parts_are_saved_with_its_weights():
    flow, x = tiny()
    other = any_order((3,), flow.transform.transforms[0].columns, cells=2, fine=2, width=16, depth=1, rank=4).double().eval()
    other.load_state_dict(flow.state_dict())
    torch.testing.assert_close(other.log_prob(x), flow.log_prob(x))
    state = flow.state_dict()
    key = next(k for k in state if k.endswith("first"))
    with pytest.raises((RuntimeError, ValueError), match="first"):
        other.load_state_dict(state | {key: state[key] + 1000})
    for name in ("values", "edges", "codes"):  # of another table
        key = next(k for k in state if k.endswith(f".{name}"))
        with pytest.raises((RuntimeError, ValueError), match=name):
            other.load_state_dict(state | {key: torch.cat([state[key], state[key][:1]])})


def test_values_stay_exact_in_float32():
    """Neighbouring whole numbers that float32 can't tell apart, and what lies beyond all of them."""
    layer = Quantize([Support(whole=True)], cells=4, fine=4)
    x = (2.0**40 + torch.arange(40).repeat(20).double()).unsqueeze(1)
    layer.initialize(x)
    expected = layer(x)
    found = layer.to(torch.float32)(x)
    assert torch.equal(expected[0], found[0]) and torch.equal(expected[1], found[1])
    assert layer.float().inverse(found[0])[0].unique().numel() > 16 and layer.values.dtype == torch.float64


class TestSampled:
    """A correlated Gaussian, whose conditionals are known, asked as any flow is: by weighted samples."""

    covariance = torch.tensor([[1.0, 0.6, 0.3], [0.6, 2.0, -0.4], [0.3, -0.4, 1.5]], dtype=torch.float64)

    @pytest.fixture
    def ask(self) -> Sampled:
        layer = LULinear(3).double()
        inverse = torch.linalg.cholesky(self.covariance).inverse()  # L diag(d), L of unit diagonal
        with torch.no_grad():
            layer.weight.copy_((inverse / inverse.diag()).tril(-1) + inverse.diag().log().diag())
        return Sampled(Flow(Normal((3,)), Standardize([1.0, -2.0, 0.0], [2.0, 0.5, 1.0]), Cast(), layer).double())

    def rows(self, ask: Sampled, n: int) -> tuple[Tensor, Tensor]:
        """Rows in the data's units, and standardized."""
        torch.manual_seed(1)
        z = torch.distributions.MultivariateNormal(torch.zeros(3).double(), self.covariance).sample((n,))
        return ask.layers.decode(z), z

    def test_log_density_of_some_given_others(self, ask):
        x, z = self.rows(ask, 20)
        for mask in [(True, False, False), (False, True, True), (False, False, False)]:
            given = torch.tensor(mask)
            found = ask.terms(x, given.expand(20, 3), ~given.expand(20, 3)).sum(1)
            joint = torch.distributions.MultivariateNormal(torch.zeros(3).double(), self.covariance).log_prob(z)
            inner = self.covariance[given][:, given]
            below = (
                torch.distributions.MultivariateNormal(torch.zeros(len(inner)).double(), inner).log_prob(z[:, given]) if any(mask) else 0.0
            )
            expected = joint - below - torch.tensor([2.0, 0.5, 1.0]).log()[~given].sum()
            assert (found - expected).abs().mean() < 0.1, mask

    def test_draws_and_predictions(self, ask):
        x, z = self.rows(ask, 1)
        given = torch.tensor([[True, True, False]])
        inner = self.covariance[:2, :2]
        slope = self.covariance[2, :2] @ inner.inverse()
        mean, std = float(slope @ z[0, :2]), float(self.covariance[2, 2] - slope @ self.covariance[:2, 2]) ** 0.5
        points = ask.predict(2, x, given)
        assert (
            abs(points.mean().item() - mean) < 0.25 * std
            and points.quantile(0.05).item() < mean - std < mean + std < points.quantile(0.95).item()
        )
        drawn = ask.complete(x.expand(200, 3), given.expand(200, 3))
        assert torch.equal(drawn[:, :2], x[:, :2].expand(200, 2)) and abs(drawn[:, 2].mean().item() - mean) < 0.3 * std

    def test_layers_that_are_random_are_refused(self):
        with pytest.raises(ValueError, match="fit any_order"):
            Sampled(Flow(Normal((3,)), Dequantize()))
