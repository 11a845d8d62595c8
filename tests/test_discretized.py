"""The discretized logistic mixture: probabilities that sum to 1 and stay finite, whatever its parameters."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from pushforward.distributions import DiscretizedLogisticMixture


def levels(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.arange(count, dtype=dtype).unsqueeze(1)


def filled(count: int, components: int, mean: float, scale: float, dtype: torch.dtype = torch.float64) -> DiscretizedLogisticMixture:
    """Over one number: means and log-scales around those given."""
    torch.manual_seed(0)
    mixture = DiscretizedLogisticMixture((1,), count, components, bound=30.0).to(dtype)
    offset = torch.randn(3, components, 1)
    with torch.no_grad():
        offset[1] = mean + 0.1 * offset[1]
        offset[2] = 30 * math.atanh(scale / 30) + 0.1 * offset[2]
        mixture.h.copy_(
            offset.reshape(1, -1, 1).to(dtype) - mixture.start * torch.tensor([0.0, 1, 1])[:, None].repeat_interleave(components, 0)
        )
    return mixture


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [-25.0, -7.0, -3.0, 0.0, 5.0, 25.0])
@pytest.mark.parametrize("mean", [0.0, -0.996, 1.0, 40.0, -1e4])
@pytest.mark.parametrize("count", [1, 2, 256])
def test_sums_to_one_and_stays_finite(count, mean, scale, dtype):
    """Scales far below a bin and far above all levels, means inside and far outside: finite log probabilities and gradients."""
    mixture = filled(count, 3, mean, scale, dtype)
    log_prob = mixture.log_prob(levels(count, dtype))
    assert log_prob.dtype == dtype and log_prob.isfinite().all()
    assert abs(log_prob.double().exp().sum().item() - 1) < (2e-5 if dtype == torch.float32 else 1e-10)
    log_prob.mean().backward()
    assert mixture.h.grad.isfinite().all()


def test_is_the_difference_of_the_distribution_function():
    """Against logistic functions of scipy, mixed by hand; all mass beyond the ends goes to the ends."""
    mixture = filled(8, 3, 0.2, -1.2)
    weights, means, scales = (part[0, :, 0].detach().numpy() for part in mixture._parts(1, None))
    edges = torch.linspace(-1, 1, 9, dtype=torch.float64).numpy()[:, None]
    cdf = torch.from_numpy(stats.logistic.cdf(edges, loc=means, scale=torch.from_numpy(scales).exp().numpy()))
    cdf[0], cdf[-1] = 0.0, 1.0
    expected = (cdf.diff(dim=0) * torch.from_numpy(weights).exp()).sum(1)
    torch.testing.assert_close(mixture.log_prob(levels(8)).exp(), expected, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(mixture.probabilities()[0, :, 0], expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("count, scale", [(5, -0.5), (40, -3.0), (40, 2.0)])
def test_draws_match_the_probabilities(count, scale):
    mixture = filled(count, 3, 0.3, scale)
    torch.manual_seed(1)
    draws = mixture.sample((20_000,))
    assert mixture.support.check(draws).all()
    expected = 20_000 * mixture.probabilities()[0, :, 0]
    seen = torch.bincount(draws[:, 0].long(), minlength=count).double()
    keep = expected > 5
    statistic = ((seen - expected).square() / expected)[keep].sum().item()
    assert stats.chi2.sf(statistic, int(keep.sum()) - 1) > 1e-3


def test_outside_of_the_support():
    """-inf, and the rows beside it as if alone."""
    mixture = DiscretizedLogisticMixture((2,), 4)
    x = torch.tensor([[0.0, 3.0], [-1.0, 0.0], [0.0, 4.0], [0.5, 0.0], [math.nan, 0.0], [math.inf, 0.0]])
    log_prob = mixture.log_prob(x)
    assert log_prob[0].isfinite() and (log_prob[1:] == -math.inf).all()
    (gradient,) = torch.autograd.grad(log_prob[:2].sum(), [mixture.h])
    assert gradient.isfinite().all() and gradient.any()
    assert mixture.support.check(x).tolist() == [True, False, False, False, False, False]


def test_conditional_images():
    """A net of images gives the parameters of each pixel; contexts in any batch; one graph."""
    torch.manual_seed(0)
    mixture = DiscretizedLogisticMixture((2, 3, 3), 16, 2, nn.Conv2d(4, 12, 1), (4, 3, 3))
    contexts = torch.randn(5, 4, 3, 3)
    x, log_prob = mixture.sample_and_log_prob((6,), contexts)
    assert x.shape == (6, 5, 2, 3, 3) and log_prob.shape == (6, 5) and mixture.kind == "exact"
    rows = contexts.expand(6, *contexts.shape).flatten(0, 1)
    torch.testing.assert_close(mixture.log_prob(x.flatten(0, 1), rows), log_prob.flatten())
    everything = mixture.probabilities(contexts)
    torch.testing.assert_close(everything.sum(1), torch.ones(5, 2, 3, 3))
    chosen = everything.log().gather(1, x[0].long().unsqueeze(1)).flatten(1).sum(1)
    torch.testing.assert_close(chosen, log_prob[0], atol=1e-4, rtol=1e-4)
    log_prob.sum().backward()
    assert all(parameter.grad.any() for parameter in mixture.parameters())
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        compiled = torch.compile(mixture, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x[0], contexts), log_prob[0])


def test_learns_the_shares_of_levels():
    """Maximum likelihood over six levels comes close to the entropy, the least there is."""
    torch.manual_seed(0)
    mixture = DiscretizedLogisticMixture((1,), 6, 6)
    shares = torch.tensor([0.3, 0.02, 0.08, 0.3, 0.1, 0.2])
    entropy = -(shares * shares.log()).sum().item()
    optimizer = torch.optim.Adam(mixture.parameters(), lr=0.1)
    for _ in range(150):
        loss = -(shares * mixture.log_prob(levels(6, torch.float32))).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert entropy - 1e-5 < loss.item() < entropy + 0.01


REFUSED = [
    (lambda: DiscretizedLogisticMixture((2,), 0), "at least 1 level"),
    (lambda: DiscretizedLogisticMixture((2,), 4, 0), "1 component"),
    (lambda: DiscretizedLogisticMixture((2,), bound=math.inf), "bound must be"),
    (lambda: DiscretizedLogisticMixture((2,), net=nn.Linear(1, 30)), "both or neither"),
    (lambda: DiscretizedLogisticMixture((2,), context=3), "both or neither"),
    (
        lambda: DiscretizedLogisticMixture((2,), net=nn.Linear(3, 7), context=3).sample((), torch.zeros(1, 3)),
        r"gives \(1, 30\), got \(1, 7\)",
    ),
    (lambda: DiscretizedLogisticMixture((2,), net=nn.Linear(3, 30), context=3).log_prob(torch.zeros(1, 2)), "needs a context"),
]


@pytest.mark.parametrize("make, words", REFUSED, ids=[words for _, words in REFUSED])
def test_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()
