"""One writer at a time in a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .atomic import is_temporary

LOCK = ".lock"


@contextmanager
def reserve(path: str | Path) -> Iterator[Path]:
    """Hold the directory ``path`` while it is entered, so that no other training writes into it; within one thread it can be entered again.

    The directory is made if it is not there, and removed if it was made here and nothing came of it. Temporary files that a killed
    training left in it are swept away. The lock goes with the process that holds it, however that ends.

    Raises:
        ValueError: another training holds it, or the path is no directory.
        OSError: nothing can be written there.

    Example::

        >>> with reserve("runs/moons") as path:
        ...     (path / "config.toml").write_text("[model]")
        7
    """
    from filelock import FileLock, Timeout

    path = Path(path).resolve()
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path / LOCK, timeout=0, is_singleton=True)
            stack.callback(_withdraw, path, made)
            stack.enter_context(lock)
        except Timeout:
            raise ValueError(f"{path}: another training is writing into it; wait until it ends, or choose another place") from None
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{path}: is not a directory, so it can't hold a run; choose another place") from None
        except OSError as error:
            raise OSError(f"{path}: can't be written ({error.strerror or error}); choose another place") from error
        for folder in (path, path / "state"):
            for leftover in folder.glob(".*.tmp") if folder.is_dir() else ():
                if is_temporary(leftover):
                    leftover.unlink(missing_ok=True)
        yield path


def occupants(path: Path) -> set[str]:
    """The names in a directory, beside the lock and temporary files."""
    return {item.name for item in path.iterdir() if item.name != LOCK and not is_temporary(item)} if path.is_dir() else set()


def _withdraw(path: Path, made: list[Path]) -> None:
    """Remove the folders that were made and are empty but for the lock."""
    if not made or occupants(path):
        return
    (path / LOCK).unlink(missing_ok=True)
    for folder in made:
        try:
            folder.rmdir()
        except OSError:  # no longer empty
            return
