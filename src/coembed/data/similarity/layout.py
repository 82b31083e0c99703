"""Layout of a photo: the share of every cell of a grid that the boxes of a category cover together."""

from __future__ import annotations

import numpy as np


def coverage(boxes: np.ndarray, grid: int) -> np.ndarray:
    """The share of each cell that the union of boxes covers, exactly.

    Args:
        boxes: (k, 4) left, top, right, bottom as fractions of the photo's sides; what lies outside is cut off.
        grid: cells per side.

    Returns:
        (grid, grid) in [0, 1], rows from the top.

    >>> coverage(np.array([[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.75, 0.5]]), 2).tolist()
    [[1.0, 0.5], [1.0, 0.0]]
    """
    boxes = np.clip(boxes, 0.0, 1.0)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    if len(boxes) == 0:
        return np.zeros((grid, grid))
    if len(boxes) == 1:
        left, top, right, bottom = boxes[0]
        return np.outer(_overlap(top, bottom, grid), _overlap(left, right, grid))
    # Cut both sides at every edge of a box and of a cell: each piece is covered whole or not at all.
    edges = np.linspace(0, 1, grid + 1)
    xs, ys = np.union1d(boxes[:, 0::2], edges), np.union1d(boxes[:, 1::2], edges)
    x, y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    across = (x > boxes[:, :1]) & (x < boxes[:, 2:3])
    down = (y > boxes[:, 1:2]) & (y < boxes[:, 3:4])
    covered = (down.T.astype(np.float32) @ across.astype(np.float32)) > 0
    rows = _share_of(y, np.diff(ys), grid)
    columns = _share_of(x, np.diff(xs), grid)
    return np.clip(rows @ covered @ columns.T, 0.0, 1.0)


def _overlap(low: float, high: float, grid: int) -> np.ndarray:
    """The share of each of ``grid`` equal cells of [0, 1] that [low, high] covers."""
    cells = np.arange(grid)
    return np.clip(np.minimum(high * grid, cells + 1) - np.maximum(low * grid, cells), 0.0, 1.0)


def _share_of(centres: np.ndarray, lengths: np.ndarray, grid: int) -> np.ndarray:
    """(grid, pieces): the share of a cell that each piece is."""
    cells = np.minimum((centres * grid).astype(int), grid - 1)
    return (cells == np.arange(grid)[:, None]) * lengths * grid
