"""A run's state: one file with everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..documents import reason, validated
from .atomic import write_tensors
from .ema import Ema
from .schedule import Plan
from .sharding import gathered, shared_out

Tensors = dict[str, Tensor]
FORMAT = "pushforward state 1"


@dataclass
class TrainerState:
    """Where a run is: all of its state that is not a tensor.

    Attributes:
        plan: the course decided upon.
        step: steps taken.
        validated: the step of the last validation.
        best, best_step: the lowest validation loss, and when.
        waited: validations since then.
        factor: of the learning rate; halved by each roll-back.
        rollbacks: how often the weights went back to the last good ones.
        tally: the guard's: skipped steps in a row, skipped steps, sum of the finite losses, their number.
        logged: the last two of these at the last validation.
        seconds: of training so far, over all sittings.
        threads: of the CPU; another number may change the last bit of a sum.
        compiled: whether steps run compiled, "yes" or "no"; "" while that is open.
        precision: of the nets, "no" or "bf16"; "" while that is open.
    """

    plan: Plan
    step: int = 0
    validated: int = -1
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    factor: float = 1.0
    rollbacks: int = 0
    tally: list[float] = field(default_factory=lambda: [0.0] * 4)
    logged: list[float] = field(default_factory=lambda: [0.0] * 2)
    seconds: float = 0.0
    threads: int = 0
    compiled: str = ""
    precision: str = ""


@dataclass
class Checkpoint:
    """What a checkpoint holds: the run as it is, the weights to roll back to (with optimizer), the best weights of the flow."""

    counters: TrainerState
    now: Tensors
    good: Tensors
    best: Tensors

    def save(self, path: Path) -> None:
        """Write the file, atomically; ``good`` takes no room if it is ``now``."""
        tensors = self.now | {f"best.{name}": t for name, t in self.best.items()}
        if self.good is not self.now:
            tensors |= {f"good.{name}": t for name, t in self.good.items()}
        path.parent.mkdir(exist_ok=True)
        write_tensors(path, tensors, {"format": FORMAT, "counters": json.dumps(asdict(self.counters))})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a file of :meth:`save`.

        Raises:
            ValueError: truncated, or not such a file.
        """
        remedy = "put the original file back, or start again with --overwrite"
        try:
            if not path.is_file():
                raise ValueError("not a regular file")
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("format") != FORMAT:
                raise ValueError(f"format {metadata.get('format')!r} instead of {FORMAT!r}")
            counters = validated(TrainerState, json.loads(metadata["counters"]), "counters")
        except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
            raise ValueError(f"{path}: truncated or not a checkpoint of a run ({reason(error)}); {remedy}") from None
        now = {name: t for name, t in tensors.items() if not name.startswith(("good.", "best."))}
        return cls(counters, now, _section(tensors, "good.") or now, _section(tensors, "best."))


@dataclass
class Learner:
    """What changes in a training step: weights, their average, and the optimizer's memory of gradients."""

    objective: nn.Module
    average: Ema
    optimizer: torch.optim.Optimizer

    def capture(self) -> Tensors:
        """A copy of all tensors, by name, in main memory; see :func:`weights`."""
        tensors = {f"model.{name}": t for name, t in weights(self.objective).items()}
        tensors |= {f"ema.{name}": t for name, t in weights(self.average.module).items()}
        for name, parameter in self.objective.named_parameters():
            for slot, t in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{slot}.{name}"] = _copy(t)
        return tensors

    def restore(self, tensors: Tensors, best: Tensors | None = None) -> None:
        """The opposite of :meth:`capture`; ``best`` are weights of the flow that are to be loaded later, and are tried now.

        Raises:
            ValueError: the tensors are those of another model.
        """
        try:
            if best:
                load_weights(self.average.part, best)
            load_weights(self.objective, _section(tensors, "model."))
            load_weights(self.average.module, _section(tensors, "ema."))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"fit: the checkpoint is that of another model ({reason}); resume with the run's own configuration") from None
        self.optimizer.state.clear()
        parameters = dict(self.objective.named_parameters())
        for key, tensor in _section(tensors, "optimizer.").items():
            slot, _, name = key.partition(".")
            if name not in parameters or tensor.shape not in shapes_remembered(parameters[name].shape):
                raise ValueError(f"fit: the checkpoint is that of another model ({key}); resume with the run's own configuration")
            own = parameters[name]
            self.optimizer.state[own][slot] = shared_out(tensor, own).to(own.device, copy=True)


def shapes_remembered(shape: torch.Size) -> list[tuple[int, ...]]:
    """What an optimizer remembers of a parameter: counts, numbers of its shape, and matrices of its sides."""
    return [(), tuple(shape), *((side, side) for side in shape)]


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The opposite of :func:`weights`.

    Raises:
        RuntimeError: other names or shapes.
        ValueError: a number that is not finite, or an index that points to nothing; the tensor is named.
    """
    own = module.state_dict()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} has numbers that are not finite")
        mine = own.get(name)
        if mine is None or mine.shape != tensor.shape or not mine.dim() or not mine.numel() or mine.is_floating_point():
            continue
        if tensor.is_floating_point() or tensor.min() < mine.min() or tensor.max() > mine.max():
            raise ValueError(f"{name} is out of range")
    module.load_state_dict({name: shared_out(tensor, own[name]) if name in own else tensor for name, tensor in tensors.items()})


def weights(module: nn.Module) -> Tensors:
    """A copy of parameters and buffers in main memory, put together where processes share them out; all of them must ask."""
    return {name: _copy(tensor) for name, tensor in module.state_dict().items()}


def _section(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _copy(tensor: Tensor) -> Tensor:
    return gathered(tensor.detach()).to("cpu", copy=True, memory_format=torch.contiguous_format)
