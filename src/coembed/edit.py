"""The main job: one photo in, n photos out, each with another plausible field, at the photo's own resolution.

    photo -> condition and true field at full resolution -> area means at the model's size
          -> samples of the field, and the model's reconstruction of the true one
          -> delta = strength (sample - reconstruction)                       low resolution, eq. 10
          -> upsampled along the photo's edges, added to the photo's saturation, strip by strip

Only the difference between a sample and the reconstruction is upsampled, so all detail of the original
survives, and where the two agree the photo comes back unchanged, bit for bit.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coembed.distinct import representatives
from coembed.errors import ConfigError, ModelError
from coembed.hub import bundled_names, load_pretrained
from coembed.imaging.photo import Photo, read_photo
from coembed.imaging.recolor import add_saturation, hue_confidence, rows_of
from coembed.imaging.resize import area_weights
from coembed.sampling import Streams
from coembed.tasks import Task, get_task
from coembed.upsample.detail import detail_delta
from coembed.upsample.interpolate import Interpolator

if TYPE_CHECKING:
    from coembed.model.cdvae import CDVAE

TASK = "resaturation"

_DRAWS, _DRAWS_EACH = 48, 12  # a larger draw to choose from: at least so many, and so many for each result
_STRIP = 256  # rows worked on at a time: a few MB, which the processor's cache about holds
_AT_ONCE = 4  # full-size results in memory together


@dataclass(frozen=True)
class Plan:
    """What is to be done to one photo, at the model's resolution.

    Args:
        deltas: (n, c, h, w) float32, change of the field, natural units.
        draws: which draws of the seed these are; draw k depends on (seed, k) alone.
        weights: share of the larger draw that each result stands for; 1/n each for plain draws.
    """

    deltas: np.ndarray
    draws: tuple[int, ...]
    weights: tuple[float, ...]


def resaturate(
    photo: str | Path | bytes | Image.Image | np.ndarray,
    n: int = 4,
    seed: int = 0,
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    model: str | Path | CDVAE | None = None,
    distinct: bool = True,
) -> list[Image.Image]:
    """Makes n versions of a photo with other plausible saturations; hue and brightness stay.

    Args:
        photo: a path, the bytes of a file, a Pillow image, or an array (h, w, 3) of uint8.
        n: results, at least 1.
        seed: same photo, seed and model, same results.
        strength: share of the change that is applied, 0 (none) to 1 (all), or a bit beyond.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        model: a loaded model, a bundled name, a folder or a hub id; None for the bundled weights.
        distinct: choose results that differ, out of a larger draw, most common kind first. Otherwise draws
            0..n-1 as they come.

    Returns:
        n images of the photo's own size, RGB, or RGBA if the photo has alpha; 8 bits a channel.

    Raises:
        PhotoError: the photo cannot be read.
        ModelError: the model cannot be loaded, or is for another task.
        ConfigError: an option outside its range.
    """
    source = read_photo(photo)
    loaded = load_model(model)
    _, pictures = versions(
        source, loaded, n, seed, strength=strength, temperature=temperature, distinct=distinct
    )
    return [_as_image(pixels, source) for pixels in pictures]


def load_model(model: str | Path | CDVAE | None = None) -> CDVAE:
    """The model to edit with, checked to be one for resaturation.

    Raises:
        ModelError: it cannot be loaded, or is for another task.
    """
    if model is None or (isinstance(model, str) and model in bundled_names()):
        return _bundled(model or TASK)
    if isinstance(model, (str, Path)):
        return _loaded(model)
    return model


def versions(
    photo: Photo,
    model: CDVAE,
    n: int,
    seed: int,
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    distinct: bool = True,
) -> tuple[Plan, Iterator[np.ndarray]]:
    """``plan`` and ``render`` together: the photo's edges are studied while the model draws.

    Returns:
        The plan, and n arrays like ``photo.pixels``.
    """
    _, height, width = model.config.field_shape
    with ThreadPoolExecutor(1) as pool:
        interpolator = pool.submit(Interpolator, photo.pixels, (height, width))
        steps = plan(photo, model, n, seed, strength=strength, temperature=temperature, distinct=distinct)
    return steps, render(photo, steps.deltas, interpolator.result())


def plan(
    photo: Photo,
    model: CDVAE,
    n: int,
    seed: int,
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    distinct: bool = True,
) -> Plan:
    """Draws the fields and says how the photo's own field is to change; all at the model's resolution.

    Raises:
        ConfigError: an option outside its range.
        ModelError: a model whose condition or field has not the task's channels.
    """
    if n < 1:
        raise ConfigError(f"n is {n}, expected at least 1")
    if not 0 <= strength <= 4:
        raise ConfigError(f"strength is {strength}, expected 0 to 4")
    if not 0 <= temperature <= 4:
        raise ConfigError(f"temperature is {temperature}, expected 0 to 4")
    task = get_task(TASK)
    condition, field = low_layers(photo, task, *_shapes(model))
    draws = max(_DRAWS, _DRAWS_EACH * n) if distinct else n
    with torch.inference_mode():
        samples = model.sample(condition, draws, generator=Streams(seed, [0]), temperature=temperature)[:, 0]
        reconstruction = model.reconstruct(condition, field)
    # What no photo can have is no part of a sample: a Gaussian likelihood also reaches beyond the range.
    low, high = task.field.low, task.field.high
    fields, reconstructed = (part.float().clamp(low, high).numpy() for part in (samples, reconstruction))
    if distinct:
        chosen = representatives(fields, n)
        rows, weights = chosen.rows, chosen.weights
    else:
        rows, weights = tuple(range(n)), (1 / n,) * n
    deltas = detail_delta(fields[list(rows)], reconstructed, strength)
    return Plan(deltas, rows, weights)


def low_layers(
    photo: Photo, task: Task, condition_shape: tuple[int, ...], field_shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Condition and field of a photo as a model wants them: computed at full size, then area-averaged.

    Whatever its aspect, the photo is squashed to the model's, as in the paper. Works strip by strip.

    Args:
        photo: any size.
        task: what to split it into.
        condition_shape: (c, h, w) of the model's condition.
        field_shape: (c, h, w) of the model's field.

    Returns:
        (1, c, h, w) each, float32, natural units.
    """
    shapes = (condition_shape, field_shape)
    top = np.float32(np.iinfo(photo.pixels.dtype).max)

    def averaged_rows(rows: slice) -> list[np.ndarray]:
        layers = task.split(np.divide(photo.pixels[rows], top, dtype=np.float32))
        means = []
        for layer, (channels, height, _) in zip(layers, shapes, strict=True):
            weights = area_weights(photo.height, height)[:, rows]
            flat = layer.reshape(len(layer), photo.width * channels)
            means.append((weights @ flat).reshape(height, photo.width, channels))
        return means

    sums = [np.zeros((h, photo.width, c), np.float32) for c, h, _ in shapes]
    with ThreadPoolExecutor(thread_count()) as pool:
        for parts in pool.map(averaged_rows, _strips(photo.height)):
            for total, part in zip(sums, parts, strict=True):
                total += part
    found = []
    for total, (channels, height, width) in zip(sums, shapes, strict=True):
        turned = np.ascontiguousarray(total.transpose(1, 2, 0)).reshape(photo.width, channels * height)
        low = (area_weights(photo.width, width) @ turned).reshape(width, channels, height)
        found.append(torch.from_numpy(np.ascontiguousarray(low.transpose(1, 2, 0)))[None])
    return found[0], found[1]


