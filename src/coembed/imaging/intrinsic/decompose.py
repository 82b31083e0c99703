"""Intrinsic decomposition: photo = albedo x shading in linear RGB, how things are painted and how they are lit.

Scale: a photo alone cannot tell bright light on dark paint from dim light on light paint. Here the 99th
percentile of the albedo's largest channel is 1, whatever the exposure, so a change of exposure changes the
shading only. No albedo goes beyond 1, since no surface reflects more light than falls on it: lamps and
highlights are shading.

Light is taken to be white (one shading value per pixel); a cast of the light stays in the albedo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from coembed.errors import ConfigError, PhotoError
from coembed.imaging.intrinsic.bell2014 import Bell2014Options, bell2014
from coembed.imaging.intrinsic.retinex import RetinexOptions, retinex

_WHITE_PERCENTILE = 99.0
_DARKEST = 1e-3  # for a method that has no noise floor of its own


@dataclass(frozen=True)
class Intrinsic:
    """A photo, or a batch of photos, taken apart.

    Attributes:
        albedo: (h, w, 3) or (b, h, w, 3) float32 in [0, 1]: the share of the light that a surface reflects.
        shading: (h, w) or (b, h, w) float32, at least 0, without an upper bound. Black is black paint:
            its shading is that of faint light reflected there.
    """

    albedo: np.ndarray
    shading: np.ndarray

    def compose(self) -> np.ndarray:
        """The photo again: albedo x shading, float32 linear RGB; within 1e-4 of the brightest value."""
        return self.albedo * self.shading[..., None]


def decompose(
    rgb_linear: np.ndarray,
    method: Literal["retinex", "bell2014"] = "retinex",
    *,
    options: RetinexOptions | Bell2014Options | None = None,
) -> Intrinsic:
    """Take one photo apart into albedo and shading.

    Args:
        rgb_linear: (h, w, 3), linear light (``color.srgb_to_linear``), at least 0.
        method: "retinex" takes milliseconds; "bell2014" takes seconds and is what the paper trained on.
        options: of the method chosen; None for its defaults.

    Returns:
        The parts, of the photo's own size.

    Raises:
        PhotoError: another shape, no pixels, negative values or values that are not finite.
        ConfigError: an unknown method, or options of another method.

    >>> parts = decompose(np.full((4, 6, 3), 0.25, np.float32))
    >>> parts.albedo.shape, float(parts.shading[0, 0])
    ((4, 6, 3), 0.25)
    """
    rgb = np.asarray(rgb_linear, np.float32)
    if rgb.ndim != 3:
        raise PhotoError(f"rgb_linear has shape {rgb.shape}, expected (h, w, 3)")
    parts = decompose_batch(rgb[None], method, options=options)
    return Intrinsic(parts.albedo[0], parts.shading[0])


def decompose_batch(
    rgb_linear: np.ndarray,
    method: Literal["retinex", "bell2014"] = "retinex",
    *,
    options: RetinexOptions | Bell2014Options | None = None,
) -> Intrinsic:
    """``decompose`` for photos of one size; each result is what the photo alone would give.

    Args:
        rgb_linear: (b, h, w, 3), linear light, at least 0.
        method: as for ``decompose``.
        options: as for ``decompose``.

    Returns:
        The parts, with the batch axis first.

    Raises:
        PhotoError: as for ``decompose``.
        ConfigError: as for ``decompose``.
    """
    rgb = np.asarray(rgb_linear, np.float32)
    if rgb.ndim != 4 or rgb.shape[-1] != 3 or 0 in rgb.shape:
        raise PhotoError(
            f"rgb_linear has shape {rgb.shape}, expected (b, h, w, 3) or (h, w, 3), none of them 0"
        )
    # A NaN fails both comparisons.
    if not (rgb.min() >= 0 and rgb.max() < np.inf):
        raise PhotoError("rgb_linear has values that are negative or not finite, expected at least 0")
    if method == "retinex":
        chosen = RetinexOptions() if options is None else options
        if isinstance(chosen, RetinexOptions):
            return _separate(rgb, retinex(rgb, chosen), chosen.noise_floor)
    elif method == "bell2014":
        chosen = Bell2014Options() if options is None else options
        if isinstance(chosen, Bell2014Options):
            return _separate(rgb, np.stack([bell2014(photo, chosen) for photo in rgb]), _DARKEST)
    else:
        raise ConfigError(f"method is {method!r}, expected 'retinex' or 'bell2014'")
    raise ConfigError(f"options are {type(options).__name__}, expected those of {method}")


def _separate(rgb: np.ndarray, log_albedo: np.ndarray, darkest: float) -> Intrinsic:
    """Albedo and shading from the photos and their grey log albedo up to a constant, (b, h, w).

    Pixels darker than ``darkest`` times the mean brightness say nothing of the light: there the shading is that
    of a pixel as bright as that, and the albedo takes up the rest. So what is black is black paint in the light
    around it, and noise in the dark does not become specks of shadow.
    """
    grey = (rgb[..., 0] + rgb[..., 1] + rgb[..., 2]) / np.float32(3)
    floor = np.float32(darkest) * grey.mean((1, 2), keepdims=True) + np.float32(1e-12)
    shading = (grey + floor) * np.exp(log_albedo.max((1, 2), keepdims=True) - log_albedo)
    albedo = rgb / shading[..., None]
    largest = np.maximum(np.maximum(albedo[..., 0], albedo[..., 1]), albedo[..., 2])
    white = np.percentile(largest, _WHITE_PERCENTILE, axis=(1, 2), keepdims=True, method="higher")
    # One factor brings every pixel to the scale and those beyond 1 to 1; the shading takes up the rest.
    divisor = np.maximum(np.maximum(white, largest), np.float32(1e-6))
    albedo /= divisor[..., None]
    shading *= divisor
    return Intrinsic(albedo, shading)
