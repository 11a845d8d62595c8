"""The weights worth keeping, in memory and in the run's files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .checkpoint import Checkpoint, Learner, Tensors, TrainerState, weights
from .processes import Processes

if TYPE_CHECKING:
    from .directory import Directory

SAVE = 30.0  # seconds between checkpoints at least
PAUSE = 20.0  # times what writing one takes, if that is more


class Checkpointer:
    """The last good state (to roll back to), the best averaged weights, and when to write them to disk.

    Arguments:
        learner: what is kept.
        now: its counters.
        run: where to write, ``None`` for nowhere.
        processes: of them the first writes. Where they share out the weights, all put together what it writes.
        saved: the state that the run goes on from, if it does.
    """

    def __init__(self, learner: Learner, now: TrainerState, run: Directory | None, processes: Processes, saved: Checkpoint | None):
        self.learner, self.now = learner, now
        self.run = run if processes.main else None
        self._joint = run is not None and processes.sharded
        self.good: Tensors = saved.good if saved else learner.capture()
        self.best: Tensors = saved.best if saved else {}
        self._good_step = now.step if saved is None or saved.good is saved.now else -1
        self._best_written = -1
        self._next = 0.0  # at once: from the start there is something to load

    @property
    def due(self) -> bool:
        return self.run is not None and time.perf_counter() >= self._next

    def validated(self, loss: float) -> None:
        """Take note of a validation loss: the weights may be the best ones, and the state is a good one unless steps are failing."""
        now, finite = self.now, abs(loss) < float("inf")
        if finite and (now.best is None or loss < now.best):
            now.best, now.best_step, now.waited, self.best = loss, now.step, 0, weights(self.learner.average.part)
        else:
            now.waited += 1
        if not now.tally[0] and (finite or now.best is None):
            self.good, self._good_step = self.learner.capture(), now.step

    def rescue(self) -> None:
        """Write, when the other processes are lost; where they held parts of the weights, what was written last has to do."""
        if not self._joint:
            self.write()

    def write(self) -> None:
        """Checkpoint, and the best weights if they are new.

        Raises:
            OSError: the disk is full; the previous files are kept.
        """
        if self.run is None and not self._joint:
            return
        began = time.perf_counter()
        current = self.good if self._good_step == self.now.step else self.learner.capture()
        if self.run is None:
            return
        Checkpoint(self.now, current, self.good, self.best).save(self.run.state)
        if self.best and self._best_written != self.now.best_step:
            self.run.save_weights(self.best)
            self._best_written = self.now.best_step
        ended = time.perf_counter()
        self._next = ended + max(SAVE, PAUSE * (ended - began))
