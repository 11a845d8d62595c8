"""Ctrl-C, SIGTERM and SIGHUP: at once where nothing is lost by it, and as a wish to stop at the next step."""

from __future__ import annotations

import signal
import sys
import threading
from _thread import interrupt_main
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
RAISED_AGAIN = 0.01  # seconds until a lost interrupt is raised again


class EndSignals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; :attr:`number` is the signal that came, to here or within.

    Outside the main thread, where Python allows no handlers, signals are left alone; so is a SIGHUP that is ignored, as by nohup.
    An interrupt that falls into a weak reference's callback or a finalizer, which Python only prints, is raised again a moment later.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.raised = False
        self._previous: dict[int, object] = {}
        self._again: threading.Timer | None = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note) or signal.SIG_DFL
            self._hook, sys.unraisablehook = sys.unraisablehook, self._lost
        return self

    def __exit__(self, *error: object) -> None:
        if self._previous:
            sys.unraisablehook = self._hook
        if self._again is not None:
            self._again.cancel()
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def received(self) -> str | None:
        """The signal's name, as people call it."""
        return None if self.number is None else "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number, self.raised = number, True
        raise KeyboardInterrupt

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        if self.number is None or unraisable.exc_type is not KeyboardInterrupt:
            self._hook(unraisable)
        else:
            self._again = threading.Timer(RAISED_AGAIN, interrupt_main, [self.number])
            self._again.daemon = True
            self._again.start()


class StopSignals(EndSignals):
    """Likewise, but a first signal only sets :attr:`received`; a second one interrupts at once."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        outer = getattr(self._previous[number], "__self__", None)
        if isinstance(outer, EndSignals):  # who ends the process is to know as well
            outer.number = number
        if again:
            raise KeyboardInterrupt
