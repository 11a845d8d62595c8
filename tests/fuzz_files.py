"""Damaged and hostile files through every door: ``python tests/fuzz_files.py CASES SEED [KIND ...]``.

A case is a right file of one kind, changed at random, and given to the library or to the command line. It passes if that works, or ends in
one sentence (from the command line with exit code 2); it fails by any other exception, by a crash, by more than ten seconds, by files that
are left behind, and by a program that was started or a pickle that was opened. The modules are imported once; batches of cases run in
forked children, so that a crash costs a child and is put down to its case. Each failure is printed with what it takes to see it again.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import random
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from PIL import Image

from pushforward.cli import main
from pushforward.cli.commands import run as command_line  # noqa: F401 -- imported before the first fork
from pushforward.data import DataError, load, load_images

LIMIT = 10  # seconds of a case
MEMORY = 6 * 2**30  # bytes of addresses that a case may take beyond what the modules have
AT_ONCE = 100  # cases of a child
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "socket.connect")
TOKENS = [b'"', b"\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"1e309", b"-1e300", b"nan", b"=cmd|'/C calc'!A0", b"\x1b[31m", b"%s%n", b",,,",
          b";", b"\t", b"../../etc/passwd", b"\xf6", b"9" * 400, b"x" * 3000, b"''", b"{}", b"True", b"\xf0\x9f\x98\x80"]  # fmt: skip
ENCODINGS = ["utf-8"] * 8 + ["utf-16", "latin-1"]
FORMS = [
    "PNG",
    "PNG",
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "PPM",
    "EPS",
    "ICO",
    "PDF",
    "TGA",
    "PCX",
]  # ours and others

Files = dict[str, bytes]  # by their places in the folder of the case


# --- what is changed ---


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A few changes, each of one of nine kinds, of few bytes more often than of many; half of the time all that follows stays in place."""
    length_stays = rng.random() < 0.5
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        n, place = len(data), rng.randrange(len(data) + 1)
        span = min(n - place, int((n + 1) ** rng.random() ** 2))
        how = rng.randrange(5 if length_stays else 9)
        if how == 0 and n:
            at = rng.randrange(n)
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif how == 1:
            data = data[:place] + rng.choice([b"\0", b"\xff", b"\x80"]) * span + data[place + span :]
        elif how == 2:
            data = data[:place] + rng.randbytes(min(span, 64)) + data[place + min(span, 64) :]
        elif how == 3:
            number = rng.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 255, 65_535])
            word = struct.pack("<q", number)[: rng.choice([2, 4, 8])]
            data = data[:place] + word[: n - place] + data[place + len(word) :]
        elif how == 4:
            other = rng.randrange(n - span + 1)
            data = data[:place] + data[other : other + span] + data[place + span :]
        elif how == 5:
            data = data[:place]
        elif how == 6:
            data = data[:place] + data[place + span :]
        elif how == 7:
            data = data[: place + span] + data[place:]
        else:
            data = data[:place] + rng.choice(TOKENS) + data[place:]
    return data


def numbers(rng: random.Random) -> pd.DataFrame:
    x = np.random.default_rng(rng.randrange(2**32)).normal(size=(40, 2))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1].round(1), "k": np.arange(40) % 5, "word": ["eel", "cat", "dog", None] * 10})


def text(separator: str) -> Callable[[random.Random], bytes]:
    return lambda rng: numbers(rng).to_csv(sep=separator, index=rng.random() < 0.2).encode(rng.choice(ENCODINGS))


def arrow_table(rng: random.Random) -> pa.Table:
    table = pa.Table.from_pandas(numbers(rng), preserve_index=False)
    extra = [
        pa.array(["u", "v"] * 20).dictionary_encode(),
        pa.array([[1, 2], None] * 20),
        pa.array([{"bytes": b"x", "path": None}] * 40),
        pa.array(pd.date_range("2020", periods=40, freq="h")),
        pa.array([1, None] * 20, pa.decimal128(20, 3)),
        pa.array(["long text " * 3] * 40, pa.string_view()),
        pa.array([True, False] * 20),
    ]
    return table.append_column("extra", rng.choice(extra))


