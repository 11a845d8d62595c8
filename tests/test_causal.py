"""Causal nets: what a position reads, one pass against a visit, and what is built on them over vectors, signals and images."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.distributions import Causal
from pushforward.likelihoods import DiscretizedLogisticMixture
from pushforward.nets import (
    MADE,
    CausalNet,
    CausalTransformer,
    GatedMaskedConvNet,
    ImageTransformer,
    MaskedConvNet,
    PixelRNN,
    ShiftedConvNet,
    SnailNet,
    WaveNet,
)
from pushforward.nets.gated_masked_conv import gate
from pushforward.nets.pixel_rnn_layers import DiagonalLSTM
from pushforward.nets.pixel_rnn_lines import diagonals
from pushforward.transforms import Autoregressive
from pushforward.univariate import Affine, RationalQuadratic

Positions = list[tuple[int, ...]]  # of a net, in its order: indices behind the channel axis, or of a feature


class Delays(CausalNet):
    """Of signals ``(B, C, T)``: time t reads t - 1 and t - 2; the visit makes a full pass for every time."""

    def __init__(self, channels: int, length: int, params: int):
        super().__init__()
        self.shape, self.params = (channels, length), params
        self.conv = nn.Conv1d(channels, params * channels, 2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.conv(F.pad(x, (2, -1)))

    def unroll(self, solve: Callable[[int, Tensor], Tensor], batch: int, context: Tensor | None = None) -> Tensor:
        x = self.conv.weight.new_zeros(batch, *self.shape)
        for t in range(self.shape[1]):
            h = self(x).view(batch, self.params, *self.shape)[..., t]
            x = torch.cat([x[:, :, :t], solve(t, h).unsqueeze(2), x[:, :, t + 1 :]], 2)
        return x


def sites(height: int, width: int) -> Positions:
    return [(i, j) for i in range(height) for j in range(width)]


def everything(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return True


def back(times: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    return lambda before, after: after[0] - before[0] <= times


def two_streams(depth: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """What two streams of shifted convolutions at one resolution read, by adding up their offsets."""

    def moved(reads: set[tuple[int, int]], *sides: int) -> set[tuple[int, int]]:
        return {(i - a, j + b) for i, j in reads for a in range(2) for b in sides}

    above = moved({(-1, 0)}, -1, 0, 1)
    left = {(-1, -1), (-1, 0), (-1, 1), (0, -1)}
    for _ in range(2 * depth):
        above |= moved(moved(above, -1, 0, 1), -1, 0, 1)
        left |= moved(moved(left, -1, 0) | above, -1, 0)
    return lambda before, after: (before[0] - after[0], before[1] - after[1]) in left


def in_blocks(positions: Positions, block: int, memory: int, depth: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """What tokens of local attention read, one layer after the other; a token holds the site before it."""
    tokens = range(len(positions))
    reads = torch.tensor([[max(0, t // block * block - memory) <= s <= t for s in tokens] for t in tokens]).double()
    found = torch.linalg.matrix_power(reads, depth) > 0
    return lambda before, after: bool(found[positions.index(after), positions.index(before) + 1])


def field(kernel: int, depth: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """What a stack of masked convolutions reads, by adding up their offsets one after the other."""
    r = kernel // 2
    reads = {(-i, j) for i in range(r + 1) for j in range(-r, r + 1) if i or j < 0}
    for _ in range(depth):
        reads |= {(i - a, j + b) for i, j in reads for a in range(2) for b in range(-1, 2) if a or b <= 0}
    # what the docstring says: R to the right in the row above, 1 further for each row above that, R + depth in all
    ends = {a: max(j for i, j in reads if i == -a) for a in range(1, r + depth + 1)}
    assert all(ends[a] == r + min(a - 1, depth) for a in ends)
    assert min(i for i, _ in reads) == min(j for _, j in reads) == -(r + depth)
    return lambda before, after: (before[0] - after[0], before[1] - after[1]) in reads


def rectangle(reach: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """So far to the left, and so far to all sides of the rows above: no blind spot."""
    return lambda before, after: after[0] - before[0] <= reach and abs(before[1] - after[1]) <= reach


def triangle(kernel: int, depth: int) -> Callable[[tuple[int, ...], tuple[int, ...]], bool]:
    """Wider by a column to each side for each row further up, without an end."""
    r = kernel // 2

    def reads(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
        up, right = after[0] - before[0], before[1] - after[1]
        return -(r + depth + up) <= right <= r + up - 1

    return reads


def in_turn(positions: Positions, reads: Callable, channels: int = 3) -> tuple[Positions, Callable]:
    """The same with each channel of a site a position of its own, which reads those before it."""
    numbers = [(channel, *site) for site in positions for channel in range(channels)]
    return numbers, lambda before, after: before[1:] == after[1:] or reads(before[1:], after[1:])


NETS: dict[str, tuple[Callable[[], CausalNet], tuple[int, ...], Positions, Callable]] = {
    "made": (lambda: MADE(5, 2, width=32, order=[2, 0, 4, 1, 3]), (5,), [(2,), (0,), (4,), (1,), (3,)], everything),
    "made-residual": (lambda: MADE(4, 3, width=32, residual=True), (4,), [(i,) for i in range(4)], everything),
    "made-degrees": (
        lambda: MADE(4, 2, width=8, order=[2, 0, 3, 1], degrees=[1, 1, 1, 2, 2, 2, 3, 3]),
        (4,),
        [(2,), (0,), (3,), (1,)],
        everything,
    ),
    "made-activation": (lambda: MADE(4, 3, width=12, activation=F.softplus), (4,), [(i,) for i in range(4)], everything),
    "made-linear-end": (lambda: MADE(4, 3, width=32, residual=True, linear_end=True), (4,), [(i,) for i in range(4)], everything),
    "transformer": (lambda: CausalTransformer(4, 2, width=8, heads=2, order=[3, 1, 0, 2]), (4,), [(3,), (1,), (0,), (2,)], everything),
    "signal": (lambda: Delays(2, 5, 3), (2, 5), [(t,) for t in range(5)], back(2)),
    "wavenet": (lambda: WaveNet((2, 14), 2, width=8, depth=3), (2, 14), [(t,) for t in range(14)], back(9)),
    "wavenet-cycles": (lambda: WaveNet((1, 12), 3, width=8, depth=2, cycles=2, skip=5), (1, 12), [(t,) for t in range(12)], back(8)),
    "image": (lambda: MaskedConvNet((2, 6, 7), 2, width=12, depth=2), (2, 6, 7), sites(6, 7), field(7, 2)),
    "image-small": (lambda: MaskedConvNet((1, 5, 8), 3, width=12, depth=1, kernel=3), (1, 5, 8), sites(5, 8), field(3, 1)),
    "image-in-turn": (
        lambda: MaskedConvNet((3, 3, 4), 2, width=12, depth=1, kernel=3, in_turn=True),
        (3, 3, 4),
        *in_turn(sites(3, 4), field(3, 1)),
    ),
    "gated": (lambda: GatedMaskedConvNet((2, 7, 9), 2, width=6, depth=2, kernel=5), (2, 7, 9), sites(7, 9), rectangle(4)),
    "gated-first-only": (lambda: GatedMaskedConvNet((1, 4, 6), 2, width=6, depth=0, kernel=3), (1, 4, 6), sites(4, 6), rectangle(1)),
    "gated-wide-blocks": (
        lambda: GatedMaskedConvNet((1, 5, 8), 1, width=6, depth=1, kernel=3, block_kernel=5),
        (1, 5, 8),
        sites(5, 8),
        rectangle(3),
    ),
    "gated-in-turn": (
        lambda: GatedMaskedConvNet((3, 3, 4), 2, width=6, depth=1, kernel=3, in_turn=True),
        (3, 3, 4),
        *in_turn(sites(3, 4), rectangle(2)),
    ),
    "rows": (lambda: PixelRNN((2, 5, 11), 2, variant="rows", width=5, depth=2, kernel=3), (2, 5, 11), sites(5, 11), triangle(3, 2)),
    "rows-in-turn": (
        lambda: PixelRNN((3, 3, 4), 2, variant="rows", width=4, depth=1, kernel=3, in_turn=True),
        (3, 3, 4),
        *in_turn(sites(3, 4), triangle(3, 1)),
    ),
    "diagonal": (lambda: PixelRNN((2, 4, 7), 2, width=4, depth=1, kernel=3), (2, 4, 7), sites(4, 7), everything),
    "diagonal-high": (lambda: PixelRNN((1, 7, 2), 1, width=4, depth=2, kernel=5), (1, 7, 2), sites(7, 2), everything),
    "diagonal-column": (lambda: PixelRNN((1, 5, 1), 1, width=4, depth=1, kernel=3), (1, 5, 1), sites(5, 1), everything),
    "diagonal-in-turn": (
        lambda: PixelRNN((3, 3, 4), 2, width=4, depth=1, kernel=3, in_turn=True),
        (3, 3, 4),
        *in_turn(sites(3, 4), everything),
    ),
    "image-flat": (lambda: MaskedConvNet((3, 1, 9), 1, width=12, depth=0, kernel=7), (3, 1, 9), sites(1, 9), field(7, 0)),
    "streams": (lambda: ShiftedConvNet((2, 4, 6), 2, width=8, depth=1, scales=1), (2, 4, 6), sites(4, 6), everything),
    "streams-wide": (lambda: ShiftedConvNet((1, 4, 9), 1, width=8, depth=1, scales=1), (1, 4, 9), sites(4, 9), two_streams(1)),
    "streams-two-scales": (lambda: ShiftedConvNet((1, 4, 6), 3, width=8, depth=1), (1, 4, 6), sites(4, 6), everything),
    "streams-three-scales": (lambda: ShiftedConvNet((1, 8, 4), 1, width=8, depth=1), (1, 8, 4), sites(8, 4), everything),
    "streams-in-turn": (
        lambda: ShiftedConvNet((3, 4, 2), 2, width=12, depth=1, in_turn=True),
        (3, 4, 2),
        *in_turn(sites(4, 2), everything),
    ),
    "attention": (lambda: ImageTransformer((2, 3, 4), 2, width=8, heads=2, depth=1), (2, 3, 4), sites(3, 4), everything),
    "attention-local": (
        lambda: ImageTransformer((1, 4, 5), 2, width=8, heads=2, depth=2, block=3, memory=2),
        (1, 4, 5),
        sites(4, 5),
        in_blocks(sites(4, 5), 3, 2, 2),
    ),
    "attention-in-turn": (
        lambda: ImageTransformer((3, 2, 3), 2, width=8, heads=1, depth=1, in_turn=True),
        (3, 2, 3),
        *in_turn(sites(2, 3), everything),
    ),
    "snail": (lambda: SnailNet((2, 4, 5), 2, width=8, depth=1, convs=1, key=2), (2, 4, 5), sites(4, 5), everything),
    "snail-in-turn": (
        lambda: SnailNet((3, 2, 3), 2, width=12, depth=2, convs=1, key=5, in_turn=True),
        (3, 2, 3),
        *in_turn(sites(2, 3), everything),
    ),
}
nets = pytest.mark.parametrize("name", NETS)


def perturbed(module: nn.Module, scale: float = 0.3) -> nn.Module:
    torch.manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


@torch.no_grad()
def check_causality(net: CausalNet, shape: tuple[int, ...], positions: Positions, reads: Callable) -> None:
    """Another x at one position: equal to the bit at it and before it, changed after it wherever that lies within the field."""
    perturbed(net)
    x = torch.randn(64, *shape, dtype=torch.float64)  # many rows, since rectified units are deaf to some changes
    h = net(x).view(64, -1, *shape)
    for n, before in enumerate(positions):
        other = x.clone()
        index = (..., *before)
        other[index] = torch.randn_like(other[index])
        changed = net(other).view(h.shape) != h
        for m, after in enumerate(positions):
            expected = m > n and reads(before, after)
            assert bool(changed[(..., *after)].any()) == expected, f"{before} on {after}"


@nets
def test_causality(name):
    make, shape, positions, reads = NETS[name]
    check_causality(make(), shape, positions, reads)


@nets
def test_causality_holds_for_each_number_of_a_site(name):
    """Every output at a later position within the field reads every channel of an earlier one: no channel is lost."""
    make, shape, positions, reads = NETS[name]
    net = perturbed(make())
    x = torch.randn(64, *shape, dtype=torch.float64)
    if len(shape) == 1 or net.in_turn:
        return
    with torch.no_grad():
        h = net(x).view(64, -1, *shape)
        first, last = next((a, b) for n, a in enumerate(positions) for b in positions[n + 1 :] if reads(a, b))
        for channel in range(shape[0]):
            other = x.clone()
            other[(slice(None), channel, *first)] += 1
            assert (net(other).view(h.shape) != h)[(..., *last)].any(0).all()


class Leaky(MaskedConvNet):
    """Its first convolution reads its own site."""

    def __init__(self) -> None:
        super().__init__((1, 4, 4), 1, width=12, kernel=3, depth=1)
        self.first.mask[-1, 1] = 1


class Blind(MaskedConvNet):
    """Its second convolution has lost the row above, the known fault of masks that begin a row too early."""

    def __init__(self) -> None:
        super().__init__((1, 4, 4), 1, width=12, kernel=3, depth=1)
        self.blocks[0].masked.mask[0] = 0


class NotShifted(GatedMaskedConvNet):
    """Its vertical stack reads its own row."""

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        v = h = x
        for layer in self.layers:
            a, b = layer.vertical(F.pad(v, (0, 0, layer.taps - 1, 0)), given)
            v, h = gate(a), layer.horizontal(h, b)
        return h


class FromTheRight(DiagonalLSTM):
    """What comes from the right is not brought down a row."""

    def forward(self, x: Tensor) -> Tensor:
        right, left = self._cells(torch.stack([x, x.flip(2)]), diagonals(*x.shape[1:3]))
        return self._added(x, right + left.flip(2))


def from_the_right() -> PixelRNN:
    net = PixelRNN((1, 4, 4), 1, width=4, depth=1, kernel=3)
    net.layers[0] = FromTheRight(4)
    return net


def without_a_blank_column() -> PixelRNN:
    """The paper's own net: the last site of the row above is not seen from afar."""
    net = PixelRNN((1, 4, 4), 1, width=4, depth=1, kernel=3)
    net.blank = 0
    return net


