"""Progress of a long count: a bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_SECONDS_A_LINE = 5.0


class Progress:
    """Show how many of ``total`` are done, the rate and the time left, on standard error.

    Args:
        label: what is counted, e.g. ``"train2014"``.
        total: how many in all.
        done: how many were done before; they do not count for the rate.
        unit: plural noun.
        stream: where to; standard error by default.
    """

    def __init__(
        self, label: str, total: int, *, done: int = 0, unit: str = "photos", stream: TextIO | None = None
    ):
        self.label, self.total, self.unit = label, total, unit
        self.done = self._before = done
        self._stream = stream if stream is not None else sys.stderr
        self._start = self._last_line = time.monotonic()
        self._bar = self._task = None
        if self._stream.isatty():
            self._bar = _bar(self._stream)
            self._task = self._bar.add_task(label, total=total, completed=done, detail="")
            self._bar.start()

    def advance(self, n: int) -> None:
        """Count n more."""
        self.done += n
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, detail=self._detail())
        elif time.monotonic() - self._last_line >= _SECONDS_A_LINE and self.done < self.total:
            self._line()

    def close(self) -> None:
        """End the bar, or write the last line."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, detail=self._detail())
            self._bar.stop()
            self._bar = None
        elif self.done > self._before:
            self._line()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        share = 100 * self.done / max(self.total, 1)
        line = f"{self.label}: {self.done}/{self.total} ({share:.0f}%), {self._detail()}"
        print(line, file=self._stream, flush=True)

    def _detail(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.done - self._before) / seconds
        if rate == 0:
            return ""
        left = (self.total - self.done) / rate
        end = f"{clock(left)} left" if self.done < self.total else f"in {clock(seconds)}"
        return f"{rate:.0f} {self.unit}/s, {end}"


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``.

    >>> clock(75), clock(3661)
    ('1:15', '1:01:01')
    """
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def _bar(stream: TextIO):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    ]
    return Bar(*columns, console=Console(file=stream), transient=False)
