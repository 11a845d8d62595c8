"""The compiled library: loading it, calling it, doing without it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .build import candidates, log

MOST, ROW_BYTES = 64, 256  # bins or components; bytes of a tile's row; compared with the library's at load
TYPES = {"ptrdiff_t": ctypes.c_ssize_t, "int": ctypes.c_int, "double": ctypes.c_double}  # others are addresses
STRUCTURES = ("numbers", "layer")


class Library:
    """Functions ``name_float`` and ``name_double``, and the structures that they take, as the library itself describes them."""

    def __init__(self, path: str):
        self.functions = ctypes.CDLL(path)
        if (self.number(ctypes.c_int, "most"), self.number(ctypes.c_int, "row_bytes")) != (MOST, ROW_BYTES):
            raise OSError(f"{path} has room for other sizes than {MOST} and {ROW_BYTES}")
        self.structures = {name: self._structure(name) for name in STRUCTURES}

    def number(self, kind: Any, name: str) -> int:
        return kind.in_dll(self.functions, name).value

    def _structure(self, name: str) -> type[ctypes.Structure]:
        text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(self.functions, f"{name}_fields"))).decode()
        members = [member.split() for member in text.split(";") if member]
        fields = [(member, TYPES.get(kind, ctypes.c_void_p)) for kind, member in members]
        made = type(name, (ctypes.Structure,), {"_fields_": fields})
        if ctypes.sizeof(made) != self.number(ctypes.c_ssize_t, f"{name}_size"):
            raise OSError(f"the structure {name} has another size in C than in Python")
        return made


class LibraryState:
    """What this process knows: the library, or why there is none, and who asked to do without it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.library: Library | None = None
        self.why = ""
        self.asked_not_to = 0
        self.own = threading.local()  # how much of it is this thread's, the only one that a forked child has
        self.forked = False


state = LibraryState()
if hasattr(os, "register_at_fork"):  # OpenMP's threads do not live on in a child
    os.register_at_fork(
        after_in_child=lambda: vars(state).update(forked=True, lock=threading.Lock(), asked_not_to=getattr(state.own, "asked", 0))
    )


def loaded() -> Library | None:
    """The library, compiled at the first call (some ten seconds); ``None``, and a line that says why, where that can't be."""
    if state.library is None and not state.why:
        with state.lock:
            if state.library is None and not state.why:
                try:
                    state.library = _load()
                except (OSError, ValueError) as error:  # the latter of what stands in the environment
                    state.why = str(error)
                    log.warning("pushforward: without compiled kernels many models are several times slower: %s", error)
    return state.library


def _load() -> Library:
    for path in candidates():
        with contextlib.suppress(OSError, ValueError):
            return Library(path)
    raise AssertionError("candidates ends with an error")


def switched_off() -> bool:
    return state.asked_not_to > 0 or os.environ.get("PUSHFORWARD_KERNELS") == "0"


@contextlib.contextmanager
def without() -> Iterator[None]:
    """The PyTorch paths instead of the kernels, in all threads: to compare them, or to count operations.

    Example::

        >>> with kernels.without():
        ...     kernels.path()
        "PyTorch's operations, as was asked for"
    """
    ask(1)
    try:
        yield
    finally:
        ask(-1)


def ask(more: int) -> None:
    with state.lock:
        state.asked_not_to += more
        state.own.asked = getattr(state.own, "asked", 0) + more


def path() -> str:
    """Which way splines, mixtures and masked layers go on a CPU, and why, for people to read."""
    if switched_off():
        return "PyTorch's operations, as was asked for"
    return "compiled kernels" if loaded() else f"PyTorch's operations: {state.why}"


@dataclass
class Fields:
    """What the fields of a structure hold. Tensors that C writes to must be contiguous."""

    numbers: dict[str, Any]
    tensors: dict[str, Tensor | None]
    lists: dict[str, list[Tensor]]


def call(name: str, structure: str, numbers: dict[str, Any], tensors: dict[str, Tensor | None]) -> None:
    """A function of the library, of one structure; see :func:`launch`."""
    dtype, alive = tensors["x"].dtype, []  # type: ignore[union-attr,var-annotated]
    launch(name, dtype, ctypes.byref(structure_of(structure, Fields(numbers, tensors, {}), dtype, alive)))


def structure_of(structure: str, given: Fields, dtype: torch.dtype, alive: list[Any]) -> ctypes.Structure:
    """A structure; what it holds the addresses of joins ``alive``, which has to live as long as C runs.

    Raises:
        ValueError: tensors of another dtype, or not on the CPU.
    """
    fields = {field: address(tensor, dtype, alive) for field, tensor in given.tensors.items() if tensor is not None}
    alive.append(given)
    for field, several in given.lists.items():
        array = (ctypes.c_void_p * len(several))(*[address(tensor, dtype, alive) for tensor in several])
        alive.append(array)
        fields[field] = ctypes.addressof(array)
    threads = 1 if state.forked else torch.get_num_threads()
    return needed(structure).structures[structure](threads=threads, **given.numbers, **fields)


def launch(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """A function of the library.

    Raises:
        MemoryError: there is none for intermediate results.
    """
    if getattr(needed(name).functions, f"{name}_{'float' if dtype is torch.float32 else 'double'}")(*arguments):
        raise MemoryError(f"kernels: {name} found no memory for its intermediate results; take fewer rows or threads")


def needed(what: str) -> Library:
    library = loaded()
    if library is None:
        raise RuntimeError(f"kernels: {what} needs the compiled library: {state.why}")
    return library


def address(tensor: Tensor, dtype: torch.dtype, alive: list[Any]) -> int:
    """Where its numbers are; a copy in the right order joins ``alive``."""
    if tensor.dtype is not dtype or not tensor.is_cpu:
        raise ValueError(f"kernels: expected {dtype} on the CPU, got {tensor.dtype} on {tensor.device}")
    pointer = tensor.data_ptr()
    if not pointer and tensor.numel():
        raise ValueError(f"kernels: a tensor of shape {tuple(tensor.shape)} has no memory; its storage was freed")
    if tensor.is_contiguous():
        return pointer
    alive.append(tensor.contiguous())
    return alive[-1].data_ptr()
