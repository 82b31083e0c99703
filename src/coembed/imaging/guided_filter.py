"""The guided filter: a field made locally linear in the colours of a guide (He, Sun and Tang 2010).

Where the guide is even, the field becomes even; where both change together, the change stays. So grain that has
nothing to do with what the photo shows goes, and light that ends at a thing still ends there.
"""

from __future__ import annotations

import cv2
import numpy as np


def guided_filter(fields: np.ndarray, guide: np.ndarray, radius: int, softness: float) -> np.ndarray:
    """Filter small fields along a guide of their own size.

    In every square window w of 2 ``radius`` + 1 cells per side the field is fitted by ``a_w . guide + b_w``,
    with ``softness`` |a_w|^2 against the mean squared error; each cell gets the mean over its windows.

    Args:
        fields: (..., h, w) float32.
        guide: (h, w, c), [0, 1].
        radius: at least 0.
        softness: variance of the guide that counts as even, above 0.

    Returns:
        float32 like ``fields``; zero gives exactly zero.
    """
    guide = guide.astype(np.float64)
    channels = guide.shape[2]
    mean = _box(guide, radius)
    products = _box((guide[..., :, None] * guide[..., None, :]).reshape(*guide.shape[:2], -1), radius)
    spread = products.reshape(*guide.shape, channels) - mean[..., :, None] * mean[..., None, :]
    spread += softness * np.eye(channels)
    result = np.empty_like(fields, np.float32)
    for at in np.ndindex(fields.shape[:-2]):
        field = fields[at].astype(np.float64)[..., None]
        middle = _box(field, radius)
        shared = _box(guide * field, radius) - mean * middle
        slope = np.linalg.solve(spread, shared[..., None])[..., 0]
        offset = middle - (slope * mean).sum(-1, keepdims=True)
        result[at] = (_box(slope, radius) * guide).sum(-1) + _box(offset, radius)[..., 0]
    return result


def _box(planes: np.ndarray, radius: int) -> np.ndarray:
    """Means over windows, (h, w, c), mirrored at the border."""
    side = 2 * radius + 1
    means = [
        cv2.blur(np.ascontiguousarray(planes[..., c]), (side, side), borderType=cv2.BORDER_REFLECT)
        for c in range(planes.shape[2])
    ]
    return np.stack(means, axis=-1)
