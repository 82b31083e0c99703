"""Low-resolution fields of a photo at the photo's own size, respecting the photo's edges (paper section 4.2).

A photo is prepared once (segments, basis functions, factorised normal equations), then any number of fields are
solved for at once. The work is done at about 512 x 512 pixels; larger photos get a guided refinement on top
(``refine.py``).

The low-resolution value of a cell is the mean of the field over the cell, so the solution's area means give the
field back. Field zero gives exactly zero, and a constant gives exactly itself. The result is linear in the
field except where the limit on overshoot acts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from coembed.errors import DataError, PhotoError
from coembed.imaging.resize import area_weights
from coembed.imaging.upsampling.basis import links, soft_membership
from coembed.imaging.upsampling.guided import GuidedFilter
from coembed.imaging.upsampling.project import Projection
from coembed.imaging.upsampling.refine import Refinement
from coembed.imaging.upsampling.segments import superpixels

MAX_PIXELS = 64_000_000
_WORKING_PIXELS = 512 * 512
# Chosen on saturation fields of real photos other than those the benchmark reports on.
_SEGMENT_STEP = 0.55  # of the side of a low-resolution cell
_MAX_STEP = 0.6  # of that side, to spare
_SMALL_STEP = 5.0  # below this many pixels segments get costly and gain little
_LIGHTNESS = 0.7  # next to the two colour axes of Lab: shadows matter less than paint
_RADIUS = 1.6  # of a basis function, steps
_BASIS_COLOUR = 3.0  # its width in colour, Lab units
_LINK_COLOUR = 5.0
_LINK_FLOOR = 5e-2
_KIN, _KIN_REACH = 6, 8.0  # how many, and how far away they still count
_SMOOTHING = 1e-4  # weight of the links against the data, both a cell
_RIDGE = 0.3  # weight of the distance from the low-resolution field, next to the links
_FILTER_RADIUS = 0.5  # of the guided filter, sides of a cell
_FILTER_EPSILON = 1e-4
_CORRECTIONS = 1  # of the weights, after the guided filter
# Segments; for more, conjugate gradients: slower a field, but bounded memory and time.
_MAX_FACTORISED = 45_000


class Interpolator:
    """Prepare a photo once, then upsample any number of low-resolution fields of it.

    Args:
        guide: the photo, (H, W, 3) or (H, W): uint8, uint16, or float in [0, 1]; up to 64 megapixels.
        low_shape: (h, w) of the fields to come; cell (i, j) covers rows i H / h to (i + 1) H / h, likewise
            columns.
        working_pixels: about how many pixels the equations are solved on.
        overshoot: how far a pixel may leave the range of the 3 x 3 cells around its own, as a share of that
            range. True fields do leave it, since a cell's mean hides its extremes; fields that do not follow
            the photo would leave it by far. The limit is hard; 0.25 and above leave the area means room to be
            met. None sets no limit, and makes the result exactly linear in the field.
        kin: strength of the ties between distant segments of like colour, next to touching ones. 3 suits what
            goes with paint and light; motion has less to do with colour, and 1 suits it better.

    Raises:
        PhotoError: a guide of another shape or kind, too large, or not finite.
        DataError: a low shape without cells.

    >>> up = Interpolator(np.zeros((60, 80), np.uint8), (3, 4))
    >>> up(np.full((3, 4), 0.25, np.float32)).shape
    (60, 80)
    """

    def __init__(
        self,
        guide: np.ndarray,
        low_shape: tuple[int, int],
        *,
        working_pixels: int = _WORKING_PIXELS,
        overshoot: float | None = 2.0,
        kin: float = 3.0,
    ):
        scale = _scale(guide)
        if len(low_shape) != 2 or min(low_shape) < 1:
            raise DataError(f"low_shape is {low_shape}, expected (h, w) of at least 1 each")
        self.low_shape = int(low_shape[0]), int(low_shape[1])
        if overshoot is not None and not (math.isfinite(overshoot) and overshoot >= 0):
            raise DataError(f"overshoot is {overshoot!r}, expected a finite number of at least 0, or None")
        if not (math.isfinite(kin) and kin >= 0):
            raise DataError(f"kin is {kin!r}, expected a finite number of at least 0")
        self.overshoot = overshoot
        self._kin = kin
        self.size = guide.shape[0], guide.shape[1]
        self.working_size = _working_size(self.size, self.low_shape, working_pixels)
        small = _shrink(guide, self.working_size, scale)
        self._refine = Refinement(guide, small, scale)
        self._prepare(small)

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Fields at the photo's full size.

        Args:
            fields: (..., h, w), finite.

        Returns:
            float32 (..., H, W).
        """
        fields = self._checked(fields)
        result = np.empty((*fields.shape[:-2], *self.size), np.float32)
        for rows, strip in self.strips(fields):
            result[..., rows, :] = strip
        return result

    def strips(self, fields: np.ndarray, rows: int = 256) -> Iterator[tuple[slice, np.ndarray]]:
        """The same, in strips from the top, so that n full-size maps never lie in memory together.

        Args:
            fields: (..., h, w), finite.
            rows: height of a strip, the last may be lower.

        Yields:
            The rows, and float32 (..., rows, W): exactly what a call gives there.
        """
        if rows < 1:
            raise DataError(f"rows is {rows}, expected at least 1")
        fields = self._checked(fields)
        offsets, working = self._solve(fields.reshape(-1, math.prod(self.low_shape)))
        for start in range(0, self.size[0], rows):
            part = slice(start, min(start + rows, self.size[0]))
            strip = self._refine(working, part)
            strip += offsets[:, None, None]
            yield part, strip.reshape(*fields.shape[:-2], *strip.shape[1:])

    def _prepare(self, small: np.ndarray) -> None:
        features = _features(small)
        cells = math.prod(self.low_shape)
        sides = [pixels / low for pixels, low in zip(self.working_size, self.low_shape, strict=True)]
        side = min(math.sqrt(sides[0] * sides[1]), 1.25 * min(sides))
        step = max(_SEGMENT_STEP * side, min(_SMALL_STEP, _MAX_STEP * side))
        if math.prod(self.working_size) > _MAX_FACTORISED:
            step = max(step, 2.0)  # a segment a pixel is for tiny photos
        segments = superpixels(features, step)
        self._basis = soft_membership(segments, features, colour_sigma=_BASIS_COLOUR, radius=_RADIUS)
        rows, columns = (
            area_weights(pixels, low) for pixels, low in zip(self.working_size, self.low_shape, strict=True)
        )
        self._means = sparse.csr_array(sparse.kron(rows, columns, format="csr") @ self._basis, dtype=np.float64)
        linked = links(
            segments,
            colour_sigma=_LINK_COLOUR,
            floor=_LINK_FLOOR,
            kin=_KIN,
            kin_reach=_KIN_REACH,
            kin_strength=self._kin,
        )
        smoothing = _SMOOTHING * cells / len(segments)
        penalty = linked + sparse.diags_array(np.full(len(segments), _RIDGE))
        normal = self._means.T @ self._means + smoothing * penalty
        # What the low-resolution field itself says about each segment: the mean of the cells that see it.
        weight = self._means.sum(axis=0)
        self._prior = sparse.csr_array(sparse.diags_array(1 / np.maximum(weight, 1e-12)) @ self._means.T)
        self._pull = smoothing * _RIDGE
        self._factor = _Factor(sparse.csc_array(normal))
        rows_of, columns_of = (max(1, round(_FILTER_RADIUS * pixels)) for pixels in sides)
        self._filter = GuidedFilter(np.clip(small / 255, 0, 1), (rows_of, columns_of), epsilon=_FILTER_EPSILON)
        self._project = Projection(self.working_size, self.low_shape)

    def _solve(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each field's first value, and the rest of it at the working size, (f, h, w).

        The first value is taken off and added back at the end: a constant field is left with exact zeros in
        between.
        """
        offsets = fields[:, 0].copy()
        wanted = (fields - offsets[:, None]).T.astype(np.float64)
        weights = self._factor.solve(self._means.T @ wanted + self._pull * (self._prior @ wanted))
        working = self._from_weights(weights)
        cells = wanted.T.reshape(-1, *self.low_shape)
        for k, field in enumerate(working):
            working[k] = self._filter(field)
        for _ in range(_CORRECTIONS):
            missing = np.stack([self._project.missing(*pair) for pair in zip(working, cells, strict=True)])
            weights = self._factor.solve(self._means.T @ missing.reshape(len(cells), -1).T)
            working += self._from_weights(weights)
        for field, means in zip(working, cells, strict=True):
            self._project(field, means, self.overshoot)
        return offsets, working

    def _from_weights(self, weights: np.ndarray) -> np.ndarray:
        """(segments, f) to (f, h, w) float32."""
        working = (self._basis @ weights.astype(np.float32)).T
        return np.ascontiguousarray(working).reshape(-1, *self.working_size)

    def _checked(self, fields: np.ndarray) -> np.ndarray:
        fields = np.asarray(fields, np.float32)
        if fields.ndim < 2 or fields.shape[-2:] != self.low_shape:
            raise DataError(
                f"fields have shape {fields.shape}, expected (..., {self.low_shape[0]}, {self.low_shape[1]})"
            )
        if not np.isfinite(fields).all():
            raise DataError(f"fields have {np.count_nonzero(~np.isfinite(fields))} values that are not finite")
        return fields


class _Factor:
    """Solve a symmetric positive definite system for any number of right-hand sides, (k, f)."""

    def __init__(self, normal: sparse.csc_array):
        self._lu = None
        if len(normal.diagonal()) <= _MAX_FACTORISED:
            self._lu = linalg.splu(
                normal.astype(np.float32),  # two thirds of the time of float64
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        self._normal = normal.tocsr()
        self._diagonal = sparse.diags_array(1 / normal.diagonal())

    def solve(self, wanted: np.ndarray) -> np.ndarray:
        if self._lu is not None:
            solutions = self._lu.solve(np.ascontiguousarray(wanted, np.float32)).astype(np.float64)
            lacking = wanted - self._normal @ solutions  # one step of refinement: float64's accuracy
            solutions += self._lu.solve(np.ascontiguousarray(lacking, np.float32))
            return solutions
        solutions = np.empty_like(wanted)
        for k, one in enumerate(wanted.T):
            solutions[:, k] = linalg.cg(self._normal, one, rtol=1e-3, maxiter=100, M=self._diagonal)[0]
        return solutions


def _scale(guide: np.ndarray) -> float:
    """Check a guide and say what one unit of it is worth in grey levels of 255."""
    if guide.ndim not in (2, 3) or (guide.ndim == 3 and guide.shape[2] not in (1, 3)) or 0 in guide.shape:
        raise PhotoError(f"guide has shape {guide.shape}, expected (H, W, 3) or (H, W)")
    if guide.shape[0] * guide.shape[1] > MAX_PIXELS:
        raise PhotoError(
            f"guide has {guide.shape[0] * guide.shape[1]:,} pixels, expected at most {MAX_PIXELS:,}"
        )
    if guide.dtype == np.uint8:
        return 1.0
    if guide.dtype == np.uint16:
        return 1 / 257
    if np.issubdtype(guide.dtype, np.floating):
        return 255.0
    raise PhotoError(f"guide has type {guide.dtype}, expected uint8, uint16 or float")


def _working_size(size: tuple[int, int], low: tuple[int, int], pixels: int) -> tuple[int, int]:
    """About ``pixels``: at least 4 x 4 a cell, cells above that at most 2 : 1, never above the photo."""
    most = size[0] / low[0], size[1] / low[1]
    shape = min(max(most[0] / most[1], 0.5), 2.0)
    width = math.sqrt(pixels / (low[0] * low[1] * shape))
    width = max(width, 4.0, 4.0 / shape)
    height = min(width * shape, most[0])
    width = min(width, most[1], max(2 * height, 4.0))
    height = min(height, max(2 * width, 4.0))
    return max(1, round(low[0] * height)), max(1, round(low[1] * width))


def _shrink(guide: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """The guide at the working size, (h, w, 3 or 1) float32 in 0 to 255."""
    if guide.dtype == np.float16:
        guide = guide.astype(np.float32)
    if guide.shape[:2] != size:
        guide = cv2.resize(guide, size[::-1], interpolation=cv2.INTER_AREA)
    small = guide.reshape(*size, -1).astype(np.float32) * np.float32(scale)
    if not np.isfinite(small).all():
        raise PhotoError("guide has values that are not finite")
    return small


def _features(small: np.ndarray) -> np.ndarray:
    """Features that segments are made from: CIE Lab of the photo with less L, or L alone of a grey one."""
    unit = np.clip(small / 255, 0, 1)
    if small.shape[2] == 3:
        return cv2.cvtColor(unit, cv2.COLOR_RGB2Lab) * np.array([_LIGHTNESS, 1, 1], np.float32)
    return 100 * unit
