"""A photo's rows in strips, and how many of them to work on at once."""

from __future__ import annotations

from coembed.numerics.cores import count_cores

STRIP = 256
"""Rows worked on at a time: a few MB, which the processor's cache about holds."""


def strips(height: int) -> list[slice]:
    """All rows in strips from the top, the last may be lower.

    >>> strips(300)
    [slice(0, 256, None), slice(256, 300, None)]
    """
    return [slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP)]


def thread_count() -> int:
    """Threads to work with: the processors this process may use, at most four."""
    return min(4, count_cores())
