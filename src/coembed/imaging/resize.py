"""Area means: what an ideal camera of (H, W) cells would have measured of an (h, w) layer.

Each output cell is the mean of the layer over the cell's own rectangle, for any ratio of sizes. Enlarging is
the same formula: a cell inside one pixel takes that pixel's value, a cell across two takes the mix.

OpenCV's INTER_AREA is not used: it interpolates when enlarging and leaves out overlaps below 1e-3 of a pixel,
and the sparse products below are as fast.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from coembed.imaging.color import linear_to_srgb, srgb_to_linear


def area_average(layer: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Exact area means of a layer on another grid; conserves the mean.

    Args:
        layer: (h, w, c) or (h, w), any real dtype.
        size: (H, W), rows and columns wanted, at least 1 each; smaller, larger or both ways at once.

    Returns:
        float32, (H, W, c) or (H, W).

    Raises:
        ValueError: an empty layer, a size below 1, or the wrong number of dimensions.

    >>> area_average(np.array([[0.0, 3.0, 6.0]]), (1, 2)).tolist()
    [[1.0, 5.0]]
    """
    layer = np.asarray(layer, np.float32)
    if layer.ndim not in (2, 3) or 0 in layer.shape:
        raise ValueError(f"layer has shape {layer.shape}, expected (h, w, c) or (h, w), none of them 0")
    (h, w), (rows, columns) = layer.shape[:2], size
    if rows < 1 or columns < 1:
        raise ValueError(f"size is {size}, expected (H, W) of at least 1 each")
    if (h, w) == (rows, columns):
        return layer.copy()
    return _separable(layer.reshape(h, w, -1), rows, columns).reshape(rows, columns, *layer.shape[2:])


def shrink_photo(rgb: np.ndarray, longest: int | None) -> np.ndarray:
    """A photo whose longer side is at most ``longest``, by area means of linear light; never enlarged.

    Args:
        rgb: (h, w, 3), encoded sRGB in [0, 1].
        longest: pixels, at least 1; None for no limit.

    Returns:
        (H, W, 3) float32, encoded sRGB; the photo itself where it is small enough. Sides are rounded, and at
        least 1.

    >>> shrink_photo(np.zeros((30, 40, 3), np.float32), 20).shape
    (15, 20, 3)
    """
    size = shrunk_size((rgb.shape[0], rgb.shape[1]), longest)
    return rgb if size == rgb.shape[:2] else linear_to_srgb(area_average(srgb_to_linear(rgb), size))


def shrunk_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """(h, w) in proportion with a longer side of at most ``longest``.

    >>> shrunk_size((3000, 4000), 256)
    (192, 256)
    """
    if longest is None or max(size) <= longest:
        return size
    h, w = (max(1, round(side * longest / max(size))) for side in size)
    return h, w


@lru_cache(maxsize=64)
def area_weights(pixels: int, cells: int) -> sparse.csr_array:
    """The means of one axis as a matrix: entry (i, j) is the share of cell i that lies in pixel j.

    Args:
        pixels: length of the axis before, at least 1.
        cells: length of the axis after, at least 1.

    Returns:
        float32 (cells, pixels); every row sums to 1 and every column to cells / pixels.
    """
    # In units of 1 / (pixels * cells) of the axis all borders are integers, so the overlaps have no rounding.
    edges = np.union1d(np.arange(pixels + 1) * cells, np.arange(cells + 1) * pixels)
    starts, lengths = edges[:-1], np.diff(edges)
    entries = ((lengths / pixels).astype(np.float32), (starts // pixels, starts // cells))
    return sparse.csr_array(entries, shape=(cells, pixels))


def _separable(layer: np.ndarray, rows: int, columns: int) -> np.ndarray:
    h, w, c = layer.shape
    tall = (area_weights(h, rows) @ layer.reshape(h, w * c)).reshape(rows, w, c)
    turned = np.ascontiguousarray(tall.swapaxes(0, 1)).reshape(w, rows * c)
    return (area_weights(w, columns) @ turned).reshape(columns, rows, c).swapaxes(0, 1)
