"""Ctrl-C asks the loop to stop after the step it is in; a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """While entered, SIGINT and SIGTERM set ``asked`` instead of raising (in the main thread only)."""

    def __init__(self):
        self.asked = False
        self._previous = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
