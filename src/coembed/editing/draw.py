"""What is to become of a photo's field, decided at the model's resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coembed.editing.options import EditOptions
from coembed.editing.selection import Representatives, representatives
from coembed.editing.spread import spread_out
from coembed.errors import ModelError
from coembed.imaging.color import levels_to_linear, linear_to_srgb
from coembed.imaging.io.photo import Photo
from coembed.imaging.resize import area_average, area_weights, shrunk_size
from coembed.imaging.strips import strips, thread_count
from coembed.imaging.upsampling.detail import detail_delta
from coembed.numerics.random import Streams
from coembed.tasks.task import Task, is_pointwise, split_layers, working_size_of

if TYPE_CHECKING:
    from coembed.editing.steering.controls import Controls
    from coembed.models.cdvae.model import CDVAE

_DRAWS, _DRAWS_EACH = 48, 12  # a larger draw to choose from: at least so many, and so many for each result


@dataclass(frozen=True)
class Plan:
    """What is to be done to one photo, at the model's resolution.

    Args:
        deltas: (n, c, h, w) float32, change of the field, natural units.
        draws: which draws of the seed these are; draw k depends on (seed, k) alone. Steps of a path between two
            draws are numbered from 0.
        weights: share of the larger draw that each result stands for; 1/n each for plain draws.
    """

    deltas: np.ndarray
    draws: tuple[int, ...]
    weights: tuple[float, ...]


def plan(
    photo: Photo, model: CDVAE, task: Task, options: EditOptions, controls: Controls | None = None
) -> Plan:
    """Draw the fields and say how the photo's own field is to change (eq. 10).

    Args:
        photo: any size.
        model: for ``task``.
        task: what the photo is split into.
        options: how many, which ones, how much.
        controls: what is asked of the draws besides; nothing by default.

    Raises:
        ModelError: a model whose condition or field has not the task's channels, or one without a temperature
            where another than 1 is asked for.
        DataError: the task fails on the photo, or a hint or mask does not fit it.
    """
    n = options.n
    condition, field = low_layers(photo, task, *shapes_of(model, task))
    path = controls is not None and controls.options.between is not None
    choose = options.distinct and not path
    draws = max(_DRAWS, _DRAWS_EACH * n) if choose else n
    with torch.no_grad():
        # A sampler that encodes no fields loses nothing of the photo's own.
        reconstruction = model.reconstruct(condition, field) if hasattr(model, "reconstruct") else field
        if controls is None:
            samples = draw(model, condition, draws, options.seed, options.temperature)[:, 0]
        else:
            wanted = (draws, options.seed, options.temperature)
            samples = controls.draw(photo, condition, field, reconstruction, *wanted)[:, 0]
    # What no photo can have is no part of a sample: a Gaussian likelihood also reaches beyond the range.
    low, high = task.field.low, task.field.high
    fields, reconstructed = (part.float().clamp(low, high).numpy() for part in (samples, reconstruction))
    if choose:
        chosen = spread_out(fields, n) if options.pick == "spread" else representatives(fields, n)
    else:
        chosen = Representatives(tuple(range(n)), (1 / n,) * n)
    deltas = detail_delta(fields[list(chosen.rows)], reconstructed, options.strength)
    return Plan(deltas, chosen.rows, chosen.weights)


def draw(model: CDVAE, condition: Tensor, n: int, seed: int, temperature: float) -> Tensor:
    """Draws 0 to n-1 of one photo's field; ``model`` may also be a baseline, which knows no temperature.

    Args:
        model: any ``Sampler``.
        condition: (1, c, h, w), natural units.
        n: at least 1.
        seed: draw k depends on (seed, k) alone.
        temperature: spread of the draws.

    Returns:
        (n, 1, c, h, w), natural units.

    Raises:
        ModelError: a temperature other than 1 for a model without.
    """
    streams = Streams(seed, [0])
    if "temperature" in signature(model.sample).parameters:
        return model.sample(condition, n, generator=streams, temperature=temperature)
    if temperature != 1:
        raise ModelError(f"a {type(model).__name__} has no temperature, got {temperature:g}, expected 1")
    return model.sample(condition, n, generator=streams)


def low_layers(
    photo: Photo, task: Task, condition_shape: tuple[int, ...], field_shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Condition and field of a photo as a model wants them: split by the task, then area-averaged.

    Whatever its aspect, the photo is squashed to the model's, as in the paper. A pointwise task is split at the
    photo's own size, strip by strip. One with a working size is split whole at that size, as in training.

    Args:
        photo: any size.
        task: what to split it into.
        condition_shape: (c, h, w) of the model's condition.
        field_shape: (c, h, w) of the model's field.

    Returns:
        (1, c, h, w) each, float32, natural units.

    Raises:
        DataError: the task fails on the photo, or gives layers of another shape than it says.
    """
    shapes = (condition_shape, field_shape)
    rgb = working_photo(photo, task)
    if rgb is None:
        means = _strip_means(photo, lambda rows: split_layers(task, _floats(rows), photo.name), shapes)
    else:
        layers = split_layers(task, rgb, photo.name)
        means = [area_average(layer, (h, w)) for layer, (_, h, w) in zip(layers, shapes, strict=True)]
    condition, field = (torch.from_numpy(np.ascontiguousarray(m.transpose(2, 0, 1)))[None] for m in means)
    return condition, field


