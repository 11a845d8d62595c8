"""Ctrl-C, SIGTERM and SIGHUP: at once where nothing is lost by it, and as a wish to stop at the next step."""

from __future__ import annotations

import signal
import threading
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class EndSignals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; :attr:`number` is the signal that came, to here or within.

    Outside the main thread, where Python allows no handlers, signals are left alone; so is a SIGHUP that is ignored, as by nohup.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.raised = False
        self._previous: dict[int, object] = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note) or signal.SIG_DFL
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def received(self) -> str | None:
        """The signal's name, as people call it."""
        return None if self.number is None else "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number, self.raised = number, True
        raise KeyboardInterrupt


class StopSignals(EndSignals):
    """Likewise, but a first signal only sets :attr:`received`; a second one interrupts at once."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        outer = getattr(self._previous[number], "__self__", None)
        if isinstance(outer, EndSignals):  # who ends the process is to know as well
            outer.number = number
        if again:
            raise KeyboardInterrupt
