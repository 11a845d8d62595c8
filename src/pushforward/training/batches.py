"""What the training loop feeds on, and judges by: two small interfaces, and rows in memory behind them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..core import Flow, Hooked, refined
from .processes import Processes
from .schedule import EpochOrder, WindowOrder, derive_seed

if TYPE_CHECKING:
    from ..data import Rows

Batch = tuple[Tensor, Tensor | None, Tensor | None]  # x, context, weight

VALID_ROWS = 50_000  # at most; the mean's standard error is then below a hundredth of a nat
VALID_NUMBERS, VALID_LEAST = 2**20, 1_000  # numbers in them at most, but not fewer rows than this
VALID_DEAR, VALID_FEW = 4, 300  # what divides these numbers, and the fewest rows, where steps of training are much cheaper than a density
READ_BYTES, MOST_TOGETHER = 2**19, 4096  # of the rows that are read together from a disk, and how many at most
REFINED, SLACK = 200, 0.05  # rows on which a solver is looked at, and nats of error that do not matter
VALID_BATCH, BATCH_NUMBERS = 4096, 2**18  # rows at a time, and numbers in them


class Batches(ABC):
    """What the objective eats.

    Attributes:
        batch: examples of a step, over all processes; speed is told in them.
    """

    batch: int

    @abstractmethod
    def __call__(self, step: int, progress: float) -> tuple[Any, ...]:
        """The objective's arguments, on this process: a function of the step, and of the share of the plan that is done."""

    def share(self, batch: tuple[Any, ...]) -> Tensor | float:
        """What the loss of a batch counts among those of all processes: 1 where all count alike."""
        return 1.0

    def begin(self, flow: Flow) -> None:  # noqa: B027 (nothing is to be done by default)
        """Called before the first step of a run, seeded alike on each process: the data-dependent start of layers, or a last check."""


class Validation(ABC):
    """What weights are judged by."""

    @abstractmethod
    def __call__(self, objective: nn.Module, progress: float) -> dict[str, float]:
        """Figures of the averaged objective, to be logged; the least ``"valid"`` is the best, one that is not finite never is."""


