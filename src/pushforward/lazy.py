"""Names of a package that are imported when they are first used (PEP 562), so that a verb waits for no more than it needs."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def names_of(package: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for the package; ``files`` maps each file, as a relative import has it, to the names that it gives.

    The garbage collector rests while a file is imported: a full collection of torch's objects takes longer than the import.

    Example::

        >>> __getattr__ = names_of(__name__, {"curves": "learning_curves score_dots"})
    """
    home = {name: file for file, names in files.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        collects = gc.isenabled()
        gc.disable()
        try:
            value = getattr(importlib.import_module(f".{home[name]}", package), name)
        finally:
            if collects:
                gc.enable()
        setattr(sys.modules[package], name, value)  # so that it is looked up once
        return value

    return get
