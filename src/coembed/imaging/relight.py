"""More or less light on a photo's pixels: linear light times exp(delta), strip by strip.

All three channels of a pixel get the same gain, so the proportions of its colour stay, and what is black stays
black. A gain alone would push bright pixels beyond white, and turn white ones to grey fog: what is white is a
lamp, a sky or clipped, and says nothing of how much light there was. There the gain nears 1, by a smooth
shoulder on the brightest channel M, which cannot reach 1 unless it was there before, and stays there if it
was::

    M' = g M / (1 + (g^p - 1) M^p)^(1/p)        with p = SHOULDER for g > 1, p = KNEE for g < 1

For g = 1 that is M, for small M it is g M, and it grows with M and with g: no two levels change places (but for
the last bit of 16), none is clipped, and where all is well below white nothing is rolled off (0.6 becomes 0.596
with p = 6, from 0.4). Brightening also brightens noise, which is most of what near-black pixels hold: there it
is scaled down.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from coembed.imaging.color import levels_to_linear, linear_to_srgb
from coembed.imaging.recolor import neighbourhood_means, wiener_weight

SHOULDER = 6.0
"""How late brightening rolls off below white: 1 at once, infinity is clipping."""

KNEE = 3.0
"""How near to white darkening lets go: 1 from black on, infinity at white alone. Chosen by eye."""

HALF_SIGNAL = 14 / 255
"""Mean level of a neighbourhood's brightest channel (sRGB) at which half of what it shows counts as signal."""

_MAX_LOG_GAIN = 10.0  # of a logarithm of a gain: further than any photo reaches, and far from overflow
_STEPS = 65535  # of linear light: 20 to a level of sRGB at black, where 8 bits are closest


def signal_confidence(pixels: np.ndarray) -> np.ndarray:
    """Trust in the light of every neighbourhood: V^2 / (V^2 + v0^2), a Wiener weight.

    V is the mean of the brightest channel, v0 ``HALF_SIGNAL``.

    Args:
        pixels: (h, w, 3) uint8 or uint16.

    Returns:
        (rows, columns) float32 in [0, 1), one value a neighbourhood of 8 to 32 pixels per side.
    """
    return wiener_weight(neighbourhood_means(pixels).max(axis=2), HALF_SIGNAL)


def add_light(
    pixels: np.ndarray, delta: np.ndarray, out: list[np.ndarray], confidence: np.ndarray | None = None
) -> None:
    """Add n changes of log shading to one strip of a photo.

    Where a delta is 0 the pixels come back as they were, bit for bit.

    Args:
        pixels: (h, w, 3) uint8 or uint16, sRGB.
        delta: (n, h, w) float32, natural logarithms of the factors on linear light.
        out: n arrays like ``pixels`` that receive the results; views into whole photos, usually.
        confidence: (h, w) float32 in [0, 1], a factor on what brightens; 1 without.
    """
    light = [levels_to_linear(channel) for channel in cv2.split(pixels)]
    brightest = cv2.max(cv2.max(light[0], light[1]), light[2])
    shoulders = Shoulders.of(brightest)
    for change, result in zip(delta, out, strict=True):
        if confidence is not None:
            change = np.where(change > 0, change * confidence, change)
        gain = light_gain(change, shoulders)
        result[...] = cv2.merge([_encoded(channel, gain, pixels.dtype) for channel in light])


class Shoulders(NamedTuple):
    """Powers of the brightest channel of every pixel, made once for any number of changes."""

    brightening: np.ndarray
    darkening: np.ndarray

    @classmethod
    def of(cls, brightest: np.ndarray) -> Shoulders:
        """Those of a linear channel, float32 in [0, 1]."""
        return cls(brightest ** np.float32(SHOULDER), brightest ** np.float32(KNEE))


def light_gain(change: np.ndarray, shoulders: Shoulders) -> np.ndarray:
    """The factor on the linear light of each pixel: exp(change), less the roll-off near white.

    Args:
        change: float32, of the logarithm of the shading, of the shape of the shoulders.
        shoulders: of the pixels.
    """
    change = np.clip(change, -np.float32(_MAX_LOG_GAIN), np.float32(_MAX_LOG_GAIN))
    brightens = change > 0
    power = np.where(brightens, np.float32(SHOULDER), np.float32(KNEE))
    near = np.where(brightens, *shoulders)
    rolled = np.exp(change * power)
    rolled *= near
    rolled += 1 - near  # so summed that at white itself the logarithm is exact
    np.log(rolled, out=rolled)
    rolled /= power
    return np.exp(np.subtract(change, rolled, out=rolled), out=rolled)


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
