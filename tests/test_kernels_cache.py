"""Where compiled kernels come from: a compiler that is missing, slow or odd, and a cache that is damaged, shared or nobody's."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pushforward import kernels
from pushforward.kernels import build, cache, library

pytestmark = pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path())


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Path:
    """A compiler that gives the library of this process, and writes a line for each call; and an empty cache."""
    made = os.path.realpath(library.loaded().functions._name)  # type: ignore[union-attr]
    script = tmp_path / "fakecc"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nwhile [ "$1" != -o ]; do shift; done\ncp {made} "$2"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def calls(folder: Path) -> int:
    """Libraries that were linked."""
    path = folder / "calls"
    return path.read_text().count("-shared") if path.exists() else 0


def load() -> library.Library:
    return library.Library(next(build.candidates()))


def stored(folder: Path) -> Path:
    (path,) = (folder / "cache" / "pushforward").glob("kernels-*.so")
    return path


def test_compiled_once(fake):
    for _ in range(3):
        load()
    assert calls(fake) == 1 and stored(fake).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "folder", "link", "fifo", "for all to write"])
def test_a_damaged_library_is_built_again_once(fake, damage):
    """It is never mapped into memory, and what was put in its place is not removed."""
    load()
    path = stored(fake)
    whole = path.read_bytes()
    if damage in ("folder", "link", "fifo"):
        path.rename(fake / "elsewhere")
    if damage == "folder":
        path.mkdir()
        (path / "precious").touch()
    elif damage == "link":
        path.symlink_to(fake / "elsewhere")
    elif damage == "fifo":
        os.mkfifo(path)
    elif damage == "for all to write":
        path.chmod(0o666)
    else:
        path.write_bytes({"truncated": whole[:5000], "empty": b"", "garbage": b"x" * len(whole)}[damage])
    load()
    load()
    assert calls(fake) == 2 and path.is_file() and path.read_bytes() == whole
    assert damage != "folder" or len(list(path.parent.glob("kernels-*/precious"))) == 1


def gone(process: str) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_compiler_that_hangs_is_stopped_with_its_children(fake, monkeypatch, caplog):
    """And later processes do not wait for it again within the hour."""
    Path(os.environ["CC"]).write_text(f"#!/bin/sh\nsleep 60 & echo $! >> {fake}/children\nsleep 60\n")
    monkeypatch.setenv("PUSHFORWARD_COMPILE_SECONDS", "0.5")
    start = time.monotonic()
    with pytest.raises(OSError, match="took too long and was stopped"):
        load()
    assert time.monotonic() - start < 5 and caplog.text.count("compiling the kernels") == 1
    for child in (fake / "children").read_text().split():
        patience = time.monotonic() + 5  # a killed process ends when it next gets a core
        while not gone(child) and time.monotonic() < patience:
            time.sleep(0.01)
        assert gone(child)
    caplog.clear()
    start = time.monotonic()
    with pytest.raises(OSError, match="tried 0 minutes ago"):
        load()
    assert time.monotonic() - start < 0.5 and not caplog.text
    for marker in (fake / "cache" / "pushforward").glob("*.failed"):
        os.utime(marker, (0, time.time() - cache.AGAIN - 1))
    with pytest.raises(OSError, match="stopped; PUSHFORWARD_COMPILE_SECONDS"):
        load()


@pytest.mark.parametrize("words", ["{cc} -O2", "env {cc}", "env GREETING='a b' {cc}"])
def test_compilers_of_several_words(fake, monkeypatch, words):
    monkeypatch.setenv("CC", words.format(cc=os.environ["CC"]))
    load()
    assert calls(fake) == 1
    assert "-O2" not in words or "-O2 -O3" in (fake / "calls").read_text()


@pytest.mark.parametrize(
    "variable, value, words",
    [
        ("CC", "cc 'x", "is no command"),
        ("CC", " ", "there is no C compiler"),
        ("CC", "false", "false failed: without a word"),
        ("CFLAGS", "'", "No closing quotation"),
        ("PUSHFORWARD_COMPILE_SECONDS", "long", "could not convert"),
    ],
)
def test_what_is_wrong_is_said(fake, monkeypatch, caplog, variable, value, words):
    monkeypatch.setattr(library, "state", library.LibraryState())
    monkeypatch.setenv(variable, value)
    assert not kernels.path().startswith("compiled") and words in kernels.path()
    assert library.loaded() is None and caplog.text.count("several times slower: ") == 1


def test_without_a_compiler(fake):
    """The plain path, and one line that says so, on stderr, where results do not go."""
    code = (
        "import torch; from pushforward import kernels; from pushforward.univariate import RationalQuadratic as R;"
        "print([R(4).forward(torch.zeros(2, 1), torch.zeros(1, 11, 1))[0].sum().item() for _ in range(2)], kernels.path())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={"CC": "none", "HOME": str(fake)}, capture_output=True, text=True
    )
    assert done.stdout.startswith("[0.0, 0.0] PyTorch's operations: there is no C compiler 'none'")
    assert len(done.stderr.splitlines()) == 1 and "several times slower: there is no C compiler" in done.stderr


def test_no_home(fake, monkeypatch):
    """Nor an entry in the password file, as in a container with a number for a user."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)

    def nobody(uid: int):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", None)  # which keeps the first answer
    load()
    assert (fake / f"pushforward-{os.getuid()}").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["link", "others may write", "group may write", "a file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(fake, how):
    """A link neither, which could lead elsewhere a moment later."""
    folder = fake / "cache" / "pushforward"
    cache.LibraryCache(folder)
    if how == "link":
        folder.rename(fake / "other")
        folder.symlink_to(fake / "other")
    elif how == "a file":
        folder.rmdir()
        folder.touch()
    else:
        folder.chmod(0o702 if how == "others may write" else 0o720)
    with pytest.raises(OSError):
        cache.LibraryCache(folder)
    assert folder not in [found.path for found in cache.caches()]


def test_another_folder_put_in_its_place_is_of_no_use(fake):
    """The cache is held by its descriptor."""
    held = cache.LibraryCache(fake / "held")
    (fake / "held").rename(fake / "moved")
    (fake / "held").mkdir()
    path = held.keep("key", b"a library")
    assert not list((fake / "held").iterdir()) and len(list((fake / "moved").iterdir())) == 1
    assert Path(path).read_bytes() == b"a library"


def test_what_killed_builds_left_is_swept_away(fake):
    """If it is old, and ours by name."""
    folder = fake / "cache" / "pushforward"
    held = cache.LibraryCache(folder)
    for name in ("build-old", "build-new", "other"):
        (folder / name).mkdir()
        (folder / name / "x.o").touch()
    (folder / "part-old").touch()
    for name in ("build-old", "other", "part-old"):
        os.utime(folder / name, (0, 0))
    with held.workplace():
        pass
    assert {path.name for path in folder.iterdir()} == {"build-new", "other"}


def test_where_nothing_can_be_loaded_from(fake, monkeypatch):
    """As from a file system without execution: the library goes to the other folder, and both are found from then on."""
    monkeypatch.setattr("tempfile.tempdir", None)
    first, second = (Path(os.path.realpath(path)) for path, _ in zip(build.candidates(), range(2)))
    assert first.name == second.name and first.parent != second.parent
    built = calls(fake)
    assert len(list(zip(build.candidates(), range(2)))) == 2 and calls(fake) == built


def test_doing_without_in_many_threads():
    """Nobody has kernels within, and afterwards everybody has."""
    seen: list[bool] = []

    def work() -> None:
        for _ in range(2000):
            with kernels.without():
                seen.append(library.switched_off())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(seen) == 8000 and all(seen) and not library.switched_off()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork")  # of threads, which the child leaves behind
def test_a_forked_child_does_without_as_its_own_thread_does():
    inside, over = threading.Event(), threading.Event()

    def other() -> None:
        with kernels.without():
            inside.set()
            over.wait()

    def child() -> int:
        process = os.fork()
        if process == 0:
            os._exit(library.switched_off())
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    worker = threading.Thread(target=other)
    worker.start()
    inside.wait()
    try:
        assert library.switched_off() and child() == 0
        with kernels.without():
            assert child() == 1
    finally:
        over.set()
        worker.join()
