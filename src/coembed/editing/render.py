"""Changes of a field applied to a photo at its own resolution.

How is a matter of the task. Those in ``_STRIPWISE`` work on the photo's levels, strip by strip, and are fast at
any size. Every other task goes through its own ``split`` and ``compose``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from coembed.editing.layers import working_photo
from coembed.imaging.guided_filter import guided_filter
from coembed.imaging.io.photo import Photo
from coembed.imaging.recolor import add_saturation, hue_confidence, rows_of
from coembed.imaging.relight import add_light, signal_confidence
from coembed.imaging.strips import thread_count
from coembed.imaging.upsampling.interpolate import Interpolator
from coembed.tasks.relighting import GreyRelighting, Relighting
from coembed.tasks.resaturation import Resaturation
from coembed.tasks.task import Task, compose_photo, split_layers

StripEdit = Callable[[slice, np.ndarray, list[np.ndarray]], None]
"""Given the rows, (n, c, rows, w) changes of the field and n views of the results to fill."""

_AT_ONCE = 4  # full-size results in memory together
# Of the guided filter on changes of light. Chosen by eye: at 32 cells skies lose their blotches, and of the
# changes' standard deviation 3 to 8% goes, on three photos.
_REACH, _SOFTNESS = 1 / 16, 1e-3  # radius as a share of the field's shorter side; variance of an even place


class Enlarger(Protocol):
    """A way to bring low-resolution fields of one photo to its size; ``Interpolator`` is one."""

    def __call__(self, fields: np.ndarray) -> np.ndarray:
        """Fields (..., h, w) at the photo's size, (..., H, W) float32."""
        ...

    def strips(self, fields: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """The same strip by strip: the rows, and (..., rows, W)."""
        ...


def render(
    photo: Photo, task: Task, deltas: np.ndarray, interpolator: Enlarger | None = None
) -> Iterator[np.ndarray]:
    """Apply changes of a field to a photo, a few at a time to bound memory.

    Args:
        photo: any size and depth.
        task: what the field is.
        deltas: (n, c, h, w) float32, low resolution, natural units of the field.
        interpolator: prepared for the photo and (h, w); made here if there is none.

    Yields:
        n arrays like ``photo.pixels``. Where a delta is zero everywhere the pixels are the photo's own.

    Raises:
        DataError: a user's own task fails on the photo.
    """
    if interpolator is None:
        interpolator = Interpolator(photo.pixels, (deltas.shape[-2], deltas.shape[-1]))
    way = _STRIPWISE.get(type(task))
    if way is None:
        yield from _composed(photo, task, deltas, interpolator)
        return
    deltas, edit = way.prepare(photo, deltas), way.begin(photo)
    for start in range(0, len(deltas), _AT_ONCE):
        yield from _by_strips(photo, deltas[start : start + _AT_ONCE], interpolator, edit)


def _resaturating(photo: Photo) -> StripEdit:
    confidence, size = hue_confidence(photo.pixels), photo.pixels.shape[:2]

    def edit(rows: slice, delta: np.ndarray, out: list[np.ndarray]) -> None:
        add_saturation(photo.pixels[rows], delta[:, 0], rows_of(confidence, rows, size), out)

    return edit


def _relighting(photo: Photo) -> StripEdit:
    confidence, size = signal_confidence(photo.pixels), photo.pixels.shape[:2]

    def edit(rows: slice, delta: np.ndarray, out: list[np.ndarray]) -> None:
        add_light(photo.pixels[rows], delta[:, 0], out, rows_of(confidence, rows, size))

    return edit


def _along_photo(photo: Photo, deltas: np.ndarray) -> np.ndarray:
    """Changes of light without the grain of samples, which shows as blotches in even places, like skies."""
    height, width = deltas.shape[-2:]
    small = cv2.resize(photo.pixels, (width, height), interpolation=cv2.INTER_AREA)
    guide = small / np.float32(np.iinfo(photo.pixels.dtype).max)
    return guided_filter(deltas, guide, max(1, round(min(height, width) * _REACH)), _SOFTNESS)


def _unchanged(_: Photo, deltas: np.ndarray) -> np.ndarray:
    return deltas


class _Way(NamedTuple):
    """Way of a task's changes into a photo: a step for all of them first, and one for each strip."""

    begin: Callable[[Photo], StripEdit]
    prepare: Callable[[Photo, np.ndarray], np.ndarray] = _unchanged


_STRIPWISE: dict[type, _Way] = {
    Resaturation: _Way(_resaturating),
    Relighting: _Way(_relighting, _along_photo),
    GreyRelighting: _Way(_relighting, _along_photo),
}


def _by_strips(photo: Photo, deltas: np.ndarray, interpolator: Enlarger, edit: StripEdit) -> list[np.ndarray]:
    results = [np.empty_like(photo.pixels, order="C") for _ in deltas]
    workers = thread_count()
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for rows, delta in interpolator.strips(deltas):
            if len(waiting) > workers:  # strips are large; the interpolator must not run far ahead
                waiting.popleft().result()
            waiting.append(pool.submit(edit, rows, delta, [result[rows] for result in results]))
        for job in waiting:
            job.result()
    return results


def _composed(photo: Photo, task: Task, deltas: np.ndarray, interpolator: Enlarger) -> Iterator[np.ndarray]:
    """One result at a time: the photo and what composing with another field makes of it, less what composing
    with its own field makes of it. So whatever ``compose`` loses by itself is not lost here."""
    rgb = photo.as_float()
    working = working_photo(photo, task)
    own = _full_size(task, rgb if working is None else working, photo)
    base = compose_photo(task, rgb, own, photo.name)
    top = np.float32(np.iinfo(photo.pixels.dtype).max)
    for delta in deltas:
        if not delta.any():
            yield photo.pixels.copy()
            continue
        field = np.ascontiguousarray(interpolator(delta).transpose(1, 2, 0))
        field += own
        np.clip(field, task.field.low, task.field.high, out=field)
        change = compose_photo(task, rgb, field, photo.name)
        del field
        change = change - base
        change += rgb
        yield np.rint(np.clip(change, 0, 1, out=change) * top).astype(photo.pixels.dtype)


def _full_size(task: Task, rgb: np.ndarray, photo: Photo) -> np.ndarray:
    """The photo's own field at the photo's size; bilinear from the working size, if the task has one."""
    field = split_layers(task, rgb, photo.name)[1]
    height, width = photo.pixels.shape[:2]
    if field.shape[:2] == (height, width):
        return field
    planes = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        for plane in np.ascontiguousarray(field.transpose(2, 0, 1))
    ]
    return np.stack(planes, axis=-1)
