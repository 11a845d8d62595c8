"""Fitted models as codecs: what comes back, and in how many bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mixed import mixed_data, perturbed
from test_pixel_models import TINY, build, given, images

import pushforward as pf
from pushforward.compression import Damage, Lattice, Reader, RowCodec, WholeCodec, Writer, codec_of
from pushforward.compression.coder import GRID
from pushforward.compression.digits import by_chance, by_digits, by_shares, surplus_of
from pushforward.models import glow, idf, nsf, wavenet

SHAPES = {
    "bits": ((1, 4, 4), {"levels": 2}),
    "colours in turn": ((3, 4, 4), {"levels": 4}),
    "a mixture": ((1, 4, 4), {"levels": 64, "components": 2}),
    "colours that are tied": ((3, 4, 4), {"levels": 64, "components": 2}),
    "a probability for each of 40": ((1, 4, 4), {"levels": 40, "pixel": "categorical"}),
    "more than two digits": ((1, 4, 4), {"levels": 1000, "components": 2}),
}
FIT = ["train.steps=3", "train.batch=32"]


def bits(log_prob: torch.Tensor) -> float:
    return -log_prob.double().sum().item() / math.log(2)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal numbers and gaps."""
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


@pytest.mark.parametrize("seed", range(3))
def test_symbols_come_back_in_as_many_bits_as_they_have(seed):
    random = np.random.default_rng(seed)
    below = np.concatenate([np.zeros((4000, 1)), random.dirichlet(np.full(11, 0.1), 4000).cumsum(1)], 1)
    surplus = surplus_of(below)
    assert surplus.min() >= 0 and (surplus.sum(1) == GRID - 11).all()
    symbols = (random.random((4000, 1)) < (surplus + 1).cumsum(1) / GRID).argmax(1)
    sizes = random.integers(2, 2**17, 500)
    numbers = random.integers(0, sizes)
    writer = Writer()
    writer.choice(surplus, symbols)
    writer.uniform(sizes, numbers)
    data = writer.to_bytes()
    expected = np.log2(GRID / (np.take_along_axis(surplus, symbols[:, None], 1) + 1)).sum() + np.log2(sizes).sum()
    assert expected - 64 < 8 * len(data) < 1.001 * expected + 64
    reader = Reader(data)
    assert (reader.choice(surplus, None) == symbols).all() and (reader.uniform(sizes, None) == numbers).all()


def test_what_is_impossible_costs_24_bits():
    """No symbol is without a probability, and a distribution without mass is uniform."""
    surplus = np.repeat(surplus_of(np.array([[0.0, 1.0, 1.0]])), 400, 0)
    writer = Writer()
    writer.choice(surplus, np.ones(400, int))
    assert abs(len(writer.to_bytes()) / 50 - 24) < 0.3
    assert np.ptp(surplus_of(np.zeros((1, 17)))) <= 1


