"""Tables from strangers and objects of other libraries: they are read exactly, or refused in one sentence."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import pushforward
from pushforward.data import DataError, load
from pushforward.data.formats import parquet_batches

SOURCE = Path(pushforward.__file__).parent

X = np.random.default_rng(0).normal(size=(60, 2))
ROWS = "\n".join(f"{a};{b}" for a, b in X)


def refused(source, *words: str, **options) -> str:
    with pytest.raises(DataError) as error:
        load(source, **options)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and len(sentence) < 600 and not any(ord(c) < 32 for c in sentence)
    return sentence


# --- text ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"a;b\n{ROWS}".encode("utf-16-le"), ["NUL bytes, as UTF-16 has"]),
        (b"a\x1b[31m;a\x1b[31m\n1;2\n", ["more than one column", r"a\x1b[31m"]),
        (b"a" * 3000 + b"\n" + b"x\n" * 40, ["nothing to model", "is always x"]),
        (b"", [".csv"]),
    ],
)
def test_csv_files_that_are_refused(tmp_path, content, words):
    (tmp_path / "t.csv").write_bytes(content)
    refused(tmp_path / "t.csv", *words)


def test_csv_files_that_are_right(tmp_path):
    """A byte order mark before numbers, commas within quotes, and line ends within quotes beyond the first megabyte."""
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf" + ROWS.encode())
    data = load(tmp_path / "mark.csv")
    assert data.schema.names == ["x0", "x1"] and sum(map(len, (data.train, data.valid, data.test))) == 60
    (tmp_path / "commas.csv").write_text(f'"a, b, c";d\n{ROWS}')
    assert load(tmp_path / "commas.csv").schema.names == ["a, b, c", "d"]
    (tmp_path / "lines.csv").write_text("x,note\n" + "1.5,plain text of some length\n" * 40_000 + '2.5,"two\nlines"\n')
    assert sum(map(len, (lines := load(tmp_path / "lines.csv")).train.x)) and lines.schema.columns[0].distinct == 2


# --- binary files ---


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(x: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, x)
    return buffer.getvalue()


WHOLE, ARRAY = npz(a=X[:, 0], b=X[:, 1]), npy(X)
FILES = {
    "half.npz": WHOLE[: len(WHOLE) // 2],
    "empty.npz": b"",
    "deflated.npz": WHOLE[:80] + bytes(200) + WHOLE[280:],
    "text.npz": b"not a zip",
    "empty.npy": b"",
    "cut.npy": ARRAY[:300],
    "huge.npy": ARRAY.replace(b"(60, 2)", b"(9**9,)")[: len(ARRAY)],
    "vast.npy": ARRAY.replace(b"'shape': (60, 2), }           ", b"'shape': (99999999999999999,),}"),
    "token.npy": ARRAY.replace(b"'shape': (60, 2), ", b"'shape': (((60, 2 "),
    "cut.parquet": b"PAR1" + bytes(100) + b"PAR1",
    "empty.parquet": b"",
    "empty.arrow": b"",
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    refused(path, str(path), "can't be read as")


def test_a_member_that_is_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    refused(tmp_path / "t.npz", "'notes.txt', which is no array")


def test_more_rows_than_memory(tmp_path, monkeypatch):
    """Few bytes may say that they are many rows: the header tells before they are unpacked."""
    pq.write_table(pa.table({"x": np.zeros(2_000_000)}), tmp_path / "bomb.parquet")
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(2_000_000))
    monkeypatch.setattr("os.sysconf", lambda name: 2**11)  # a machine of 4 MiB
    for name in ("bomb.parquet", "bomb.npz"):
        assert (tmp_path / name).stat().st_size < 20_000
        refused(tmp_path / name, str(tmp_path / name), "GiB of memory", "read a part of it")


CHILD = """
import sys
from pushforward.data import DataError, load
try:
    load(sys.argv[1])
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("form", ["file", "stream"])
def test_damaged_offsets_do_not_kill_the_process(tmp_path, form):
    """The lengths of a text column point far beyond the file; in a process of its own, since it was a segmentation fault."""
    words = pa.array([f"{a:.15f}" for a, _ in X])
    table = pa.table({"words": words})
    buffer = io.BytesIO()
    with (pa.ipc.new_file if form == "file" else pa.ipc.new_stream)(buffer, table.schema) as writer:
        writer.write_table(table)
    offsets = np.frombuffer(words.buffers()[1], np.int32)[:61].tobytes()
    bad = np.frombuffer(offsets, np.int32).copy()
    bad[20:40] = 2**30
    assert offsets in buffer.getvalue()
    path = tmp_path / "t.arrow"
    path.write_bytes(buffer.getvalue().replace(offsets, bad.tobytes()))
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and f"load: {path} can't be read as .arrow" in done.stdout, (done.returncode, done.stderr[-500:])


