"""Fits that are killed at random moments and resumed, until they end: weights, metrics and configuration are those of a fit left alone.

python tests/kill_and_resume.py KILLS SEED
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import pushforward as pf
from pushforward.training import Run, checkpointer
from pushforward.verbs import fitting

MODELS = {"nsf": ["model.bins=4"], "maf": [], "real_nvp": []}
OPTIONS = ["model.steps=2", "model.width=8", "model.depth=1", "train.steps=60", "train.every=5", "train.batch=64"]


def fit(model: str, data: Path, out: Path) -> None:
    """In a process of its own; judging is left out, and checkpoints are written as often as can be."""
    checkpointer.SAVE = checkpointer.PAUSE = 0.0
    fitting._judge = lambda *arguments: None
    pf.fit(data, model, out=out, options=[*OPTIONS, *MODELS[model]], resume=True, report=False, progress=False)


def forked(model: str, data: Path, out: Path) -> int:
    """The process that fits, by number; it ends with 0, or with 1 and a traceback."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fit(model, data, out)
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    return child


def outcome(out: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, object]], dict[str, dict[str, object]]]:
    """Weights, metrics without the clock, configuration."""
    run = Run.load(out)
    timeless = [{k: v for k, v in record.items() if k not in ("seconds", "rows_per_second")} for record in run.metrics()]
    return load_file(run.weights), timeless, run.config


def chains(kills: int, seed: int, folder: Path) -> Iterator[tuple[str, int, str]]:
    """The model, the number of kills and what is wrong (nothing, it is hoped) of one fit after the other."""
    dice = random.Random(seed)
    data = folder / "data.csv"
    rows = np.random.default_rng(seed).normal(size=(300, 3))
    data.write_text("a,b,c\n" + "\n".join(",".join(f"{x:.6f}" for x in row) for row in rows) + "\n")
    alone, took = {}, {}
    for model in MODELS:
        began = time.perf_counter()
        os.waitpid(forked(model, data, folder / model), 0)
        took[model] = time.perf_counter() - began
        alone[model] = outcome(folder / model)
    done = 0
    while done < kills:
        model, count, status = dice.choice(list(MODELS)), 0, -1
        out = folder / "killed"
        while status != 0:
            child = forked(model, data, out)
            time.sleep(dice.random() * took[model] * (1 if count < 8 else 2))
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            count += os.WIFSIGNALED(status)
            if os.WIFEXITED(status) and status:
                break
        wrong = "" if status == 0 else "the fit ended with an error"
        if status == 0:
            weights, metrics, config = outcome(out)
            same = all(torch.equal(weights[name], tensor) for name, tensor in alone[model][0].items())
            parts = {"weights": same, "metrics": metrics == alone[model][1], "configuration": config == alone[model][2]}
            left = [str(path) for path in out.rglob("*.tmp")]
            wrong = "; ".join([*(f"other {name}" for name, equal in parts.items() if not equal), *left])
        shutil.rmtree(out, ignore_errors=True)
        done += count
        yield model, count, wrong


if __name__ == "__main__":
    torch.set_num_threads(1)
    total = fits = faults = 0
    with tempfile.TemporaryDirectory() as temporary:
        for model, count, wrong in chains(int(sys.argv[1]), int(sys.argv[2]), Path(temporary)):
            total, fits, faults = total + count, fits + 1, faults + bool(wrong)
            if wrong:
                print(f"{model} after {count} kills: {wrong}", flush=True)
            print(f"{total} kills in {fits} fits, {faults} of them not as if left alone", flush=True)
