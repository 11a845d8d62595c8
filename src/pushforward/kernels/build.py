"""Compiling and loading the kernels, once per machine."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent  # absolute: each file includes itself
# No -ffast-math: NaN and infinity must come through. OpenMP's functions are found in the library that torch has loaded, so that
# both share one pool of threads and torch.set_num_threads holds for both: hence it is not linked.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=fast", "-fPIC", "-fno-math-errno", "-fno-trapping-math"]
CHOICES = [["-march=native", "-fopenmp"], ["-march=native"], []]
LIMIT = 120  # seconds for the compiler


def ready(*tensors: Tensor) -> bool:
    """Whether the kernels can take these: all on the CPU, all float32 or all float64, and a library that could be built; without autocast
    and outside of the transforms of torch.func.

    ``PUSHFORWARD_KERNELS=0`` in the environment says no, as does :func:`without`.
    """
    first = tensors[0]
    if first.dtype not in (torch.float32, torch.float64) or any(t.dtype != first.dtype or not t.is_cpu for t in tensors):
        return False
    return available()


@contextlib.contextmanager
def without() -> Iterator[None]:
    """The PyTorch paths instead of the kernels, in all threads: to compare them, or to count operations."""
    before = os.environ.get("PUSHFORWARD_KERNELS")
    os.environ["PUSHFORWARD_KERNELS"] = "0"
    try:
        yield
    finally:
        del os.environ["PUSHFORWARD_KERNELS"]
        if before is not None:
            os.environ["PUSHFORWARD_KERNELS"] = before


def available() -> bool:
    if torch.is_autocast_enabled("cpu") or torch._C._are_functorch_transforms_active():
        return False
    return os.environ.get("PUSHFORWARD_KERNELS") != "0" and library() is not None


available._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch.compiler.assume_constant_result, without loading the compiler


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, from the user's cache or built now (some ten seconds); ``None`` where there is no compiler or no place."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    for folder in folders():
        for choice in CHOICES:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                return ctypes.CDLL(str(built(compiler, [*FLAGS, *choice], folder)))
    return None


def folders() -> Iterator[Path]:
    """Where the library may be kept: places that nobody else can write to, since what lies there is run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for folder in (cache / "pushforward", Path(tempfile.gettempdir()) / f"pushforward-{getattr(os, 'getuid', str)()}"):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.stat()
            if not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022):
                yield folder


def built(compiler: str, flags: list[str], folder: Path) -> Path:
    """The library's path; its name says what it was made from, by which compiler and for which processor."""
    sources = sorted(HERE.glob("*.[ch]"))
    state = os.stat(compiler)
    made_by = f"{os.path.realpath(compiler)} {state.st_size} {state.st_mtime_ns} {flags} {processor()}"
    key = hashlib.sha256(b"\0".join([made_by.encode(), *(source.read_bytes() for source in sources)])).hexdigest()[:24]
    path = folder / f"kernels-{key}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            files = [(str(source), os.path.join(work, source.stem + ".o")) for source in sources if source.suffix == ".c"]
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda file: run([compiler, *flags, "-c", file[0], "-o", file[1]]), files))
            made = os.path.join(work, path.name)
            run([compiler, "-shared", *(compiled for _, compiled in files), "-o", made, "-lm"])
            os.replace(made, path)
    return path


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)


def processor() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return " ".join(next((line for line in lines if line.startswith(word)), "") for word in ("model name", "flags", "Features"))
    return f"{platform.machine()} {platform.processor()}"