def test_batches_of_parquet_are_checked(tmp_path):
    pq.write_table(pa.table({"x": X[:, 0]}), tmp_path / "t.parquet")
    assert sum(len(batch) for batch in parquet_batches(tmp_path / "t.parquet", 25)) == 60
    pq.write_table(pa.table({"x": X[:0, 0], "y": X[:0, 1]}), tmp_path / "none.parquet")
    (batch,) = parquet_batches(tmp_path / "none.parquet", 25, ["y"])
    assert len(batch) == 0 and batch.schema.names == ["y"]


def test_there_is_one_door():
    """Whoever reads somebody's bytes with a library goes through the functions that check them."""
    for path in SOURCE.rglob("*.py"):
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(SOURCE))
        for call in ("read_table(", "iter_batches(", "open_stream(", "read_csv(", "np.load("):
            assert call not in text or name in ("data/delimited.py", "data/formats.py", "data/image_files.py"), f"{name} calls {call}"
        assert text.count("Image.open(") == text.count("formats="), f"{name} opens images of any format"


# --- objects ---

OBJECTS = {
    "other byte order": X.astype(">f8"),
    "long double": X.astype(np.longdouble),
    "half": X.astype(np.float16),
    "half tensor": torch.as_tensor(X).bfloat16(),
    "parameter": torch.nn.Parameter(torch.as_tensor(X)),
    "conjugate": (torch.as_tensor(X) - 1j * torch.as_tensor(X)).conj().imag,
    "series": pd.Series(X[:, 0]),
    "intervals beside numbers": pd.DataFrame({"b": X[:, 0], "a": pd.cut(X[:, 0], 3)}),
    "numbers as objects": X.astype(object),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray(X[:, 0])}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_are_read_exactly(name):
    data = load(OBJECTS[name])
    found = np.sort(torch.cat([data.train.x, data.valid.x, data.test.x])[:, 0].numpy())
    source = OBJECTS[name]
    if isinstance(source, torch.Tensor):
        source = source.detach().double().resolve_neg()
    first = source["b"] if name.startswith("intervals") else source["a"] if name == "sparse" else source
    np.testing.assert_array_equal(found, np.sort(np.asarray(first, np.float64).reshape(60, -1)[:, 0]))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array():
    np.testing.assert_array_equal(load(np.matrix(X)).train.x, load(X).train.x)


class Arrow:
    """As polars and DuckDB hand a table over."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def test_categories_of_other_libraries():
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 30, pa.uint32()), pa.array(["u", "v"], pa.string_view()))
    data = load(Arrow(pa.table({"c": words, "x": X[:, 0]})), context="c")
    assert data.schema.context[0].vocabulary == ("u", "v") and data.schema.names == ["x"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (X.astype(np.longdouble) / 3, "more digits than float64"),
        (X + 1j, "expected numbers"),
        (torch.as_tensor(X) + 1j, "expected numbers"),
        (torch.as_tensor(X).to_sparse(), "give a dense tensor"),
        (torch.empty(60, 2, device="meta"), "no data"),
        (np.zeros((0, 3)), "there are no rows"),
        (np.zeros((60, 0)), "no column of numbers"),
        (pd.DataFrame({"a": [10**30 + i for i in range(60)]}), "beyond 2**53"),
        (pd.DataFrame({"a": X[:, 0] + 1j}), "no column of numbers"),
        (Arrow(pa.chunked_array([X[:, 0]])), "can't be read as a table"),
        (X.tolist(), "can't read rows from list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_objects_that_are_refused(source, words):
    refused(source, words)


def test_masked_values_are_missing():
    """Never the number that stands under the mask."""
    hidden = np.where(np.arange(60) < 10, -999.0, X[:, 0])
    for masked in (np.ma.masked_equal(hidden, -999.0), np.ma.masked_equal(np.where(np.arange(60) < 10, -999, np.arange(60)), -999)):
        refused(masked, "x0 10")
        assert load(masked, missing="drop").train.x.min() > -999


# --- numbers that no flow can learn ---


def column(*changes: tuple[int, float]) -> pd.DataFrame:
    values = np.random.default_rng(1).normal(size=200)
    for row, value in changes:
        values[row] = value
    return pd.DataFrame({"x": values})


def test_extreme_numbers_are_refused_before_training():
    order = np.random.default_rng(0).permutation(200)
    for part, row in (("train", 0), ("validation", 165), ("test", 190)):
        words = ["too large"] if part == "train" else [f"holds 1e+300 in the {part} rows", "drop such rows"]
        refused(column((order[row], 1e300)), "'x'", *words)
    refused(column() * 1e-300, "'x'", "rescale the column")


def test_large_floats_are_numbers_not_counts():
    masses = np.random.default_rng(0).normal(2e30, 1e29, 200)
    assert load(pd.DataFrame({"mass": masses})).schema.columns[0].kind.name == "real"


def test_weights_of_a_split_that_are_all_zero():
    table = column().assign(w=1.0)
    order = np.random.default_rng(0).permutation(200)
    table.loc[order[180:], "w"] = 0.0
    refused(table, "all weights of the test rows are zero", weight="w")
