"""An entropy coder as codecs see it: who knows the symbols writes them, who does not reads them, by the same calls."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np

from .damage import Damage

BITS = 24  # of the fixed point in which probabilities are given to the coder
GRID = 2**BITS


class Coder(ABC):
    """Symbols of a block, in an order that the codec knows: each call gives the distributions, and what the symbols are if that is known.

    Both directions make the same calls with the same distributions, so that a codec is written once.
    """

    @abstractmethod
    def choice(self, surplus: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """One of S symbols for each row, int32 ``(n,)``, symbol k by the probability ``(1 + surplus_k) / 2**24``.

        Arguments:
            surplus: whole numbers ``(n, S)`` of at least 0 whose rows sum to ``2**24 - S``: see :func:`surplus_of`.
            symbols: ``(n,)``, if they are known.
        """

    @abstractmethod
    def uniform(self, sizes: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        """A whole number below ``sizes``, from 2 to 2**17, for each row, int32 ``(n,)``, all equally likely."""


class Sending(Coder):
    """Symbols that are known, and are only written."""

    def __init__(self) -> None:
        model = constriction().stream.model
        self.choices, self.numbers = model.Categorical(perfect=False), model.Uniform()

    @abstractmethod
    def write(self, symbols: np.ndarray, model: Any, parameters: np.ndarray) -> None:
        """Symbols, int32 ``(n,)``, by n distributions of one kind."""

    def choice(self, surplus: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        found = np.ascontiguousarray(symbols, np.int32)
        if surplus.shape[1] > 1 and len(found):  # of sums of whole numbers up to 2**24 float32 has all digits
            self.write(found, self.choices, np.ascontiguousarray(surplus, np.float32))
        return found

    def uniform(self, sizes: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        found = np.ascontiguousarray(symbols, np.int32)
        if len(found):
            self.write(found, self.numbers, np.ascontiguousarray(sizes, np.int32))
        return found


class Receiving(Coder):
    """Symbols that are read."""

    def __init__(self) -> None:
        model = constriction().stream.model
        self.choices, self.numbers = model.Categorical(perfect=False), model.Uniform()

    @abstractmethod
    def read(self, model: Any, parameters: np.ndarray) -> np.ndarray:
        """Symbols, int32 ``(n,)``, of n distributions of one kind."""

    def choice(self, surplus: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        if surplus.shape[1] == 1 or not len(surplus):
            return np.zeros(len(surplus), np.int32)
        return self.read(self.choices, np.ascontiguousarray(surplus, np.float32))

    def uniform(self, sizes: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        return self.read(self.numbers, np.ascontiguousarray(sizes, np.int32)) if len(sizes) else np.zeros(0, np.int32)


class Writer(Sending):
    """Symbols that are known, to bytes.

    Raises:
        Damage: there is no such symbol.
        ValueError: constriction is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.coder = constriction().stream.queue.RangeEncoder()

    def write(self, symbols: np.ndarray, model: Any, parameters: np.ndarray) -> None:
        try:
            self.coder.encode(symbols, model, parameters)
        except (KeyError, ValueError) as error:
            raise Damage("it holds a number that the model does not have") from error

    def to_bytes(self) -> bytes:
        """All that was written: whole words of 32 bits, little end first."""
        return self.coder.get_compressed().astype("<u4").tobytes()


class Reader(Receiving):
    """Symbols from the bytes of a :class:`Writer`.

    Raises:
        Damage: the bytes can't be what it wrote.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) % 4:
            raise Damage("its stream is no whole number of words")
        super().__init__()
        self.coder = constriction().stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def read(self, model: Any, parameters: np.ndarray) -> np.ndarray:
        try:
            return self.coder.decode(model, parameters)
        except (AssertionError, ValueError) as error:
            raise Damage("its stream is not one that these probabilities can have written") from error


class Rehearsal(Coder):
    """Symbols by a fixed rule where they are not known, and a digest of all probabilities given: equal where two machines compute the same.

    Arguments:
        calls: after which :class:`Enough` is raised.
    """

    def __init__(self, calls: int) -> None:
        self.left, self.hash = calls, hashlib.blake2b(digest_size=16)

    def choice(self, surplus: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        self._count(surplus)
        if symbols is not None:
            return np.ascontiguousarray(symbols, np.int32)
        level = (np.arange(len(surplus)) * 40503 + 9973 * self.left) % 65536 * (GRID // 65536)
        return ((surplus + 1).cumsum(1) <= level[:, None]).sum(1).astype(np.int32)

    def uniform(self, sizes: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        self._count(sizes)
        if symbols is not None:
            return np.ascontiguousarray(symbols, np.int32)
        return (np.arange(len(sizes)) * 40503 % np.maximum(sizes, 1)).astype(np.int32)

    def _count(self, numbers: np.ndarray) -> None:
        self.hash.update(np.ascontiguousarray(numbers, "<i8").tobytes())
        self.left -= 1
        if not self.left:
            raise Enough


class Enough(Exception):
    """A rehearsal has seen what it wanted to see."""


@cache
def constriction() -> Any:
    """The library of entropy coders.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import constriction as library
    except ImportError:
        raise ValueError(
            "compress: the entropy coder is constriction, which is not installed; use pip install 'pushforward[compress]'"
        ) from None
    return library