def arrow(rng: random.Random) -> bytes:
    sink, table = io.BytesIO(), arrow_table(rng)
    options = pa.ipc.IpcWriteOptions(compression=rng.choice([None, None, "lz4", "zstd"]))
    with rng.choice([pa.ipc.new_file, pa.ipc.new_stream])(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rng.choice([7, 100]))
    return sink.getvalue()


def parquet(rng: random.Random, table: pa.Table | None = None) -> bytes:
    sink = io.BytesIO()
    options = {"compression": rng.choice(["none", "snappy", "zstd", "gzip"]), "use_dictionary": rng.random() < 0.5}
    pq.write_table(table or arrow_table(rng), sink, row_group_size=rng.choice([13, 100]), **options)
    return sink.getvalue()


def npy(rng: random.Random, x: np.ndarray | None = None) -> bytes:
    sink = io.BytesIO()
    if x is None:
        x = numbers(rng)[["a", "b"]].to_numpy().astype(rng.choice(["f8", ">f8", "f2", "i4", "c8", "U5", "O", "g"]))
    np.save(sink, x, allow_pickle=True)
    return sink.getvalue()


def npz(rng: random.Random, **arrays: np.ndarray) -> bytes:
    """Half of them whole archives with damaged arrays within."""
    sink, inner = io.BytesIO(), rng.random() < 0.5
    with zipfile.ZipFile(sink, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name in arrays or ("a", "b"):
            array = npy(rng, arrays.get(name, np.arange(40.0)))
            archive.writestr(f"{name}.npy", damaged(rng, array) if inner else array)
    return sink.getvalue() if inner else damaged(rng, sink.getvalue())


def pixels(rng: random.Random) -> np.ndarray:
    shape = (6, 8) if rng.random() < 0.5 else (6, 8, 3)
    return np.random.default_rng(rng.randrange(2**32)).integers(0, 256, shape, dtype=np.uint8)


def image(rng: random.Random) -> bytes:
    """A damaged file of some format, pixels or not; PNG often with right checksums around the damage."""
    sink, form = io.BytesIO(), rng.choice(FORMS)
    moving = form in ("PNG", "GIF", "TIFF") and rng.random() < 0.3
    several = {"save_all": True, "append_images": [Image.fromarray(pixels(rng))]} if moving else {}
    Image.fromarray(pixels(rng)).save(sink, form, **several)
    whole = sink.getvalue()
    if form == "PNG" and rng.random() < 0.3:
        word = zlib.compress(bytes(rng.choice([10, 4 * 2**20])))
        whole = whole[:33] + chunk(rng.choice([b"zTXt", b"iTXt", b"iCCP", b"eXIf"]), b"a\0\0" + word) + whole[33:]
    data = damaged(rng, whole) if rng.random() < 0.9 else whole
    return checked_again(data) if form == "PNG" and rng.random() < 0.6 else data


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def checked_again(data: bytes) -> bytes:
    """A PNG with the checksums that its chunks should have."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        out += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size])
        at += 12 + size
    return out + data[at:]


def hub(rng: random.Random) -> bytes:
    whole = [{"bytes": encoded(rng), "path": f"{i}.png"} for i in range(20)]
    inner = rng.random() < 0.5
    last = {"bytes": image(rng) if inner else encoded(rng), "path": None}
    table = pa.table({"image": [*whole, last], "label": [i % 3 for i in range(21)]})
    features = rng.choice(['{"info": {"features": {"label": {"names": ["u", "v", "w"]}}}}', '{"info": []}', "[" * 5000, "{"])
    data = parquet(rng, table.replace_schema_metadata({"huggingface": features}))
    return data if inner else damaged(rng, data)


def encoded(rng: random.Random) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels(rng)).save(sink, "PNG")
    return sink.getvalue()


# --- how it is used ---


def loaded(name: str, **options: object) -> Callable[[Path], None]:
    return lambda folder: void(load(folder / name, **options))


def images(name: str, **options: object) -> Callable[[Path], None]:
    return lambda folder: void(load_images(folder / name, **options))


def void(data: object) -> None:
    """Held until here, as a caller would."""


def called(*line: str) -> Callable[[Path], None]:
    """The command line; OUT is a file that must be there afterwards if it worked, and must not if it did not."""

    def use(folder: Path) -> None:
        out, err = io.StringIO(), io.StringIO()
        target = next((folder / word for word in line if word.startswith("out.")), None)
        arguments = [str(folder / word) if "." in word or word == "run" else word for word in line]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(arguments)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        said = err.getvalue().strip()
        if code not in (0, 2) or (code == 2 and (len(said) > 700 or len(said.splitlines()) != 1)):
            raise RuntimeError(f"exit code {code}: {said[-2000:]}")
        if target is not None and target.exists() != (code == 0):
            raise RuntimeError(f"exit code {code}, and {target.name} {'exists' if target.exists() else 'does not exist'}")
        if target is not None:
            target.unlink(missing_ok=True)
        if code:
            raise DataError(said)

    return use


def one(name: str, make: Callable[[random.Random], bytes], change: bool = True) -> Callable[[random.Random], Files]:
    return lambda rng: {name: damaged(rng, make(rng)) if change else make(rng)}


CASES: dict[str, tuple[Callable[[random.Random], Files], Callable[[Path], None]]] = {
    "csv": (one("t.csv", text(",")), loaded("t.csv", missing="drop")),
    "csv as context": (one("t.csv", text(";")), loaded("t.csv", columns=["a"], context=["word"], missing="drop")),
    "tsv": (one("t.tsv", text("\t")), loaded("t.tsv", missing="drop")),
    "parquet": (one("t.parquet", parquet), loaded("t.parquet", missing="drop")),
    "arrow": (one("t.arrow", arrow), loaded("t.arrow", missing="drop")),
    "arrow as context": (one("t.feather", arrow), loaded("t.feather", columns=["a"], context=["word"], missing="drop")),
    "npy": (one("t.npy", npy), loaded("t.npy")),
    "npz": (one("t.npz", npz, change=False), loaded("t.npz")),
    "image folder": (one("images/zz.png", image, change=False), images("images", size=8)),
    "image parquet": (one("i.parquet", hub, change=False), images("i.parquet", context="label", size=8)),
    "image npz": (one("i.npz", lambda rng: npz(rng, x=np.zeros((30, 4, 4), np.uint8), y=np.arange(30) % 3), change=False), images("i.npz")),
    "image density": (one("d.png", image, change=False), lambda folder: void(load(f"image:{folder / 'd.png'}"))),
    "score csv": (one("t.csv", text(",")), called("score", "run", "t.csv", "-o", "out.csv")),
    "score parquet": (one("t.parquet", parquet), called("score", "run", "t.parquet", "-o", "out.parquet")),
    "score arrow": (one("t.arrow", arrow), called("score", "run", "t.arrow", "-o", "out.csv")),
    "score npy": (one("t.npy", npy), called("score", "run", "t.npy", "-o", "out.npy")),
}


def furnish(folder: Path) -> None:
    """What the cases need beside their own files: right images, and a run."""
    from pushforward.verbs import fit

    rng = random.Random(0)
    (folder / "images").mkdir()
    for i in range(21):
        (folder / "images" / f"{i}.png").write_bytes(encoded(rng))
    quick = {"model.steps": 1, "model.width": 4, "train.steps": 3, "train.compile": "no"}
    fit(numbers(rng), "nsf", columns=["a", "b"], out=folder / "run", options=quick, report=False, progress=False)
    void(load_images(folder / "images", size=8))  # what is imported or opened late is so before the first fork


# --- running them ---


def attempt(kind: str, number: int, seed: int, folder: Path) -> str:
    """One case: "works", "refused", or what is wrong."""
    rng = random.Random(f"{seed} {kind} {number}")
    make, use = CASES[kind]
    files = make(rng)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = set(folder.rglob("*"))
    outcome = "works"
    try:
        use(folder)
    except DataError as error:
        sentence, outcome = str(error), "refused"
        if len(sentence) > 700 or any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in sentence):
            outcome = f"a sentence that is none: {sentence[:300]!r}"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    left = set(folder.rglob("*")) - before
    if left:
        outcome = f"left behind: {', '.join(sorted(path.name for path in left))}"
    for path in [*left, *(folder / name for name in files)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return outcome


def child(cases: list[tuple[str, int]], seed: int, folder: Path, pipe: int) -> None:
    """Runs the cases and writes a line before and after each."""
    grown = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started: list[str] = []
    sys.addaudithook(lambda event, arguments: started.append(event) if event in FORBIDDEN else None)
    warnings.simplefilter("ignore")
    for kind, number in cases:
        os.write(pipe, f"{kind}\t{number}\t".encode())
        signal.alarm(LIMIT)
        outcome = attempt(kind, number, seed, folder)
        signal.alarm(0)
        if started:
            outcome = f"started {', '.join(started)}"
            started.clear()
        os.write(pipe, (outcome.replace("\n", " | ").replace("\t", " ")[:3000] + "\n").encode("utf-8", "backslashreplace"))


def outcomes(cases: list[tuple[str, int]], seed: int, folder: Path) -> list[tuple[str, int, str]]:
    """What became of each case; a child that dies takes one of them along."""
    found: list[tuple[str, int, str]] = []
    while len(found) < len(cases):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            try:
                child(cases[len(found) :][:AT_ONCE], seed, folder, write)
            finally:
                os._exit(0)
        os.close(write)
        said = b""
        while select.select([read], [], [], 3 * LIMIT)[0] and (piece := os.read(read, 2**16)):
            said += piece
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # who neither speaks nor ends
        status = os.waitpid(pid, 0)[1]
        os.close(read)
        for line in said.decode().splitlines():
            kind, number, outcome = line.split("\t")
            died = f"killed by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "ended the process"
            found.append((kind, int(number), outcome or died))
        for path in folder.glob("*"):
            if path.is_file():
                path.unlink()
        (folder / "images" / "zz.png").unlink(missing_ok=True)
    return found


def fuzz(count: int, seed: int, kinds: list[str]) -> tuple[collections.Counter[tuple[str, str]], list[str]]:
    """How many cases of each kind had which outcome, and the failures in words."""
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    failures = []
    with tempfile.TemporaryDirectory() as place:
        folder, trap = Path(place) / "cases", Path(place) / "bin"
        folder.mkdir()
        trap.mkdir()
        (trap / "gs").write_text(f"#!/bin/sh\ntouch {place}/started\n")
        (trap / "gs").chmod(0o755)
        path, os.environ["PATH"] = os.environ["PATH"], f"{trap}:{os.environ['PATH']}"
        try:
            furnish(folder)
            for kind, number, outcome in outcomes([(kind, i) for kind in kinds for i in range(count // len(kinds))], seed, folder):
                verdict = outcome if outcome in ("works", "refused") else "fails"
                seen[kind, verdict] += 1
                if verdict == "fails":
                    failures.append(f"{kind} {number} (seed {seed}): {outcome}")
        finally:
            os.environ["PATH"] = path
        if (Path(place) / "started").exists():
            failures.append("Ghostscript was started")
    return seen, failures


def save(kind: str, number: int, seed: int, folder: Path) -> None:
    """The files of a case, to look at."""
    for name, content in CASES[kind][0](random.Random(f"{seed} {kind} {number}")).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    began = time.perf_counter()
    chosen = sys.argv[3:] or list(CASES)
    seen, failures = fuzz(int(sys.argv[1]), int(sys.argv[2]), chosen)
    print("\n".join(failures))
    print("| kind | cases | works | one sentence | fails |\n|---|---|---|---|---|")
    for kind in chosen:
        row = [seen[kind, verdict] for verdict in ("works", "refused", "fails")]
        print(f"| {kind} | {sum(row):,} | {row[0]:,} | {row[1]:,} | {row[2]:,} |")
    print(f"{sum(seen.values()):,} cases, {len(failures)} failures, {time.perf_counter() - began:.0f} s")
    sys.exit(bool(failures))
