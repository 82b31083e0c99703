"""More or less saturation added to a photo's pixels: same hue, same value, in whole levels, strip by strip.

Two things keep the result natural where a photo is nearly grey, so that its hue is mostly noise of the camera
and of JPEG. The *hue confidence* scales additions down where the colour of a neighbourhood, averaged so that
noise cancels, is weak. And the chroma of a pixel grows by a bounded factor, because whatever factor is applied
to the colour is also applied to its noise and to the steps between its levels; the bound falls to 1 with the
confidence, so that a road, snow or a white wall keeps a tint, not a colour. Desaturation is left alone.
"""

from __future__ import annotations

import cv2
import numpy as np

MAX_GAIN = 3.0
"""The largest factor by which a pixel's chroma grows, where its hue is sure."""

HALF_CONFIDENCE = 20 / 255
"""Chroma of a neighbourhood's mean colour, as a share of full scale, at which its hue counts half."""

_CELLS = (
    60  # neighbourhoods along the short side, so that they are equally large in the picture at any resolution
)
_MIN_CELLS = 16  # of them, in small pictures
_CELL_SIDES = (8, 32)  # pixels; from one block of JPEG to a size at which the noise has long cancelled


def hue_confidence(pixels: np.ndarray) -> np.ndarray:
    """Trust in the hue of every neighbourhood: C^2 / (C^2 + c0^2), a Wiener weight.

    C is the chroma (largest less smallest channel) of the neighbourhood's mean colour, c0 ``HALF_CONFIDENCE``.
    Noise of independent hues averages out of C; a real tint stays.

    Args:
        pixels: (h, w, 3) uint8 or uint16.

    Returns:
        (rows, columns) float32 in [0, 1), one value a neighbourhood of 8 to 32 pixels per side.
    """
    means = neighbourhood_means(pixels)
    return wiener_weight(means.max(axis=2) - means.min(axis=2), HALF_CONFIDENCE)


def neighbourhood_means(pixels: np.ndarray) -> np.ndarray:
    """Mean colours (rows, columns, 3) of neighbourhoods of 8 to 32 pixels per side, float32 in [0, 1].

    Pictures below 128 pixels have 16 along the short side: their pixels are means themselves.
    """
    height, width = pixels.shape[:2]
    least = int(np.clip(min(height, width) // _MIN_CELLS, 1, _CELL_SIDES[0]))
    side = int(np.clip(min(height, width) // _CELLS, least, _CELL_SIDES[1]))
    cells = (max(1, width // side), max(1, height // side))
    return cv2.resize(pixels, cells, interpolation=cv2.INTER_AREA).astype(np.float32) / _top(pixels)


def wiener_weight(signal: np.ndarray, half: float) -> np.ndarray:
    """Share of a signal that is not noise, s^2 / (s^2 + half^2), float32 in [0, 1)."""
    return signal**2 / (signal**2 + np.float32(half**2))


def rows_of(grid: np.ndarray, rows: slice, size: tuple[int, int]) -> np.ndarray:
    """Some rows of a small grid enlarged bilinearly to a photo's size, without making the rest.

    Args:
        grid: (rows, columns) float32.
        rows: the photo's rows wanted, start and stop given.
        size: (h, w) of the photo.

    Returns:
        (rows.stop - rows.start, w) float32.
    """
    (height, width), (lines, _) = size, grid.shape
    at = np.clip((np.arange(rows.start, rows.stop) + 0.5) * (lines / height) - 0.5, 0, lines - 1)
    above = np.minimum(at.astype(int), max(lines - 2, 0))
    share = (at - above).astype(np.float32)[:, None]
    mixed = grid[above] * (1 - share) + grid[np.minimum(above + 1, lines - 1)] * share
    return cv2.resize(mixed, (width, len(mixed)), interpolation=cv2.INTER_LINEAR)


def add_saturation(
    pixels: np.ndarray, delta: np.ndarray, confidence: np.ndarray, out: list[np.ndarray]
) -> None:
    """Add n changes of HSV saturation to one strip of a photo, hue and value kept.

    Saturation S becomes clip(S + w d, 0, 1), with w = ``confidence`` where d > 0 and 1 elsewhere, and at most
    (1 + (``MAX_GAIN`` - 1) w) S. Where d is 0 the pixels come back as they were, bit for bit. Greys stay grey.

    Args:
        pixels: (h, w, 3) uint8 or uint16.
        delta: (n, h, w) float32, in units of saturation.
        confidence: (h, w) float32 in [0, 1].
        out: n arrays like ``pixels`` that receive the results; views into whole photos, usually.
    """
    channels = cv2.split(pixels)
    value = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    chroma = cv2.subtract(value, cv2.min(cv2.min(channels[0], channels[1]), channels[2])).astype(np.float32)
    below = [cv2.subtract(value, channel) for channel in channels]
    levels = value.astype(np.float32)
    inverse = 1 / np.maximum(chroma, 1)  # a grey pixel has nothing to scale, whatever its gain
    depth = cv2.CV_8U if pixels.dtype == np.uint8 else cv2.CV_16U
    rest, most = 1 - confidence, 1 + np.float32(MAX_GAIN - 1) * confidence
    gain, less = np.empty_like(chroma), np.empty_like(chroma)
    for change, result in zip(delta, out, strict=True):
        # w d = d - (1 - w) max(d, 0)
        np.maximum(change, 0, out=less)
        np.multiply(less, rest, out=less)
        np.subtract(change, less, out=gain)
        np.multiply(gain, levels, out=gain)
        np.add(gain, chroma, out=gain)
        np.clip(gain, 0, levels, out=gain)
        np.multiply(gain, inverse, out=gain)
        np.minimum(gain, most, out=gain)
        scaled = [cv2.multiply(part, gain, dtype=depth) for part in below]
        result[...] = cv2.merge([cv2.subtract(value, part) for part in scaled])


def _top(pixels: np.ndarray) -> np.float32:
    return np.float32(np.iinfo(pixels.dtype).max)
