"""From the working size to the photo's full size, rows at a time.

Each pixel of the photo mixes the four working pixels around it, with bilinear weights times likeness of colour.
The weights are convex, so nothing overshoots, a constant stays constant, and they depend on the photo alone, so
they are computed once for all fields. Each row depends on its own position only: strips join without a seam.
"""

from __future__ import annotations

import numpy as np

# Grey levels of 255 by which colours may differ and still count as alike.
_LIKE = 6.0


class Refinement:
    """Guided 2 x 2 interpolation from a working grid to the photo's grid.

    Args:
        guide: (H, W, 3) or (H, W), uint8, uint16 or float; kept by reference, never copied whole.
        small: (h, w, 3 or 1) float32 in 0 to 255, the guide's area mean at the working size.
        scale: what one unit of the guide is worth on the scale of 0 to 255.
    """

    def __init__(self, guide: np.ndarray, small: np.ndarray, scale: float):
        self.guide, self.small, self.scale = guide, small, np.float32(scale)
        self.size = guide.shape[:2]
        self._row, self._row_share = _places(self.size[0], small.shape[0])
        self._column, self._column_share = _places(self.size[1], small.shape[1])

    def __call__(self, fields: np.ndarray, rows: slice) -> np.ndarray:
        """Full-size rows of some fields.

        Args:
            fields: (f, h, w) float32 at the working size.
            rows: which rows of the full size, with start and stop.

        Returns:
            float32 (f, rows, W).
        """
        result = np.empty((len(fields), rows.stop - rows.start, self.size[1]), np.float32)
        if self.small.shape[:2] == self.size:
            result[:] = fields[:, rows]
            return result
        start = rows.start
        while start < rows.stop:  # a run of rows that lie between the same two working rows
            stop = min(rows.stop, int(np.searchsorted(self._row, self._row[start], side="right")))
            self._run(fields, start, stop, result[:, start - rows.start : stop - rows.start])
            start = stop
        return result

    def _run(self, fields: np.ndarray, start: int, stop: int, out: np.ndarray) -> None:
        upper = self._row[start]
        lower = min(upper + 1, self.small.shape[0] - 1)
        left = self._column
        right = np.minimum(left + 1, self.small.shape[1] - 1)
        below = self._row_share[start:stop, None]
        block = self.guide[start:stop].reshape(stop - start, self.size[1], -1)
        channels = [np.multiply(block[..., c], self.scale, dtype=np.float32) for c in range(block.shape[-1])]
        near = ((upper, left, 1 - below, 1 - self._column_share), (upper, right, 1 - below, self._column_share))
        far = ((lower, left, below, 1 - self._column_share), (lower, right, below, self._column_share))
        shape = stop - start, self.size[1]
        total, buffer, weight = (
            np.zeros(shape, np.float32),
            np.empty(shape, np.float32),
            np.empty(shape, np.float32),
        )
        out[:] = 0
        for row, column, vertical, horizontal in near + far:
            weight.fill(_LIKE**2)
            for c, channel in enumerate(channels):
                np.subtract(channel, self.small[row, column, c], out=buffer)
                np.multiply(buffer, buffer, out=buffer)
                weight += buffer
            np.divide(vertical, weight, out=weight)
            weight *= horizontal
            total += weight
            for k in range(len(fields)):
                np.multiply(weight, fields[k, row, column], out=buffer)
                out[k] += buffer
        np.reciprocal(total, out=total)
        out *= total


def _places(size: int, small: int) -> tuple[np.ndarray, np.ndarray]:
    """For each full pixel the working pixel before its centre, and how far past it (0 to 1)."""
    position = np.clip((np.arange(size) + 0.5) * (small / size) - 0.5, 0, small - 1)
    before = np.floor(position).astype(np.intp)
    return before, (position - before).astype(np.float32)
