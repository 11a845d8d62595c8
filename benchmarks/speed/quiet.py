"""Whether the machine is ours: a ratio that was taken while others used its processors says nothing."""

from __future__ import annotations

import sys
import time

import torch

from pushforward.training.starvation import ran_and_waited

ENOUGH = 0.95  # of the processors that our threads ask for
SHARED = 0.05  # of the time of our threads, waited for a processor: beyond it a ratio is not published


def got(seconds: float = 0.5) -> float:
    """What part of the processors our threads get while all of them have work."""
    a, b, out = (torch.randn(512, 512) for _ in range(3))
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        torch.mm(a, b, out=out)
    return (time.process_time() - used) / (time.perf_counter() - start) / torch.get_num_threads()


def wait(minutes: float) -> None:
    """Until three looks in a row find a quiet machine, or for so many minutes."""
    began, quiet, told = time.perf_counter(), 0, False
    while quiet < 3 and time.perf_counter() - began < 60 * minutes:
        found = got()
        quiet = quiet + 1 if found >= ENOUGH else 0
        if not quiet:
            if not told:
                print(
                    f"others use the machine, we get {found:.0%} of it; waiting, {minutes:g} minutes at most", file=sys.stderr, flush=True
                )
            told = True
            time.sleep(5)


class Waiting:
    """What our threads have waited for a processor since this was made."""

    def __init__(self) -> None:
        self._before = ran_and_waited()

    def share(self) -> float:
        """Of their time; where the system does not say, of the processors what others have now."""
        ran, waited = (after - before for after, before in zip(ran_and_waited(), self._before))
        return waited / (ran + waited) if ran > 0 else max(0.0, 1 - got())
