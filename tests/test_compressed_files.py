"""Compressed files: what comes back, in another process too, what is refused, and what happens to those that were altered."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from mixed import mixed_data, mixed_table, perturbed

import pushforward as pf
from pushforward.cli import main
from pushforward.compression import BitsBackCodec, Container, Damage, LocalCodec, WholeCodec, codec_of

FIT = ["train.steps=3", "train.batch=32"]
ALTERED = {"pixel_cnn": 60, "table": 60, "vae": 20, "glow": 6}  # files of each method; ALTERED_FILES=1000 in the environment for so many


def pictures_by(model: str, folder: Path, *options: str) -> tuple[Path, pf.Run, np.ndarray]:
    """Images of four levels with labels, and a run given the label."""
    random = np.random.default_rng(0)
    x = (random.integers(0, 2, (90, 1, 4, 4)) + random.integers(0, 3, (90, 1, 1, 4))).astype(np.uint8)
    np.savez(folder / "images.npz", x=x, label=np.arange(90) % 3)
    run = pf.fit(folder / "images.npz", model, out=folder / "run", context="label", options=[*options, *FIT], progress=False, report=False)
    return folder, run, x


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """By a model of probabilities."""
    return pictures_by("pixel_cnn", tmp_path_factory.mktemp("pictures"), "model.width=8", "model.depth=1", "model.kernel=3")


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """By a model with random latents."""
    return pictures_by("vae", tmp_path_factory.mktemp("latents"), "model.latent=3", "model.width=8", "model.depth=1")


@pytest.fixture(scope="module")
def dequantized(tmp_path_factory):
    """By a flow."""
    return pictures_by("glow", tmp_path_factory.mktemp("dequantized"), "model.width=8", "model.steps=1")


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
    assert abs(found.gap) * 90 * 16 < 3 * 64 and 0 < found.beside < 1 and found.bits > found.model_bits > 0  # three blocks
    assert any("PNG" in rival.name for rival in found.rivals) and json.dumps(found.to_json())
    back = pf.decompress(run, folder / "images.pf", folder / "back.npz")
    assert back.rows == 90 and not back.damages and back.data.x.dtype == np.uint8
    assert (back.data.x == x).all() and back.data.labels["label"].to_pylist() == [i % 3 for i in range(90)]
    assert (np.load(folder / "back.npz")["x"] == x).all()
    with pytest.raises(ValueError, match="one sheet"):
        pf.decompress(run, folder / "images.pf", folder / "back.png")


@pytest.mark.parametrize(("method", "most"), [("bits-back", 0.3), ("local", 0.6)])
def test_a_file_that_draws_bits(files, method, most, capsys, tmp_path):
    """The initial bits are told; a method that is not the model's is refused."""
    name = {"bits-back": "vae", "local": "glow"}[method]
    run, path, x = files[name]
    source = path.parent / "images.npz"
    found = pf.compress(run, source, tmp_path / "one.pf", method=method)
    assert found.misfits == 0 and found.method.startswith(method) and found.kind == "bound"
    assert 64 / x.size <= found.initial < most and abs(found.gap - found.initial) < 0.2  # one draw of few rows
    assert "a bound" in found.lines()[1] and "initial bits" in found.lines()[1]
    back = pf.decompress(run, tmp_path / "one.pf")
    assert (back.data.x == x).all() and back.data.labels["label"].to_pylist() == [i % 3 for i in range(90)]
    with pytest.raises(SystemExit) as stop:
        main(["compress", str(run.path), str(source), "-o", str(tmp_path / "no.pf"), "--method", "range"])
    assert stop.value.code == 2 and f"{name} is coded by method {method}" in capsys.readouterr().err


def test_a_file_of_another_method_is_refused(files):
    run, path, _ = files["vae"]
    container = Container(path)
    frame = dataclasses.replace(container.header, method="magic").frame()
    magic = path.parent / "magic.pf"
    magic.write_bytes(frame + b"".join(content for _, _, content in container.blocks()) + frame)
    with pytest.raises(ValueError, match="was made by magic, and this release codes vae by bits-back coding"):
        pf.decompress(run, magic)


