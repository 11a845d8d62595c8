"""Run directories from strangers: tampered with, one file at a time, and put to use in a forked process under a time limit.

python tests/fuzz_runs.py CASES SEED prints what came of it; a case passes if the run works or is refused by one sentence.
"""

import copy
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import pushforward as pf
from pushforward.cli.app import _ours
from pushforward.data import ImageSchema
from pushforward.verbs import fitting

LIMIT = 10.0  # seconds
POOL: list[Any] = [
    "", "x", "maf", "a" * 3000, "\x1b[31mred", "../../etc/passwd", -1, 0, 1, 3, 10**5, 10**12, -(10**18), 1e308, -0.5,
    float("nan"), float("inf"), True, [], {}, [1, 2], ["x"], [[]], {"a": 1}, [None], None,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is something to change in a nested value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(p for key, item in inner for p in places(item, (*path, key)))]


def altered(value: Any, dice: random.Random) -> Any:
    """A nested value with something replaced, left out or added."""
    value = copy.deepcopy(value)
    *way, last = dice.choice(places(value))
    parent = value
    for key in way:
        parent = parent[key]
    what = dice.random()
    if what < 0.15:
        del parent[last]
    elif what < 0.25 and isinstance(parent, dict):
        parent[dice.choice(["x", "width", "steps", "__class__", "a b"])] = dice.choice(POOL)
    elif what < 0.35 and isinstance(parent[last], int | float):
        parent[last] = parent[last] * dice.choice([-1, 10, 10**6, 10**15, 1e-300])
    else:
        parent[last] = dice.choice(POOL)
    return value


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Bytes that were cut, flipped, doubled or replaced."""
    what = dice.randrange(5)
    if what == 0:
        return content[: dice.randrange(len(content) + 1)]
    if what == 1:
        flipped = bytearray(content)
        for _ in range(dice.choice([1, 5, 50])):
            flipped[dice.randrange(len(flipped))] = dice.randrange(256)
        return bytes(flipped)
    if what == 2:
        at = dice.randrange(len(content))
        return content[:at] + dice.choice([b"\0" * 100, b"[" * 100_000, b'{"a":' * 100_000, bytes(range(256))]) + content[at:]
    return b"" if what == 3 else dice.choice([b"PK\3\4", b"\xff\xfe", b"\x80\4", b"null", b"[]", b"1" * 5000])


def without_none(value: Any) -> Any:
    """What TOML can hold."""
    if isinstance(value, dict):
        return {str(k): without_none(v) for k, v in value.items() if v is not None}
    return [without_none(v) for v in value if v is not None] if isinstance(value, list) else value


def tamper(run: Path, dice: random.Random) -> str:
    """Change one file of a run; what was done, in words."""
    name = dice.choice(["config.toml", "config.toml", "schema.json", "schema.json", "scores.json", "metrics.jsonl", "model", "state"])
    path = run / {"model": "model.safetensors", "state": "state/last.safetensors"}.get(name, name)
    how = dice.random()
    if how < 0.03:
        path.unlink()
        dice.choice([path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path), lambda: None])()
        return f"{name}: not a file"
    if how < 0.3:
        path.write_bytes(damaged(path.read_bytes(), dice))
        return f"{name}: bytes"
    if name == "config.toml":
        path.write_text(tomli_w.dumps(without_none(altered(tomllib.loads(path.read_text()), dice))))
    elif name == "metrics.jsonl":
        lines = path.read_text().splitlines()
        at = dice.randrange(len(lines))
        lines[at] = json.dumps(altered(json.loads(lines[at]), dice))
        path.write_text("\n".join(lines) + "\n")
    elif name.endswith(".json"):
        path.write_text(json.dumps(altered(json.loads(path.read_text()), dice)))
    else:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
        key = dice.choice(list(tensors))
        t = tensors[key]
        tensors[key] = dice.choice(
            [t * 1e30 if t.is_floating_point() else t * 1000, torch.full_like(t, -5), t.double(), t.flatten(), t[None], torch.zeros(3)]
            + ([t * float("nan")] if t.is_floating_point() else [])
        ).contiguous()
        if dice.random() < 0.2:
            del tensors[key]
        if "counters" in metadata and dice.random() < 0.5:
            metadata["counters"] = json.dumps(altered(json.loads(metadata["counters"]), dice))
        save_file(tensors, path, metadata)
    return f"{name}: values"


def use(path: Path) -> None:
    """Everything that a run is for."""
    run = pf.load(path)
    if isinstance(run.schema, ImageSchema):
        pf.sample(run, 2)
    else:
        context = {c.name: [c.vocabulary[0] if c.vocabulary else c.minimum] for c in run.schema.context} or None
        pf.sample(run, 3, context=context)
        pf.score(run, path.parent / "data.csv", path.parent / "scored.csv")
    pf.results(run)
    fitting._judge = lambda *arguments: None  # nothing of a stranger's enters there that did not before
    pf.evaluate(run)
    pf.fit(path.parent / "data.csv", out=path, resume=True, report=False, progress=False)


def outcome(original: Path, seed: int) -> str:
    """What comes of one tampered run: works, a sentence, or a fault by name."""
    dice = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        shutil.copytree(original, folder / "run")
        shutil.copy(original.parent / "data.csv", folder)
        config = folder / "run" / "config.toml"
        config.write_text(config.read_text().replace(str(original.parent), str(folder)))
        how = tamper(folder / "run", dice)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            try:
                use(folder / "run")
                word = "works"
            except BaseException as error:
                word = told(error)
            os.write(write, word.encode(errors="replace")[:4000])
            os._exit(0)
        os.close(write)
        began, ended = time.monotonic(), False
        while time.monotonic() - began < LIMIT and not ended:
            ended = os.waitpid(child, os.WNOHANG)[0] == child
            time.sleep(0.005)
        if not ended:
            os.kill(child, 9)
            os.waitpid(child, 0)
        with os.fdopen(read, "rb") as pipe:
            word = pipe.read().decode() if ended else "FAULT hangs"
        return f"{word or 'FAULT died'} | {how}"
    finally:
        shutil.rmtree(folder)


def told(error: BaseException) -> str:
    """A sentence of ours, or a fault."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | FloatingPointError) and (_ours(error) or isinstance(error, OSError)):
        bad = "" if len(text) < 700 and text.isprintable() else "FAULT unfit to print: "
        return f"{bad}sentence {text}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"FAULT {type(error).__name__} {text[:160]} at {where}"


def original(folder: Path) -> Path:
    """A small run to tamper with, and its data."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 2, generator=generator)
    lines = [f"{a:.6f},{int(3 * b)},{'uv'[i % 2]}" for i, (a, b) in enumerate(rows.tolist())]
    (folder / "data.csv").write_text("a,k,c\n" + "\n".join(lines) + "\n")
    options = ["model.steps=1", "model.width=4", "model.depth=1", "train.steps=4"]
    return pf.fit(folder / "data.csv", "nsf", out=folder / "run", context="c", options=options, report=False, progress=False).path


def fuzz(cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many cases ended in what, and the faults."""
    found: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        run = original(Path(folder))
        for case in range(seed * 1_000_000, seed * 1_000_000 + cases):
            word = outcome(run, case)
            found[word.split()[0]] += 1
            if word.startswith("FAULT"):
                faults.append(f"{case}: {word}")
    return found, faults


if __name__ == "__main__":
    torch.set_num_threads(1)
    counts, seen = fuzz(int(sys.argv[1]), int(sys.argv[2]))
    print("\n".join([*seen, str(dict(counts))]))
