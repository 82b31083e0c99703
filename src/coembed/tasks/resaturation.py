"""Resaturation: the brightness and the hue of a photo are given, its saturation is generated (paper sec. 5)."""

from __future__ import annotations

import numpy as np

from coembed.errors import DataError
from coembed.imaging import color
from coembed.tasks.task import Layer, register_task


@register_task
class Resaturation:
    """Condition: HSV value, and hue as a direction. Field: HSV saturation.

    Hue and value are all that an edit keeps; greys stay grey. Hue is (cos, sin), a vector of length 1 and 0
    where there is no chroma, so that the mean over a cell is a hue that the cell agrees on, as far as it does.
    """

    name = "resaturation"
    condition = Layer("value and hue", channels=3, low=-1.0, high=1.0, unit="1")
    field = Layer("saturation", channels=1, low=0.0, high=1.0, unit="1")

    def split(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value, cosine and sine of hue (h, w, 3), and saturation (h, w, 1), float32, of an (h, w, 3) photo in
        [0, 1]."""
        planes = _planes(rgb)
        value, saturation = _value_and_saturation(*planes)
        condition = np.empty(rgb.shape, np.float32)
        for channel, plane in enumerate((value, *color.hue_direction(*planes))):
            condition[..., channel] = plane
        return condition, saturation[..., None]

    def compose(self, rgb: np.ndarray, field: np.ndarray) -> np.ndarray:
        """The photo at the saturation ``field``, (h, w, 1), clipped to [0, 1].

        Raises:
            DataError: the field is not of the photo's size.
        """
        if field.shape != (*rgb.shape[:2], 1):
            raise DataError(
                f"field has shape {field.shape}, expected {(*rgb.shape[:2], 1)}, the size of the photo"
            )
        return color.with_saturation(rgb, field[..., 0])


@register_task
class ValueResaturation(Resaturation):
    """The paper's own: the condition is HSV value alone."""

    name = "resaturation-value"
    condition = Layer("value", channels=1, low=0.0, high=1.0, unit="1")

    def split(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and saturation, each (h, w, 1) float32 in [0, 1], of an (h, w, 3) photo in [0, 1]."""
        value, saturation = _value_and_saturation(*_planes(rgb))
        return value[..., None], saturation[..., None]


def _planes(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contiguous channels: what is computed of them is several times as fast as of interleaved ones."""
    r, g, b = (np.ascontiguousarray(rgb[..., i]) for i in range(3))
    return r, g, b


def _value_and_saturation(r: np.ndarray, g: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # color.value and color.saturation in one pass.
    value = np.maximum(np.maximum(r, g), b)
    spread = value - np.minimum(np.minimum(r, g), b)
    return value, spread / np.where(value > 0, value, np.float32(1))
