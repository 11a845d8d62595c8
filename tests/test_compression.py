"""Fitted models as codecs: what comes back, in how many bits, and what happens to files that were altered."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from mixed import mixed_data, mixed_table, started
from test_pixel_models import TINY, build, given, images

import pushforward as pf
from pushforward.cli import main
from pushforward.compression import Container, Damage, Lattice, Reader, RowCodec, WholeCodec, Writer, codec_of
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


def perturbed(data, **options):
    flow = started(data, **options)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow


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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Images of four levels with labels, and a run given the label."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    x = (random.integers(0, 2, (90, 1, 4, 3)) + random.integers(0, 3, (90, 1, 1, 3))).astype(np.uint8)
    np.savez(folder / "images.npz", x=x, label=np.arange(90) % 3)
    options = ["model.width=8", "model.depth=1", "model.kernel=3", *FIT]
    run = pf.fit(folder / "images.npz", "pixel_cnn", out=folder / "run", context="label", options=options, progress=False, report=False)
    return folder, run, x


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table with gaps, and a run of all its columns but one."""
    folder = tmp_path_factory.mktemp("table")
    found = mixed_table(400)
    found = found.set_column(4, "when", found["when"].cast(pa.timestamp("ms")))
    found = found.append_column("note", pa.array([f"row {i}" for i in range(400)]))
    pq.write_table(found, folder / "table.parquet")
    options = ["model.width=16", "model.depth=1", "model.cells=16", "model.fine=4", *FIT]
    run = pf.fit(folder / "table.parquet", "any_order", out=folder / "run", exclude="note", options=options, progress=False, report=False)
    return folder, run, found


def test_a_file_of_images(pictures):
    """In Python: numbers, labels, the figures; files and folders."""
    folder, run, x = pictures
    found = pf.compress(run, folder / "images.npz", folder / "images.pf", block=32)
    assert found.rows == 90 and found.misfits == 0 and found.size == (folder / "images.pf").stat().st_size
    assert abs(found.gap) * 90 * 12 < 3 * 64 and 0 < found.beside < 1 and found.bits > found.model_bits > 0  # three blocks
    assert any("PNG" in rival.name for rival in found.rivals) and json.dumps(found.to_json())
    back = pf.decompress(run, folder / "images.pf", folder / "back.npz")
    assert back.rows == 90 and not back.damages and back.data.x.dtype == np.uint8
    assert (back.data.x == x).all() and back.data.labels["label"].to_pylist() == [i % 3 for i in range(90)]
    assert (np.load(folder / "back.npz")["x"] == x).all()
    with pytest.raises(ValueError, match="one sheet"):
        pf.decompress(run, folder / "images.pf", folder / "back.png")


def test_images_that_would_lose_something_are_refused(pictures):
    folder, run, _ = pictures
    np.savez(folder / "large.npz", x=np.zeros((5, 1, 5, 3), np.uint8), label=np.zeros(5, int))
    with pytest.raises(ValueError, match="expected images of 1 x 4 x 3"):
        pf.compress(run, folder / "large.npz", folder / "no.pf")
    np.savez(folder / "other.npz", x=np.zeros((5, 1, 4, 3), np.uint8), label=np.full(5, 7))
    with pytest.raises(ValueError, match="7"):
        pf.compress(run, folder / "other.npz", folder / "no.pf")
    with pytest.raises(ValueError, match="there is no label 'label'"):
        pf.compress(run, np.zeros((5, 1, 4, 3), np.uint8), folder / "no.pf")
    with pytest.raises(ValueError, match="is the file that is read"):
        pf.compress(run, folder / "images.npz", folder / "images.npz")
    assert not (folder / "no.pf").exists()


def test_bits_that_are_dropped_would_not_come_back(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4)).astype(np.uint8)
    options = ["model.width=8", "model.depth=1", "model.kernel=3", *FIT]
    run = pf.fit(x, "pixel_cnn", out=tmp_path / "run", bits=1, options=options, progress=False, report=False)
    with pytest.raises(ValueError, match="would not come back"):
        pf.compress(run, x, tmp_path / "x.pf")
    for kept in ((x > 127).astype(np.uint8), 255 * (x > 127).astype(np.uint8)):
        pf.compress(run, kept, tmp_path / "x.pf")
        assert (pf.decompress(run, tmp_path / "x.pf").data.x == (x > 127)).all()


