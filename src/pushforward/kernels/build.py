"""Compiling the kernels by the machine's own compiler, once per machine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .cache import LibraryCache, caches

HERE = Path(__file__).resolve().parent  # absolute: each file includes itself
# No -ffast-math: NaN and infinity must come through. OpenMP's functions are found in the library that torch has loaded, so that
# both share one pool of threads and torch.set_num_threads holds for both: hence it is not linked.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=fast", "-fPIC", "-fno-math-errno", "-fno-trapping-math"]
CHOICES = [["-march=native", "-fopenmp"], ["-march=native"], []]
LIMIT = 60.0  # seconds for the compiler in all, whatever it is asked
log = logging.getLogger("pushforward")


def candidates() -> Iterator[str]:
    """Paths of libraries that should load, the best first: from a cache, or built now.

    Raises:
        OSError: in the end, with the reason why there is none.
    """
    command, found = compiler(), caches()
    if not found:
        raise OSError("there is no folder that only this user can write to; name one in XDG_CACHE_HOME")
    end, why = time.monotonic() + float(os.environ.get("PUSHFORWARD_COMPILE_SECONDS", LIMIT)), ""
    said = False
    for choice in CHOICES:
        flags = [*FLAGS, *choice, *shlex.split(os.environ.get("CFLAGS", ""))]
        key, content = made_from(command, flags), b""
        for cache in found:
            paths = cache.find(key)
            yield from paths
            if paths:
                continue
            try:
                before = "" if content else next(filter(None, (other.failed(key) for other in found)), "")
                if before:
                    raise OSError(before)
                if not said:
                    log.warning("pushforward: compiling the kernels, once on this machine (about 10 s)")
                    said = True
                content = content or compiled(command, flags, cache, end)
                path = cache.keep(key, content)
            except OSError as error:
                why = why or str(error)
            else:
                yield path
    raise OSError(why or "none of the compiled libraries can be loaded")


def compiler() -> list[str]:
    """The words of CC: a compiler, one behind another program as in ``ccache gcc``, or one with options."""
    text = os.environ.get("CC") or "cc"
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise OSError(f"CC={text} is no command: {error}") from None
    if not command or shutil.which(command[0]) is None:
        raise OSError(f"there is no C compiler {text!r}; install one, or name it in CC")
    return command


def made_from(command: list[str], flags: list[str]) -> str:
    """A name for sources, compiler, flags and processor."""
    programs = [os.path.realpath(path) for path in map(shutil.which, command) if path]
    states = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in programs]
    sources = [source.read_bytes() for source in sorted(HERE.glob("*.[ch]"))]
    made_by = f"{states} {command} {flags} {processor()}"
    return hashlib.sha256(b"\0".join([made_by.encode(), *sources])).hexdigest()[:24]


def compiled(command: list[str], flags: list[str], cache: LibraryCache, end: float) -> bytes:
    """The library.

    Raises:
        OSError: the compiler fails, or has not come to an end by then; so that later processes need not wait for it, the cache remembers.
    """
    try:
        with cache.workplace() as work:
            files = [(str(source), str(work / f"{source.stem}.o")) for source in sorted(HERE.glob("*.c"))]
            together([[*command, *flags, "-c", source, "-o", made] for source, made in files], end)
            shared = [flag for flag in flags if flag.startswith("-fsanitize")]
            together([[*command, "-shared", *shared, *(made for _, made in files), "-o", str(work / "kernels.so"), "-lm"]], end)
            return (work / "kernels.so").read_bytes()
    except subprocess.CalledProcessError as error:
        why = f"{shlex.join(command)} failed: {(error.stderr.decode(errors='replace').strip().splitlines() or ['without a word'])[-1]}"
    except subprocess.TimeoutExpired:
        why = f"{shlex.join(command)} took too long and was stopped; PUSHFORWARD_COMPILE_SECONDS gives it more than {LIMIT:.0f}"
    cache.remember(made_from(command, flags), why)
    raise OSError(why)


def together(commands: list[list[str]], end: float) -> None:
    """Run them side by side until a moment of the clock; whatever they started themselves ends with them."""
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        for command in commands
    ]
    try:
        for process in processes:
            _, error = process.communicate(timeout=max(0.0, end - time.monotonic()))
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, process.args, stderr=error)
    finally:
        for process in processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            with process:  # closes its pipe and waits
                pass


def processor() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return " ".join(next((line for line in lines if line.startswith(word)), "") for word in ("model name", "flags", "Features"))
    return f"{platform.machine()} {platform.processor()}"
