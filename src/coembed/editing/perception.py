"""Differences between versions of a photo as they look: CIEDE2000 between small renders."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from coembed.editing.render import render
from coembed.imaging.io.photo import Photo
from coembed.imaging.resize import area_average
from coembed.tasks.task import Task, keeps_level

_SIDE = 32  # of the renders, at most
_CELLS = 16  # per side, that they are compared in: finer differences are not what tells versions apart


def picture_distances(photo: Photo, task: Task, deltas: np.ndarray) -> np.ndarray:
    """Mean CIEDE2000 between versions of a photo, each rendered at the deltas' own size or 32 pixels.

    Where an edit keeps the field's level (relighting), versions are compared at equal mean lightness.

    Args:
        photo: any size.
        task: what the field is.
        deltas: (n, c, h, w) float32, changes of the field, natural units.

    Returns:
        (n, n) float64, symmetric, 0 on the diagonal.

    Raises:
        DataError: a user's own task fails on the small photo.
    """
    height, width = (min(side, _SIDE) for side in deltas.shape[-2:])
    if deltas.shape[-2:] != (height, width):
        deltas = np.stack([_shrink(delta, (height, width)) for delta in deltas])
    pixels = cv2.resize(photo.pixels, (width, height), interpolation=cv2.INTER_AREA)
    small = dataclasses.replace(photo, pixels=pixels, alpha=None)
    pictures = np.stack(list(render(small, task, deltas, _AsTheyAre())))
    lab = rgb2lab(pictures)
    if keeps_level(task):
        lab[..., 0] -= lab[..., 0].mean(axis=(1, 2), keepdims=True) - lab[..., 0].mean()
    cells = np.stack(
        [cv2.resize(p, (min(width, _CELLS), min(height, _CELLS)), interpolation=cv2.INTER_AREA) for p in lab]
    )
    distances = np.zeros((len(cells), len(cells)))
    for k in range(len(cells) - 1):
        apart = deltaE_ciede2000(cells[k][None], cells[k + 1 :]).mean(axis=(1, 2))
        distances[k, k + 1 :] = distances[k + 1 :, k] = apart
    return distances


def _shrink(delta: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return area_average(np.ascontiguousarray(delta.transpose(1, 2, 0)), size).transpose(2, 0, 1)


class _AsTheyAre:
    """Fields of a photo that has their size."""

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        return fields

    def strips(self, fields: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        yield slice(0, fields.shape[-2]), fields
