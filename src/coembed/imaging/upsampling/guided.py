"""A guided filter: near each pixel the field is a linear function of the photo's colour.

Segments say where a field may change, the guided filter how: along a gradual edge of the photo (defocus, a soft
shadow, hair) the field follows it, instead of stepping from one segment to the next. He, Sun and Tang, "Guided
image filtering", ECCV 2010, with a colour guide.
"""

from __future__ import annotations

import cv2
import numpy as np

# Brightness and two colours at right angles: the same filter, but the covariances of a nearly grey photo do not
# come near to singular ones, which float32 would not survive.
_AXES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float32) / np.sqrt(
    np.array([[3], [2], [6]], np.float32)
)


class GuidedFilter:
    """Prepared once for a guide, then applied to any number of fields; linear, and 0 stays exactly 0.

    Args:
        guide: (h, w, 1 or 3) float32 in [0, 1].
        radius: of the box in rows and in columns, pixels.
        epsilon: variance of colour below which a place counts as flat; the smaller, the fainter the edges that
            a field may follow.
    """

    def __init__(self, guide: np.ndarray, radius: tuple[int, int], *, epsilon: float):
        self._box = 2 * radius[1] + 1, 2 * radius[0] + 1
        planes = cv2.split(cv2.transform(guide, _AXES)) if guide.shape[2] == 3 else [guide[..., 0]]
        self._guide = [np.ascontiguousarray(plane) for plane in planes]
        self._centre = [self._mean(plane) for plane in self._guide]
        covariance = {
            (i, j): self._mean(self._guide[i] * self._guide[j]) - self._centre[i] * self._centre[j]
            for i in range(len(self._guide))
            for j in range(i, len(self._guide))
        }
        for i in range(len(self._guide)):
            covariance[i, i] += np.float32(epsilon)
        self._inverse = _inverse(covariance, len(self._guide))

    def __call__(self, field: np.ndarray) -> np.ndarray:
        """One field, (h, w) float32, filtered."""
        level = self._mean(field)
        joint = []
        for plane, centre in zip(self._guide, self._centre, strict=True):
            shared = self._mean(plane * field)
            shared -= centre * level
            joint.append(shared)
        result = np.zeros_like(field)
        for i, (plane, centre) in enumerate(zip(self._guide, self._centre, strict=True)):
            slope = self._inverse[i, 0] * joint[0]
            for j in range(1, len(joint)):
                slope += self._inverse[i, j] * joint[j]
            level -= slope * centre
            result += self._mean(slope) * plane
        result += self._mean(level)
        return result

    def _mean(self, plane: np.ndarray) -> np.ndarray:
        return cv2.blur(plane, self._box, borderType=cv2.BORDER_REFLECT)


def _inverse(matrix: dict[tuple[int, int], np.ndarray], size: int) -> dict[tuple[int, int], np.ndarray]:
    """Inverses of symmetric matrices, given and returned as planes of entries; ``size`` is 1 or 3."""
    if size == 1:
        return {(0, 0): 1 / matrix[0, 0]}
    a, b, c, d, e, f = (matrix[at] for at in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    upper = d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b
    scale = 1 / (a * upper[0] + b * upper[1] + c * upper[2])
    aa, ab, ac, bb, bc, cc = (cofactor * scale for cofactor in upper)
    rows = (aa, ab, ac), (ab, bb, bc), (ac, bc, cc)
    return {(i, j): rows[i][j] for i in range(3) for j in range(3)}