def test_images_that_would_lose_something_are_refused(pictures):
    folder, run, _ = pictures
    np.savez(folder / "large.npz", x=np.zeros((5, 1, 5, 4), np.uint8), label=np.zeros(5, int))
    with pytest.raises(ValueError, match="expected images of 1 x 4 x 4"):
        pf.compress(run, folder / "large.npz", folder / "no.pf")
    np.savez(folder / "other.npz", x=np.zeros((5, 1, 4, 4), np.uint8), label=np.full(5, 7))
    with pytest.raises(ValueError, match="7"):
        pf.compress(run, folder / "other.npz", folder / "no.pf")
    with pytest.raises(ValueError, match="there is no label 'label'"):
        pf.compress(run, np.zeros((5, 1, 4, 4), np.uint8), folder / "no.pf")
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


@pytest.fixture(scope="module")
def files(pictures, table, latents, dequantized):
    """By each method: the run, the path of a file of several blocks, and its rows as they are."""
    found = {}
    for name, (folder, run, right) in zip(ALTERED, (pictures, table, latents, dequantized), strict=True):
        source = folder / ("table.parquet" if name == "table" else "images.npz")
        pf.compress(run, source, folder / "file.pf", block=100 if name == "table" else 32)
        found[name] = run, folder / "file.pf", right
    return found


def rows_of(data: pa.Table | np.ndarray) -> list[object]:
    """What tells them apart."""
    return data["note"].to_pylist() if isinstance(data, pa.Table) else [*map(bytes, getattr(data, "x", data))]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_another_process_with_other_threads_reads_it(files, threads, tmp_path):
    code, outs = "import pushforward as pf\n", {}
    for method, (run, path, _) in files.items():
        outs[method] = tmp_path / f"{method}.{'parquet' if method == 'table' else 'npy'}"
        code += f"pf.decompress(*{[str(p) for p in (run.path, path, outs[method])]!r})\n"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": threads})
    for method, (_, _, right) in files.items():
        assert pq.read_table(outs[method]).equals(right) if method == "table" else (np.load(outs[method]) == right).all()


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


@pytest.mark.parametrize(("method", "codec"), [("pixel_cnn", WholeCodec), ("vae", BitsBackCodec), ("glow", LocalCodec)])
def test_a_block_that_does_not_come_back_is_stored_as_it_is(files, method, codec, monkeypatch, tmp_path):
    """Should decoding ever compute something else than coding, no file is written that can't be read."""
    run, path, x = files[method]
    read = codec.decode
    monkeypatch.setattr(codec, "decode", lambda self, data, rows, context: read(self, data, rows, context) + (rows == 32))
    found = pf.compress(run, path.parent / "images.npz", tmp_path / "odd.pf", block=32)
    assert found.misfits == 64
    monkeypatch.undo()
    assert (pf.decompress(run, tmp_path / "odd.pf").data.x == x).all()


@pytest.mark.parametrize("method", ALTERED)
def test_altered_files_are_never_silently_wrong(files, method, tmp_path):
    """Bytes changed, left out, put in, cut off: an error that names what is damaged, and all that is whole can be salvaged."""
    run, path, right = files[method]
    count = int(os.environ.get("ALTERED_FILES", ALTERED[method]))
    whole, altered, random = path.read_bytes(), tmp_path / "altered.pf", np.random.default_rng(0)
    known, refused, read = set(rows_of(right)), 0, 0
    while refused < count:
        data, place = bytearray(whole), int(random.integers(40 if refused % 4 == 0 else len(whole)))  # the header is short
        match refused % 5:
            case 0 | 1:
                data[place] ^= 1 << random.integers(8)
            case 2:
                data = data[:place] + random.bytes(int(random.integers(1, 20))) + data[place:]
            case 3:
                data = data[:place] + data[place + 1 + random.integers(40) :]
            case 4:
                data = data[:place] if refused % 2 else data[:place] + random.bytes(8) + data[place + 8 :]
        if bytes(data) == whole:
            continue
        altered.write_bytes(data)
        with pytest.raises(ValueError, match=r"block \d|header|end of the file|not a file|bytes are missing"):
            pf.decompress(run, altered)
        refused += 1
        try:
            found = pf.decompress(run, altered, salvage=True)
        except ValueError:
            continue
        assert found.damages and found.rows + found.lost == len(right)
        got = rows_of(found.data)
        assert set(got) <= known and len(got) == found.rows
        read += found.rows
    assert read > 0.3 * count * len(right)


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
