"""What a training step costs, found without data, arithmetic or memory: shapes alone, on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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
        activations: bytes of all tensors alive at the peak of a step, beside weights, their gradients and the data: what each row adds.
        fixed: the same, what does not depend on the rows (gradients on their way, of which memory="constant" holds those of a run).
        states: bytes of weights, gradients, the optimizer's moments and the average of the weights.
    """

    parameters: int
    forward: float
    step: float
    activations: float
    fixed: float
    states: int


def budget(flow: Flow, x: Tensor, context: Tensor | None = None) -> Budget:
    """Count one training step of a flow on the batch x; on the meta device it takes as long as its layers take to be called.

    Arguments:
        flow: any flow; gradients are left in its parameters.
        x, context: a batch as data; its size matters little, since costs are told per row.

    Example::

        >>> with torch.device("meta"):
        ...     flow, x = glow((3, 32, 32), steps=8, width=128).to("meta"), torch.zeros(64, 3, 32, 32)
        >>> budget(flow, x).parameters
        1590060
    """
    objective = MaximumLikelihood(flow).train()
    learned = [p for p in flow.parameters() if p.requires_grad]
    with Operations() as forward, torch.no_grad():
        objective(x, context)
    for parameter in learned:
        parameter.grad = torch.zeros_like(parameter)
    known = [*flow.parameters(), *(p.grad for p in learned if p.grad is not None), *flow.buffers()]
    peaks = []
    for rows in (1, 2):
        batch = [None if t is None else torch.cat([t] * rows) for t in (x, context)]
        with Operations([*known, *(t for t in batch if t is not None)]) as step:
            objective(*batch).backward()
        peaks.append(step.peak)
    slope = (peaks[1] - peaks[0]) / len(x)
    return Budget(
        parameters=sum(p.numel() for p in learned),
        forward=forward.total / len(x),
        step=step.total / (2 * len(x)),
        activations=slope,
        fixed=max(0.0, peaks[0] - slope * len(x)),
        states=COPIES * sum(p.nbytes for p in learned),
    )


class Operations(TorchDispatchMode):
    """Counts what is called: operations by torch's own table, and bytes of the tensors that are alive.

    (Torch's FlopCounterMode also follows modules, by hooks that forbid the ``autograd.grad`` within the backward of memory="constant".)

    Attributes:
        total: floating-point operations.
        bytes, peak: of tensors made since, now and at most; each storage counts once, whatever views of it there are.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.total = self.bytes = self.peak = 0
        self._alive = {t.untyped_storage()._cdata for t in known}  # not counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._alive:
            self._alive.add(key)
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.bytes -= size


def kept(function: Callable[[], Any], known: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward of what ``function`` gives; tensors that are ``known`` (parameters) do not count."""
    apart = {t.untyped_storage()._cdata for t in known}
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in apart:
            held[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    del result
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())
