"""A photo as a model looks at it: its condition and its field at the model's resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.imaging.color import levels_to_linear, linear_to_srgb
from coembed.imaging.io.photo import Photo
from coembed.imaging.resize import area_average, area_weights, shrunk_size
from coembed.imaging.strips import strips, thread_count
from coembed.tasks.task import Task, is_pointwise, split_layers, working_size_of


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


def shapes_of(model: Any, task: Task) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes (c, h, w) of a model's condition and field.

    Raises:
        ModelError: it has not the task's channels.
    """
    shapes = tuple(model.config.condition_shape), tuple(model.config.field_shape)
    for shape, layer in zip(shapes, (task.condition, task.field), strict=True):
        if shape[0] != layer.channels:
            raise ModelError(f"the model's {layer.name} has {shape[0]} channels, expected {layer.channels}")
    return shapes