class RowBatches(Batches):
    """The batch of a step, on the device: this process's slice of the global batch.

    The rows stay as they are: on the device if they take a quarter of its free memory at most, else batches travel.
    Whole numbers (images) become floats when they leave.

    Arguments:
        dtype: of these floats.
        flip: mirror images left to right, each with probability 1/2, as a function of seed and step.
        initialize: whether the layers start from data; not if the flow has been trained before.
        tell: tell the objective the share of the plan that is done, as a fourth argument.

    Attributes:
        batch: rows of the global batch, a multiple of the number of processes.
    """

    def __init__(
        self,
        rows: Rows,
        batch: int,
        seed: int,
        processes: Processes,
        dtype: torch.dtype = torch.float32,
        flip: bool = False,
        initialize: bool = True,
        tell: bool = False,
    ):
        if flip and rows.x.dim() != 4:
            raise ValueError(f"fit: flip mirrors images (N, C, H, W), got rows of shape {tuple(rows.x.shape[1:])}; leave train.flip out")
        self.processes, self._dtype, self._flip, self._seed, self._initialize = processes, dtype, flip, seed, initialize
        self._tell = tell
        self._tensors = [_place(t, processes.device) for t in (rows.x, rows.context, rows.weight)]
        count = processes.count
        size = max(1, min(batch, len(rows)) // count) * count
        block = max(1, min(MOST_TOGETHER, READ_BYTES // (rows.x[0].numel() * rows.x.element_size())))
        self.order = EpochOrder(len(rows), size, seed) if rows.window is None else WindowOrder(len(rows), size, seed, rows.window, block)
        self.batch = self.order.batch
        self._mean_weight = None if rows.weight is None else float(rows.weight.double().mean())
        if self.batch % count or (self._mean_weight is not None and not 0 < self._mean_weight < float("inf")):
            what = f"{len(rows)} rows for {count} processes" if self.batch % count else f"weights of mean {self._mean_weight}"
            raise ValueError(f"fit: expected at least one row for each process and finite weights of positive sum, got {what}")

    def __call__(self, step: int, progress: float = 0.0) -> tuple[Any, ...]:
        size = self.batch // self.processes.count
        own = slice(self.processes.rank * size, (self.processes.rank + 1) * size)
        batch = self._take(step, own)
        return (*batch, torch.tensor(progress)) if self._tell else batch  # a number would be compiled anew in each step

    def begin(self, flow: Flow) -> None:
        """The layers' data-dependent start, from the whole first batch, the same on every process."""
        if self._initialize:
            worth = max(part.starting_rows for part in flow.modules() if isinstance(part, Hooked))
            x, context, _ = self._take(0, slice(None)) if worth <= self.batch else self._gather(self.order.part(0, 0, worth))
            flow.initialize(floats(x, self._dtype), context)

    def share(self, batch: tuple[Any, ...]) -> Tensor | float:
        """What a slice's loss (a weighted mean) counts among all: its mean weight over that of the data.

        With it the expected gradient is that of the weighted mean over all rows, in batches and over processes alike.
        """
        weight = batch[2]
        return 1.0 if weight is None or self._mean_weight is None else weight.mean() / self._mean_weight

    def _take(self, step: int, own: slice) -> Batch:
        x, context, weight = self._gather(self.order(step)[own])
        if self._flip:
            mirrored = torch.rand(self.batch, generator=torch.Generator().manual_seed(derive_seed(self._seed, "flip", step)))[own] < 0.5
            x = torch.where(mirrored.to(x.device)[:, None, None, None], x.flip(-1), x)
        return floats(x, self._dtype), context, weight

    def _gather(self, index: Tensor) -> Batch:
        def take(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.index_select(0, index.to(tensor.device)).to(self.processes.device)

        x, context, weight = map(take, self._tensors)
        assert x is not None
        return x, context, weight


class RowValidation(Validation):
    """Mean loss over the validation rows (a fixed random part of very many), with the same random numbers each time."""

    def __init__(
        self, rows: Rows, seed: int, processes: Processes, dtype: torch.dtype = torch.float32, passes: int = 1, dear: bool = False
    ):
        tensors: list[Tensor | None] = [rows.x, rows.context, rows.weight]
        dim = max(1, rows.x[:1].numel())
        self.rows, self._dtype = min(len(rows), valid_rows(dim * passes, dear)), dtype
        self._batch = min(VALID_BATCH, max(1, BATCH_NUMBERS // dim))
        if len(rows) > self.rows:
            index = torch.randperm(len(rows), generator=torch.Generator().manual_seed(derive_seed(seed, "valid")))[: self.rows]
            tensors = [None if t is None else t.index_select(0, index) for t in tensors]
        rest = -self.rows % processes.count
        if processes.sharded and rest:  # who shares weights out calls as often as the others: rows of weight zero fill up
            weight = torch.ones(self.rows) if tensors[2] is None else tensors[2]
            fill = torch.arange(self.rows + rest).clamp(max=self.rows - 1)
            tensors = [None if t is None else t.index_select(0, fill) for t in (*tensors[:2], weight)]
            assert tensors[2] is not None
            tensors[2][self.rows :] = 0
        own = [None if t is None else t[processes.rank :: processes.count] for t in tensors]
        self._tensors = [_place(t, processes.device) for t in own]
        self._seed, self.processes = seed, processes

    def __call__(self, objective: nn.Module, progress: float = 1.0) -> dict[str, float]:
        x, context, weight = self._tensors
        assert x is not None
        self.processes.seed(self._seed, "valid", self.processes.rank)
        sums = torch.zeros(2, dtype=torch.float64, device=self.processes.device)
        for start in range(0, len(x), self._batch):
            part = slice(start, start + self._batch)
            rows = [None if t is None else t[part].to(self.processes.device) for t in (context, weight)]
            loss = objective(floats(x[part].to(self.processes.device), self._dtype), *rows).double()
            mass = loss.new_tensor(len(x[part])) if rows[1] is None else rows[1].sum().double()
            sums += torch.stack([torch.where(mass > 0, loss * mass, 0.0), mass])
        total, mass = self.processes.sum(sums).tolist()
        return {"valid": total / mass + self._solver_error(objective) if mass > 0 else float("nan")}

    def _solver_error(self, objective: nn.Module) -> float:
        """What twice the steps of a solver add to the loss of some rows, if there is one and that is much: weights that have learned to
        make use of what its steps get wrong are judged by what they are.
        """
        losses: list[float] = []
        x, context, weight = (None if t is None else t[:REFINED].to(self.processes.device) for t in self._tensors)
        assert x is not None
        for by in (1, 2):
            with refined(objective, by) as solved:
                if not solved:
                    return 0.0
                self.processes.seed(self._seed, "solver", self.processes.rank)
                loss = objective(floats(x, self._dtype), context, weight).double() if len(x) else torch.zeros((), dtype=torch.float64)
                losses.append(float(self.processes.mean(loss.to(self.processes.device))))
        change = losses[1] - losses[0]
        return change if abs(change) > SLACK or not math.isfinite(change) else 0.0


def valid_rows(dim: int, dear: bool = False) -> int:
    """How many validation rows of ``dim`` numbers are looked at, at most; fewer where they are dear."""
    least, numbers = (VALID_FEW, VALID_NUMBERS // VALID_DEAR) if dear else (VALID_LEAST, VALID_NUMBERS)
    return min(VALID_ROWS, max(least, numbers // dim))


def floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Whole numbers as floats; floats as they are."""
    return x if x.is_floating_point() else x.to(dtype)


def _place(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    if tensor is None or device.type != "cuda":
        return tensor
    free, _ = torch.cuda.mem_get_info(device)
    return tensor.to(device) if 4 * tensor.nbytes <= free else tensor
