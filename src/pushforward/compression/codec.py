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

    The model is computed in float64, in eval mode, by PyTorch's plain paths in one thread, always for ``block`` rows: the last block is
    filled up. Both directions go through the same lines with a :class:`Coder` that writes or reads.

    Attributes:
        method: how it codes.
        usual: rows of a block where nobody says.

    Arguments:
        flow: the model; a copy of it is made.
        block: rows of a block.
    """

    method: ClassVar[str] = "range coding"
    usual: ClassVar[int]

    def __init__(self, flow: Flow, block: int | None = None):
        self.flow = copy.deepcopy(flow).cpu().double().eval()
        self.block = block or self.usual

    @abstractmethod
    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        """The numbers of ``rows`` rows, at most ``block``: written if x is known, ``(rows, *shape)``, else read. Embedded ``context`` has
        ``block`` rows.
        """

    @abstractmethod
    def options(self, x: Tensor) -> dict[str, Any]:
        """What the codec has to know of all rows beforehand, as JSON holds it."""

    @abstractmethod
    def configure(self, options: Mapping[str, Any]) -> None:
        """Take what :meth:`options` found.

        Raises:
            ValueError: it is no such thing.
        """

    def encode(self, x: Tensor, context: Tensor | None) -> bytes:
        """The stream of a block, ``(n, *shape)`` and raw context ``(n, K)``."""
        writer = Writer()
        if len(x):
            with repeatable():
                self.code(writer, len(x), x, self._embedded(context))
        return writer.to_bytes()

    def decode(self, data: bytes, rows: int, context: Tensor | None) -> Tensor:
        """The rows of a stream.

        Raises:
            Damage: it can't be one of this model.
        """
        if not rows:
            return torch.zeros(0, *self.flow.shape, dtype=torch.float64)
        with repeatable():
            return self.code(Reader(data), rows, None, self._embedded(context))

    def probe(self) -> str:
        """A digest of probabilities of a block that the model itself makes: machines on which it is equal read each other's files."""
        coder = Rehearsal(REHEARSED)
        context = None if self.flow.context_shape is None else torch.zeros(self.block, *self.flow.context_shape, dtype=torch.float64)
        try:
            with repeatable():
                self.code(coder, self.block, None, self._embedded(context))
        except (Enough, Damage):
            pass
        return coder.hash.hexdigest()

    def _embedded(self, context: Tensor | None) -> Tensor | None:
        """Contexts as the base sees them, filled up by repeats of the first."""
        if context is None:
            return None
        filled = torch.cat([context, context[:1].expand(self.block - len(context), *context.shape[1:])])
        return self.flow.base.seen(self.flow.embedding(filled.double()))


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
