"""A stack of bits: what was pushed is popped in the opposite order, and popping bits that nobody pushed draws symbols."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .coder import Coder, Receiving, Rehearsal, Sending, constriction
from .damage import Damage

STATE = 2  # words that the coder holds beside the stack
START = 2**10  # words that are there at first


class Stack(ABC):
    """Symbols with their distributions, the last one pushed on top.

    A codec that pops with q, pushes with p and in the end is left with fewer bits than it pushed has got bits back: popping costs minus
    what pushing costs, and each undoes the other.
    """

    @property
    @abstractmethod
    def popping(self) -> Coder:
        """A coder that takes symbols from the top, in the order of its calls."""

    @abstractmethod
    def pushing(self) -> Any:
        """A context that gives a coder of known symbols; on its exit they are there, so that ``popping`` meets them in the order of the
        calls.
        """


class AnsStack(Stack):
    """A stack of bytes, by asymmetric numeral systems.

    At its bottom are words that anyone can make, of which as many count as were read: who writes draws from them, who reads must find them
    when all else is taken off, and can tell that nothing was altered.

    Source: Asymmetric numeral systems, Duda, 2013, arXiv:1311.2540, by constriction (Bamler, 2022, arXiv:2201.01741).

    Arguments:
        data: of another stack's :meth:`to_bytes`; without, there is nothing but the bottom.

    Raises:
        Damage: the bytes can't be what one wrote.
    """

    def __init__(self, data: bytes | None = None) -> None:
        self.writes = data is None
        self.bottom = self.least = START
        if data is None:
            words = bottom_words(START)
        elif len(data) % 4 or len(data) < 4 * STATE:
            raise Damage("its stream is no whole number of words")
        else:
            words = np.frombuffer(data, "<u4").astype(np.uint32)
        try:
            self.coder = constriction().stream.stack.AnsCoder(words)
        except ValueError as error:
            raise Damage("its stream ends where none does") from error

    @property
    def popping(self) -> Coder:
        return Popping(self)

    @contextmanager
    def pushing(self) -> Iterator[Coder]:
        coder = Pushing()
        yield coder
        for symbols, model, parameters in reversed(coder.calls):
            try:
                self.coder.encode_reverse(symbols, model, parameters)
            except (KeyError, ValueError) as error:
                raise Damage("it holds a number that the model does not have") from error

    def pop(self, model: Any, parameters: np.ndarray) -> np.ndarray:
        """Symbols of so many distributions."""
        if self.writes:
            self._deepen(len(parameters) + STATE)
        found = self.coder.decode(model, parameters)
        self.least = min(self.least, self.coder.num_words())
        return found

    @property
    def initial_bits(self) -> int:
        """Of the bottom, that count so far."""
        return 32 * (self.bottom - self.least + STATE)

    def to_bytes(self) -> bytes:
        """All that was pushed and not popped, and the words of the bottom that were read."""
        return self.coder.get_compressed()[self.least - STATE :].astype("<u4").tobytes()

    def finish(self) -> None:
        """Raise Damage unless nothing but the bottom is left."""
        left = self.coder.get_compressed()
        if len(left) < STATE or not np.array_equal(left, bottom_words(len(left))):
            raise Damage("its stream is not one that these probabilities can have written")

    def _deepen(self, words: int) -> None:
        """Put more words below the bottom if it might be reached: a symbol takes at most 24 bits."""
        if self.coder.num_words() < words + STATE:
            bottom = self.bottom + max(words, self.bottom)
            more = bottom_words(bottom)[: bottom - self.bottom]
            self.coder = type(self.coder)(np.concatenate([more, self.coder.get_compressed()]))
            self.least += len(more)
            self.bottom = bottom


class Popping(Receiving):
    """Symbols from the top of a stack."""

    def __init__(self, stack: AnsStack) -> None:
        super().__init__()
        self.stack = stack

    def read(self, model: Any, parameters: np.ndarray) -> np.ndarray:
        return self.stack.pop(model, parameters)


class Pushing(Sending):
    """Symbols for a stack, kept until all are known, since the first is the last to be pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[np.ndarray, Any, np.ndarray]] = []

    def write(self, symbols: np.ndarray, model: Any, parameters: np.ndarray) -> None:
        self.calls.append((symbols, model, parameters))


class RehearsedStack(Stack):
    """A stack from which symbols come by a fixed rule, with a digest of all distributions.

    Arguments:
        calls: after which :class:`~pushforward.compression.coder.Enough` is raised.
    """

    def __init__(self, calls: int) -> None:
        self.coder = Rehearsal(calls)

    @property
    def popping(self) -> Coder:
        return self.coder

    @contextmanager
    def pushing(self) -> Iterator[Coder]:
        yield self.coder


def bottom_words(count: int) -> np.ndarray:
    """The last ``count`` of words without an end to the left, uint32: bits that look random and are the same everywhere."""
    words = np.frombuffer(hashlib.shake_128(b"pushforward").digest(4 * count), "<u4")
    return words[::-1].astype(np.uint32)
