"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")  # 64 random bits: nobody else's file


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, force it to disk and rename it onto ``path``.

    A crash at any moment leaves the previous file or the new one. The temporary file has a name of its own; one left behind by a
    kill is swept away when a training next holds the directory. A link is followed: the file it points to is replaced.

    Raises:
        OSError: the disk is full or can't be written, or ``path`` is a device or a pipe; the previous file is untouched and the
            temporary one removed.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: is not a regular file, so it is not replaced; choose another place")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        write(temporary)
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            kept = "the previous one is kept" if path.exists() else "nothing was written"
            reason = error.strerror or error
            raise OSError(f"{path}: could not be written ({reason}); {kept}; {remedy(error)}") from error
        raise
    _sync(path.parent)  # the rename itself


def is_temporary(path: Path) -> bool:
    """Whether a file is one that :func:`replace` was writing."""
    return TEMPORARY.fullmatch(path.name) is not None


def remedy(error: OSError) -> str:
    """What helps against an error of writing."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space or choose another place"
    if error.errno == errno.ENOENT:
        return "its folder is no longer there: make it again or choose another place"
    return "choose a place that can be written"


def write_text(path: Path, text: str) -> None:
    """A text file, atomically."""
    replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file, atomically."""
    content = save(dict(tensors), dict(metadata))  # written by us: safetensors' own writer hides the errno and lets nobody else read
    replace(path, lambda temporary: temporary.write_bytes(content))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
