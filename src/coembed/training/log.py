"""``metrics.jsonl``, one JSON per line, and what a person sees: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from coembed.serialization import write_bytes

DEAD_LAYER_NATS = 0.1
IGNORED_CODE_NATS = 1.0
FEW_COMPONENTS = 2.0


class MetricsLogger:
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

    def __enter__(self) -> MetricsLogger:
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


def diagnose(diagnostics: Mapping[str, Any]) -> dict[str, str]:
    """Plain words for what has quietly stopped working in a latent model, by a short key per cause.

    Names looked for: lists ``kl...`` (nats per layer), lists ``active...`` (active units per layer), number
    ``components_effective`` with ``components`` beside it.

    A layer is dead below 0.1 nats of KL; codes are ignored when all layers together hold less than 1 nat, or no
    unit is active; mixture components have died when fewer than 2 of more than 2 are in effect.
    """
    found = {}
    for name, value in diagnostics.items():
        if name.startswith("kl") and isinstance(value, (list, tuple)) and value:
            whose = _whose(name, "kl")
            if sum(value) < IGNORED_CODE_NATS:
                found[f"{name}:ignored"] = (
                    f"The {whose}codes are ignored: all layers together hold {sum(value):.2f} nats, so the "
                    "decoder works without them and samples will look alike. Try a longer warmup_fraction."
                )
            else:
                for layer, nats in enumerate(value):
                    if nats < DEAD_LAYER_NATS:
                        found[f"{name}:{layer}"] = (
                            f"Layer {layer} of the {whose}codes (0 is the coarsest) is dead: it holds "
                            f"{nats:.3f} nats, less than {DEAD_LAYER_NATS}, and adds nothing to samples."
                        )
        if name.startswith("active") and isinstance(value, (list, tuple)) and value and sum(value) == 0:
            found[f"{name}:ignored"] = (
                f"No unit of the {_whose(name, 'active')}codes is active: none changes with the photo."
            )
        if name == "components_effective" and isinstance(value, (int, float)):
            total = diagnostics.get("components")
            if isinstance(total, (int, float)) and total > 2 and value < FEW_COMPONENTS:
                found[name] = (
                    f"Mixture components have died: {value:.2f} of {total:.0f} are in effect, so the mixture "
                    "is a single Gaussian in all but name. Try a larger starting sigma or fewer components."
                )
    return found


def _whose(name: str, prefix: str) -> str:
    owner = name.removeprefix(prefix).strip("_").replace("_", " ")
    return f"{owner} " if owner else ""


def _step(line: bytes) -> float:
    try:
        return json.loads(line)["step"] if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")  # torn: the run was killed in the middle of writing it
