"""Colour retinex: sharp or coloured steps are paint, everything else is light.

Each step between neighbouring pixels goes whole to the albedo or whole to the shading; the log albedo is then
the image whose steps fit best, by one exact Poisson solve in the cosine basis (free borders). After Grosse,
Johnson, Adelson and Freeman, "Ground truth dataset and baseline evaluations for intrinsic image algorithms",
ICCV 2009.

The thresholds were chosen by benchmarks/intrinsic.py on 24 scenes of known light, made from photos. Steps of
paint shrink with the pixels: at 64, 128 and 256 pixels a threshold of 0.5, 0.35 and 0.25 in brightness, and
0.15 in colour at all three, is within 2% of the best of a grid. On 24 scenes of other photos the log shading
is off by 0.33, 0.30 and 0.27 (standard deviation in a photo; 0.61 for constant shading); "l1" lowers that by
3 to 5%, screening raises it. So decompose at 256 pixels where the size is free; enlarging a small photo first
does not help.

What goes wrong: the hard edge of a cast shadow is taken for paint, paint that changes softly for light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import fft

from coembed.errors import ConfigError

STEP_AT_128 = 0.35
"""Least step of log brightness that is paint, in a photo whose longer side is 128 pixels."""

_L1_ROUNDS = 30
_L1_PENALTY = 10.0  # 1 / log units: about the inverse of the steps that matter


@dataclass(frozen=True)
class RetinexOptions:
    """Options that separate paint from light.

    Attributes:
        brightness_step: least change of log brightness between two neighbours that is paint, nats. None: by
            the photo's longer side, 0.35 sqrt(128 / side), since steps shrink as pixels do.
        colour_step: least length of the change of log chromaticity (log RGB less its mean) that is paint, nats.
        noise_floor: added to the photo before a step is brightness, as a share of the mean brightness, so that
            noise in the dark is not taken for paint.
        norm: "l2" solves once; "l1" lets few wrong steps stay wrong instead of bending the whole, and takes
            about ten times as long.
        screen: weight, per squared pixel, of the log albedo's distance from the log photo. 0 is plain retinex;
            above 0, changes of light wider than about 2 pi / sqrt(screen) pixels stay in the albedo.

    Raises:
        ConfigError: a number that is negative or not finite, or an unknown norm.
    """

    brightness_step: float | None = None
    colour_step: float = 0.15
    noise_floor: float = 0.02
    norm: Literal["l2", "l1"] = "l2"
    screen: float = 0.0

    def __post_init__(self):
        for name in ("brightness_step", "colour_step", "noise_floor", "screen"):
            number = getattr(self, name)
            if number is None and name == "brightness_step":
                continue
            if not (isinstance(number, int | float) and math.isfinite(number) and number >= 0):
                raise ConfigError(f"{name} is {number!r}, expected a finite number of at least 0")
        if self.norm not in ("l2", "l1"):
            raise ConfigError(f"norm is {self.norm!r}, expected 'l2' or 'l1'")


def retinex(rgb: np.ndarray, options: RetinexOptions) -> np.ndarray:
    """Log albedo, grey, up to one constant a photo.

    Args:
        rgb: (b, h, w, 3) float32 linear light, at least 0.
        options: the thresholds and the norm.

    Returns:
        (b, h, w) float32, nats, of mean 0 where ``screen`` is 0.
    """
    red, green, blue = (rgb[..., c] for c in range(3))
    grey = (red + green + blue) / np.float32(3)
    floor = np.float32(options.noise_floor) * grey.mean((1, 2), keepdims=True) + np.float32(1e-12)
    brightness = np.log(grey + floor)
    # Two colour axes at right angles, of the plane of log RGB less its mean, so that lengths in it are kept.
    red, green, blue = (np.log(channel + floor) for channel in (red, green, blue))
    first = (red - green) * np.float32(math.sqrt(1 / 2))
    second = (red + green - 2 * blue) * np.float32(math.sqrt(1 / 6))
    least = options.brightness_step
    if least is None:
        least = STEP_AT_128 * math.sqrt(128 / max(grey.shape[1:]))
    steps = []
    for axis in (1, 2):
        step = np.diff(brightness, axis=axis)
        colour = np.diff(first, axis=axis) ** 2 + np.diff(second, axis=axis) ** 2
        paint = (np.abs(step) > least) | (colour > options.colour_step**2)
        steps.append(np.diff(brightness, axis=axis) * paint)
    if options.norm == "l1":
        return _fit_l1(steps[0], steps[1], brightness, options.screen)
    return poisson(_transpose_differences(steps[0], steps[1]) + options.screen * brightness, options.screen)


def poisson(right: np.ndarray, screen: float = 0.0) -> np.ndarray:
    """Solve (D'D + screen) x = right exactly, D the differences of neighbours (Neumann borders).

    Args:
        right: (..., h, w), float32 or float64.
        screen: at least 0. At 0 the constant is free: the mean of ``right`` is ignored, that of the result 0.

    Returns:
        (..., h, w) of the same dtype.

    >>> x = poisson(np.array([[-1.0, 0.0, 1.0]]))
    >>> x.round(6).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    spectrum = fft.dctn(right, axes=(-2, -1), norm="ortho")
    spectrum *= _inverse_eigenvalues(right.shape[-2], right.shape[-1], screen).astype(right.dtype, copy=False)
    return np.asarray(fft.idctn(spectrum, axes=(-2, -1), norm="ortho", overwrite_x=True))


@lru_cache(maxsize=16)
def _inverse_eigenvalues(h: int, w: int, screen: float) -> np.ndarray:
    rows, columns = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (h, w))
    eigenvalues = rows[:, None] + columns + screen
    free = eigenvalues[0, 0] == 0
    eigenvalues[0, 0] += free
    inverse = 1 / eigenvalues
    inverse[0, 0] *= not free
    inverse.setflags(write=False)
    return inverse


def _transpose_differences(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """D' applied to the differences between rows (b, h - 1, w) and between columns (b, h, w - 1)."""
    out = np.zeros((down.shape[0], right.shape[1], down.shape[2]), down.dtype)
    out[:, :-1] -= down
    out[:, 1:] += down
    out[:, :, :-1] -= right
    out[:, :, 1:] += right
    return out


def _fit_l1(down: np.ndarray, right: np.ndarray, brightness: np.ndarray, screen: float) -> np.ndarray:
    """Least sum of |D x - steps| (+ screen / 2 |x - brightness|^2), by the alternating direction method."""
    wanted = (down, right)
    slack = tuple(np.zeros_like(step) for step in wanted)
    dual = tuple(np.zeros_like(step) for step in wanted)
    brightness_weight = screen / _L1_PENALTY
    log_albedo = np.zeros_like(brightness)
    for _ in range(_L1_ROUNDS):
        goal = [step + z - u for step, z, u in zip(wanted, slack, dual, strict=True)]
        log_albedo = poisson(
            _transpose_differences(goal[0], goal[1]) + brightness_weight * brightness, brightness_weight
        )
        errors = [np.diff(log_albedo, axis=axis) - wanted[axis - 1] + dual[axis - 1] for axis in (1, 2)]
        slack = tuple(np.sign(e) * np.maximum(np.abs(e) - np.float32(1 / _L1_PENALTY), 0) for e in errors)
        dual = tuple(e - z for e, z in zip(errors, slack, strict=True))
    return log_albedo
