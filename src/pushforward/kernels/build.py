"""Compiling the kernels by the machine's own compiler, once per machine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent  # absolute: each file includes itself
# No -ffast-math: NaN and infinity must come through. OpenMP's functions are found in the library that torch has loaded, so that
# both share one pool of threads and torch.set_num_threads holds for both: hence it is not linked.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=fast", "-fPIC", "-fno-math-errno", "-fno-trapping-math"]
CHOICES = [["-march=native", "-fopenmp"], ["-march=native"], []]
LIMIT = 120  # seconds for the compiler
log = logging.getLogger("pushforward")


def candidates() -> Iterator[Path]:
    """Libraries that should load, the best first: from the user's cache, or built now.

    Raises:
        OSError: in the end, with the reason why there is none.
    """
    name = os.environ.get("CC", "cc")
    compiler = shutil.which(name)
    if compiler is None:
        raise OSError(f"there is no C compiler {name!r}; install one, or name it in CC")
    why = "there is no folder that only this user can write to"
    for folder in folders():
        for choice in CHOICES:
            try:
                yield built(compiler, [*FLAGS, *choice, *shlex.split(os.environ.get("CFLAGS", ""))], folder)
            except subprocess.CalledProcessError as error:
                why = f"{name} failed: {(error.stderr.decode(errors='replace').strip().splitlines() or ['without a word'])[-1]}"
            except (OSError, subprocess.SubprocessError) as error:
                why = str(error)
    raise OSError(why)


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
        log.warning("pushforward: compiling the kernels, once on this machine (about 10 s)")
        with tempfile.TemporaryDirectory(dir=folder) as work:
            files = [(str(source), os.path.join(work, source.stem + ".o")) for source in sources if source.suffix == ".c"]
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda file: run_compiler([compiler, *flags, "-c", file[0], "-o", file[1]]), files))
            made = os.path.join(work, path.name)
            shared = [flag for flag in flags if flag.startswith("-fsanitize")]
            run_compiler([compiler, "-shared", *shared, *(compiled for _, compiled in files), "-o", made, "-lm"])
            os.replace(made, path)
    return path


def run_compiler(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)


def processor() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return " ".join(next((line for line in lines if line.startswith(word)), "") for word in ("model name", "flags", "Features"))
    return f"{platform.machine()} {platform.processor()}"
