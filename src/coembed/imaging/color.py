"""Colour conversions on whole arrays: sRGB and linear light, RGB and HSV, saturation at fixed hue and value.

Everything takes and gives float32 with the channels last, in [0, 1]. Black, greys and saturated primaries are
exact.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

# IEC 61966-2-1: below the knee the curve is a straight line of slope 12.92.
_KNEE = 0.04045
_SLOPE = 12.92
_OFFSET = 0.055
_GAMMA = 2.4


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB-encoded values as linear light.

    Args:
        srgb: any shape, [0, 1].

    Returns:
        float32 of the same shape, [0, 1].
    """
    x = np.asarray(srgb, np.float32)
    curve = ((np.maximum(x, np.float32(_KNEE)) + np.float32(_OFFSET)) / np.float32(1 + _OFFSET)) ** np.float32(
        _GAMMA
    )
    return np.where(x <= np.float32(_KNEE), x / np.float32(_SLOPE), curve)


def levels_to_linear(levels: np.ndarray) -> np.ndarray:
    """``srgb_to_linear`` of whole levels by a table, which is some times as fast.

    Args:
        levels: any shape, uint8 or uint16, sRGB-encoded.

    Returns:
        float32 of the same shape, [0, 1].
    """
    table = _linear_table(levels.dtype)
    return cv2.LUT(levels, table) if levels.dtype == np.uint8 else np.take(table, levels)


@lru_cache(maxsize=2)
def _linear_table(dtype: np.dtype) -> np.ndarray:
    top = np.iinfo(dtype).max
    return srgb_to_linear(np.arange(top + 1, dtype=np.float32) / np.float32(top))


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light as sRGB-encoded values, the inverse of ``srgb_to_linear``.

    Args:
        linear: any shape, [0, 1].

    Returns:
        float32 of the same shape, [0, 1].
    """
    x = np.asarray(linear, np.float32)
    knee = np.float32(_KNEE / _SLOPE)
    # (1 + a) y - a rounds to 0.9999999 at y = 1; written from y, white stays exactly white.
    y = np.maximum(x, knee) ** np.float32(1 / _GAMMA)
    return np.where(x <= knee, x * np.float32(_SLOPE), y - np.float32(_OFFSET) * (1 - y))


def value(rgb: np.ndarray) -> np.ndarray:
    """HSV value, the largest of the three channels.

    Args:
        rgb: (..., 3), [0, 1].

    Returns:
        (...), float32, [0, 1].
    """
    r, g, b = _channels(rgb)
    # Two elementwise maxima are ten times as fast as a reduction over an axis of length three.
    return np.maximum(np.maximum(r, g), b)


def saturation(rgb: np.ndarray) -> np.ndarray:
    """HSV saturation, (max - min) / max, and 0 for black.

    Args:
        rgb: (..., 3), [0, 1].

    Returns:
        (...), float32, [0, 1].
    """
    top, spread = _value_and_spread(rgb)
    return _ratio(spread, top)


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """RGB as hue, saturation and value.

    Args:
        rgb: (..., 3), [0, 1].

    Returns:
        (..., 3), float32; hue in [0, 1) (a turn is 1; greys have hue 0), saturation and value in [0, 1].

    >>> rgb_to_hsv(np.array([0.0, 1.0, 0.0])).round(4).tolist()
    [0.33329999446868896, 1.0, 1.0]
    """
    r, g, b = _channels(rgb)
    top, spread = _value_and_spread(rgb)
    sextant = np.where(
        top == r,
        _ratio(g - b, spread),
        np.where(top == g, 2 + _ratio(b - r, spread), 4 + _ratio(r - g, spread)),
    )
    hue = np.where(sextant < 0, sextant + 6, sextant) / np.float32(6)
    # A hue a hair below 0 rounds up to a whole turn, which is 0 again.
    hue = np.where(hue >= 1, np.float32(0), hue)
    return np.stack([hue, _ratio(spread, top), top], axis=-1).astype(np.float32, copy=False)


def hue_direction(r: np.ndarray, g: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue as a direction in the plane of chroma, (cos h, sin h); (0, 0) for greys.

    The angle is that of HSV to within 1.2 degrees, does not jump at red, and does not change with HSV
    saturation at fixed hue and value, which scales the vector (R - (G + B) / 2, sqrt(3) / 2 (G - B)).

    Args:
        r, g, b: channels of one shape, float32, [0, 1]; several times as fast where they are contiguous.

    Returns:
        Cosine and sine, float32 of that shape each, in [-1, 1].
    """
    along = r - np.float32(0.5) * (g + b)
    across = np.float32(math.sqrt(0.75)) * (g - b)
    scale = along * along
    scale += across * across
    np.sqrt(scale, out=scale)
    scale += np.float32(1e-12)  # greys: 0 over this is 0
    np.reciprocal(scale, out=scale)
    along *= scale
    across *= scale
    return along, across


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue, saturation and value as RGB, the inverse of ``rgb_to_hsv``.

    Args:
        hsv: (..., 3); hue in turns (any real number), saturation and value in [0, 1].

    Returns:
        (..., 3), float32, [0, 1].
    """
    h, s, v = _channels(hsv)
    channels = []
    for start in (5, 3, 1):
        k = (start + 6 * h) % 6
        channels.append(v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(channels, axis=-1).astype(np.float32, copy=False)


def with_saturation(rgb: np.ndarray, new_saturation: np.ndarray) -> np.ndarray:
    """The same hue and value with another HSV saturation; greys, which have no hue, stay grey.

    Moves each channel along its distance to the value, so no hue is ever computed:
    ``new = V - (V - rgb) * (S_new / S)``.

    Args:
        rgb: (..., 3), [0, 1].
        new_saturation: (...), clipped to [0, 1].

    Returns:
        (..., 3), float32, [0, 1].

    Raises:
        ValueError: the shapes do not match.
    """
    rgb = np.asarray(rgb, np.float32)
    new_saturation = np.asarray(new_saturation, np.float32)
    if rgb.shape[:-1] != new_saturation.shape:
        raise ValueError(f"new_saturation has shape {new_saturation.shape}, expected {rgb.shape[:-1]}")
    top, spread = _value_and_spread(rgb)
    # Dividing by the spread first keeps each factor in [0, 1], even where S is too small to divide by.
    reach = np.clip(new_saturation, 0, 1) * top
    out = np.empty_like(rgb)
    for i in range(3):
        out[..., i] = top - _ratio(top - rgb[..., i], spread) * reach
    return out


def _channels(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    array = np.asarray(array, np.float32)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise ValueError(f"array has shape {array.shape}, expected (..., 3)")
    return array[..., 0], array[..., 1], array[..., 2]


def _value_and_spread(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r, g, b = _channels(rgb)
    top = np.maximum(np.maximum(r, g), b)
    return top, top - np.minimum(np.minimum(r, g), b)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Numerator over denominator, and 0 where the denominator is 0."""
    return numerator / np.where(denominator > 0, denominator, np.float32(1))
