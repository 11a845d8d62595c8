"""PixelRNN's layers: the row LSTM and the diagonal bidirectional LSTM."""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pixel_rnn_lines import Line, cell, diagonals, line_lstm, rows

Stream = Generator[Tensor, Tensor, None]  # gives what leaves a layer at a site, (B, 2 w), is sent what enters at the next


class LineLSTM(nn.Module):
    r"""A residual layer of long short-term memory over the lines of an image, ``(2 w, H, W, B) -> (2 w, H, W, B)`` for w cells.

    ``x + W_3 h`` with the cells of each line from ``W_1 x`` and ``W_2 h`` of the line before. The images are the last axis.
    """

    def __init__(self, width: int, directions: int, reads: int, taps: int):
        super().__init__()
        self.width = width
        self.inward = nn.Parameter(torch.randn(directions, 4 * width, 2 * reads * width) / math.sqrt(2 * reads * width))
        self.offset = nn.Parameter(torch.zeros(directions, 4 * width, 1))
        self.state = nn.Parameter(torch.randn(directions, 4 * width, taps * width) / math.sqrt(taps * width))
        self.outward = nn.Linear(width, 2 * width)
        nn.init.ones_(self.offset[:, width : 2 * width])  # cells remember

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def walk(self, batch: int, width: int) -> Stream:
        """The same site by site, in rows of that width; its first ``next`` gives nothing of use."""
        raise NotImplementedError(f"{type(self).__name__} does not define walk")

    def _cells(self, x: Tensor, lines: list[Line]) -> Tensor:
        """What enters, ``(D, inputs, H, W, B)``, to the cells' outputs."""
        gates = torch.baddbmm(self.offset, self.inward, x.flatten(2)).unflatten(2, (x.shape[2] * x.shape[3], x.shape[4]))
        return line_lstm(gates, self.state, lines).unflatten(2, x.shape[2:4])

    def _added(self, x: Tensor, h: Tensor) -> Tensor:
        return x + torch.addmm(self.outward.bias.unsqueeze(1), self.outward.weight, h.flatten(1)).view_as(x)


class RowLSTM(LineLSTM):
    """A site reads itself and its left neighbour, and of the cells in the row above the three nearest."""

    def __init__(self, width: int):
        super().__init__(width, directions=1, reads=2, taps=3)

    def forward(self, x: Tensor) -> Tensor:
        near = torch.cat([x, F.pad(x, (0, 0, 1, -1))]).unsqueeze(0)
        return self._added(x, self._cells(near, rows(*x.shape[1:3])).squeeze(0))

    def walk(self, batch: int, width: int) -> Stream:
        blank = self.offset.new_zeros(batch, self.width)
        above = cells = [blank] * width
        x = yield blank
        while True:
            states = torch.stack([torch.cat(near, 1) for near in zip(above, [blank, *above], [*above[1:], blank], strict=False)])
            offsets = F.linear(states, self.state[0], self.offset[0, :, 0])
            left, olds, above, cells = x.new_zeros(batch, 2 * self.width), cells, [], []
            for old, offset in zip(olds, offsets, strict=True):
                h, c = cell(offset + F.linear(torch.cat([x, left], 1), self.inward[0]), old)
                above.append(h)
                cells.append(c)
                left, x = x, (yield x + self.outward(h))


class DiagonalLSTM(LineLSTM):
    """Cells that go right read those to the left and above, cells that go left those to the right and above.

    The latter reach a site from the row above it, since those of its own row have seen what comes later.
    """

    def __init__(self, width: int):
        super().__init__(width, directions=2, reads=1, taps=2)

    def forward(self, x: Tensor) -> Tensor:
        right, left = self._cells(torch.stack([x, x.flip(2)]), diagonals(*x.shape[1:3]))
        return self._added(x, right + F.pad(left.flip(2), (0, 0, 0, 0, 1, -1)))

    def walk(self, batch: int, width: int) -> Stream:
        blank = self.offset.new_zeros(batch, self.width)
        right, left = torch.cat([self.inward, self.state], 2)
        to_right, to_left = self.offset.squeeze(2)
        above = below = [blank] * width  # cells of the row above: those that went right, those that went left
        x = yield blank
        while True:
            row: list[Tensor] = []
            h = c = blank
            news = []
            for column in range(width):
                h, c = cell(F.linear(torch.cat([x, h, above[column]], 1), right, to_right), c)
                row.append(x)
                news.append(h)
                x = yield x + self.outward(h + below[column])
            h = c = blank
            above, news = news, []
            for column in reversed(range(width)):
                h, c = cell(F.linear(torch.cat([row[column], h, below[column]], 1), left, to_left), c)
                news.append(h)
            below = news[::-1]
