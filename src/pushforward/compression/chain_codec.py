"""Codecs that get bits back: rows on a stack, one batch above the other."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core import Flow
from ..documents import validated
from .codec import Codec, repeatable
from .coder import Enough
from .damage import Damage
from .stack import AnsStack, RehearsedStack, Stack

MOST_AT_ONCE = 64  # rows
NUMBERS_AT_ONCE = 2**17  # of all rows together, as each has a table of its own
TRIED_ROWS = 4  # rows, each by itself, that tell what one draws and leaves
PROBED = 2**12  # calls of the coder that tell whether a machine computes the same probabilities: all of most models
COUNTED_ON = 0.7  # of what rows leave on the stack, as some leave less


class ChainCodec(Codec):
    """Rows that are put on a stack and taken off: a batch draws its latents from the bits of those before.

    The first row draws from bits of the stack's bottom, which count as a part of the stream. A batch is as large as what lies on the stack
    allows, at most 64 rows and 2^17 numbers, so that this is paid once for a block.

    Arguments:
        flow: the model; a copy of it is made.
        block: rows of a block.
    """

    usual = 4096

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        self.share = 0.0
        self.most = max(1, min(MOST_AT_ONCE, NUMBERS_AT_ONCE // math.prod(flow.shape)))

    @abstractmethod
    def put(self, stack: Stack, x: Tensor, context: Tensor | None) -> None:
        """Rows ``(n, *shape)`` onto the stack, with embedded contexts."""

    @abstractmethod
    def take(self, stack: Stack, rows: int, context: Tensor | None) -> Tensor:
        """The rows that lie on top, and with them all that :meth:`put` did."""

    def configure(self, options: Mapping[str, Any]) -> None:
        self.share = validated(float, options.get("share"), "share")
        if not 0 <= self.share <= MOST_AT_ONCE:
            raise ValueError(f"share: expected a number from 0 to {MOST_AT_ONCE}, got {self.share}")

    def share_of(self, x: Tensor, context: Tensor | None) -> float:
        """What a row leaves on the stack, as a share of what it draws, with a margin; by the first rows, each on a stack of its own."""
        drawn, left = [1], [0]
        with repeatable():
            rows = min(TRIED_ROWS, self.block, len(x))
            seen = self.embedded(None if context is None else context[:rows])
            for i in range(rows):
                stack, row = AnsStack(), slice(i, i + 1)
                try:
                    self.put(stack, x[row].double(), None if seen is None else seen[row])
                except Damage:
                    continue
                drawn.append(stack.initial_bits)
                left.append(8 * len(stack.to_bytes()) - stack.initial_bits)
        return round(min(float(MOST_AT_ONCE), max(0.0, COUNTED_ON * sum(left) / len(left) / max(drawn))), 4)

    def encode(self, x: Tensor, context: Tensor | None) -> bytes:
        if not len(x):
            return b""
        stack = AnsStack()
        with repeatable():
            seen = self.embedded(context)
            for part in batches(len(x), self.share, self.most):
                self.put(stack, x[part], None if seen is None else seen[part])
        self.initial_bits = stack.initial_bits
        return stack.to_bytes()

    def decode(self, data: bytes, rows: int, context: Tensor | None) -> Tensor:
        if not rows:
            return self.nothing()
        stack, found = AnsStack(data), []
        with repeatable():
            seen = self.embedded(context)
            for part in reversed(batches(rows, self.share, self.most)):
                found.append(self.take(stack, part.stop - part.start, None if seen is None else seen[part]))
        stack.finish()
        return torch.cat(found[::-1])

    def probe(self) -> str:
        stack, rows = RehearsedStack(PROBED), min(self.block, TRIED_ROWS)
        try:
            with repeatable():
                context = self.embedded(self.no_context(rows))
                self.take(stack, rows, None if context is None else context[:rows])
        except (Enough, Damage):
            pass
        return stack.coder.hash.hexdigest()


def batches(rows: int, share: float, most: int = MOST_AT_ONCE) -> list[slice]:
    """Which rows go onto the stack together.

    Arguments:
        rows: of a block.
        share: what a row leaves on the stack, as a share of what it draws.
        most: rows at once.

    Example::

        >>> [part.stop - part.start for part in batches(100, 0.5)]
        [1, 1, 2, 3, 4, 6, 9, 14, 21, 31, 8]
    """
    found, start = [], 0
    while start < rows:
        stop = min(start + min(most, 1 + int(share * start)), rows)
        found.append(slice(start, stop))
        start = stop
    return found
