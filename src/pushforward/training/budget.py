"""What a training step costs, found without data, arithmetic or memory: shapes alone, on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..core import Flow
from ..objectives import MaximumLikelihood

COPIES = 5  # of each number that is learned: weight, gradient, AdamW's two moments, moving average


@dataclass(frozen=True)
class Budget:
    """The cost of a training step.

    Attributes:
        parameters: numbers that are learned.
        forward: floating-point operations of one log-likelihood, per row: two for each multiplication of matrix products and
            convolutions; scalar maps, activations and decompositions of small matrices are not counted.
        step: the same of one training step, per row, with whatever is computed again to save memory.
        activations: bytes that a step keeps for backward at its peak, per row.
        states: bytes of weights, gradients, the optimizer's moments and the average of the weights.
    """

    parameters: int
    forward: float
    step: float
    activations: float
    states: int


def budget(flow: Flow, x: Tensor, context: Tensor | None = None) -> Budget:
    """Count one training step of a flow on the batch x; on the meta device it takes as long as its layers take to be called.

    Arguments:
        flow: any flow; gradients are left in its parameters.
        x, context: a batch as data; its size matters little, since costs are told per row.

    Example::

        >>> with torch.device("meta"):
        ...     flow, x = glow((3, 32, 32), steps=8, width=128), torch.zeros(64, 3, 32, 32)
        >>> budget(flow, x).parameters
        4417944
    """
    objective = MaximumLikelihood(flow).train()
    learned = [p for p in flow.parameters() if p.requires_grad]
    with Operations() as forward, torch.no_grad():
        objective(x, context)
    known = [*flow.parameters(), *flow.buffers(), x, *([] if context is None else [context])]
    with Operations() as step:
        _, peak = kept(lambda: objective(x, context).backward(), known)
    return Budget(
        parameters=sum(p.numel() for p in learned),
        forward=forward.total / len(x),
        step=step.total / len(x),
        activations=peak / len(x),
        states=COPIES * sum(p.nbytes for p in learned),
    )


class Operations(TorchDispatchMode):
    """Sums what torch's table of operations says of each call. (Its own FlopCounterMode also follows modules, by hooks that forbid the
    ``autograd.grad`` within the backward of memory="constant".)"""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class _Held:
    """A tensor that autograd holds; its bytes count while this object lives."""

    def __init__(self, tensor: Tensor, ledger: Ledger):
        self.tensor, self.ledger = tensor, ledger
        ledger.add(tensor, 1)

    def __del__(self) -> None:
        self.ledger.add(self.tensor, -1)


class Ledger:
    """Bytes that autograd holds now, and the most it ever held; each storage counts once, whatever views of it there are."""

    def __init__(self, known: Iterable[Tensor]):
        self.known = {t.untyped_storage()._cdata for t in known}
        self.holders: dict[int, int] = {}
        self.bytes = self.peak = 0

    def add(self, tensor: Tensor, change: int) -> None:
        storage = tensor.untyped_storage()
        before = self.holders.get(storage._cdata, 0)
        self.holders[storage._cdata] = before + change
        self.bytes += storage.nbytes() * (((before + change) > 0) - (before > 0))
        self.peak = max(self.peak, self.bytes)

    def pack(self, tensor: Tensor) -> Any:
        return tensor if tensor.untyped_storage()._cdata in self.known else _Held(tensor, self)

    @staticmethod
    def unpack(held: Any) -> Tensor:
        return held.tensor if isinstance(held, _Held) else held


def kept(function: Callable[[], Any], known: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Bytes kept for backward when ``function`` is done, and at the peak, its own backward included.

    ``known`` tensors are not counted: parameters and data, which are there anyway. What is not kept but only passes through, such as
    the output of a convolution and gradients of activations, comes on top; it is a few times the largest layer.
    """
    ledger = Ledger(known)
    with torch.autograd.graph.saved_tensors_hooks(ledger.pack, Ledger.unpack):
        result = function()
        held = ledger.bytes
        del result
    return held, ledger.peak
