"""What is left of a number once its code is known: which of the favourite values of its part, or else where between them."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..transforms import Quantize
from .coder import Coder
from .damage import Damage
from .digits import by_chance, by_digits, surplus_of
from .lattice import MIDDLE, Lattice

STEPS = 320  # pieces of equal density of an exponential, 8 of which halve it
HALVING = math.log(2) / 8
ONE = np.uint64(1)


class ColumnParts:
    """A column of :class:`Quantize`: numbers given their parts, as it spreads them there.

    Favourite values by their counts; others by the flat or exponential density of the part, of which all numbers of the lattice in a
    piece are equally likely. A number outside of its part can be written as well, in more bits.

    Arguments:
        layer: the codes.
        i: the column.
        lattice: of its numbers.
    """

    def __init__(self, layer: Quantize, i: int, lattice: Lattice):
        self.lattice, self.whole = lattice, bool(layer.whole[i])
        self.codes, edges, self.values = (t[i].cpu().numpy() for t in (layer.codes, layer.edges, layer.values))
        self.count = 1 + int((np.diff(self.codes) > 0).sum())
        self.first, self.totals = layer.first[i].cpu().numpy(), layer.totals[i].cpu().numpy()
        low, high, self.scale, self.others = layer.parts[i, : self.count].cpu().numpy().T
        self.most = int(np.diff(self.first[: self.count + 1]).max(initial=0))
        ends = lattice.below(np.concatenate([low[:1], edges[: self.count - 1], high[-1:]]))
        start = ends[:-1] + ONE
        start[0] = ends[0] + ONE if self.whole else ends[0]
        self.start, self.end = start, np.maximum(ends[1:], start)
        self.sizes = (self.end - self.start).astype(np.int64) + 1
        self.low, self.high = low, high

    def part(self, code: np.ndarray) -> np.ndarray:
        """The part of a code, ``(n,)``."""
        return np.searchsorted(self.codes[: self.count], code).clip(max=self.count - 1)

    def favourite(self, x: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The place of each number among the favourites of its part, -1 where it is none."""
        at = np.searchsorted(self.values, x).clip(max=len(self.values) - 1)
        known = (self.values[at] == x) & (at >= self.first[part]) & (at < self.first[part + 1])
        return np.where(known, at - self.first[part], -1)

    def code(self, coder: Coder, part: np.ndarray, x: np.ndarray | None) -> np.ndarray:
        """The numbers of rows in these parts, ``(n,)``."""
        found = np.empty(len(part))
        closed = self.scale[part] == 0 if self.whole else np.zeros(len(part), bool)
        for way, here in ((self._whole, np.flatnonzero(closed)), (self._apart, np.flatnonzero(~closed))):
            if len(here):
                found[here] = way(coder, part[here], None if x is None else x[here])
        return found

    def _whole(self, coder: Coder, part: np.ndarray, x: np.ndarray | None) -> np.ndarray:
        """Whole numbers of flat parts: favourites and others as one distribution, since each number may be either."""
        first, size = self.first[part][:, None], self.sizes[part][:, None]
        last, share = self.first[part + 1][:, None], self.others[part][:, None]
        least = (self.start[part] ^ MIDDLE).view(np.int64)[:, None]
        total = self.totals[last] - self.totals[first]

        def below(k: np.ndarray) -> np.ndarray:
            k = np.minimum(k, size)
            at = np.clip(np.searchsorted(self.values, (least + k).astype(np.float64)), first, last)
            favourite = np.where(k < size, self.totals[at], self.totals[last]) - self.totals[first]
            return np.where(total > 0, (1 - share) * favourite / np.maximum(total, 1), 0) + np.where(total > 0, share, 1) * k / size

        levels = int(self.sizes[self.scale == 0].max())
        known = None if x is None else x.astype(np.int64) - least[:, 0]
        return (least[:, 0] + by_digits(coder, levels, below, known, len(part))).astype(np.float64)

    def _apart(self, coder: Coder, part: np.ndarray, x: np.ndarray | None) -> np.ndarray:
        """A favourite or another number, then which."""
        place = None if x is None else self.favourite(x, part)
        ends = np.stack([np.zeros(len(part)), 1 - self.others[part], np.ones(len(part))], 1)
        other = coder.choice(surplus_of(ends), None if place is None else (place < 0).astype(np.int64)).astype(bool)
        found = np.empty(len(part))
        here = np.flatnonzero(~other)
        found[here] = self._favourites(coder, part[here], None if place is None else place[here])
        flat = np.flatnonzero(other & (self.scale[part] == 0))
        groups = [flat, *(np.flatnonzero(other & (part == p)) for p in np.flatnonzero(self.scale))]
        for here in groups:
            if len(here):
                keys = None if x is None else self.lattice.keys(x[here])
                found[here] = self.lattice.values(self._between(coder, part[here], keys, here is not flat))
        return found

    def _favourites(self, coder: Coder, part: np.ndarray, place: np.ndarray | None) -> np.ndarray:
        if not len(part):
            return np.empty(0)
        start, stop = self.first[part][:, None], self.first[part + 1][:, None]
        if self.most < 1 or (stop <= start).any():
            raise Damage("it holds a favourite value of a part that has none")
        found = by_digits(coder, self.most, lambda k: self.totals[np.minimum(start + k, stop)], place, len(part))
        return self.values[np.minimum(start[:, 0] + found, stop[:, 0] - 1)]

    def _between(self, coder: Coder, part: np.ndarray, keys: np.ndarray | None, falling: bool) -> np.ndarray:
        """Keys of numbers that are no favourites: which piece, and where in it."""
        if falling:
            below, last = self._pieces(int(part[0]))
            first = np.concatenate([self.lattice.ends[:1], last[:-1] + ONE])
            piece = None if keys is None else np.searchsorted(last, keys)
            piece = coder.choice(np.repeat(surplus_of(below[None]), len(part), 0), piece)
            start, end = first[piece], last[piece]
        else:
            low, high = self.lattice.ends
            first, last = self.start[part], self.end[part]
            ends = np.repeat([[0.0, 0.0, 1.0, 1.0]], len(part), 0)
            piece = coder.choice(surplus_of(ends), None if keys is None else (keys >= first) + (keys > last).astype(np.int64))
            start = np.choose(piece, [np.full(len(part), low), first, np.minimum(last + ONE, high)])
            end = np.choose(piece, [np.maximum(first, low + ONE) - ONE, last, np.full(len(part), high)])
        if (end < start).any():
            raise Damage("it holds a number where there is none")
        return start + by_chance(coder, end - start, None if keys is None else keys - start)

    def _pieces(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of an exponential, each of about one density: the distribution function at their ends, and their last keys."""
        scale = self.scale[part]
        steps = np.arange(STEPS + 1) * HALVING * abs(scale)
        origin = self.low[part] if scale > 0 else self.high[part]
        ends = self.lattice.below(origin + steps if scale > 0 else origin - steps[::-1])
        middle = self.lattice.values(ends) + 0.5 * self.whole
        depth = np.maximum(middle - origin if scale > 0 else origin - middle, 0) / abs(scale)
        inner = -np.expm1(-depth) if scale > 0 else np.exp(-depth)
        below = np.concatenate([[0.0], inner, [1.0]])
        return below, np.concatenate([ends, self.lattice.ends[1:]])


def log_widths(layer: Quantize, i: int, lattice: Lattice, x: np.ndarray, codes: torch.Tensor) -> np.ndarray:
    """Log of the distance of numbers on the lattice, where column i has a density: what turns that into a probability; else 0."""
    if bool(layer.whole[i]):
        return np.zeros(len(x))
    column = ColumnParts(layer, i, lattice)
    dense = column.favourite(x, column.part(codes.numpy())) < 0
    return np.where(dense & np.isfinite(x), np.log(lattice.spacing(np.nan_to_num(x))), 0.0)