FAULTS = {
    "leaky": (Leaky, field(3, 1)),
    "blind": (Blind, field(3, 1)),
    "not shifted": (lambda: NotShifted((1, 4, 4), 1, width=6, kernel=3, depth=1), rectangle(2)),
    "from the right": (from_the_right, everything),
    "no blank column": (without_a_blank_column, everything),
    "rows are no diagonals": (lambda: PixelRNN((1, 4, 4), 1, variant="rows", width=4, depth=1, kernel=3), everything),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_of_causality_can_fail(fault):
    make, reads = FAULTS[fault]
    with pytest.raises(AssertionError, match="on"):
        check_causality(make(), (1, 4, 4), sites(4, 4), reads)


@nets
@pytest.mark.parametrize("rows", [5, 0])
def test_a_visit_is_one_pass(name, rows):
    """Unrolling over a known x meets the parameters of one pass, position by position in the net's order, and gives x back."""
    make, shape, positions, _ = NETS[name]
    net = perturbed(make())
    x = torch.randn(rows, *shape, dtype=torch.float64)
    h = net(x).view(rows, net.params, *shape)
    ordered = sorted(positions, key=lambda position: position[1:] + position[:1] if net.in_turn else position)
    numbers = {position: i for i, position in enumerate(ordered)}
    visited: list[int] = []

    def solve(i: int, found: Tensor) -> Tensor:
        visited.append(i)
        index = (..., *ordered[i])
        torch.testing.assert_close(found, h[index].view_as(found), atol=1e-10, rtol=1e-10)
        return x[index].view(rows, found.shape[2])

    torch.testing.assert_close(net.unroll(solve, rows), x, atol=0, rtol=0)
    assert visited == [numbers[position] for position in positions]


@pytest.mark.parametrize("name", ["signal", "image", "image-small", "image-in-turn"])
@pytest.mark.parametrize("univariate", [Affine(), RationalQuadratic(4)])
def test_flows_over_space(name, univariate):
    """Round trip, and a triangular Jacobian in the order of the sites whose diagonal is the log-det."""
    shape, positions = NETS[name][1:3]
    params = univariate.params
    turn = name == "image-in-turn"
    net = Delays(*shape, params) if name == "signal" else MaskedConvNet(shape, params, width=8, depth=1, kernel=3, in_turn=turn)
    layer = perturbed(Autoregressive(univariate, net), 0.1)
    x = torch.randn(3, *shape, dtype=torch.float64)
    z, ldj = layer(x)
    back, other = layer.inverse(z)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(other, -ldj, atol=1e-9, rtol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda row: layer(row[None])[0][0].flatten(1).t().flatten(), x[0])
    jacobian = jacobian.flatten(2).transpose(1, 2).flatten(1)  # sites by row, the channels of one side by side
    assert len(jacobian) == math.prod(shape) and len(positions) * (1 if turn else shape[0]) == math.prod(shape)
    assert not jacobian.triu(1).any() and jacobian.tril(-1).any()
    torch.testing.assert_close(jacobian.diagonal().log().sum(), ldj[0])


class Ahead(nn.Module):
    """Tokens ``(B, T, width)`` that hold the site after the one they should."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.roll(-1, 1)


def leaky_streams() -> CausalNet:
    """The left stream begins with a convolution that is not shifted."""
    net = ShiftedConvNet((1, 4, 4), 1, width=8, depth=1)
    net.beside.pads = (0, 0, 1, 0)
    return net


def blind_streams() -> CausalNet:
    """The stream above begins a row too far away, so that nobody sees the end of the row before."""
    net = ShiftedConvNet((1, 4, 4), 1, width=8, depth=1, scales=1)
    net.top.pads = (1, 1, 3, -2)
    return net


def leaky_scales() -> CausalNet:
    """What was computed for a site of the lower resolution comes one site too early."""
    net = ShiftedConvNet((1, 4, 4), 1, width=8, depth=1)
    net.left.down.pads = (0, 1, 1, 0)
    return net


def leaky_tokens() -> CausalNet:
    net = ImageTransformer((1, 4, 4), 1, width=8, heads=2, depth=1)
    net.read.append(Ahead())
    return net


def blind_tokens() -> CausalNet:
    """Local where all was promised."""
    return ImageTransformer((1, 4, 4), 1, width=8, heads=2, depth=1, block=4, memory=4)


def leaky_attention() -> CausalNet:
    """Attention reads the site itself."""
    net = SnailNet((1, 4, 4), 1, width=8, depth=1, convs=1)
    told = net.blocks[0].told
    net.blocks[0].told = lambda *parts: [tokens.roll(-1, 2) for tokens in told(*parts)]  # type: ignore[method-assign]
    return net


def blind_attention() -> CausalNet:
    """What attention read is lost."""
    net = SnailNet((1, 4, 4), 1, width=8, depth=1, convs=1)
    net.blocks[0].value_of = lambda read: torch.zeros_like(read[:, 0].transpose(1, 2)[:, :4])  # type: ignore[method-assign]
    return net


LEAKS = [leaky_streams, blind_streams, leaky_scales, leaky_tokens, blind_tokens, leaky_attention, blind_attention]


@pytest.mark.parametrize("make", LEAKS, ids=lambda make: make.__name__)
def test_faults_of_nets_that_read_everything_are_found(make):
    with pytest.raises(AssertionError, match="on"):
        check_causality(make(), (1, 4, 4), sites(4, 4), everything)


MAPS = {
    "streams": (lambda: ShiftedConvNet((1, 4, 4), 2, width=8, depth=1, context=2), 4),  # a row reads all of its context
    "attention": (lambda: ImageTransformer((1, 4, 4), 2, width=8, depth=1, context=2), 1),
    "snail": (lambda: SnailNet((1, 4, 4), 2, width=8, depth=1, context=2), 1),
}


@pytest.mark.parametrize("name", MAPS)
def test_context_at_every_site(name):
    """A map of contexts is read site by site, in one pass and in a visit: what is before a site does not see it."""
    make, together = MAPS[name]
    layer = Autoregressive(Affine(), perturbed(make()))
    x, context = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    z, _ = layer(x, context)
    torch.testing.assert_close(layer.inverse(z, context)[0], x)
    for site in range(16):
        moved = context.clone()
        moved[:, :, site // 4, site % 4] += 1
        changed = (layer(x, moved)[0] != z).any(0).flatten()
        assert changed[site] and not changed[: site // together * together].any()


def test_tiny_pixelcnn_learns():
    """Diagonal stripes whose start is random: one bit a picture, which independent pixels can't see."""
    torch.manual_seed(0)
    likelihood = DiscretizedLogisticMixture(2, 1, channels=3)
    model = Causal(likelihood, MaskedConvNet((3, 4, 4), likelihood.params, width=16, depth=1, kernel=3), (3, 4, 4))
    stripes = (torch.arange(4)[:, None] + torch.arange(4)) % 2
    x = torch.stack([stripes, 1 - stripes]).unsqueeze(1).expand(2, 3, 4, 4).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(120):
        loss = -model.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert math.log(2) - 1e-4 < loss.item() < math.log(2) + 0.3
    drawn = model.sample((20,))
    assert sum(any(torch.equal(one, picture) for picture in x) for one in drawn) >= 15


REFUSED = [
    (lambda: MaskedConvNet((3,), 2), "shape of an image"),
    (lambda: MaskedConvNet((1, 4, 4), 2, kernel=4), "odd side of at least 3, got 4"),
    (lambda: PixelRNN((1, 4, 4), 2, variant="columns"), "variant must be 'rows' or 'diagonal', got 'columns'"),  # type: ignore[arg-type]
    (lambda: PixelRNN((1, 4, 4), 2, depth=0), "depth"),
    (lambda: GatedMaskedConvNet((1, 4, 4), 2, block_kernel=2), "odd sides of at least 3, got 2"),
    (lambda: MaskedConvNet((1, 4, 4), 2)(torch.zeros(2, 1, 4, 5)), r"expected x of shape \(B, 1, 4, 4\), got \(2, 1, 4, 5\)"),
    (lambda: MaskedConvNet((1, 4, 4), 2, context=3)(torch.zeros(2, 1, 4, 4)), r"context of shape \(2, 3\), .* got none"),
    (lambda: MaskedConvNet((1, 4, 4), 2, context=3).unroll(lambda i, h: h[:, 0], 2, torch.zeros(1, 3)), r"got \(1, 3\)"),
    (lambda: ShiftedConvNet((1, 6, 4), 2, scales=3), "3 scales need sides that are multiples of 4, got 6 x 4; give at most 2"),
    (lambda: ImageTransformer((1, 4, 4), 2, width=6), "width must be a multiple of heads, got width 6 and 4 heads"),
    (lambda: SnailNet((1, 4, 4), 2, width=1), "width must be a whole number of at least 2, got 1"),
    (lambda: MADE(3, 2, width=2, degrees=[1, 0]), r"MADE: expected 2 degrees that rise from 0 to 2 at most, got \[1, 0\]"),
    (lambda: MADE(3, 2, width=2, degrees=[0, 3]), r"from 0 to 2 at most, got \[0, 3\]"),
    (lambda: MADE(3, 2, width=3, degrees=[0, 1]), r"expected 3 degrees"),
    (lambda: CausalNet()(torch.zeros(1)), "CausalNet does not define forward"),
]


@pytest.mark.parametrize("make, words", REFUSED, ids=[words for _, words in REFUSED])
def test_refuses(make, words):
    with pytest.raises((ValueError, NotImplementedError), match=words):
        make()


OVER_SPACE = {
    "masked": (lambda: MaskedConvNet((1, 3, 4), 2, width=8, context=2), 6),
    "gated": (lambda: GatedMaskedConvNet((1, 3, 4), 2, width=8, context=2), 4),  # a row reads all of its context
    "rows": (lambda: PixelRNN((1, 3, 4), 2, variant="rows", width=8, context=2), 6),
    "diagonal": (lambda: PixelRNN((1, 3, 4), 2, width=8, context=2), 6),
}


@pytest.mark.parametrize("name", OVER_SPACE)
def test_context_over_space(name):
    """A map of contexts is read site by site, in one pass and in a visit: what is before a site does not see it."""
    make, before = OVER_SPACE[name]
    net = perturbed(make())
    layer = Autoregressive(Affine(), net)
    x, context = torch.randn(2, 1, 3, 4, dtype=torch.float64), torch.randn(2, 2, 3, 4, dtype=torch.float64)
    z, _ = layer(x, context)
    torch.testing.assert_close(layer.inverse(z, context)[0], x)
    moved = context.clone()
    moved[:, :, 1, 2] += 1
    changed = (layer(x, moved)[0] != z).any(0).flatten()
    assert changed[6] and not changed[:before].any()
