"""More or less of a change of a field than was drawn."""

from __future__ import annotations

import numpy as np


def at_strength(changes: np.ndarray, own: np.ndarray, strength: float) -> np.ndarray:
    """Changes at a strength: the further from the photo the more, and never through it to its negative.

    Up to 1 a change is scaled. Beyond, scaling would turn the photo's own field inside out: a draw that leaves
    a share r = 1 + a of it (a < 0 the change's regression on it, level apart) would leave 1 + s a < 0 at
    strength s. There that share is r^s, which falls as long as it can and keeps its sign; all else is scaled.

    Args:
        changes: (n, c, h, w), what was drawn less the photo's own.
        own: (c, h, w), the photo's own field.
        strength: 0 or more.

    Returns:
        float32 (n, c, h, w): exactly 0 at strength 0, ``changes`` itself at 1.
    """
    scaled = np.float32(strength) * changes
    if strength <= 1:
        return scaled
    pattern = own - own.mean(axis=(1, 2), keepdims=True)
    energy = float((pattern.astype(np.float64) ** 2).sum())
    if energy == 0:
        return scaled
    slopes = (changes * pattern).sum(axis=(1, 2, 3), dtype=np.float64) / energy
    kept = 1 + slopes
    left = np.where(kept > 0, np.maximum(kept, 0) ** strength, kept)
    more = np.where(slopes < 0, left - (1 + strength * slopes), 0.0)
    return scaled + (more[:, None, None, None] * pattern).astype(np.float32)