def test_a_file_of_a_table(table):
    """Schema with metadata, values, gaps, order; columns outside of the run; rows that it can't give back."""
    folder, run, found = table
    strange = found.slice(0, 60).replace_schema_metadata({"made": "here"})
    words = strange["word"].to_pylist()
    words[7] = "a word that was not there"
    heights = strange["height"].to_pylist()
    heights[9], heights[11] = math.nan, -0.0
    strange = strange.set_column(0, strange.schema.field("word"), pa.array(words))
    strange = strange.set_column(3, strange.schema.field("height"), pa.array(heights, pa.float64()))
    shuffled = strange.select(["note", *reversed([name for name in strange.column_names if name != "note"])])
    pq.write_table(shuffled, folder / "strange.parquet")
    written = pf.compress(run, folder / "strange.parquet", folder / "strange.pf", block=25)
    assert written.rows == 60 and written.misfits == 3
    back = pf.decompress(run, folder / "strange.pf", folder / "back.parquet").data
    assert back.schema.equals(shuffled.schema, check_metadata=True)
    for restored in (back, pq.read_table(folder / "back.parquet")):
        assert restored.drop_columns(["height"]).equals(shuffled.drop_columns(["height"]))
        got, wanted = (part["height"].combine_chunks().fill_null(5.5).to_numpy().view(np.uint64) for part in (restored, shuffled))
        assert (got == wanted).all()
    pf.decompress(run, folder / "strange.pf", folder / "back.csv")
    assert pyarrow.csv.read_csv(folder / "back.csv")["word"].to_pylist() == words


def test_tables_of_other_types_come_back(table):
    """Dictionaries, narrower numbers, a column that the model can't read, a table of nothing but misfits, and none at all."""
    folder, run, found = table
    narrow = found.set_column(0, "word", found["word"].dictionary_encode()).set_column(2, "price", found["price"].cast(pa.float32()))
    assert pf.compress(run, narrow, folder / "narrow.pf").misfits == 0
    back = pf.decompress(run, folder / "narrow.pf").data
    assert back.schema == narrow.schema and back.to_pylist() == narrow.to_pylist()
    wrong = found.set_column(5, "member", pa.array(["neither"] * len(found)))
    written = pf.compress(run, wrong.slice(0, 20), folder / "wrong.pf")
    assert written.misfits == 20 and pf.decompress(run, folder / "wrong.pf").data.equals(wrong.slice(0, 20))
    assert pf.compress(run, found.slice(0, 0), folder / "none.pf").rows == 0
    assert pf.decompress(run, folder / "none.pf").data.equals(found.slice(0, 0))
    with pytest.raises(ValueError, match="there is no column 'price'"):
        pf.compress(run, found.drop_columns(["price"]), folder / "no.pf")


def test_contexts_of_tables_come_back(tmp_path):
    found = mixed_table(300)
    options = ["model.width=16", "model.depth=1", "model.cells=16", "model.fine=4", *FIT]
    run = pf.fit(found, "any_order", out=tmp_path / "run", context="word", options=options, progress=False, report=False)
    part = found.slice(100, 90)
    assert pf.compress(run, part, tmp_path / "x.pf", block=32).misfits == 0
    assert pf.decompress(run, tmp_path / "x.pf").data.equals(part)


def test_a_file_of_sounds(tmp_path):
    """Files of 16 bits by a model of 16 levels: each sample, names, lengths that are no whole windows."""
    time = np.arange(950) / 4000
    waves = {f"tone{i}": (8000 * np.sin(2 * np.pi * (300 + 100 * i) * time) + 40 * i).astype(np.int16)[: 950 - 90 * i] for i in range(4)}
    (tmp_path / "sounds").mkdir()
    for name, wave in waves.items():
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", wave, 4000, subtype="PCM_16")
    options = ["model.width=8", "model.depth=3", "model.cycles=1", "model.skip=8", *FIT]
    run = pf.fit(tmp_path / "sounds", "wavenet", out=tmp_path / "run", window=60, bits=4, options=options, progress=False, report=False)
    found = pf.compress(run, tmp_path / "sounds", tmp_path / "x.pf", block=24)
    assert abs(found.gap) < 0.03 and any("FLAC" in rival.name for rival in found.rivals)
    back = pf.decompress(run, tmp_path / "x.pf", tmp_path / "back")
    assert list(back.data) == sorted(waves) and all((back.data[name] == wave).all() for name, wave in waves.items())
    assert all((soundfile.read(tmp_path / "back" / f"{name}.flac", dtype="int16")[0] == wave).all() for name, wave in waves.items())
    soundfile.write(tmp_path / "float.wav", waves["tone0"] / 32768, 4000, subtype="FLOAT")
    with pytest.raises(ValueError, match="16 bit"):
        pf.compress(run, tmp_path / "float.wav", tmp_path / "no.pf")


