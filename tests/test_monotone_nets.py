"""Monotone nets and their recipes: onto the line, normalized, and invertible in floating point, whatever the parameters."""

from __future__ import annotations

import math

import pytest
import torch

import pushforward.models as pm
import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu

MAPS = {
    "deep": pu.DeepSigmoidal(4),
    "dense": pu.DenseSigmoidal(2, 2),
    "dense of three": pu.DenseSigmoidal(2, 3),
    "integral": pu.UnconstrainedMonotonic(4, 16),
    "polynomial with tails": pu.LinearTails(pu.SumOfSquares()),
}
maps = pytest.mark.parametrize("name", MAPS)
spreads = pytest.mark.parametrize("spread", [1.0, 3.0])
dtypes = pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-6), (torch.float32, 1e-3)])


def random_h(univariate: pu.Univariate, batch: int, columns: int, spread: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Around the map's identity, with noise of that spread."""
    torch.manual_seed(int(spread))
    start = torch.tensor(univariate.identity, dtype=dtype).view(1, -1, 1)
    return start + spread * torch.randn(batch, univariate.params, columns, dtype=dtype)


def gauss(edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of Gauss's rule of four points in each interval between edges along axis 0, ``(n + 1, ...) -> (4 n, ...)``."""
    place = torch.tensor([0.8611363115940526, 0.3399810435848563], dtype=edges.dtype)
    weight = torch.tensor([0.3478548451374538, 0.6521451548625461], dtype=edges.dtype)
    shape = (1, 4, *(1 for _ in edges.shape[1:]))
    place, weight = torch.cat([-place, place.flip(0)]).view(shape), torch.cat([weight, weight.flip(0)]).view(shape)
    middle, half = (edges[1:] + edges[:-1]).unsqueeze(1) / 2, edges.diff(dim=0).unsqueeze(1) / 2
    return (middle + half * place).flatten(0, 1), (half * weight).flatten(0, 1)


def mass(univariate: pu.Univariate, h: torch.Tensor) -> torch.Tensor:
    """``int p(x) dx`` under a normal base, in intervals between quantiles and of x itself: h ``(1, params, C) -> (C,)``."""
    z = torch.linspace(-7, 7, 141, dtype=torch.float64).unsqueeze(1).expand(-1, h.shape[2])
    ends, _ = univariate.inverse(z, h)
    grid = torch.linspace(-1, 1, 3001, dtype=torch.float64).unsqueeze(1)
    grid = (8 * grid).sinh() / math.sinh(8) * ends[[0, -1]].abs().amax(0)
    x, weight = gauss(torch.cat([ends, torch.maximum(torch.minimum(grid, ends[-1]), ends[0])]).sort(0).values)
    z, slope = univariate.forward(x, h)
    return ((-0.5 * z.square() - 0.5 * math.log(2 * math.pi) + slope).exp() * weight).sum(0)


@maps
@spreads
def test_integrates_to_one_on_the_line(name, spread):
    univariate = MAPS[name]
    with torch.no_grad():
        assert (mass(univariate, random_h(univariate, 1, 10, spread)) - 1).abs().max() < 1e-4


@maps
@spreads
def test_integrates_to_one_in_the_plane(name, spread):
    """Of an autoregressive pair: the marginal of x_1, and the conditional density of x_2 wherever x_1 is; ldj is the sum of both."""
    torch.manual_seed(0)
    univariate = MAPS[name]
    layer = pt.Autoregressive(univariate, pn.MADE(2, univariate.params, width=8)).double()
    with torch.no_grad():
        for parameter in layer.net.last.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
        x = torch.randn(25, 2, dtype=torch.float64) * torch.tensor([5.0, 1.0])
        h = layer.net(x).view(25, univariate.params, 2) + layer.identity.view(-1, 1)
        _, slope = univariate.forward(x, h)
        torch.testing.assert_close(layer(x)[1], slope.sum(1), atol=1e-12, rtol=0)
        assert h[:, 0, 1].std() > 0.1 and not h[:, :, 0].diff(dim=0).any(), "x_2's parameters depend on x_1, those of x_1 on nothing"
        assert (mass(univariate, h[:1, :, 0:1]) - 1).abs() < 5e-5
        assert (mass(univariate, h[:, :, 1].t().unsqueeze(0)) - 1).abs().max() < 5e-5


@maps
@spreads
@dtypes
def test_onto_and_back(name, spread, dtype, error):
    """Round trips from the middle to 1e4, always increasing, of a slope that never vanishes."""
    univariate = MAPS[name]
    x = torch.cat([torch.linspace(-8, 8, 1000, dtype=dtype), torch.linspace(-1e4, 1e4, 500, dtype=dtype)]).sort().values
    x = x.unsqueeze(1).expand(-1, 10)
    h = random_h(univariate, 1, 10, spread, dtype)
    z, slope = univariate.forward(x, h)
    back, slope_back = univariate.inverse(z, h)
    assert ((back - x).abs() / (1 + x.abs())).max() <= error
    assert (z.diff(dim=0) >= 0).all() and slope.exp().min() >= 0.009
    assert (z[0] < -80).all() and (z[-1] > 80).all()
    torch.testing.assert_close(slope + slope_back, torch.zeros_like(slope), atol=10 * error, rtol=0)


@maps
def test_gradients_through_samples(name):
    """Of both outputs of the inverse, with respect to z and h, against finite differences; inside, and out in the tails."""
    univariate = MAPS[name]
    h = random_h(univariate, 4, 2, 1.0).requires_grad_()
    z = (torch.tensor([[0.3, -1.2], [2.1, 0.7], [9.0, -12.0], [300.0, -300.0]], dtype=torch.float64)).requires_grad_()
    for direction in (univariate.inverse, univariate.forward):
        assert torch.autograd.gradcheck(direction, (z, h), eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=True)


@maps
def test_gradients_stay_finite(name):
    """In float32, far out and with parameters that saturate everything, in both directions."""
    univariate = MAPS[name]
    h = random_h(univariate, 400, 2, 30.0, torch.float32).requires_grad_()
    x = (torch.randn(400, 2) * torch.logspace(-3, 4, 400).unsqueeze(1)).requires_grad_()
    for direction in (univariate.forward, univariate.inverse):
        for gradient in torch.autograd.grad(sum(part.sum() for part in direction(x, h)), (x, h)):
            assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "univariate, distance",
    [(pu.DeepSigmoidal(16), 0.13), (pu.DeepSigmoidal(8), 0.13), (pu.DeepSigmoidal(1), 1e-12), (pu.DenseSigmoidal(4, 2), 0.14),
     (pu.UnconstrainedMonotonic(), 1e-12), (pu.LinearTails(pu.SumOfSquares(), 2.0), 1e-6)],
)  # fmt: skip
def test_the_start_is_near_the_identity(univariate, distance):
    x = torch.linspace(-3, 3, 101, dtype=torch.float64).unsqueeze(1)
    z, _ = univariate.forward(x, torch.tensor(univariate.identity, dtype=torch.float64).view(1, -1, 1))
    assert (z - x).abs().max() <= distance


@pytest.mark.parametrize("univariate", [pu.DeepSigmoidal(), pu.DenseSigmoidal(), pu.UnconstrainedMonotonic()], ids=repr)
def test_fits_separate_modes(univariate):
    """Four modes, held-out nats: the true density has 0.27, one Gaussian 1.5. Units must part, and slopes vary."""
    torch.manual_seed(0)
    x = torch.randint(0, 4, (2000, 1)) - 1.5 + 0.08 * torch.randn(2000, 1)
    h = torch.tensor(univariate.identity).view(1, -1, 1).requires_grad_()
    optimizer = torch.optim.Adam([h])
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        z, slope = univariate.forward(x[:1000], h)
        loss = (0.5 * z.square() - slope).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z, slope = univariate.forward(x[1000:], h)
    nats = (0.5 * z.square() - slope).mean() + 0.5 * math.log(2 * math.pi)
    assert nats < 0.32


@pytest.mark.parametrize("name", ["naf", "umnn", "sos"])
@pytest.mark.parametrize("outlier", [20.0, 1e4])
def test_training_survives_outliers(name, outlier):
    """Rows at 20 standard deviations and far beyond: finite losses and gradients; at 20 the loss goes down."""
    torch.manual_seed(0)
    x = torch.randn(300, 3)
    x[:3] *= outlier
    flow = getattr(pm, name)((3,), width=16)
    flow.initialize(x)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = -flow(x).mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in flow.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses)) and (losses[-1] < losses[0] or outlier > 20)
    assert flow.log_prob(torch.full((1, 3), outlier)).isfinite().all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: pu.DeepSigmoidal(0), "at least 1 unit"),
        (lambda: pu.DeepSigmoidal(bound=math.inf), "bound must be positive and finite"),
        (lambda: pu.DeepSigmoidal(floor=0.0), "floor must lie in"),
        (lambda: pu.DenseSigmoidal(0), "at least 1 unit"),
        (lambda: pu.DenseSigmoidal(4, 0), "at least 1 layer"),
        (lambda: pu.UnconstrainedMonotonic(0), "at least 1 unit"),
        (lambda: pu.UnconstrainedMonotonic(cells=7), "cells must be even"),
        (lambda: pu.UnconstrainedMonotonic(bound=-1.0), "bound must be positive"),
        (lambda: pu.UnconstrainedMonotonic(limit=0.0), "limit must be positive"),
        (lambda: pu.LinearTails(pu.SumOfSquares(), 0.0), "bound must be positive"),
        (lambda: pu.LinearTails(pu.SumOfSquares(), limit=0.5), "limit must be finite and above 0.77"),
        (lambda: pu.LinearTails(pu.SumOfSquares(), limit=math.inf), "limit must be finite and above"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
