"""The last step: area means that are the field's, within limits on overshoot.

What a cell's mean still lacks is spread bilinearly between cell centres, so it leaves no outline. The weights
of that are solved for exactly, one small matrix an axis.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.ndimage import maximum_filter, minimum_filter

from coembed.imaging.resize import area_weights

_ROUNDS = 24  # of limiting and giving back
_CLOSE = 2e-4  # of the field's range: when to stop


class Projection:
    """Make fields on a grid of pixels consistent with fields on a grid of cells.

    Args:
        size: (h, w) of the pixels.
        low_shape: rows and columns of cells.
    """

    def __init__(self, size: tuple[int, int], low_shape: tuple[int, int]):
        axes = list(zip(size, low_shape, strict=True))
        self._means = [area_weights(pixels, cells) for pixels, cells in axes]
        self._spread = [_bilinear(pixels, cells) for pixels, cells in axes]
        self._inverse = [
            _inverse(sparse.csr_array(means @ spread).toarray(), pixels >= 2 * cells)
            for means, spread, (pixels, cells) in zip(self._means, self._spread, axes, strict=True)
        ]
        # The cell of each row and column, by its centre.
        self._cell = [((2 * np.arange(pixels) + 1) * cells) // (2 * pixels) for pixels, cells in axes]

    def missing(self, field: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Difference of the wanted (rows, columns) and the area means of (h, w)."""
        return wanted - (self._means[1] @ (self._means[0] @ field).T).T

    def __call__(self, field: np.ndarray, wanted: np.ndarray, overshoot: float | None) -> np.ndarray:
        """Correct one field in place.

        Args:
            field: (h, w) float32.
            wanted: (rows, columns), its area means to be.
            overshoot: how far each pixel may leave the range of the 3 x 3 cells around its own, as a share of
                that range; None for no limit. The limit holds always, the means as far as it lets them.

        Returns:
            The field.
        """
        missing = self.missing(field, wanted)
        field += self._spread_out(missing)
        if overshoot is None:
            return field
        low, high = (f(wanted, 3, mode="nearest") for f in (minimum_filter, maximum_filter))
        margin = overshoot * (high - low)
        low, high = (self._per_pixel(limit) for limit in (low - margin, high + margin))
        close = _CLOSE * float(np.ptp(wanted))
        for _ in range(_ROUNDS):
            np.clip(field, low, high, out=field)
            missing = self.missing(field, wanted)
            if np.abs(missing).max() <= close:
                return field
            field += self._spread_out(missing)
        return np.clip(field, low, high, out=field)

    def _spread_out(self, missing: np.ndarray) -> np.ndarray:
        weights = (self._inverse[0] @ missing @ self._inverse[1].T).astype(np.float32)
        return self._spread[0] @ (self._spread[1] @ weights.T).T

    def _per_pixel(self, cells: np.ndarray) -> np.ndarray:
        return np.take(np.take(cells.astype(np.float32), self._cell[0], 0), self._cell[1], 1)


def _bilinear(pixels: int, cells: int) -> sparse.csr_array:
    """Weights (pixels, cells) of linear interpolation between cell centres."""
    place = np.clip((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0, cells - 1)
    before = np.minimum(place.astype(np.intp), max(cells - 2, 0))
    share = (place - before).astype(np.float32)
    entries = np.concatenate([1 - share, share])
    columns = np.concatenate([before, np.minimum(before + 1, cells - 1)])
    return sparse.csr_array((entries, (np.tile(np.arange(pixels), 2), columns)), shape=(pixels, cells))


def _inverse(matrix: np.ndarray, regular: bool) -> np.ndarray:
    """Of a matrix with a heavy diagonal; with fewer pixels than that takes, what can be had of one."""
    if regular:
        return np.linalg.inv(matrix.astype(np.float64))
    return np.linalg.pinv(matrix.astype(np.float64), rcond=0.05)
