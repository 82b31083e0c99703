"""Versions of one photo, judged as pictures: how they differ, what of it is mere exposure, and what they
spoil."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from coembed.errors import DataError
from coembed.evaluation.results import Estimate

SIDE = 256
"""Longer side that pictures are reduced to, pixels."""

WHITE, NEUTRAL, GREYED = 92.0, 8.0, 10.0
"""Near-white: lightness above, chroma below; turned grey: lightness lost, CIELAB."""


@dataclass(frozen=True)
class PictureScores:
    """Scores of the versions of one photo; nan where a photo or their number does not allow one.

    Attributes:
        between: CIEDE2000 between two versions, mean over pixels and pairs.
        between_equal: the same at equal mean lightness.
        closest: CIEDE2000 between the two versions most alike.
        to_original: CIEDE2000 between a version and the photo, mean over pixels and versions.
        to_original_equal: the same at the photo's mean lightness.
        lightness: change of the mean lightness L*, mean over versions.
        lightness_spread: standard deviation of the versions' mean lightness.
        level_share: share of the variance between versions, in L*, that is one number per version.
        greyed: share of the photo's near-white pixels that turn grey, mean over versions; nan without any.
        clipped: share of pixels with a channel at its end that was not there in the photo.
    """

    between: float
    between_equal: float
    closest: float
    to_original: float
    to_original_equal: float
    lightness: float
    lightness_spread: float
    level_share: float
    greyed: float
    clipped: float


def score_pictures(original: np.ndarray, versions: Sequence[np.ndarray]) -> PictureScores:
    """Scores of the versions of a photo.

    Args:
        original: (h, w, 3) uint8, sRGB.
        versions: of its shape, at least one.

    Raises:
        DataError: no versions, or one of another shape or kind.
    """
    if not versions:
        raise DataError("versions: got none, expected at least one")
    for version in versions:
        if version.shape != original.shape or version.dtype != np.uint8:
            found = f"{version.dtype} of shape {version.shape}"
            raise DataError(f"a version is {found}, expected uint8 of the photo's {original.shape}")
    lab, own = np.stack([_lab(version) for version in versions]), _lab(original)
    levels = lab[..., 0].mean(axis=(1, 2))
    equal, mean = lab.copy(), own[..., 0].mean()
    equal[..., 0] += (mean - levels)[:, None, None]
    pairs = list(itertools.combinations(range(len(versions)), 2))
    apart = [_difference(lab[i], lab[j]) for i, j in pairs]
    variance = lab[..., 0].var(axis=0).mean()
    white = (own[..., 0] > WHITE) & (np.hypot(own[..., 1], own[..., 2]) < NEUTRAL)
    lost = lab[..., 0] < own[..., 0] - GREYED
    return PictureScores(
        between=_mean(apart),
        between_equal=_mean([_difference(equal[i], equal[j]) for i, j in pairs]),
        closest=min(apart, default=math.nan),
        to_original=_mean([_difference(version, own) for version in lab]),
        to_original_equal=_mean([_difference(version, own) for version in equal]),
        lightness=float(levels.mean() - mean),
        lightness_spread=float(levels.std()) if pairs else math.nan,
        level_share=float(levels.var() / variance) if variance > 0 else math.nan,
        greyed=float(lost[:, white].mean()) if white.any() else math.nan,
        clipped=_mean([_clipped(original, version) for version in versions]),
    )


def mean_scores(photos: Sequence[PictureScores]) -> dict[str, Estimate]:
    """Means over photos with standard errors, by name; photos without a score are left out of its mean."""
    found = {}
    for name in PictureScores.__dataclass_fields__:
        values = np.array([asdict(photo)[name] for photo in photos], np.float64)
        values = values[np.isfinite(values)]
        if len(values):
            error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
            found[name] = Estimate(float(values.mean()), error)
    return found


def _lab(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return rgb2lab(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) / 255)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(deltaE_ciede2000(one, other).mean())


def _clipped(original: np.ndarray, version: np.ndarray) -> float:
    ends = ((version == 0) & (original != 0)) | ((version == 255) & (original != 255))
    return float(ends.any(axis=2).mean())


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
