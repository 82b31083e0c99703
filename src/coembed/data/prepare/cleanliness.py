"""Are photos large enough that compression leaves no trace of the field in the condition?

A condition and a field of few cells are means over many pixels, in which the errors of compression average out.
Of a photo that is small already, and of JPEGs with halved colour most, they do not: what compression does to a
photo's brightness tells of its colour, and models learn to read it (docs/evaluation.md).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from coembed.imaging.io.origin import Origin, read_origin

QUALITIES = 75, 90
PIXELS_PER_CELL = {"4:2:0": (5.7, 4.7), "4:2:2": (5.7, 4.7), "4:4:4": (2.7, 2.2)}
"""Pixels per cell, along a side (the geometric mean of both), that a clean JPEG has at least, by its colour
sampling, at the qualities 75 and 90: there compression adds 0.02 to the share of saturation that a small
network tells from value, where 0.1 is honest. Read off the sizes between which the gain passes 0.02
(``benchmarks/leak.py``); 4:2:2 was not measured and is taken as 4:2:0."""

LOSSLESS_PIXELS_PER_CELL = 1.0
"""The same for files without compression, as far as a header can tell: a PNG of a JPEG looks like any other."""


@dataclass(frozen=True)
class Census:
    """Number of photos, and of those that are too small to be clean.

    Attributes:
        photos: whose header could be read.
        small: those of them that are too small.
        side: median of the shorter sides of the small ones, pixels; 0 without any.
        sampling: the most common colour sampling of the small ones; empty without any.
        least: shorter side from which on all are clean, pixels: with it as ``--min-side`` none of these is
            left.
    """

    photos: int
    small: int
    side: int = 0
    sampling: str = ""
    least: int = 0

    def __str__(self) -> str:
        kind = f"JPEG {self.sampling}" if self.sampling else "no JPEG"
        return (
            f"{self.small} of {self.photos} photos are too small to be clean (median {self.side} px on the "
            f"shorter side, {kind}), so their conditions can tell the fields; "
            f"--min-side {self.least} leaves them out"
        )


def is_clean(origin: Origin, size: tuple[int, int]) -> bool:
    """True if a photo so stored is large enough for conditions and fields of (h, w) cells."""
    per_cell = (origin.width * origin.height / (size[0] * size[1])) ** 0.5
    return per_cell >= _least(origin.sampling, origin.quality)


def take_census(paths: Iterable[str], size: tuple[int, int]) -> Census:
    """Count photos that are too small for (h, w) cells, by their headers; files without one are passed over."""
    origins = [origin for path in paths if (origin := read_origin(path)) is not None]
    small = [origin for origin in origins if not is_clean(origin, size)]
    if not small:
        return Census(len(origins), 0)
    sampling = statistics.mode(origin.sampling or "" for origin in small)
    return Census(
        len(origins),
        len(small),
        round(statistics.median(min(origin.width, origin.height) for origin in small)),
        sampling,
        1 + max(min(origin.width, origin.height) for origin in small),
    )


def _least(sampling: str | None, quality: int | None) -> float:
    """Pixels per cell of a clean photo; of a JPEG of unknown quality, those of the lower one."""
    if sampling is None:
        return LOSSLESS_PIXELS_PER_CELL
    low, high = PIXELS_PER_CELL[sampling]
    share = 0.0 if quality is None else (quality - QUALITIES[0]) / (QUALITIES[1] - QUALITIES[0])
    return low + (high - low) * share
