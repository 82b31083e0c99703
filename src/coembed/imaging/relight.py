"""More or less light on a photo's pixels: linear light times exp(delta), strip by strip.

All three channels of a pixel get the same gain, so the proportions of its colour stay, and what is black stays
black. A gain alone would push bright pixels beyond white. There the gain is less, by a smooth shoulder on the
brightest channel M, which cannot reach 1 unless it was there before::

    M' = g M / (1 + (g^p - 1) M^p)^(1/p)        for g > 1, with p = SHOULDER

For g = 1 that is M, for small M it is g M, and it grows with M and with g: no two levels change places, none is
clipped, and where all is well below white nothing is rolled off (0.6 becomes 0.594 with p = 6, from 0.4).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from coembed.imaging.color import levels_to_linear, linear_to_srgb

SHOULDER = 6.0
"""How late brightening rolls off below white: 1 at once, infinity is clipping."""

_MAX_LOG_GAIN = 10.0  # of a logarithm of a gain: further than any photo reaches, and far from overflow
_STEPS = 65535  # of linear light: 20 to a level of sRGB at black, where 8 bits are closest


def add_light(pixels: np.ndarray, delta: np.ndarray, out: list[np.ndarray]) -> None:
    """Add n changes of log shading to one strip of a photo.

    Where a delta is 0 the pixels come back as they were, bit for bit.

    Args:
        pixels: (h, w, 3) uint8 or uint16, sRGB.
        delta: (n, h, w) float32, natural logarithms of the factors on linear light.
        out: n arrays like ``pixels`` that receive the results; views into whole photos, usually.
    """
    light = [levels_to_linear(channel) for channel in cv2.split(pixels)]
    brightest = cv2.max(cv2.max(light[0], light[1]), light[2])
    shoulder = brightest ** np.float32(SHOULDER)
    for change, result in zip(delta, out, strict=True):
        gain = _gain(change, shoulder)
        result[...] = cv2.merge([_encoded(channel, gain, pixels.dtype) for channel in light])


def _gain(change: np.ndarray, shoulder: np.ndarray) -> np.ndarray:
    """The factor on each pixel: exp(change), less the roll-off; ``shoulder`` is M^p."""
    rolled = np.clip(change, 0, np.float32(_MAX_LOG_GAIN))
    rolled *= np.float32(SHOULDER)
    np.exp(rolled, out=rolled)
    rolled -= 1
    rolled *= shoulder
    rolled += 1
    np.log(rolled, out=rolled)
    rolled *= np.float32(-1 / SHOULDER)
    rolled += np.minimum(change, np.float32(_MAX_LOG_GAIN))
    return np.exp(rolled, out=rolled)


def _encoded(light: np.ndarray, gain: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.uint8:
        steps = np.asarray(cv2.multiply(light, gain, scale=_STEPS, dtype=cv2.CV_16U), np.uint16)
        return np.take(_encoding(), steps, mode="clip")
    levels = linear_to_srgb(np.minimum(light * gain, np.float32(1)))
    return np.rint(levels * np.float32(np.iinfo(dtype).max)).astype(dtype)


@lru_cache(maxsize=1)
def _encoding() -> np.ndarray:
    """Level of sRGB, 8 bits, of each step of linear light."""
    return np.rint(linear_to_srgb(np.arange(_STEPS + 1) / np.float32(_STEPS)) * 255).astype(np.uint8)
