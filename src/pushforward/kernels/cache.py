"""Compiled libraries kept from process to process, in a folder that only this user can write to, since what lies there is run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

AGAIN = 3600  # seconds after which a build that failed is tried again
STALE = 86400  # seconds after which a build that was killed is swept away
BUILD, PART = "build-", "part-"  # how folders of builds and unfinished files begin


class LibraryCache:
    """A folder held by its descriptor, so that another put in its place is of no use.

    A library is ``kernels-KEY-DIGEST.so``: what it was made from, and its own content, which is looked at before it is loaded. A damaged
    one is passed over and written again.

    Raises:
        OSError: there is no such folder, and none can be made; it is a link, another user's, or others may write to it.
    """

    def __init__(self, path: Path):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
        self.path = path
        self.folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        only_ours(self.folder, path, stat.S_ISDIR)

    def find(self, key: str) -> list[str]:
        """The paths to load whole libraries of that key by."""
        names = (name for name in sorted(os.listdir(self.folder)) if name.startswith(f"kernels-{key}-") and name.endswith(".so"))
        return [path for path in map(self._opened, names) if path]

    def keep(self, key: str, content: bytes) -> str:
        """The path to load a new library by, once it is written down."""
        name = f"kernels-{key}-{digest(content)}.so"
        self._write(name, content)
        path = self._opened(name)
        if not path:
            raise OSError(f"{self.path / name} does not hold what was written to it")
        return path

    def remember(self, key: str, why: str) -> None:
        """That a build failed, for processes to come."""
        with contextlib.suppress(OSError):
            self._write(f"kernels-{key}.failed", why.encode())

    def failed(self, key: str) -> str:
        """Why a build failed within the last hour, or nothing."""
        with contextlib.suppress(OSError), self._checked(f"kernels-{key}.failed") as file:
            minutes = (time.time() - os.fstat(file.fileno()).st_mtime) / 60
            if 0 <= minutes < AGAIN / 60:
                again = f"tried {minutes:.0f} minutes ago and again in an hour, or once {self.path / f'kernels-{key}.failed'} is removed"
                return f"{file.read().decode(errors='replace')}; {again}"
        return ""

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder to build in; those that killed processes left are removed."""
        for name in os.listdir(self.folder):
            with contextlib.suppress(OSError):
                state = os.stat(name, dir_fd=self.folder, follow_symlinks=False)
                if name.startswith((BUILD, PART)) and state.st_uid == os.getuid() and time.time() - state.st_mtime > STALE:
                    if stat.S_ISDIR(state.st_mode):
                        shutil.rmtree(name, dir_fd=self.folder)
                    else:
                        os.unlink(name, dir_fd=self.folder)
        with tempfile.TemporaryDirectory(prefix=BUILD, dir=self.path, ignore_cleanup_errors=True) as work:
            yield Path(work)

    def _opened(self, name: str) -> str:
        """The path to load a file by, or nothing if its content is not what its name says.

        By its descriptor where that can be, which stays open: the loader takes two libraries of one path for the same.
        """
        with contextlib.suppress(OSError), self._checked(name) as file:
            if digest(file.read()) == name.removesuffix(".so").rpartition("-")[2]:
                path = f"/proc/self/fd/{os.dup(file.fileno())}"
                return path if os.path.exists(path) else str(self.path / name)
        return ""

    def _checked(self, name: str) -> BinaryIO:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)
        only_ours(descriptor, self.path / name, stat.S_ISREG)
        return open(descriptor, "rb")

    def _write(self, name: str, content: bytes) -> None:
        """At once: a reader finds all of it, after a power failure too."""
        part, other = PART + secrets.token_hex(8), f"{name}-{secrets.token_hex(8)}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            try:
                os.replace(part, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            except IsADirectoryError:  # which is moved, not removed: we did not make it
                os.rename(name, other, src_dir_fd=self.folder, dst_dir_fd=self.folder)
                os.replace(part, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=self.folder)
            raise


def only_ours(descriptor: int, path: Path, kind: Callable[[int], bool]) -> None:
    """Closes what is not of that kind, not this user's, or for others to write to."""
    state = os.fstat(descriptor)
    if not kind(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        os.close(descriptor)
        raise PermissionError(f"{path} is another user's, or others may write to it")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def caches() -> list[LibraryCache]:
    """The user's cache, then a folder beside temporary files."""
    found: list[LibraryCache] = []
    if not hasattr(os, "O_NOFOLLOW"):  # not a POSIX system
        return found
    with contextlib.suppress(OSError, RuntimeError):  # no home, as for a user without an entry in the password file
        home = os.environ.get("XDG_CACHE_HOME")
        found.append(LibraryCache((Path(home) if home else Path.home() / ".cache") / "pushforward"))
    with contextlib.suppress(OSError):
        found.append(LibraryCache(Path(tempfile.gettempdir()) / f"pushforward-{os.getuid()}"))
    return found