def working_photo(photo: Photo, task: Task) -> np.ndarray | None:
    """The photo as its task looks at it, (h, w, 3) float32 in [0, 1], at most ``task.working_size`` a side.

    None for a pointwise task that wants it at its own size: there is no need to have all of it as floats.
    """
    size = shrunk_size((photo.height, photo.width), working_size_of(task))
    if size != (photo.height, photo.width):
        return linear_to_srgb(_strip_means(photo, lambda rows: (levels_to_linear(rows),), ((3, *size),))[0])
    return None if is_pointwise(task) else photo.as_float()


def _strip_means(
    photo: Photo,
    layers_of: Callable[[np.ndarray], Sequence[np.ndarray]],
    shapes: Sequence[tuple[int, ...]],
) -> list[np.ndarray]:
    """Area means of layers made from strips of the photo's pixels: (c, h, w) asked for, (h, w, c) given."""

    def averaged_rows(rows: slice) -> list[np.ndarray]:
        layers = layers_of(photo.pixels[rows])
        means = []
        for layer, (channels, height, _) in zip(layers, shapes, strict=True):
            weights = area_weights(photo.height, height)[:, rows]
            flat = layer.reshape(len(layer), photo.width * channels)
            means.append((weights @ flat).reshape(height, photo.width, channels))
        return means

    sums = [np.zeros((h, photo.width, c), np.float32) for c, h, _ in shapes]
    with ThreadPoolExecutor(thread_count()) as pool:
        for parts in pool.map(averaged_rows, strips(photo.height)):
            for total, part in zip(sums, parts, strict=True):
                total += part
    found = []
    for total, (channels, height, width) in zip(sums, shapes, strict=True):
        turned = np.ascontiguousarray(total.swapaxes(0, 1)).reshape(photo.width, height * channels)
        low = (area_weights(photo.width, width) @ turned).reshape(width, height, channels)
        found.append(np.ascontiguousarray(low.swapaxes(0, 1)))
    return found


def _floats(levels: np.ndarray) -> np.ndarray:
    return np.divide(levels, np.float32(np.iinfo(levels.dtype).max), dtype=np.float32)


def shapes_of(model: CDVAE, task: Task) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes (c, h, w) of a model's condition and field.

    Raises:
        ModelError: it has not the task's channels.
    """
    shapes = tuple(model.config.condition_shape), tuple(model.config.field_shape)
    for shape, layer in zip(shapes, (task.condition, task.field), strict=True):
        if shape[0] != layer.channels:
            raise ModelError(f"the model's {layer.name} has {shape[0]} channels, expected {layer.channels}")
    return shapes
