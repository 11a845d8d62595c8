"""Known answers of what is done with latents: temperatures, paths, directions, scales, reconstructions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pushforward import latent
from pushforward.core import Chain, Flow, Inverse
from pushforward.distributions import Normal, StudentT
from pushforward.nets import ConvNet
from pushforward.transforms import (
    ActNorm,
    Conv1x1,
    Coupling,
    Dequantize,
    Elementwise,
    Factor,
    Squeeze,
    Standardize,
    Triangular,
    half_channels,
)
from pushforward.univariate import Affine, Logit

# Three scales of a 4 x 4 picture by hand. Squeeze makes each 2 x 2 patch four channels; two go on, the patch's upper row, so rows 1 and 3
# are of scale 0. Of those, squeezed again to eight channels, four go on: the left pixels of each patch.
BY_HAND = [[2, 1, 2, 1], [0, 0, 0, 0], [2, 1, 2, 1], [0, 0, 0, 0]]


def scaled(factor: float, channels: int) -> Elementwise:
    """Every channel times a factor."""
    layer = Elementwise(Affine(bound=math.inf), (channels, 1, 1))
    with torch.no_grad():
        layer.h[:, 1] = math.log(factor)
    return layer


def told_apart() -> Flow:
    """Three scales whose numbers leave multiplied by 1, 10 and 100."""
    inner = Chain(Squeeze(), Factor(4, scaled(10, 4), scaled(100, 4)), Inverse(Squeeze()))
    return Flow(Normal((1, 4, 4)), Squeeze(), Factor(2, scaled(1, 2), inner), Inverse(Squeeze())).double()


def step(channels: int, context: int = 0) -> list[nn.Module]:
    kept = channels // 2
    net = ConvNet(kept + context, 2 * (channels - kept), width=8)
    return [ActNorm(channels), Conv1x1(channels), Coupling(half_channels(channels), Affine(), net)]


def small(levels: int | None = None, context: int = 0) -> Flow:
    """Two scales of steps with perturbed weights; with levels, of whole numbers."""
    torch.manual_seed(0)
    part = Coupling([False] * 2, Affine(), ConvNet(2 + context, 4, width=8))
    inner = Chain(Squeeze(), *step(8, context), Inverse(Squeeze()))
    pixels = [] if levels is None else [Dequantize(levels), Standardize(0.0, float(levels)), Elementwise(Logit(), (1,))]
    layers = [*pixels, Squeeze(), *step(4, context), Factor(2, part, inner), Inverse(Squeeze())]
    flow = Flow(Normal((1, 8, 8)), *layers, shape=(1, 8, 8), context=context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow if levels is not None else flow.double()


def test_passes_are_the_flows_own_in_any_batch():
    flow = small(context=2)
    x, c = torch.randn(7, 1, 8, 8).double(), torch.randn(7, 2).double()
    z = latent.encode(flow, x, c, batch=3)
    torch.testing.assert_close(z, flow.encode(x, c).detach())
    assert not z.requires_grad
    torch.testing.assert_close(latent.decode(flow, z, c, batch=2), x)
    with pytest.raises(ValueError, match="one context for each of 7 rows, got 3"):
        latent.encode(flow, x, c[:3])
    with pytest.raises(ValueError, match="at least one row"):
        latent.encode(flow, x[:0], c[:0])


def test_reconstruct_counts_what_is_wrong():
    flow = small(levels=16)
    x = torch.randint(16, (5, 1, 8, 8), dtype=torch.uint8)
    back = latent.reconstruct(flow, x, batch=2)
    assert (back.error, back.wrong, back.exact) == (0.0, 0, 5) and torch.equal(back.x, x.float())

    class Blurred(Standardize):
        """A layer that doesn't come back: it adds one to the first pixel of the first row."""

        def inverse(self, z, context=None):
            x, ldj = super().inverse(z, context)
            x = x.clone()
            x[0, 0, 0, 0] += 1.0
            return x, ldj

    broken = Flow(Normal((1, 8, 8)), Blurred(0.0, 1.0))
    back = latent.reconstruct(broken, x, batch=5)
    assert back.error == pytest.approx(1.0) and (back.wrong, back.exact) == (1, 4)


