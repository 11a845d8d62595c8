"""Names and modules that are imported when they are first used, so that a verb waits for no more than it needs."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def names_of(package: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for the package (PEP 562); ``files`` maps each file, as a relative import has it, to the names that it gives.

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


def lazily(name: str) -> ModuleType:
    """A module that is loaded when something of it is asked for: ``np = lazily("numpy")`` for ``import numpy as np``.

    Example::

        >>> lazily("json").dumps([1])
        '[1]'
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
