"""Codes of columns, any of them given any others: one net sees what is known and predicts the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Distribution
from ..words import check_counts
from .shares import FindDigit, log_shares, raced

UNSEEN_LOGIT = -100.0  # the logit of a code that no row had at the start
ROWS_OF_A_PASS = 2**13  # rows that go through the net together


class AnyOrder(Distribution):
    r"""``p(x_A | x_B) = prod_{i in A} p(x_i | x_B, x_{j in A before i})`` for any columns A and B, from one net.

    Each column has two digits, a cell and a part of it (:class:`~pushforward.transforms.Quantize`); the net gives the logits of both from
    the columns that are known, beside learned constants that start at the shares of the training rows. So at the start the
    columns are independent, each with the distribution that it has in the data.

    ``log_prob`` is of the whole row in the model's own order, exact, in D passes of the net; of A given B the order is the same, in a
    pass for each column of A. While the model trains (``train()``) it is an unbiased estimate from one pass, of the mean over orders: a
    random number k of columns is given, the first k of the own order or of a random one, and the others' mean log probability counts
    for all D - k. Half of the k are uniform, half drawn in proportion to 1 / (D - k), and weighted accordingly: the fewer are left to
    predict, the noisier their mean. Two orders give different p(a, b), as long as training leaves them so.

    With K ``orders`` the model is their mixture ``p(x_A | x_B) = 1/K sum_k p_k(x_A | x_B)``, the own order and K - 1 others that are
    drawn once and for all: a distribution too, exact in K D passes, by Jensen's inequality no worse than the mean of its parts, and a
    sample follows one order. For no A and B is it weighted by ``p_k(x_B)``, as the conditional ``p(x_A, x_B) / p(x_B)`` of a mixture
    would be: what is given is given to the net whatever the order, so that of a single column all K say the same.

    Without ``gaps`` a missing value is no outcome, but not known: it is integrated out of ``log_prob``, and what is drawn is complete.

    References: A Deep and Tractable Density Estimator, Uria, Murray, Larochelle, 2014, arXiv:1310.1757; Autoregressive Diffusion Models,
    Hoogeboom et al., 2021, arXiv:2110.02037.

    Arguments:
        net: ``(codes, place, given, context) -> (B, width)``, as :class:`~pushforward.nets.SubsetNet`.
        dim: columns.
        width: what the net gives.
        cells: of a column; one code more stands for a missing value.
        fine: parts of a cell.
        rank: hidden units between cell and part.
        own: the share of rows that learn the own order; the others learn random ones.
        order: the own order; 0..D-1 if none is given.
        orders: K.
        gaps: whether that a value is missing is an outcome like any other.
        context: features of a context, 0 for none.

    Raises:
        ValueError: a count below 1, or an order that is no permutation of the columns.

    Example::

        >>> model = AnyOrder(SubsetNet(3, 9, width=16), 3, width=16, cells=8, fine=4).eval()
        >>> codes = model.sample((5,))
        >>> codes.shape, model.log_prob(codes).shape
        (torch.Size([5, 3, 2]), torch.Size([5]))
    """

    places: Tensor
    starting_rows = 2**20

    def __init__(
        self,
        net: nn.Module,
        dim: int,
        *,
        width: int,
        cells: int = 64,
        fine: int = 64,
        rank: int = 32,
        own: float = 0.5,
        order: Sequence[int] | None = None,
        orders: int = 1,
        gaps: bool = True,
        context: int = 0,
    ):
        check_counts("AnyOrder", dim=dim, width=width, cells=cells, fine=fine, rank=rank, orders=orders)
        check_counts("AnyOrder", least=0, context=context)
        super().__init__((dim, 2), context)
        self.net, self.dim, self.cells, self.fine, self.own, self.gaps = net, dim, cells, fine, own, gaps
        first = tuple(range(dim)) if order is None else tuple(order)
        if sorted(first) != list(range(dim)):
            raise ValueError(f"AnyOrder: expected an order of the columns 0..{dim - 1}, got {first}")
        random = np.random.default_rng(0)  # the same for whoever loads the weights
        self.orders = (first, *(tuple(random.permutation(dim).tolist()) for _ in range(orders - 1)))
        self.register_buffer("places", torch.zeros(dim, (cells + 1) * fine, 2))
        self.cell_start = nn.Parameter(torch.zeros(dim, cells + 1))
        self.cell_weight = nn.Parameter(torch.zeros(dim, width, cells + 1))
        self.fine_start = nn.Parameter(torch.zeros(dim, cells, fine))
        self.fine_reads = nn.Parameter(torch.randn(dim, width, rank) / width**0.5)
        self.fine_cell = nn.Parameter(torch.randn(dim, cells, rank))
        self.fine_weight = nn.Parameter(torch.zeros(dim, rank, fine))

    @property
    def passes(self) -> int:
        return self.dim * len(self.orders)

    @property
    def order(self) -> tuple[int, ...]:
        """The own order."""
        return self.orders[0]

    @property
    def estimate(self) -> bool:
        return self.training

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        codes = x.long()
        if self.training:
            return self._guess(codes, context)
        return self.chain(codes, codes.new_zeros(codes.shape[:2], dtype=torch.bool), context).sum(1)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        codes = torch.zeros(rows, self.dim, 2, dtype=torch.long, device=self.places.device)
        none = codes.new_zeros(codes.shape[:2], dtype=torch.bool)
        codes = self.complete(codes, none, context)
        return codes.to(self.places.dtype), self.chain(codes, none, context).sum(1)

    def _sample_rows(self, rows: int, context: Tensor | None) -> Tensor:
        codes = torch.zeros(rows, self.dim, 2, dtype=torch.long, device=self.places.device)
        return self.complete(codes, codes.new_zeros(codes.shape[:2], dtype=torch.bool), context).to(self.places.dtype)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """The columns' own distributions, and where each code lies among them."""
        codes, n = x.long(), len(x)
        counts = torch.stack([torch.bincount(c, minlength=(self.cells + 1) * self.fine) for c in self._flat_code(codes).T]).double()
        cells = counts.view(self.dim, self.cells + 1, self.fine)
        self.cell_start.copy_((cells.sum(2) / n).log().clamp_min(UNSEEN_LOGIT))
        inner = cells[:, :-1]
        whole = inner.sum(2, keepdim=True).clamp_min(1)
        self.fine_start.copy_((inner / whole).log().clamp_min(UNSEEN_LOGIT))
        known = inner.flatten(1)
        level = (known.cumsum(1) - known / 2) / known.sum(1, keepdim=True).clamp_min(1)
        score = torch.special.ndtri(level.clamp(0.5 / (n + 1), 1 - 0.5 / (n + 1)))
        within = 2 * (inner.cumsum(2) - inner / 2) / whole - 1
        self.places.zero_()
        self.places[:, : known.shape[1]] = torch.stack([score, within.flatten(1)], 2).to(self.places.dtype)

    @torch.no_grad()
    def chain(self, codes: Tensor, given: Tensor, context: Tensor | None = None, asked: Tensor | None = None, gaps: bool = True) -> Tensor:
        """``log p(x_i | given, those asked before i)`` of each column that is asked, ``(B, D)``; 0 of the others. Exact.

        The sum of a row is ``log p(asked | given)``. Of K orders, whose chains differ, it is the mean of the terms, each order by its
        share r_k of the row's probability, minus an equal part of ``sum_k r_k log K r_k``, which makes the sum right.

        Arguments:
            codes: ``(B, D, 2)``, whole numbers.
            given: which columns stand on the right of the bar, ``(B, D)``.
            context: one row per row.
            asked: which stand on the left, ``(B, D)``; all that are not given by default. What is neither is integrated out.
            gaps: whether a value can be missing; without, it is ``log p`` of a value that is there.
        """
        asked = ~given if asked is None else asked
        if not self.gaps:
            asked, gaps = asked & (codes[..., 0] < self.cells), False
        parts = [
            self._mixed(codes[rows], given[rows], None if context is None else context[rows], asked[rows], gaps)
            for rows in _passes(len(codes))
        ]
        return torch.cat(parts) if parts else self.places.new_zeros(given.shape, dtype=torch.float64)

    @torch.no_grad()
    def complete(self, codes: Tensor, given: Tensor, context: Tensor | None = None, gaps: bool = True) -> Tensor:
        """The codes with what is not given drawn from ``p(. | given)``; without ``gaps`` nothing that is drawn is missing."""
        gaps = gaps and self.gaps
        parts = [self._drawn(codes[rows], given[rows], None if context is None else context[rows], gaps) for rows in _passes(len(codes))]
        return torch.cat(parts) if parts else codes

    @torch.no_grad()
    def visit(self, find: FindDigit, rows: int, context: Tensor | None = None) -> Tensor:
        """Codes ``(rows, D, 2)`` digit by digit, in the own order: ``find(i, digit, log_shares) -> (B,)``.

        It gets log probabilities ``(B, values)``, up to a constant, of column i's cell (digit 0), whose last value is missing, or part (1).
        """
        codes = torch.zeros(rows, self.dim, 2, dtype=torch.long, device=self.places.device)
        return self._complete(self.order, codes, codes.new_zeros(codes.shape[:2], dtype=torch.bool), context, self.gaps, find)

    @torch.no_grad()
    def column(self, i: int, codes: Tensor, given: Tensor, context: Tensor | None = None) -> Tensor:
        """``log p`` of every code of column i given columns, ``(B, cells fine + 1)``, missing last. One pass."""
        h = self._hidden(codes, given, context)
        cell = self._cell(h, i)
        r = F.relu((h @ self.fine_reads[i]).unsqueeze(1) + self.fine_cell[i])
        fine = log_shares(r @ self.fine_weight[i] + self.fine_start[i])
        return torch.cat([(cell[:, :-1].unsqueeze(2) + fine).flatten(1), cell[:, -1:]], 1)

    def _mixed(self, codes: Tensor, given: Tensor, context: Tensor | None, asked: Tensor, gaps: bool) -> Tensor:
        """The terms of all orders as one."""
        count = asked.sum(1)
        orders = self.orders if count.max() > 1 else self.orders[:1]  # of one column they agree
        terms = torch.stack([self._chain(order, codes, given, context, asked, gaps) for order in orders])
        if len(orders) == 1:
            return terms[0]
        share = terms.sum(2).clamp_min(torch.finfo(terms.dtype).min).softmax(0)
        surplus = torch.xlogy(share, len(orders) * share).sum(0) / count.clamp_min(1)
        mean = torch.where(share.unsqueeze(2) > 0, share.unsqueeze(2) * terms, 0.0).sum(0)
        return torch.where(asked, mean - surplus.unsqueeze(1), 0.0)

    def _drawn(self, codes: Tensor, given: Tensor, context: Tensor | None, gaps: bool) -> Tensor:
        """Each row completed in one of the orders."""
        if len(self.orders) == 1:
            return self._complete(self.order, codes, given, context, gaps)
        codes, turn = codes.clone(), torch.randint(len(self.orders), (len(codes),), device=codes.device)
        for k, order in enumerate(self.orders):
            at = (turn == k).nonzero().squeeze(1)
            codes[at] = self._complete(order, codes[at], given[at], None if context is None else context[at], gaps)
        return codes

    def _chain(self, order: Sequence[int], codes: Tensor, given: Tensor, context: Tensor | None, asked: Tensor, gaps: bool) -> Tensor:
        known, terms = given.clone(), torch.zeros(given.shape, dtype=torch.float64, device=codes.device)
        for i in order:
            if not asked[:, i].any():  # a pass that nobody waits for
                continue
            h = self._hidden(codes, known, context)
            cell, fine = codes[:, i].unbind(1)
            cells = self._cell(h, i)
            cells = cells if gaps else torch.cat([cells[:, :-1].log_softmax(1), torch.full_like(cells[:, -1:], -torch.inf)], 1)
            term = cells.gather(1, cell.unsqueeze(1)).squeeze(1)
            inner = self._fine(h, i, cell).gather(1, fine.unsqueeze(1)).squeeze(1)
            term = term + torch.where(cell < self.cells, inner, 0.0)
            terms[:, i] = torch.where(asked[:, i], term, 0.0).double()
            known[:, i] |= asked[:, i]
        return terms

    def _complete(
        self, order: Sequence[int], codes: Tensor, given: Tensor, context: Tensor | None, gaps: bool, find: FindDigit = raced
    ) -> Tensor:
        codes, known = codes.clone(), given.clone()
        for i in order:
            if given[:, i].all():
                continue
            h = self._hidden(codes, known, context)
            weights = self._cell(h, i)
            if not gaps:
                weights[:, -1] = -torch.inf
            cell = find(i, 0, weights)
            fine = torch.where(cell < self.cells, find(i, 1, self._fine(h, i, cell)), 0)
            codes[:, i] = torch.where(given[:, i, None], codes[:, i], torch.stack([cell, fine], 1))
            known[:, i] = True
        return codes

    def _guess(self, codes: Tensor, context: Tensor | None) -> Tensor:
        """An unbiased estimate of the log probability, over the orders that are learned, ``(B,)``."""
        rows, device = len(codes), codes.device
        own = torch.tensor(self.orders, device=device).argsort(1)
        own = own if len(own) == 1 else own[torch.randint(len(own), (rows,), device=device)]
        turn = torch.where(torch.rand(rows, 1, device=device) < self.own, own, torch.rand(rows, self.dim, device=device).argsort(1))
        left = torch.arange(self.dim, 0, -1, device=device, dtype=torch.float32)  # D - k
        chance = 0.5 / self.dim + 0.5 / (left * (1 / left).sum())
        k = torch.multinomial(chance, rows, replacement=True)
        given = turn < k.unsqueeze(1)
        terms = self._terms(self._hidden(codes, given, context), codes)
        silent = given if self.gaps else given | (codes[..., 0] >= self.cells)
        return torch.where(silent, 0.0, terms).sum(1) / (left * chance)[k]

    def _terms(self, h: Tensor, codes: Tensor) -> Tensor:
        """log p of each column's code, all from the same h, ``(B, D)``."""
        cell, fine = codes.unbind(2)
        inside = cell.clamp(max=self.cells - 1) + torch.arange(self.dim, device=h.device) * self.cells
        logits = (h @ self.cell_weight.transpose(0, 1).flatten(1)).unflatten(1, (self.dim, -1)) + self.cell_start
        r = (h @ self.fine_reads.transpose(0, 1).flatten(1)).unflatten(1, (self.dim, -1))
        r = F.relu(r + F.embedding(inside, self.fine_cell.flatten(0, 1)))
        inner = torch.bmm(r.transpose(0, 1), self.fine_weight).transpose(0, 1) + F.embedding(inside, self.fine_start.flatten(0, 1))
        levels = self.cells + self.gaps
        outer = log_shares(logits[..., :levels].flatten(0, 1))
        outer = F.nll_loss(outer, cell.clamp(max=levels - 1).flatten(), reduction="none").view_as(cell)
        within = F.nll_loss(log_shares(inner.flatten(0, 1)), fine.flatten(), reduction="none").view_as(cell)
        return -outer - torch.where(cell < self.cells, within, 0.0)

    def _hidden(self, codes: Tensor, given: Tensor, context: Tensor | None) -> Tensor:
        given = given if self.gaps else given & (codes[..., 0] < self.cells)
        at = self._flat_code(codes) + torch.arange(self.dim, device=codes.device) * self.places.shape[1]
        return self.net(codes[..., 0], F.embedding(at, self.places.flatten(0, 1)), given, context)

    def _flat_code(self, codes: Tensor) -> Tensor:
        return codes[..., 0] * self.fine + codes[..., 1]

    def _cell(self, h: Tensor, i: int) -> Tensor:
        """Log probabilities of the cells of column i, ``(B, cells + 1)``."""
        return log_shares(torch.addmm(self.cell_start[i], h, self.cell_weight[i]))

    def _fine(self, h: Tensor, i: int, cell: Tensor) -> Tensor:
        """Log probabilities of the parts of a cell of column i, ``(B, fine)``."""
        cell = cell.clamp(max=self.cells - 1)
        r = F.relu(h @ self.fine_reads[i] + self.fine_cell[i].index_select(0, cell))
        return log_shares(r @ self.fine_weight[i] + self.fine_start[i].index_select(0, cell))


def _passes(rows: int) -> list[slice]:
    return [slice(start, start + ROWS_OF_A_PASS) for start in range(0, rows, ROWS_OF_A_PASS)]
