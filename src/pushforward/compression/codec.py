"""The contract of codecs, and the conditions under which both directions compute equal probabilities."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import kernels
from ..core import Flow
from .coder import Coder, Enough, Reader, Rehearsal, Writer
from .damage import Damage

REHEARSED = 64  # calls of the coder that tell whether a machine computes the same probabilities


class Codec(ABC):
    """Rows of a fitted model as streams of bits, block by block, and back.

    The model is computed in float64, in eval mode, by PyTorch's plain paths in one thread, in either direction for equal batches of rows.

    Attributes:
        method: how it codes.
        usual: rows of a block where nobody says.
        initial_bits: of the last stream, those that its first rows drew from, and that nobody gets back.

    Arguments:
        flow: the model; a copy of it is made.
        block: rows of a block.
    """

    method: ClassVar[str]
    usual: ClassVar[int]
    initial_bits: int = 0

    def __init__(self, flow: Flow, block: int | None = None):
        self.flow = copy.deepcopy(flow).cpu().double().eval()
        self.block = block or self.usual

    @abstractmethod
    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        """What the codec has to know of all rows, and of their raw contexts, beforehand, as JSON holds it."""

    @abstractmethod
    def configure(self, options: Mapping[str, Any]) -> None:
        """Take what :meth:`options` found.

        Raises:
            ValueError: it is no such thing.
        """

    @abstractmethod
    def encode(self, x: Tensor, context: Tensor | None) -> bytes:
        """The stream of a block, ``(n, *shape)`` and raw context ``(n, K)``."""

    @abstractmethod
    def decode(self, data: bytes, rows: int, context: Tensor | None) -> Tensor:
        """The rows of a stream.

        Raises:
            Damage: it can't be one of this model.
        """

    @abstractmethod
    def probe(self) -> str:
        """A digest of probabilities of a block that the model itself makes: machines on which it is equal read each other's files."""

    def nothing(self) -> Tensor:
        """No rows."""
        return torch.zeros(0, *self.flow.shape, dtype=torch.float64)

    def no_context(self, rows: int) -> Tensor | None:
        """Contexts of zeros, if the model takes any."""
        return None if self.flow.context_shape is None else torch.zeros(rows, *self.flow.context_shape, dtype=torch.float64)

    def embedded(self, context: Tensor | None) -> Tensor | None:
        """Contexts of a block as the layers see them, filled up by repeats of the first."""
        if context is None:
            return None
        filled = torch.cat([context, context[:1].expand(self.block - len(context), *context.shape[1:])])
        return self.flow.embedding(filled.double())


class RangeCodec(Codec):
    """Symbols in a queue: the model is always computed for ``block`` rows, of which the last block's are filled up. Both directions go
    through the same lines with a :class:`Coder` that writes or reads.
    """

    method = "range coding"

    @abstractmethod
    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        """The numbers of ``rows`` rows, at most ``block``: written if x is known, ``(rows, *shape)``, else read. Embedded ``context`` has
        ``block`` rows.
        """

    def encode(self, x: Tensor, context: Tensor | None) -> bytes:
        writer = Writer()
        if len(x):
            with repeatable():
                self.code(writer, len(x), x, self._seen(context))
        return writer.to_bytes()

    def decode(self, data: bytes, rows: int, context: Tensor | None) -> Tensor:
        if not rows:
            return self.nothing()
        with repeatable():
            return self.code(Reader(data), rows, None, self._seen(context))

    def probe(self) -> str:
        coder = Rehearsal(REHEARSED)
        try:
            with repeatable():
                self.code(coder, self.block, None, self._seen(self.no_context(self.block)))
        except (Enough, Damage):
            pass
        return coder.hash.hexdigest()

    def _seen(self, context: Tensor | None) -> Tensor | None:
        """Contexts as the base sees them."""
        return None if context is None else self.flow.base.seen(self.embedded(context))


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread, plain paths, no gradient: the same arithmetic wherever it is done again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with kernels.without(), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def checksum(*parts: bytes) -> str:
    """A checksum of 64 bits, in hexadecimal."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def filled_up(part: np.ndarray | Tensor, rows: int) -> Tensor:
    """Numbers of n rows, then zeros up to ``rows``."""
    found = torch.as_tensor(part)
    return torch.cat([found, found.new_zeros(rows - len(found), *found.shape[1:])])