def test_another_process_with_other_threads_reads_it(pictures):
    folder, run, x = pictures
    pf.compress(run, folder / "images.npz", folder / "shared.pf", block=32)
    paths = [str(path) for path in (run.path, folder / "shared.pf", folder / "x.npy")]
    code = f"import pushforward as pf; pf.decompress(*{paths!r})"
    for threads in ("1", "3"):
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": threads})
        assert (np.load(folder / "x.npy") == x).all()


def test_another_run_is_told_by_its_digest(pictures, table):
    folder, run, _ = pictures
    pf.compress(run, folder / "images.npz", folder / "mine.pf")
    other = pf.fit(
        folder / "images.npz", "pixel_cnn", out=folder / "other", context="label", seed=1, overwrite=True, progress=False, report=False,
        options=["model.width=8", "model.depth=1", "model.kernel=3", *FIT],
    )  # fmt: skip
    for wrong in (other, table[1]):
        with pytest.raises(ValueError, match=r"another model \(pixel_cnn\).*give the run"):
            pf.decompress(wrong, folder / "mine.pf")


def test_a_machine_that_computes_otherwise_is_refused(pictures, monkeypatch):
    folder, run, _ = pictures
    pf.compress(run, folder / "images.npz", folder / "here.pf")
    monkeypatch.setattr(WholeCodec, "probe", lambda self: "0" * 32)
    monkeypatch.setattr("pushforward.compression.job.machine_facts", lambda: {"torch": "0.1"})
    with pytest.raises(ValueError, match=r"computes other probabilities .*torch .* there, 0.1 here"):
        pf.decompress(run, folder / "here.pf")


def test_the_probe_sees_the_last_weight(pictures):
    """Two models that differ a little give other probabilities, and one model the same ones."""
    _, run, _ = pictures
    codec = codec_of(run.flow, "it")
    first = codec.probe()
    assert codec.probe() == first == codec_of(run.flow, "it").probe()
    with torch.no_grad():
        list(codec.flow.parameters())[-1].add_(1e-4)
    assert codec.probe() != first


def test_a_block_that_does_not_come_back_is_stored_as_it_is(pictures, monkeypatch):
    """Should decoding ever compute something else than coding, no file is written that can't be read."""
    folder, run, x = pictures
    right = WholeCodec.decode
    monkeypatch.setattr(WholeCodec, "decode", lambda self, data, rows, context: right(self, data, rows, context) + (rows == 32))
    found = pf.compress(run, folder / "images.npz", folder / "odd.pf", block=32)
    assert found.misfits == 64
    monkeypatch.undo()
    assert (pf.decompress(run, folder / "odd.pf").data.x == x).all()


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_altered_files_are_never_silently_wrong(kind, request):
    """Bytes changed, left out, put in, cut off: an error that names what is damaged, and all that is whole can be salvaged."""
    folder, run, _ = request.getfixturevalue(kind)
    source = folder / ("images.npz" if kind == "pictures" else "table.parquet")
    path, random = folder / "altered.pf", np.random.default_rng(0)
    pf.compress(run, source, path, block=32 if kind == "pictures" else 100)
    whole, right = path.read_bytes(), pf.decompress(run, path).data
    places = np.concatenate([np.arange(0, 40), random.integers(0, len(whole), 110)])
    read = 0
    for i, place in enumerate(places):
        data = bytearray(whole)
        if i % 5 < 3:
            data[place] ^= 1 << random.integers(8)
        elif i % 5 == 3:
            data = data[:place] + bytes(random.integers(0, 256, 1).astype(np.uint8)) + data[place:]
        else:
            data = data[:place] + data[place + 1 + random.integers(40) :]
        if i % 11 == 10:
            data = data[:place]
        if bytes(data) == whole:
            continue
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"block \d|header|end of the file|not a file|bytes are missing"):
            pf.decompress(run, path)
        try:
            found = pf.decompress(run, path, salvage=True)
        except ValueError:
            continue
        assert found.damages and found.rows + found.lost == (90 if kind == "pictures" else 400)
        read += found.rows
        rows = [*map(bytes, right.x)] if kind == "pictures" else right["note"].to_pylist()
        got = [*map(bytes, found.data.x)] if kind == "pictures" else found.data["note"].to_pylist()
        assert set(got) <= set(rows) and len(got) == found.rows
    assert read > 1000


