"""The processes of a run and what they agree upon; with one process every call here is the identity."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .schedule import derive_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

Strategy = Literal["ddp", "fsdp"]


def count() -> int:
    """Processes that ``torchrun`` or ``accelerate launch`` started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first() -> bool:
    """Whether this is the one of them that speaks and writes."""
    return int(os.environ.get("RANK", "0")) == 0


class Processes:
    """Device, rank and collective calls, over accelerate.

    Arguments:
        device: where to compute, if there is one process only; accelerate's choice otherwise.
        strategy: "ddp", all hold all weights, or "fsdp", each holds a part of them (:mod:`~pushforward.training.sharding`).

    Attributes:
        device: where this process computes. Apple's MPS has no float64, which data need, so the CPU stands in for it.
        rank, count: this process among all.
        sharded: whether there are many and each holds a part of the weights.
    """

    def __init__(self, device: torch.device | None = None, strategy: Strategy = "ddp") -> None:
        from accelerate import Accelerator  # heavy, and only training needs it

        device_type = torch.accelerator.current_accelerator(check_available=True)
        alone_there = device_type is None or device_type.type == "mps"  # no backend for many processes but the CPU's, to be asked for
        self.accelerator: Accelerator = Accelerator(cpu=count() > 1 and alone_there)
        self.rank: int = self.accelerator.process_index
        self.count: int = self.accelerator.num_processes
        if self.count != count():
            raise ValueError(f"fit: was launched as {count()} processes, of which accelerate finds {self.count}; launch it by torchrun")
        self.sharded: bool = strategy == "fsdp" and self.count > 1
        usual = self.accelerator.device if self.accelerator.device.type != "mps" else torch.device("cpu")
        self.device: torch.device = usual if device is None or self.count > 1 else device

    @property
    def main(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward averages gradients over all processes; what is shared out is one."""
        if self.sharded:
            return module
        warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)  # of 1x1 convolutions; a detail of speed
        return self.accelerator.prepare(module, device_placement=[False])

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()

    def sum(self, x: Tensor) -> Tensor:
        if self.count == 1:
            return x
        return self.accelerator.reduce(x, "sum")  # type: ignore[return-value]

    def mean(self, x: Tensor) -> Tensor:
        return x if self.count == 1 else self.sum(x) / self.count

    def agree(self, *values: float) -> list[float]:
        """The values of process 0: clocks and signals must lead to the same decision everywhere."""
        if self.count == 1:
            return list(values)
        from accelerate.utils import broadcast

        return broadcast(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()

    def share(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of process 0."""
        if self.count > 1:
            from accelerate.utils import broadcast

            with torch.no_grad():
                for tensor in [*module.parameters(), *module.buffers()]:
                    tensor.copy_(broadcast(tensor.detach().clone()))

    def seed(self, *parts: int | str) -> None:
        """Make what follows a function of the parts; a hundred times cheaper than ``torch.manual_seed``, which tells every backend."""
        seed = derive_seed(*parts)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(seed)

    @contextmanager
    def bound(self) -> Iterator[list[Callable[[], None]]]:
        """What the processes do together, which ends for all when one has died; the calls that are put into the list are made then.

        Raises:
            ConnectionError: another process has ended.
        """
        last: list[Callable[[], None]] = []
        try:
            yield last
        except RuntimeError as error:
            if self.count == 1 or not (isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error)):
                raise
            for call in last:
                call()
            raise ConnectionError(
                f"fit: another of the {self.count} processes has ended, and this one with it; go on from the last checkpoint with --resume"
            ) from error

    @contextmanager
    def forked(self) -> Iterator[None]:
        """The caller's random state is as before afterwards."""
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield
