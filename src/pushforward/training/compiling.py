"""Whether compiling a training step is worth it: what it costs, what it brings, and how much is left to do."""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from .atomic import write_text

CLEARLY = 2.0  # times its cost is what compiling must save: runs stop early, and estimates are good to a factor of two
FASTER = 1.05  # times as fast is the least that compiled code must be to be kept
LEAST, MOST = 3.0, 3.0  # seconds and gain of the best case there is: a small model, known to the compiler's cache
START, CALL = 4.0, 0.04  # seconds of compiling: by itself, and for each operation of a step
GAIN = 3.0  # times as fast are operations once they are fused
WARM = 0.25  # of the seconds, where the compiler's cache has all the code


@dataclass(frozen=True)
class Outlook:
    """What compiling a step costs and brings.

    Attributes:
        seconds: of compiling.
        ratio: how many times as fast a step is afterwards.
    """

    seconds: float
    ratio: float

    def pays(self, work: float) -> bool:
        """Whether ``work`` seconds of steps, as they are, become clearly shorter.

        Example::

            >>> Outlook(seconds=25.0, ratio=2.0).pays(90.0), Outlook(seconds=25.0, ratio=2.0).pays(110.0)
            (False, True)
        """
        return self.ratio > FASTER and work * (1 - 1 / self.ratio) > CLEARLY * self.seconds


BEST = Outlook(LEAST, MOST)


class Look(TorchDispatchMode):
    """Watches the operations of a step, forward and backward; results are not changed.

    Attributes:
        calls: operations, views apart.
        convolutions: some of them.
        seconds: in those that a compiler fuses: all but products of matrices, convolutions and kernels of other libraries.
    """

    def __init__(self, device: torch.device):
        super().__init__()
        self.calls, self.convolutions, self.seconds, self._device = 0, 0, 0.0, device
        self._hash = hashlib.blake2b(repr((torch.__version__, str(device), torch.get_num_threads())).encode(), digest_size=12)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        fused = func.namespace == "aten" and not func.is_view and func._overloadpacket not in flop_registry
        began = self._now() if fused else 0.0
        out = func(*args, **(kwargs or {}))
        if fused:
            self.seconds += self._now() - began
        self.calls += not func.is_view
        self.convolutions += func is torch.ops.aten.convolution.default
        self._hash.update(f"{func} {[(tuple(a.shape), a.dtype) if isinstance(a, Tensor) else None for a in args]}".encode())
        return out

    @property
    def name(self) -> str:
        """Of this sequence of operations and shapes, on this device."""
        return self._hash.hexdigest()

    def outlook(self, step: float) -> Outlook:
        """By rule of thumb, for a step of so many seconds.

        On a CPU a step of convolutions gains nothing: Glow took 0.95 to 1.15 of its time, though half of it is in operations that fuse.
        """
        fused = 0.0 if self.convolutions and self._device.type == "cpu" else min(self.seconds, step)
        return Outlook(START + CALL * self.calls, step / (step - (1 - 1 / GAIN) * fused))

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class Ledger:
    """What compiling took and brought in earlier runs, by :attr:`Look.name`; it lies in the compiler's cache and goes with it."""

    def __init__(self, folder: Path | None = None):
        self._path = (folder or compiler_cache()) / "pushforward.json"

    def outlook(self, name: str) -> Outlook | None:
        """What is to be expected this time, if this step has been compiled before."""
        entry = self._read().get(name)
        try:
            seconds, ratio, times = map(float, entry)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        usable = math.isfinite(seconds) and seconds > 0 and math.isfinite(ratio) and ratio > 0
        return Outlook(seconds * (WARM if times < 2 else 1.0), ratio) if usable else None

    def enter(self, name: str, seconds: float, ratio: float) -> None:
        """Write down what was measured; a folder that can't be written to is left as it is."""
        entries = self._read()
        before = entries.get(name)
        times = before[2] + 1 if isinstance(before, list) and len(before) == 3 else 1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(entries | {name: [round(seconds, 2), round(ratio, 3), times]}))
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def compiler_cache() -> Path:
    """Where torch.compile keeps its code between runs (asking it takes more than a second)."""
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given:
        return Path(given)
    try:
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    except (KeyError, OSError, ImportError):  # a user without a name
        user = ""
    return Path(tempfile.gettempdir(), f"torchinductor_{user}")


class Watch:
    """Seconds of some steps in a row.

    Arguments:
        span: seconds after which enough has been seen; 40 steps are enough in any case, and 2 are needed.
    """

    def __init__(self, span: float):
        self._span, self._seconds = span, list[float]()

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    @property
    def enough(self) -> bool:
        return len(self._seconds) >= 40 or (len(self._seconds) >= 2 and sum(self._seconds) >= self._span)

    @property
    def typical(self) -> float:
        """The lower quartile: others may be at work on this machine."""
        return lower_quartile(self._seconds)


def lower_quartile(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 4]
