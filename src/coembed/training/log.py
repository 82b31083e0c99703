"""``metrics.jsonl``, one JSON a line, and what a person sees: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from coembed.serialization import write_bytes


class Log:
    """The log of a run; use as a context manager.

    Args:
        path: the JSON lines. Lines after ``keep_until`` are cut off, and so is a torn last line, so that the
            file of a resumed run reads as if it had never stopped.
        keep_until: the step of the checkpoint that the run goes on from; 0 for a new run.
    """

    def __init__(self, path: Path, keep_until: int):
        kept = []
        if keep_until and path.exists():
            kept = [line for line in path.read_bytes().splitlines(keepends=True) if _step(line) <= keep_until]
        write_bytes(path, b"".join(kept))
        self._file = path.open("a", encoding="utf-8")
        console = Console(stderr=True)
        self._bar = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f}%"))
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task("training", total=1.0)

    def __enter__(self) -> Log:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._file.close()

    def write(self, line: dict[str, Any]) -> None:
        """Append one line; it has a "step"."""
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Make the lines so far survive a power cut; called before every checkpoint."""
        os.fsync(self._file.fileno())

    def progress(self, fraction: float) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction)

    def say(self, text: str) -> None:
        """A line for the person watching."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


def summary(line: dict[str, Any]) -> str:
    """A line of the log in a few words."""
    words = [f"step {line['step']}", f"epoch {line['epoch']:.2f}", f"{100 * line['progress']:.1f}%"]
    words.append(f"loss {line['train'].get('total', float('nan')):.2f} nats per pair")
    if "validation" in line:
        words.append(f"validation {line['validation']['total']:.2f}")
    words += [f"lr {line['learning_rate']:.2e}", f"{line['images_per_second']:.0f} images/s"]
    if line["skipped"]:
        words.append(f"{line['skipped']} steps skipped")
    return "  ".join(words)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has used: of the GPU when there is one, else resident."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _step(line: bytes) -> float:
    try:
        return json.loads(line)["step"] if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")  # torn: the run was killed in the middle of writing it
