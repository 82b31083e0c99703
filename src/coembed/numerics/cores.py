"""Processor cores."""

from __future__ import annotations

import os


def count_cores() -> int:
    """Cores that this process may use: a container or ``taskset`` may grant fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        return os.cpu_count() or 1