def test_one_damaged_block_loses_no_other(pictures, capsys):
    folder, run, x = pictures
    path = folder / "damaged.pf"
    pf.compress(run, folder / "images.npz", path, block=32)
    container = Container(path)
    data = bytearray(path.read_bytes())
    data[container.start + container.header.blocks[0].size + 3] ^= 16
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"block 1 of 3 \(rows 32 to 63\) is damaged.*58 of 90 rows can be read: use --salvage"):
        pf.decompress(run, path)
    with pytest.raises(SystemExit) as stop:
        main(["decompress", str(run.path), str(path), "-o", str(folder / "left.npy"), "--salvage"])
    told = capsys.readouterr()
    assert stop.value.code == 1 and "block 1 of 3" in told.err and "58 rows" in told.out and "32 were lost" in told.out
    assert (np.load(folder / "left.npy") == np.concatenate([x[:32], x[64:]])).all()


def test_hostile_files_cost_nothing(pictures):
    """Headers that are well formed and promise what can't be: refused before anything is computed."""
    folder, run, _ = pictures
    path = folder / "hostile.pf"
    pf.compress(run, folder / "images.npz", path, block=32)
    container = Container(path)
    blocks = b"".join(content for _, _, content in container.blocks())
    first = container.header.blocks[0]
    for change, match in (
        ({"block": 2**40}, "sizes"),
        ({"blocks": [dataclasses.replace(first, rows=2**40)]}, "sizes"),
        ({"blocks": [dataclasses.replace(first, stream=-1)]}, "sizes"),
        ({"blocks": [dataclasses.replace(first, stream=2**50)]}, "sizes"),
        ({"blocks": [first] * 3}, "block 1"),
        ({"data": {}}, "does not say which columns"),
        ({"block": "many"}, "header"),
    ):
        frame = dataclasses.replace(container.header, **change).frame()
        path.write_bytes(frame + blocks + frame)
        with pytest.raises(ValueError, match=match):
            pf.decompress(run, path)
    path.write_bytes(b"PK" + path.read_bytes())
    with pytest.raises(ValueError, match=r"second one at the end|not a file that compress wrote"):
        pf.decompress(run, path)
    path.write_bytes(container.data[:8] + struct.pack("<HI", 1, 2**32 - 1) + container.data[14:])
    with pytest.raises(ValueError, match="header"):
        pf.decompress(run, path)


def test_streams_of_noise_are_damage_or_other_numbers(pictures):
    """What no checksum guards: the codec itself reads any bytes without harm."""
    _, run, _ = pictures
    codec, random = codec_of(run.flow, "it", 32), np.random.default_rng(0)
    rows = codec_of(perturbed(mixed_data(600)), "it", 32)
    rows.configure(rows.options(mixed_data(600).test.x))
    for size in (0, 1, 4, 8, 400, 4000):
        data = random.bytes(size)
        for one, context in ((codec, torch.zeros(32, 1, dtype=torch.float64)), (rows, None)):
            try:
                x = one.decode(data, 32, context)
            except Damage:
                continue
            assert x.shape[0] == 32


def test_the_command_line(table, tmp_path, capsys):
    folder, run, found = table
    arguments = ["compress", str(run.path), str(folder / "table.parquet"), "-o", str(tmp_path / "x.pf")]
    for extra in ([], ["--no-check"], ["--json", "--block", "64"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, *extra])
        assert stop.value.code == 0
    told = capsys.readouterr()
    assert "bits per dim" in told.out and "zstd -19" in told.out and "400 of 400 rows" in told.err
    assert json.loads(told.out[told.out.index("{") :])["rows"] == 400
    with pytest.raises(SystemExit) as stop:
        main(["decompress", str(run.path), str(tmp_path / "x.pf"), "-o", str(tmp_path / "x.parquet")])
    assert stop.value.code == 0 and pq.read_table(tmp_path / "x.parquet").equals(found)
    here, away = str(tmp_path / "x.pf"), str(tmp_path / "no" / "x.pf")
    for wrong, match in ((["-o", away], "no folder"), (["-o", here, "--block", "2000000"], "block")):
        with pytest.raises(SystemExit) as stop:
            main([*arguments[:3], *wrong])
        assert stop.value.code == 2 and match in capsys.readouterr().err


def test_without_the_coder_it_is_said_how_to_get_it(table, tmp_path, monkeypatch):
    from pushforward.compression import coder

    coder.constriction.cache_clear()
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ValueError, match=r"pip install 'pushforward\[compress\]'"):
        pf.compress(table[1], table[2], tmp_path / "x.pf")
    coder.constriction.cache_clear()