def test_temperature_scales_the_latent():
    flow = small()
    warm, cool = (latent.encode(flow, latent.sample(flow, 6, t, seed=3)) for t in (1.0, 0.5))
    torch.testing.assert_close(cool, 0.5 * warm)
    assert 0.8 < float(warm.square().mean()) < 1.25
    cold = latent.sample(flow, 3, 0.0)
    torch.testing.assert_close(cold, flow.decode(torch.zeros(3, 1, 8, 8).double()).detach())
    assert torch.equal(latent.sample(flow, 2, seed=5), latent.sample(flow, 2, seed=5, batch=1))
    before = torch.get_rng_state()
    latent.sample(flow, 2, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(latent.sample(flow, 2), latent.sample(flow, 2))


def test_samples_stand_as_the_flow_orders_them():
    flow = small(context=2)
    contexts = torch.randn(3, 2).double()
    x = latent.sample(flow, 4, context=contexts, seed=0)
    assert x.shape == (4, 3, 1, 8, 8) == flow.sample((4,), contexts).shape
    z = latent.encode(flow, x.flatten(0, 1), contexts.repeat(4, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.randn(12, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(z, expected)


def test_only_a_normal_base_has_a_temperature():
    other = Flow(StudentT((2,)), Standardize(0.0, 1.0))
    assert latent.sample(other, 3).shape == (3, 2)
    with pytest.raises(ValueError, match="normal base to scale, got StudentT"):
        latent.sample(other, 3, 0.5)
    with pytest.raises(ValueError, match="temperature of 0 or more, got -1"):
        latent.sample(small(), 3, -1.0)


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_paths_end_where_they_should(kind):
    torch.manual_seed(0)
    a, b = torch.randn(2, 5, 3, 4, 4)
    path = getattr(latent, kind)(a, b, 7)
    assert path.shape == (5, 7, 3, 4, 4)
    assert torch.equal(path[:, 0], a) and torch.equal(path[:, -1], b)
    with pytest.raises(ValueError, match="at least 2 steps"):
        getattr(latent, kind)(a, b, 1)
    with pytest.raises(ValueError, match="same shape"):
        getattr(latent, kind)(a, b[:2], 3)


def test_linear_is_straight():
    a, b = torch.tensor([[0.0, 8.0]]), torch.tensor([[4.0, 0.0]])
    torch.testing.assert_close(latent.linear(a, b, 5)[0], torch.tensor([[0.0, 8], [1, 6], [2, 4], [3, 2], [4, 0]]))


def test_spherical_turns_evenly_and_norms_go_linearly():
    torch.manual_seed(0)
    a, b = torch.randn(4, 20).double(), 3 * torch.randn(4, 20).double()
    path = latent.spherical(a, b, 9)
    cosines = nn.functional.cosine_similarity(path[:, 1:], path[:, :-1], dim=-1)
    whole = torch.arccos(nn.functional.cosine_similarity(a, b, dim=-1))
    torch.testing.assert_close(torch.arccos(cosines), (whole / 8).unsqueeze(1).expand(4, 8), rtol=1e-6, atol=0)
    norms = torch.stack([(1 - i / 8) * a.norm(dim=1) + i / 8 * b.norm(dim=1) for i in range(9)], 1)
    torch.testing.assert_close(path.norm(dim=-1), norms)


@pytest.mark.parametrize("nudge", [0.0, 1e-9, 1e-6])
def test_spherical_of_parallel_and_opposite_vectors(nudge):
    a = torch.tensor([[3.0, 4.0, 0.0]])
    along = 2 * a + torch.tensor([[0.0, 0.0, nudge]])
    torch.testing.assert_close(latent.spherical(a, along, 5), latent.linear(a, along, 5), rtol=1e-5, atol=2e-6)
    turned = latent.spherical(a, -a + torch.tensor([[0.0, 0.0, nudge]]), 5)
    torch.testing.assert_close(turned.norm(dim=-1), torch.full((1, 5), 5.0))
    cosines = nn.functional.cosine_similarity(turned[:, 1:], turned[:, :-1], dim=-1)
    torch.testing.assert_close(cosines, torch.full((1, 4), math.sqrt(0.5)), rtol=1e-4, atol=1e-5)


def test_interpolate_decodes_the_path():
    flow = small(context=2)
    torch.manual_seed(1)
    x0, x1 = torch.randn(2, 3, 1, 8, 8).double()
    c0, c1 = torch.randn(2, 3, 2).double()
    path = latent.interpolate(flow, x0, x1, 5, "linear", c0, c1)
    torch.testing.assert_close(path[:, 0], x0)
    torch.testing.assert_close(path[:, -1], x1)
    middle = flow.decode((flow.encode(x0, c0) + flow.encode(x1, c1)) / 2, (c0 + c1) / 2).detach()
    torch.testing.assert_close(path[:, 2], middle)
    same = latent.interpolate(flow, x0, x1, 3, context=c0)
    z = latent.spherical(flow.encode(x0, c0), flow.encode(x1, c0), 3)[:, 1]
    torch.testing.assert_close(same[:, 1], flow.decode(z, c0).detach())
    with pytest.raises(ValueError, match="linear or spherical, got 'round'"):
        latent.interpolate(flow, x0, x1, 5, "round", c0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as many ends"):
        latent.interpolate(flow, x0, x1[:1], 5, context=c0)


@pytest.fixture(scope="module")
def gaussian():
    """A linear flow ``z = L x + b`` and rows of two classes of known means."""
    torch.manual_seed(0)
    flow = Flow(Normal((3,)), Triangular(3)).double()
    flow.initialize(torch.randn(500, 3).double() @ torch.randn(3, 3).double() + 1)
    return flow


def test_mean_difference_of_a_linear_flow(gaussian):
    """Its mean difference is the image of the data's: L (m1 - m0)."""
    torch.manual_seed(1)
    x, y = torch.randn(200, 3).double(), torch.arange(200) % 3 == 0
    x[y] += torch.tensor([2.0, 0.0, -1.0])
    matrix = gaussian.encode(torch.eye(3).double()) - gaussian.encode(torch.zeros(3, 3).double())
    expected = (x[y].mean(0) - x[~y].mean(0)) @ matrix
    direction = latent.mean_difference(gaussian, x, y, batch=7)
    torch.testing.assert_close(direction, expected.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(direction, latent.mean_difference(gaussian, x, y.int()))


def test_linear_probe_finds_the_direction_of_the_classes():
    """Normal classes of covariance S: logistic regression has ``w = S^-1 m``, not m; strength 1 carries mean logit to mean logit."""
    torch.manual_seed(0)
    n, m = 40_000, torch.tensor([1.5, 0.0])
    root = torch.linalg.cholesky(torch.tensor([[1.0, 0.7], [0.7, 1.0]]))
    y = torch.arange(n) % 2 == 1
    x = torch.randn(n, 2) @ root.T + y.unsqueeze(1) * m
    flow = Flow(Normal((2,)), Standardize(0.0, 1.0))
    w = torch.cholesky_solve(m.unsqueeze(1), root)[:, 0]
    direction = latent.linear_probe(flow, x, y, l2=1e-6)
    torch.testing.assert_close(direction, w * (w @ m) / (w @ w), rtol=0.05, atol=0.05)
    logit = x @ direction
    assert float((logit[~y] + direction @ direction).mean() - logit[y].mean()) == pytest.approx(0, abs=0.02)
    found = [latent.separation(flow, x, y, d) for d in (direction, latent.mean_difference(flow, x, y))]
    distance = math.sqrt(m @ w)
    assert found[0] == pytest.approx(torch.distributions.Normal(0, 1).cdf(torch.tensor(distance / math.sqrt(2))).item(), abs=0.01)
    assert found[0] > found[1] + 0.05


def test_directions_refuse(gaussian):
    x = torch.randn(6, 3).double()
    for find in (latent.mean_difference, latent.linear_probe):
        with pytest.raises(ValueError, match="all 6 rows are without"):
            find(gaussian, x, torch.zeros(6))
        with pytest.raises(ValueError, match=r"y of shape \(6,\)"):
            find(gaussian, x, torch.zeros(5))
    with pytest.raises(ValueError, match="penalty l2 above 0"):
        latent.linear_probe(gaussian, x, torch.arange(6) > 2, l2=0.0)
    with pytest.raises(ValueError, match=r"direction of shape \(3,\)"):
        latent.edit(gaussian, x, torch.zeros(2), [1.0])
    with pytest.raises(ValueError, match="at least one strength"):
        latent.edit(gaussian, x, torch.zeros(3), [])
    with pytest.raises(ValueError, match="no context"):
        latent.swap(gaussian, x, x, x)


def test_edit_moves_the_latent():
    flow = small()
    x, direction = torch.randn(3, 1, 8, 8).double(), torch.randn(1, 8, 8).double()
    moved = latent.edit(flow, x, direction, [-1.0, 0.0, 2.0], batch=4)
    torch.testing.assert_close(moved[:, 1], x)
    torch.testing.assert_close(flow.encode(moved[:, 2]), flow.encode(x) + 2 * direction)
    torch.testing.assert_close(flow.encode(moved[:, 0]), flow.encode(x) - direction)


def test_swap_keeps_the_latent():
    flow = small(context=2)
    x, own, other = torch.randn(3, 1, 8, 8).double(), torch.eye(2).double()[[0, 1, 0]], torch.eye(2).double()[[1]]
    changed = latent.swap(flow, x, own, other)
    torch.testing.assert_close(flow.encode(changed, other.expand(3, 2)), flow.encode(x, own))
    assert (changed - x).abs().flatten(1).amax(1)[[0, 2]].min() > 1e-3
    torch.testing.assert_close(changed[1], x[1])


def test_scales_by_hand():
    assert latent.scales(told_apart())[0].tolist() == BY_HAND


def test_scales_are_those_of_the_jacobian():
    """The layers of a scale multiply by a power of ten of its own, which dz/dx shows at its places."""
    flow = told_apart()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x).flatten(), torch.randn(1, 1, 4, 4).double()).reshape(16, 16)
    assert torch.equal(jacobian, jacobian.diag().diag())
    torch.testing.assert_close(jacobian.diag().log10(), latent.scales(flow).flatten().double())


def test_finer_latents_do_not_reach_coarser_ones():
    """In a flow with nets at each scale: what went on at the first Factor comes back whatever the finer latents are."""
    flow = small()
    at = latent.scales(flow)[0]
    assert at.unique(return_counts=True)[1].tolist() == [32, 32]
    layers = list(flow.transform.transforms)
    after = Chain(*layers[4:])  # the Factor and the unsqueeze
    z = torch.randn(1, 1, 8, 8).double()
    channels = torch.autograd.functional.jacobian(lambda z: after.decode(z).flatten(), z).reshape(4, 16, 64)
    reached = channels.abs().amax(1) > 1e-12  # (channel, place of z)
    fine = at.flatten() == 0
    assert not reached[:2, fine].any() and reached[:2, ~fine].any() and reached[2:, fine].any()


def test_scales_through_inverses_and_chains():
    inner = Chain(Squeeze(), Factor(4, scaled(10, 4), scaled(100, 4)), Inverse(Squeeze()))
    outer = Chain(Inverse(Inverse(Squeeze())), Factor(2, scaled(1, 2), inner))
    flow = Flow(Normal((1, 4, 4)), outer, Inverse(Chain(ActNorm(1), Squeeze())), ActNorm(1))
    assert latent.scales(flow)[0].tolist() == BY_HAND
    assert latent.scales(Flow(Normal((1, 4, 4)), Squeeze(), *step(4), Inverse(Squeeze()))).max() == 0


def test_scales_refuse_what_they_cannot_follow():
    class Wrapped(ActNorm):
        def __init__(self):
            super().__init__(4)
            self.inner = Factor(2, scaled(1, 2), scaled(1, 2))

    class Dropped(ActNorm):
        def __init__(self):
            super().__init__(4)

        def forward(self, x, context=None):
            return x[:, :2], x.new_zeros(len(x))

    with pytest.raises(ValueError, match="Wrapped holds a Factor where it can't be followed"):
        latent.scales(Flow(Normal((4, 4, 4)), Wrapped()))
    with pytest.raises(ValueError, match="Conv1x1 comes after a Factor"):
        latent.scales(Flow(Normal((4, 4, 4)), Factor(2, scaled(1, 2), scaled(1, 2)), Conv1x1(4)))
    with pytest.raises(ValueError, match="Factor holds a Factor where"):
        latent.scales(Flow(Normal((4, 4, 4)), Factor(2, scaled(1, 2), scaled(1, 2)), Factor(2, scaled(1, 2), scaled(1, 2))))
    with pytest.raises(ValueError, match="can't be told"):
        latent.scales(Flow(Normal((2, 4, 4)), Dropped(), shape=(4, 4, 4)))


def test_resample_keeps_the_coarse_latents():
    flow = small()
    at = latent.scales(flow)
    torch.manual_seed(0)
    x = torch.randn(3, 1, 8, 8).double()
    z = flow.encode(x).detach()
    drawn = latent.resample(flow, x, 1, n=4)
    assert drawn.shape == (3, 4, 1, 8, 8)
    again = flow.encode(drawn.flatten(0, 1)).detach().reshape(3, 4, 1, 8, 8)
    kept, new = (at >= 1).expand_as(again), (at < 1).expand_as(again)
    torch.testing.assert_close(again[kept], z.unsqueeze(1).expand_as(again)[kept])
    assert (again[new] - z.unsqueeze(1).expand_as(again)[new]).abs().min() > 1e-6
    assert 0.7 < float(again[new].var()) < 1.3
    torch.testing.assert_close(latent.resample(flow, x, 0), x.unsqueeze(1))
    everything = flow.encode(latent.resample(flow, x, 2, temperature=0.0)[:, 0])
    torch.testing.assert_close(everything, torch.zeros_like(everything))
    with pytest.raises(ValueError, match="0 to 2 levels, as many as this flow has scales, got 3"):
        latent.resample(flow, x, 3)
