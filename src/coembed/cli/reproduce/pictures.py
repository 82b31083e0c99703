"""Fields made visible: one small picture per field, in the way of its task."""

from __future__ import annotations

import cv2
import numpy as np

from coembed.imaging.flow.picture import big_motions, draw_arrows, flow_to_color

SIDE = 128  # least pixels on a side of a picture: what is smaller is enlarged

Range = tuple[float, float]


def condition_picture(condition: np.ndarray, limits: Range) -> np.ndarray:
    """A condition (c, h, w) as it looks, (H, W, 3) uint8: grey, or in colour where there are three channels."""
    return enlarged(_bytes(_three(condition), limits), smooth=True)


def field_picture(task: str, condition: np.ndarray, field: np.ndarray, limits: Range) -> np.ndarray:
    """A field (c, h, w) as its task reads it, (H, W, 3) uint8.

    Motion: the frame with its big motions as arrows. Relighting: the albedo under this shading. Resaturation:
    the true value with this saturation, every hue drawn as one orange, because pairs do not hold the hue (see
    ``originals`` for photos in their own). Anything else: the field itself, in grey or colours.

    Args:
        task: name of the task.
        condition: (c, h, w), natural units.
        field: (c, h, w), natural units.
        limits: (low, high) of the field, shown black and white.
    """
    if task == "motion" and len(field) == 2:
        frame = enlarged(_bytes(_three(condition), (0.0, 1.0)), smooth=True)
        return draw_arrows(frame, big_motions(_flow(field, frame), 8), stretch=1.0)
    if task.startswith("relighting") and len(field) == 1:
        albedo = _three(condition)
        light = np.exp(field.transpose(1, 2, 0))
        return enlarged(_bytes(_encoded(_linear(albedo) * light), (0.0, 1.0)), smooth=True)
    if task == "resaturation" and len(field) == 1 and len(condition) == 1:
        value, saturation = condition[0, ..., None], field[0, ..., None].clip(0, 1)
        hue = np.array([1.0, 0.45, 0.0])  # a full orange
        return enlarged(_bytes(value * (1 - saturation * (1 - hue)), (0.0, 1.0)), smooth=True)
    return bare_picture(field, limits)


def bare_picture(field: np.ndarray, limits: Range) -> np.ndarray:
    """A field (c, h, w) without its photo, (H, W, 3) uint8: flow in the colour wheel, else grey or colours."""
    if len(field) == 2:
        big = field.transpose(1, 2, 0)
        longest = max(abs(limits[0]), abs(limits[1]))
        return enlarged(flow_to_color(big, max_motion=longest or 1.0))
    return enlarged(_bytes(_three(field), limits))


def sheet(rows: list[list[np.ndarray]], gap: int = 6) -> np.ndarray:
    """Rows of pictures of one size as one white sheet."""
    height, width = rows[0][0].shape[:2]
    columns = max(map(len, rows))
    page = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            page[top : top + height, left : left + width] = picture
    return page


def enlarged(pixels: np.ndarray, *, smooth: bool = False) -> np.ndarray:
    """(h, w, 3) at the least multiple of its size that reaches 128 pixels; cubic if smooth, else in squares."""
    factor = max(1, -(-SIDE // min(pixels.shape[:2])))
    size = pixels.shape[1] * factor, pixels.shape[0] * factor
    return cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST)


def display_range(fields: np.ndarray, low: float, high: float) -> Range:
    """Limits for a picture: the layer's own, or the 1st to 99th percentile where fields fill little of it."""
    first, last = (float(v) for v in np.percentile(fields, (1, 99)))
    if not (np.isfinite(low) and np.isfinite(high)) or last - first < 0.6 * (high - low):
        return (first, last) if last > first else (first - 0.5, first + 0.5)
    return low, high


def _flow(field: np.ndarray, frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    flow = cv2.resize(field.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    return flow * np.array([width, height], np.float32)


def _three(layer: np.ndarray) -> np.ndarray:
    """(c, h, w) as (h, w, 3); one or two channels give the first in grey."""
    return layer.transpose(1, 2, 0) if len(layer) == 3 else np.repeat(layer[0, ..., None], 3, -1)


def _bytes(values: np.ndarray, limits: Range) -> np.ndarray:
    scaled = (values - limits[0]) / (limits[1] - limits[0])
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 1) * 255).astype(np.uint8)


def _linear(encoded: np.ndarray) -> np.ndarray:
    low = encoded / 12.92
    return np.where(encoded <= 0.04045, low, ((np.maximum(encoded, 0) + 0.055) / 1.055) ** 2.4)


def _encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
