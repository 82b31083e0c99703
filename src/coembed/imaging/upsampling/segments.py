"""Segments of a photo: SLIC superpixels, smaller than a low-resolution cell, seeded on a grid.

The paper sums basis functions within one segment of the photo. Which segmentation decides nearly all of the
quality, and a missed boundary costs far more than one too many, so the photo is over-segmented on purpose;
``basis.py`` then links similar neighbours, so a boundary inside a smooth region does not show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.segmentation import slic
from skimage.util import regular_grid

# How much colour one step of the grid is worth. The original's 10 hugs edges less, 2 makes ragged segments.
_COMPACTNESS = 4.0
_ITERATIONS = 5


@dataclass(frozen=True)
class Segments:
    """A partition of an image whose segments lie about where their grid seeds lay.

    Attributes:
        labels: (h, w) int32, index of the segment in raster order of the grid.
        grid: rows and columns of seeds; segment k was seeded at (k // columns, k % columns).
        step: distance of neighbouring seeds, pixels.
        counts: (k,) pixels per segment; 0 is possible.
        features: (k, c) mean features.
        centres: (k, 2) mean row and column, pixels.
    """

    labels: np.ndarray
    grid: tuple[int, int]
    step: float
    counts: np.ndarray
    features: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        return self.grid[0] * self.grid[1]


def superpixels(features: np.ndarray, step: float) -> Segments:
    """Partition an image into superpixels about ``step`` pixels wide (SLIC, scikit-image).

    Args:
        features: (h, w, c) float32, Lab or any space in which distances of about 7 are visible.
        step: wanted distance between seeds, pixels; below 2, every pixel is a segment of its own.

    Returns:
        Segments, not necessarily connected.
    """
    h, w = features.shape[:2]
    wanted = max(1, round(h * w / step**2))
    ranges = [range(*s.indices(n)) for s, n in zip(regular_grid((h, w), wanted), (h, w), strict=True)]
    grid = len(ranges[0]), len(ranges[1])
    if step < 2 or 0 in grid:
        labels, grid, step = np.arange(h * w, dtype=np.int32).reshape(h, w), (h, w), 1.0
    else:
        # scikit-image rescales the image to [0, 1]; compactness is given in the rescaled unit.
        spread = float(features.max() - features.min()) or 1.0
        labels = slic(
            features,
            wanted,
            compactness=_COMPACTNESS / spread,
            max_num_iter=_ITERATIONS,
            convert2lab=False,
            enforce_connectivity=False,
            start_label=0,
            channel_axis=2,
        ).astype(np.int32)
        step = float(max(r.step for r in ranges))
    return _measure(labels, grid, step, features)


def _measure(labels: np.ndarray, grid: tuple[int, int], step: float, features: np.ndarray) -> Segments:
    h, w, channels = features.shape
    size = grid[0] * grid[1]
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=size)

    def mean(values: np.ndarray) -> np.ndarray:
        return (np.bincount(flat, values.ravel(), minlength=size) / np.maximum(counts, 1)).astype(np.float32)

    rows, columns = np.indices((h, w), np.float32)
    return Segments(
        labels=labels,
        grid=grid,
        step=step,
        counts=counts,
        features=np.stack([mean(features[..., c]) for c in range(channels)], -1),
        centres=np.stack([mean(rows), mean(columns)], -1),
    )
