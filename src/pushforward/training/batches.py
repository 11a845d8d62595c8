"""Rows on their way from the data to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .processes import Processes
from .schedule import Order, mix

if TYPE_CHECKING:
    from ..data import Rows

Batch = tuple[Tensor, Tensor | None, Tensor | None]  # x, context, weight

VALID_ROWS = 50_000  # at most; the mean's standard error is then below a hundredth of a nat
VALID_BATCH = 4096


class Batches:
    """The batch of a step, on the device: this process's slice of the global batch.

    The rows stay in memory as tensors: on the device if they take a quarter of its free memory at most, else batches travel.

    Attributes:
        batch: rows of the global batch, a multiple of the number of processes.
    """

    def __init__(self, rows: Rows, batch: int, seed: int, processes: Processes):
        self.processes = processes
        self._tensors = [_place(t, processes.device) for t in (rows.x, rows.context, rows.weight)]
        count = processes.count
        self.order = Order(len(rows), max(1, min(batch, len(rows)) // count) * count, seed)
        self.batch = self.order.batch
        self._mean_weight = None if rows.weight is None else float(rows.weight.double().mean())
        if self.batch % count or (self._mean_weight is not None and not 0 < self._mean_weight < float("inf")):
            what = f"{len(rows)} rows for {count} processes" if self.batch % count else f"weights of mean {self._mean_weight}"
            raise ValueError(f"fit: expected at least one row for each process and finite weights of positive sum, got {what}")

    def __call__(self, step: int) -> Batch:
        size = self.batch // self.processes.count
        return self._take(self.order(step)[self.processes.rank * size : (self.processes.rank + 1) * size])

    def first(self) -> Batch:
        """The whole first batch, the same on every process."""
        return self._take(self.order(0))

    def share(self, weight: Tensor | None) -> Tensor | float:
        """What a slice's loss (a weighted mean) counts among all: its mean weight over that of the data.

        With it the expected gradient is that of the weighted mean over all rows, in batches and over processes alike.
        """
        return 1.0 if weight is None or self._mean_weight is None else weight.mean() / self._mean_weight

    def _take(self, index: Tensor) -> Batch:
        def take(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.index_select(0, index.to(tensor.device)).to(self.processes.device)

        x, context, weight = map(take, self._tensors)
        assert x is not None
        return x, context, weight


class Validation:
    """Mean loss over the validation rows (a fixed random part of very many), with the same random numbers each time."""

    def __init__(self, rows: Rows, seed: int, processes: Processes):
        tensors: list[Tensor | None] = [rows.x, rows.context, rows.weight]
        if len(rows) > VALID_ROWS:
            index = torch.randperm(len(rows), generator=torch.Generator().manual_seed(mix(seed, "valid")))[:VALID_ROWS]
            tensors = [None if t is None else t.index_select(0, index) for t in tensors]
        own = [None if t is None else t[processes.rank :: processes.count] for t in tensors]
        self._tensors = [_place(t, processes.device) for t in own]
        self._seed, self.processes = seed, processes

    @torch.no_grad()
    def __call__(self, objective: nn.Module) -> float:
        x, context, weight = self._tensors
        assert x is not None
        self.processes.seed(self._seed, "valid", self.processes.rank)
        sums = torch.zeros(2, dtype=torch.float64, device=self.processes.device)
        for start in range(0, len(x), VALID_BATCH):
            part = slice(start, start + VALID_BATCH)
            rows = [None if t is None else t[part].to(self.processes.device) for t in (x, context, weight)]
            loss = objective(*rows).double()
            mass = loss.new_tensor(len(x[part])) if rows[2] is None else rows[2].sum().double()
            sums += torch.stack([torch.where(mass > 0, loss * mass, 0.0), mass])
        total, mass = self.processes.sum(sums).tolist()
        return total / mass if mass > 0 else float("nan")


def _place(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    if tensor is None or device.type != "cuda":
        return tensor
    free, _ = torch.cuda.mem_get_info(device)
    return tensor.to(device) if 4 * tensor.nbytes <= free else tensor
