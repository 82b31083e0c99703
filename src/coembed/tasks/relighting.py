"""Relighting: how the things in a photo are painted is given, how they are lit is generated (paper sec. 5)."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from coembed.errors import DataError
from coembed.imaging.color import linear_to_srgb, srgb_to_linear
from coembed.imaging.intrinsic.decompose import decompose
from coembed.imaging.intrinsic.retinex import STEP_AT_128, RetinexOptions
from coembed.imaging.relight import Shoulders, light_gain
from coembed.tasks.task import Layer, register_task

FLOOR, CEILING = 1 / 64, 8.0
"""Least and most shading told apart. Of 60 COCO photos 0.1% of the cells lie below and fewer above."""


@register_task
class Relighting:
    """Condition: the albedo in colour, sRGB-encoded. Field: the natural logarithm of the shading.

    Photo = albedo x shading in linear light, by colour retinex (``imaging.intrinsic``). The albedo is encoded
    so that equal steps look about equal. The shading is one value per pixel, so relighting changes no colour;
    it is averaged over a cell as a logarithm, because a new light is a factor.
    """

    name = "relighting"
    condition = Layer("albedo", channels=3, low=0.0, high=1.0, unit="1")
    field = Layer("log shading", channels=1, low=math.log(FLOOR), high=math.log(CEILING), unit="ln")
    pointwise = False  # each value depends on the whole photo
    keeps_level = True
    working_size = 256  # above, retinex takes longer and finds no more
    settings: ClassVar[dict[str, Any]] = {
        "method": "retinex",
        **asdict(RetinexOptions()),
        "step_at_128": STEP_AT_128,
    }

    def split(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Albedo (h, w, 3) in [0, 1] and log shading (h, w, 1) in [ln FLOOR, ln CEILING], float32.

        Args:
            rgb: (h, w, 3) float32, encoded sRGB in [0, 1]. Steps are judged by the photo's size: reduce it to
                ``working_size`` first (``imaging.resize.shrink_photo``).
        """
        parts = decompose(srgb_to_linear(rgb))
        return self._condition(parts.albedo), np.log(np.clip(parts.shading, FLOOR, CEILING))[..., None]

    def _condition(self, albedo: np.ndarray) -> np.ndarray:
        return linear_to_srgb(albedo)

    def compose(self, rgb: np.ndarray, field: np.ndarray) -> np.ndarray:
        """The photo in other light: linear photo x exp(field - own field), where that is not 0.

        All channels get one factor, so hues stay, and black stays black. Near white the factor nears 1 by the
        shoulders of ``imaging.relight``, which does the same to whole photos of 8 and 16 bits.

        Raises:
            DataError: the field is not of the photo's size.
        """
        if field.shape != (*rgb.shape[:2], 1):
            raise DataError(
                f"field has shape {field.shape}, expected {(*rgb.shape[:2], 1)}, the size of the photo"
            )
        change = field - self.split(rgb)[1]
        linear = srgb_to_linear(rgb)
        lit = np.minimum(linear * light_gain(change, Shoulders.of(linear.max(2, keepdims=True))), np.float32(1))
        return np.where(change == 0, rgb, linear_to_srgb(lit)).astype(np.float32, copy=False)


@register_task
class GreyRelighting(Relighting):
    """Relighting whose condition is the lightness of the albedo alone, without colour."""

    name = "relighting-grey"
    condition = Layer("grey albedo", channels=1, low=0.0, high=1.0, unit="1")

    def _condition(self, albedo: np.ndarray) -> np.ndarray:
        return linear_to_srgb(np.minimum(albedo.mean(2, keepdims=True), np.float32(1)))
