"""Long short-term memory over the lines of an image: all sites of a row, or of a diagonal, in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .prefix import recorded, stepwise

Tap = tuple[slice, slice]  # of a line, the sites that have a certain neighbour; of the line before, those that are it


class Line(NamedTuple):
    """Sites whose states come from those of the line before.

    Attributes:
        sites: where they are among all, row by row.
        length: how many.
        taps: for each neighbour that a site reads.
    """

    sites: slice
    length: int
    taps: tuple[Tap, ...]


def rows(height: int, width: int) -> list[Line]:
    """A site reads the one above, and those to its left and right."""
    ranges = [(i * width, 1, 0, width - 1) for i in range(height)]
    return _lines(ranges, (0, -1, 1))


def diagonals(height: int, width: int) -> list[Line]:
    """From the upper right to the lower left, site after site by row: a site reads the one to its left, and the one above."""
    ranges = []
    for d in range(height + width - 1):
        first = max(0, d - width + 1)
        ranges.append((d + first * (width - 1), max(1, width - 1), first, min(d, height - 1)))
    return _lines(ranges, (0, -1))


def _lines(ranges: Sequence[tuple[int, int, int, int]], offsets: tuple[int, ...]) -> list[Line]:
    """Of lines that begin at a site, go on in steps, and hold the columns or rows from the first to the last."""
    lines, before = [], (0, 0, 0, -1)
    for line in ranges:
        start, step, first, last = line
        taps = []
        for offset in offsets:
            low = max(first, before[2] - offset)
            high = max(low - 1, min(last, before[3] - offset))
            taps.append((slice(low - first, high - first + 1), slice(low + offset - before[2], high + offset - before[2] + 1)))
        count = last - first + 1
        lines.append(Line(slice(start, start + (count - 1) * step + 1, step), count, tuple(taps)))
        before = line
    return lines


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """``c' = f c + i u`` and ``h = o tanh(c')`` with ``[i, f, o] = sigmoid``, ``u = tanh`` of the gates, on axis 1; gives h and c'."""
    width = c.shape[1]
    i, f, o = gates[:, : 3 * width].sigmoid().chunk(3, 1)
    c = torch.addcmul(f * c, i, gates[:, 3 * width :].tanh())
    return o * c.tanh(), c


def line_lstm(gates: Tensor, weight: Tensor, lines: list[Line]) -> Tensor:
    r"""``h = cell(gates + weight [neighbours' h], c of the first neighbour)``, line after line.

    ``(D, 4 w, T, B) -> (D, w, T, B)`` for D directions over the T sites of B images, with ``weight`` ``(D, 4 w, taps w)``. The images are
    the last axis, so that a step is one product of matrices as long as the line, and what is done to each gate is over whole blocks.

    Reference: Long Short-Term Memory, Hochreiter, Schmidhuber, 1997; over images as in Pixel Recurrent Neural Networks, van den
    Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759, section 3.
    """
    gates = gates.to(weight.dtype)  # under autocast too
    if stepwise() or torch.compiler.is_compiling() or not recorded(gates, weight):
        return _step_by_step(gates, weight, lines)
    return _LineLSTM.apply(gates, weight, lines)


def _step_by_step(gates: Tensor, weight: Tensor, lines: list[Line]) -> Tensor:
    found: list[Tensor] = []
    places: list[int] = []
    h = c = gates[:, : gates.shape[1] // 4, :0]
    for line in lines:
        near = torch.cat([_moved(h, tap, line.length) for tap in line.taps], 1).flatten(2)
        g = gates[:, :, line.sites] + (weight @ near).unflatten(2, (line.length, gates.shape[3]))
        h, c = cell(g, _moved(c, line.taps[0], line.length))
        found.append(h)
        places += range(line.sites.start, line.sites.stop, line.sites.step)
    order = sorted(range(len(places)), key=places.__getitem__)
    return torch.cat(found, 2).index_select(2, torch.tensor(order, device=gates.device))


def _moved(state: Tensor, tap: Tap, length: int) -> Tensor:
    """States of the line before, where a line of that length reads them; zero where there is no neighbour."""
    here, there = tap
    return F.pad(state[:, :, there], (0, 0, here.start, length - here.stop))


class _LineLSTM(torch.autograd.Function):
    """The same, with a backward that adds up in place: autograd's own takes three to eight times as long."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, lines: list[Line]) -> Tensor:
        directions, width, batch = weight.shape[0], weight.shape[1] // 4, gates.shape[3]
        out = gates.new_empty(directions, width, *gates.shape[2:])
        kept: list[Tensor] = []
        h = after = out[:, :, :0]
        for line in lines:
            near = gates.new_zeros(directions, weight.shape[2], line.length, batch)
            c = gates.new_zeros(directions, width, line.length, batch)
            for k, (here, there) in enumerate(line.taps):
                near[:, k * width : (k + 1) * width, here] = h[:, :, there]
            c[:, :, line.taps[0][0]] = after[:, :, line.taps[0][1]]
            g = gates.new_empty(directions, 4 * width, line.length, batch)
            torch.baddbmm(gates[:, :, line.sites].flatten(2), weight, near.flatten(2), out=g.flatten(2))
            i, f, o = g[:, : 3 * width].sigmoid_().chunk(3, 1)
            u = g[:, 3 * width :].tanh_()
            after = torch.addcmul(f * c, i, u)
            squashed = after.tanh()
            h = o * squashed
            out[:, :, line.sites] = h
            kept += [g, near, c, squashed]
        ctx.lines = lines
        ctx.save_for_backward(weight, *kept)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, *kept = ctx.saved_tensors
        directions, width = weight.shape[0], weight.shape[1] // 4
        to_gates = grad.new_empty(directions, 4 * width, *grad.shape[2:])
        to_weight = torch.zeros_like(weight)
        taps: tuple[Tap, ...] = ()  # of the line after
        to_near = to_c = grad
        for line in reversed(ctx.lines):
            g, near, c, squashed = kept[-4:]
            del kept[-4:]
            i, f, o, u = g.chunk(4, 1)
            dh = grad[:, :, line.sites].clone(memory_format=torch.contiguous_format)
            for k, (here, there) in enumerate(taps):
                dh[:, :, there] += to_near[:, k * width : (k + 1) * width, here]
            dc = torch.ops.aten.tanh_backward(dh * o, squashed)
            for here, there in taps[:1]:
                dc[:, :, there] += to_c[:, :, here]
            d = torch.empty_like(g)
            torch.mul(dc, u, out=d[:, :width])
            torch.mul(dc, c, out=d[:, width : 2 * width])
            torch.mul(dh, squashed, out=d[:, 2 * width : 3 * width])
            torch.mul(dc, i, out=d[:, 3 * width :])
            squeezed = d[:, : 3 * width]
            torch.ops.aten.sigmoid_backward(squeezed, g[:, : 3 * width], grad_input=squeezed)
            torch.ops.aten.tanh_backward(d[:, 3 * width :], u, grad_input=d[:, 3 * width :])
            to_gates[:, :, line.sites] = d
            flat = d.flatten(2)
            to_weight.baddbmm_(flat, near.flatten(2).transpose(1, 2))
            to_near = torch.bmm(weight.transpose(1, 2), flat).view_as(near)
            to_c, taps = dc * f, line.taps
        return to_gates, to_weight, None