def render(photo: Photo, deltas: np.ndarray, interpolator: Interpolator | None = None) -> Iterator[np.ndarray]:
    """Applies changes of saturation to a photo, four at a time to bound memory.

    Args:
        photo: any size and depth.
        deltas: (n, 1, h, w) float32, low resolution.
        interpolator: prepared for the photo and (h, w); made here if there is none.

    Yields:
        n arrays like ``photo.pixels``. Where a delta is zero everywhere the pixels are the photo's own.
    """
    if interpolator is None:
        interpolator = Interpolator(photo.pixels, (deltas.shape[-2], deltas.shape[-1]))
    confidence = hue_confidence(photo.pixels)
    for start in range(0, len(deltas), _AT_ONCE):
        yield from _render(photo, deltas[start : start + _AT_ONCE], interpolator, confidence)


def _render(
    photo: Photo, deltas: np.ndarray, interpolator: Interpolator, confidence: np.ndarray
) -> list[np.ndarray]:
    size = photo.pixels.shape[:2]
    results = [np.empty_like(photo.pixels, order="C") for _ in deltas]

    def recolour(rows: slice, delta: np.ndarray) -> None:
        parts = [result[rows] for result in results]
        add_saturation(photo.pixels[rows], delta, rows_of(confidence, rows, size), parts)

    workers = thread_count()
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for rows, delta in interpolator.strips(deltas[:, 0]):
            if len(waiting) > workers:  # strips are large; the interpolator must not run far ahead
                waiting.popleft().result()
            waiting.append(pool.submit(recolour, rows, delta))
        for job in waiting:
            job.result()
    return results


def _as_image(pixels: np.ndarray, photo: Photo) -> Image.Image:
    parts = pixels if photo.alpha is None else np.dstack([pixels, photo.alpha])
    if parts.dtype == np.uint16:
        parts = ((parts.astype(np.uint32) + 128) // 257).astype(np.uint8)
    image = Image.fromarray(parts)
    if photo.icc is not None and photo.icc[16:20] == b"RGB ":
        image.info["icc_profile"] = photo.icc
    return image


def _shapes(model: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    task = get_task(TASK)
    shapes = tuple(model.config.condition_shape), tuple(model.config.field_shape)
    for shape, layer in zip(shapes, (task.condition, task.field), strict=True):
        if shape[0] != layer.channels:
            raise ModelError(f"the model's {layer.name} has {shape[0]} channels, expected {layer.channels}")
    return shapes


@lru_cache(maxsize=2)
def _bundled(name: str) -> CDVAE:
    return _loaded(name)


def _loaded(name: str | Path) -> CDVAE:
    found = load_pretrained(name)
    if found.task != TASK:
        raise ModelError(f"{name}: a model for {found.task!r}, expected one for {TASK!r}")
    return found.model


def _strips(height: int) -> list[slice]:
    return [slice(top, min(top + _STRIP, height)) for top in range(0, height, _STRIP)]


def thread_count() -> int:
    """Threads to work with: the processors this process may use, at most four."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, allowed)