def test_digits_and_chances_come_back():
    random = np.random.default_rng(0)
    for levels in (2, 3, 16, 17, 256, 300, 65536, 2**31):
        x = random.integers(0, levels, 50)
        writer = Writer()
        by_digits(writer, levels, lambda k, levels=levels: (k / levels) ** 2, x, 50)
        assert (by_digits(Reader(writer.to_bytes()), levels, lambda k, levels=levels: (k / levels) ** 2, None, 50) == x).all()
    last = np.array([0, 1, 2, 5, 2**16, 2**17, 2**33 + 1, 2**63, 2**64 - 1], np.uint64)
    for x in (np.zeros(9, np.uint64), last, last // np.uint64(2)):
        writer = Writer()
        by_chance(writer, last, x)
        assert (by_chance(Reader(writer.to_bytes()), last, None) == x).all()
    writer = Writer()
    shares = np.log(np.array([[0.5, 0.25, 0.25], [1e-300, 1.0, 1e-300]]))
    by_shares(writer, np.vstack([shares, [[-np.inf, 0.0, -np.inf]]]), np.array([2, 0, 1]))
    assert by_shares(Reader(writer.to_bytes()), np.vstack([shares, [[-np.inf, 0.0, -np.inf]]]), None).tolist() == [2, 0, 1]


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("case", SHAPES)
def test_images_come_back(name, case):
    """Every recipe, with and without a context: all images, in the bits of their likelihood and less than two words more."""
    shape, options = SHAPES[case]
    for context in (0, 2):
        flow, n = build(name, shape, context, **options).eval(), 21
        c = given(context, n)
        x = images(n, options["levels"], *shape)
        with torch.no_grad():
            x[:15] = flow.sample((1,), c)[0][:15] if context else flow.sample((15,))
            expected = bits(flow.log_prob(x[:15], c if c is None else c[:15]))
        codec = WholeCodec(flow, 32)
        assert torch.equal(codec.decode(codec.encode(x, c), n, c), x)
        few = codec.encode(x[:15], c if c is None else c[:15])
        assert expected - 64 < 8 * len(few) < 1.001 * expected + 64


def test_many_numbers_cost_their_likelihood():
    """At most .003 bits for each number above -log2 p."""
    flow = build("pixel_cnn", (1, 12, 12), levels=16, noise=0.2).eval()
    with torch.no_grad():
        x = flow.sample((100,))
        expected = bits(flow.log_prob(x))
    gap = (8 * len(WholeCodec(flow, 128).encode(x, None)) - expected) / x.numel()
    assert -1e-5 < gap < 0.003


def test_sounds_of_many_levels_come_back():
    torch.manual_seed(0)
    for levels in (2, 256, 65536):
        flow = wavenet((1, 30), levels=levels, width=8, depth=3, cycles=1, skip=8, components=2).double().eval()
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
            x = flow.sample((20,))
            expected = bits(flow.log_prob(x))
        codec = WholeCodec(flow, 32)
        data = codec.encode(x, None)
        assert torch.equal(codec.decode(data, 20, None), x) and 8 * len(data) < expected + 64
        assert torch.equal(codec.decode(codec.encode(x * 0 + levels - 1, None), 20, None), x * 0 + levels - 1)


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("halve", [True, False])
def test_images_come_back_by_integer_flows(context, halve):
    """Latents of two scales, in the bits of the likelihood; one that is far outside is no number of the stream."""
    torch.manual_seed(0)
    flow = idf((1, 8, 8), levels=16, steps=2, width=8, depth=1, halve=halve, context=context).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
        c = given(context, 21)
        x = flow.sample((1,), c)[0] if context else flow.sample((21,))
        expected = bits(flow.log_prob(x, c))
    codec = codec_of(flow, "idf", 32)
    data = codec.encode(x, c)
    assert torch.equal(codec.decode(data, 21, c), x) and expected - 64 < 8 * len(data) < 1.001 * expected + 64
    every = images(21, 16, 1, 8, 8)
    assert torch.equal(codec.decode(codec.encode(every, c), 21, c), every)
    with pytest.raises(Damage, match="does not have"):
        codec.encode(x + 1000, c)


def test_a_file_by_an_integer_flow(tmp_path):
    x = np.random.default_rng(0).integers(0, 4, (60, 1, 4, 4)).astype(np.uint8)
    run = pf.fit(x, "idf", out=tmp_path / "run", options=["model.width=8", "model.steps=1", *FIT], progress=False, report=False)
    assert abs(pf.compress(run, x, tmp_path / "x.pf").gap) * 60 * 16 < 64
    assert (pf.decompress(run, tmp_path / "x.pf").data.x == x).all()


@pytest.mark.parametrize("options", [{}, {"context": "word"}, {"orders": 3}], ids=str)
def test_rows_of_mixed_tables_come_back(options):
    """Words, cents, reals, times, truth values and gaps."""
    data = mixed_data(3000, **{key: value for key, value in options.items() if key == "context"})
    flow = perturbed(data, **{key: value for key, value in options.items() if key != "context"})
    x, context = data.test.x + 0.0, data.test.context
    codec = RowCodec(flow, 512)
    codec.configure(codec.options(x))
    stream = codec.encode(x, context)
    assert same(codec.decode(stream, len(x), context), x)
    if "orders" not in options:
        with torch.no_grad():
            expected = bits(flow.log_prob(x, context if context is None else context.float()).double() + codec.log_widths(x))
        assert expected - 64 < 8 * len(stream) < expected + 0.03 * x.numel() + 64


def test_gaps_that_are_not_modelled_come_back():
    data = mixed_data(1000)
    flow = perturbed(data)
    flow.base.gaps = False
    codec = RowCodec(flow, 256)
    codec.configure(codec.options(data.test.x))
    assert same(codec.decode(codec.encode(data.test.x, None), len(data.test), None), data.test.x)


@pytest.mark.parametrize("seed", range(20))
def test_arbitrary_rows_come_back(seed):
    """Whatever the numbers of a real and a whole column: other scales, extremes, gaps, a few or one row."""
    random = np.random.default_rng(seed)
    data = mixed_data(600)
    flow = perturbed(data)
    n = int(random.integers(1, 40))
    x = data.test.x[torch.from_numpy(random.integers(0, len(data.test), n))] + 0.0
    names = data.schema.names
    wild = random.standard_normal(n) * 10.0 ** random.integers(-300, 300, n)
    wild[random.random(n) < 0.2] = np.finfo(np.float64).max * random.choice([-1, 1])
    if random.random() < 0.5:
        wild = np.round(random.standard_normal(n) * 1e3, random.integers(0, 5))
    if random.random() < 0.3:
        wild = np.clip(wild, -1e30, 1e30).astype(np.float32).astype(np.float64)
    x[:, names.index("height")] = torch.where(torch.rand(n) < 0.2, torch.nan, torch.from_numpy(wild + 0.0))
    x[:, names.index("when")] = torch.from_numpy(random.integers(-(2**40), 2**40, n).astype(float))
    codec = RowCodec(flow, 64)
    codec.configure(codec.options(x))
    assert same(codec.decode(codec.encode(x, None), n, None), x)


def test_lattices_count_numbers():
    cases = {
        "double:0": [1.0, -5.0, 2.0**40],
        "double:2": [0.25, 1.5, -3.07],
        "single:1": np.array([0.1, -7.3, 5.0], np.float32),
        "single": np.array([np.pi, 1e-40, -3e38], np.float32),
        "double": [np.pi, 5e-324, -1e308],
    }
    for name, numbers in cases.items():
        x = np.asarray(numbers).astype(np.float64)
        lattice = Lattice.of(x)
        assert str(lattice) == name and Lattice.parse(name) == lattice
        keys = lattice.keys(x)
        assert (lattice.values(keys) == x).all() and (lattice.below(x) == keys).all()
        assert (np.argsort(keys) == np.argsort(x)).all()
        assert (lattice.values(lattice.below(x + lattice.spacing(x) / 4)) <= x + lattice.spacing(x) / 4).all()
        low, high = lattice.ends
        ends = lattice.values(np.array([low, high]))
        assert (lattice.values(lattice.below(np.array([-np.inf, np.inf]))) == ends).all()
    with pytest.raises(ValueError, match="none called"):
        Lattice.parse("double:99")


def test_models_of_bounds_and_densities_say_what_they_need():
    for flow, needed in (
        (glow((1, 8, 8), levels=4, scales=1, steps=1, width=4, mixing="periodic"), "local bits-back coding takes: its layer PeriodicConv"),
        (nsf((3,), steps=1, width=8), "a density"),
        (wavenet((1, 20), levels=16, width=8, depth=2, cycles=1, skip=8, level="normal"), "its base Causal"),
    ):
        with pytest.raises(ValueError, match=needed + ".*fit any_order to a table"):
            codec_of(flow.eval(), "it")
