"""Columns of any kind as two digits each: the cell that a value lies in, and the part of the cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import Transform
from ..words import check_counts
from .partition import LARGEST_FLOAT, Partition, Support, partition

# What is held of the columns, by what shorter ones are filled up (None: their last), and the least length.
LAYOUT = (
    ("edges", LARGEST_FLOAT, 1),
    ("codes", None, 1),
    ("parts", None, 1),
    ("values", LARGEST_FLOAT, 1),
    ("first", None, 2),
    ("totals", None, 2),
)


class Quantize(Transform):
    r"""``x -> (cell, part of the cell)`` for each column; ``ldj = sum_i log m_i(x_i | part)``: exact, and random on the way back.

    A surjection: the codes are a function of x, and x given its codes is spread as the column itself is within that part,

    ``m(x | part) = (1 - eps) n(x) / n(part) + eps g(x)``,

    n the counts of favourite values (all distinct values of whole numbers, often repeated ones of reals) and g flat, or exponential in
    the outermost parts. So a real column has masses at its atoms and a density elsewhere. eps is the share of values seen once (Good and
    Turing), or for reals of those that are no favourites. A model of the codes whose probabilities are their shares is the independent
    columns, in closed form; what it learns from there is how columns depend on each other.

    Codes are ``(B, D, 2)``. A missing value (NaN) has the code ``(cells, 0)`` and adds 0. Outside the support ``ldj = -inf``.
    Cost: O(D log(cells fine)) per row. :meth:`initialize` takes the parts from data: cells of equal shares, frequent values alone.

    References: SurVAE Flows, Nielsen et al., 2020, arXiv:2007.02731 (rounding as a surjection); The Population Frequencies of Species and
    the Estimation of Population Parameters, Good, 1953.

    Arguments:
        columns: a :class:`Support` for each column.
        cells: of a column, at most.
        fine: parts of a cell, at most.

    Raises:
        ValueError: no columns, or fewer than one cell.

    Example::

        >>> layer = Quantize([Support(), Support(whole=True, low=0)], cells=8, fine=4)
        >>> x = torch.stack([torch.randn(500), torch.randint(5, (500,))], 1).double()
        >>> layer.initialize(x)
        >>> z, ldj = layer(x)
        >>> z.shape, ldj.shape
        (torch.Size([500, 2, 2]), torch.Size([500]))
    """

    like: Tensor
    edges: Tensor
    codes: Tensor
    parts: Tensor
    values: Tensor
    first: Tensor
    totals: Tensor
    low: Tensor
    high: Tensor
    whole: Tensor
    takes = torch.float64
    stochastic_inverse = True
    starting_rows = 2**20

    def __init__(self, columns: Sequence[Support], cells: int = 64, fine: int = 64):
        super().__init__()
        check_counts("Quantize", columns=len(columns), cells=cells, fine=fine)
        self.columns, self.cells, self.fine = tuple(columns), cells, fine
        low = [-torch.inf if c.low is None else c.low - 0.5 * c.whole for c in columns]
        high = [torch.inf if c.high is None else c.high + 0.5 * c.whole for c in columns]
        self.register_buffer("like", torch.empty(0), persistent=False)  # follows .to(dtype) as the nets' parameters do
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64)[:, None], persistent=False)
        self.register_buffer("high", torch.tensor(high, dtype=torch.float64)[:, None], persistent=False)
        self.register_buffer("whole", torch.tensor([c.whole for c in columns])[:, None], persistent=False)
        self._hold([partition(np.empty(0), c, cells, fine) for c in columns])

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        codes, log_m = self.split(x)
        return codes.to(self.like.dtype), log_m.sum(1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whole numbers ``(B, D, 2)``, and ``log m`` of each value within its part, ``(B, D)``."""
        v = x.double().T.contiguous()  # (D, B)
        missing = v.isnan()
        outside = (v < self.low) | (v > self.high) | (self.whole & (v != v.floor()))
        part = torch.searchsorted(self.edges, v).clamp(max=self.codes.shape[1] - 1)
        log_m = self._log_mass(torch.where(missing | outside, self.parts[:, :1, 0], v), part)
        log_m = torch.where(missing, 0.0, torch.where(outside, -torch.inf, log_m))
        codes = torch.where(missing, self.cells * self.fine, self._take(self.codes, part))
        return torch.stack([codes // self.fine, codes % self.fine], 2).transpose(0, 1), log_m.T

    def points(self, i: int, each: int) -> tuple[Tensor, Tensor, Tensor]:
        """Column i as points: of each of its L parts the code ``(L,)``, ``2 each`` values and their shares of the part ``(L, 2 each)``."""
        length = 1 + int((self.codes[i].diff() > 0).sum())
        levels = ((torch.arange(each, dtype=torch.float64, device=self.codes.device) + 0.5) / each).repeat(length)
        part = torch.arange(length, device=self.codes.device).repeat_interleave(each).expand(len(self.codes), -1)
        favourites, others = (f(levels.expand(len(self.codes), -1), part)[i].view(length, each) for f in (self._favourite, self._between))
        eps = self.parts[i, :length, 3:] / each
        share = (1 / each - eps).expand(-1, each)
        favourites = torch.where(share > 0, favourites, others)  # of a part without any they are held as numbers beyond all
        return self.codes[i, :length], torch.cat([favourites, others], 1), torch.cat([share, eps.expand(-1, each)], 1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        part, missing = self._part(z)
        chance, place = torch.rand_like(part, dtype=torch.float64), torch.rand_like(part, dtype=torch.float64)
        v = torch.where(chance < self._take(self.parts[..., 3], part), self._between(place, part), self._favourite(place, part))
        log_m = torch.where(missing, 0.0, self._log_mass(v, part))
        return torch.where(missing, torch.nan, v).T, -log_m.sum(0)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The median of the part, or of its favourite values if they are most of it."""
        part, missing = self._part(z)
        half = torch.full_like(part, 0.5, dtype=torch.float64)
        v = torch.where(self._take(self.parts[..., 3], part) > 0.5, self._between(half, part), self._favourite(half, part))
        return torch.where(missing, torch.nan, v).T

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.forward(x, context)[0]

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Take cells, parts and favourite values from rows x; from codes nothing can be learned."""
        if not inverse and x.device.type != "meta":
            columns = x.detach().double().cpu().numpy().T
            self._hold([partition(v[np.isfinite(v)], c, self.cells, self.fine) for v, c in zip(columns, self.columns)])

    def _hold(self, columns: Sequence[Partition]) -> None:
        """Hold the parts of all columns, each padded to the longest: edges and values by what lies beyond all numbers."""
        flat = [c._replace(codes=c.codes @ np.array([self.fine, 1])) for c in columns]
        for name, fill, least in LAYOUT:
            arrays = [getattr(c, name) for c in flat]
            longest = max(least, *map(len, arrays))
            ends = [np.repeat(a[-1:] if fill is None else [fill], longest - len(a), 0) for a in arrays]
            stacked = np.stack([np.concatenate(pair) for pair in zip(arrays, ends)])
            self.register_buffer(name, torch.from_numpy(stacked).to(self.like.device))

    def _apply(self, fn: Any, recurse: bool = True) -> Quantize:
        """Values stay float64, also after ``flow.to(torch.float32)``, which would merge whole numbers beyond 2**24."""
        exact = {name: t for name, t in self._buffers.items() if t is not None and t.dtype == torch.float64 and not t.is_meta}
        super()._apply(fn, recurse)
        for name, tensor in exact.items():
            self._buffers[name] = tensor.to(self.like.device)
        return self

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """How many parts there are is known from data alone: the tensors that are loaded have the say."""
        found = {name: state[prefix + name] for name, *_ in LAYOUT if prefix + name in state}
        if len(found) == len(LAYOUT):
            _check(found, len(self.columns), self.cells * self.fine)
        for name, tensor in found.items():
            setattr(self, name, torch.empty_like(tensor, device=self.like.device))
        super()._load_from_state_dict(state, prefix, *others)

    def _part(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of codes ``(B, D, 2)`` the numbers of the parts ``(D, B)``, and which are missing."""
        cell, fine = z.round().long().transpose(0, 1).unbind(2)
        missing = cell >= self.cells
        code = torch.where(missing, 0, cell * self.fine + fine).contiguous()
        return torch.searchsorted(self.codes, code).clamp(max=self.codes.shape[1] - 1), missing

    @staticmethod
    def _take(table: Tensor, part: Tensor) -> Tensor:
        return table.gather(1, part)

    def _favourite(self, u: Tensor, part: Tensor) -> Tensor:
        """The favourite value of a part at level u of their counts."""
        start = self._take(self.totals, self._take(self.first, part))
        n = self._take(self.totals, self._take(self.first, part + 1)) - start
        at = torch.searchsorted(self.totals[:, 1:].contiguous(), start + (u * n).long(), right=True)
        return self._take(self.values, at.clamp(max=self.values.shape[1] - 1))

    def _between(self, u: Tensor, part: Tensor) -> Tensor:
        """The value of a part at level u of its background."""
        low, high, scale = (self._take(self.parts[..., i], part) for i in range(3))
        reach = self._reach(part, low, high, scale)
        flat = low + u * (high - low)
        fall = -scale.abs() * torch.log1p(u * torch.expm1(-reach))
        v = torch.where(scale == 0, flat, torch.where(scale > 0, low + fall, high - fall))
        return torch.where(
            self.whole, torch.maximum(torch.minimum(v.round(), (self.high - 0.5).nan_to_num()), (self.low + 0.5).nan_to_num()), v
        )

    def _reach(self, part: Tensor, low: Tensor, high: Tensor, scale: Tensor) -> Tensor:
        """The length of a part in scales of its exponential; without end where the column is open."""
        above = torch.where(scale > 0, self.high, high)
        below = torch.where(scale < 0, self.low, low)
        return (above - below) / scale.abs().clamp_min(1e-300)

    def _log_mass(self, v: Tensor, part: Tensor) -> Tensor:
        """log m(v | part), ``(D, B)``."""
        low, high, scale, eps = (self._take(self.parts[..., i], part) for i in range(4))
        at = torch.searchsorted(self.values, v).clamp(max=self.values.shape[1] - 1)
        known = self._take(self.values, at) == v
        n = self._take(self.totals, at + 1) - self._take(self.totals, at)
        first = self._take(self.first, part)
        total = self._take(self.totals, self._take(self.first, part + 1)) - self._take(self.totals, first)
        favourite = torch.where(known, (1 - eps) * n / total.clamp_min(1), 0.0)
        size = scale.abs().clamp_min(1e-300)
        reach = self._reach(part, low, high, scale)
        depth = torch.where(scale > 0, v - low, high - v) - 0.5 * self.whole
        falling = -depth / size - torch.log(-torch.expm1(-reach))
        falling = falling + torch.where(self.whole, torch.log(-torch.expm1(-1 / size)), -size.log())
        log_g = torch.where(scale == 0, -(high - low).log(), falling)
        background = torch.where(known & ~self.whole, 0.0, eps * log_g.exp())
        return torch.where(favourite > 0, (favourite + background).log(), eps.log() + log_g)


def _check(found: dict[str, Tensor], columns: int, codes: int) -> None:
    """Raise ValueError unless what is to be loaded points to what is there."""
    most = {"codes": codes - 1, "first": found["totals"].shape[-1] - 1, "totals": 2**53}
    for name, greatest in most.items():
        tensor = found[name]
        whole = not tensor.is_floating_point() and tensor.dim() == 2 and tensor.numel() > 0
        if not whole or tensor.min() < 0 or tensor.max() > greatest or (tensor.diff() < 0).any():
            raise ValueError(f"Quantize: {name} is out of range")
    parts, favourites = found["codes"].shape[1], found["totals"].shape[1] - 1
    shapes = {"codes": (parts,), "edges": (max(1, parts - 1),), "parts": (parts, 4), "first": (parts + 1,)}
    shapes |= {"totals": (favourites + 1,), "values": (favourites,)}
    for name, shape in ((name, (columns, *shape)) for name, shape in shapes.items()):
        if found[name].shape != shape:
            raise ValueError(f"Quantize: expected {name} of shape {shape}, got {tuple(found[name].shape)}")
