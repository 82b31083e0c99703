r"""Leak by intervention: change a photo's field and nothing else, and see whether the draws follow.

With f the field of the photo, f' that of a copy whose field was changed, and m, m' the means of the draws for
the conditions made of either, by the same noise::

    slope = sum <m' - m, f' - f> / sum |f' - f|^2

over copies and photos. A condition is all that an edit keeps, so it should be the same for both, and the slope
0. A slope of 1 is a sampler that reads the field off its condition.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from coembed.errors import DataError
from coembed.evaluation.leak.layers import Source, changed_copies, is_scaled
from coembed.imaging.recompress import Recompression
from coembed.models.base import Sampler
from coembed.numerics.random import Streams
from coembed.tasks.task import Task

_PHOTOS = 16  # asked about at a time


@dataclass(frozen=True)
class Slope:
    """Slope of draws on a field that was changed, over photos.

    Attributes:
        slope: 0 is right, 1 reads the field.
        error: its standard error over photos; nan for one photo.
        photos: their number.
    """

    slope: float
    error: float
    photos: int

    @classmethod
    def of(cls, followed: np.ndarray, changed: np.ndarray) -> Slope:
        """A ratio of sums over photos, (photos,) each.

        Raises:
            DataError: nothing was changed.
        """
        if not changed.sum() > 0:
            raise DataError(
                "no photo has a field that an intervention changes: a grey one has no saturation, a single "
                "one no motion"
            )
        slope = float(followed.sum() / changed.sum())
        influence = (followed - slope * changed) / changed.mean()
        count = len(followed)
        error = float(influence.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
        return cls(slope, error, count)

    def __str__(self) -> str:
        return f"{self.slope:+.3f} ± {self.error:.3f}"


def intervention_slope(
    sampler: Sampler,
    task: Task,
    sources: Iterable[Source],
    size: tuple[int, int],
    *,
    recompression: Recompression | None = None,
    samples: int = 32,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Slope:
    """The slope of the draws' mean on the own field's change.

    Args:
        sampler: what draws; any, baselines too.
        task: one that composes (``Task.compose`` with another field gives another photo).
        sources: files or pixels of photos.
        size: (h, w) of the sampler's condition and field.
        recompression: what photos and changed copies go through before they are split.
        samples: drawn per copy.
        seed: of the draws; photo i has stream (seed, i) for itself and all its copies.
        progress: called with the number of photos done since its last call.

    Raises:
        PhotoError: a photo that cannot be read.
        DataError: the task fails on one; no photo has a field that can be changed.
    """
    without_level = not is_scaled(task.field)  # what was added has no mean, and a decomposition leaves it open
    followed: list[float] = []
    changed: list[float] = []
    copies = changed_copies(sources, task, size, recompression)
    while batch := list(itertools.islice(copies, _PHOTOS)):
        ids = [len(followed) + i for i, photo in enumerate(batch) for _ in photo.condition]
        with torch.no_grad():
            sampled = sampler.sample(
                torch.cat([photo.condition for photo in batch]), samples, generator=Streams(seed, ids)
            )
        means = sampled.double().mean(0).split([len(photo.condition) for photo in batch])
        for photo, mean in zip(batch, means, strict=True):
            moved, field = mean[1:] - mean[0], (photo.field[1:] - photo.field[0]).double()
            if without_level:
                field = field - field.mean((2, 3), keepdim=True)
            followed.append(float((moved * field).sum()))
            changed.append(float(field.square().sum()))
        if progress is not None:
            progress(len(batch))
    return Slope.of(np.array(followed), np.array(changed))
