"""Pairs of photos as they are, and of changed or recompressed copies of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coembed.data.pairs import TensorPairs
from coembed.errors import DataError
from coembed.imaging.io.photo import read_photo
from coembed.imaging.recompress import Recompression
from coembed.imaging.resize import area_average, shrink_photo
from coembed.numerics.random import named_generator
from coembed.tasks.task import Layer, Task, compose_photo, split_layers, working_size_of

SCALES = (0.5, 0.8, 1.25)
"""Factors on a field whose range begins at 0."""

LIGHTS = 3
LIGHT_STD = 0.4
"""Number and standard deviation of the smooth functions added to any other field, as a share of a tenth of its
range (log shading: about half a stop)."""

Source = str | Path | np.ndarray
"""A file, or pixels (h, w, 3) uint8."""


class Copies(NamedTuple):
    """One photo's pairs: as it is first, then its changed copies.

    Attributes:
        name: of the photo.
        condition: (copies, c, h, w), natural units.
        field: (copies, c', h, w).
    """

    name: str
    condition: Tensor
    field: Tensor


def photo_pairs(
    sources: Iterable[Source], task: Task, size: tuple[int, int], recompression: Recompression | None = None
) -> TensorPairs:
    """Condition and field of photos, each recompressed first if asked for.

    Args:
        sources: files or pixels.
        task: what splits them.
        size: (h, w) of both layers.
        recompression: what every photo goes through.

    Raises:
        PhotoError: a photo that cannot be read.
        DataError: the task fails on one, or there are none.
    """
    parts, names = [], []
    for number, source in enumerate(sources):
        name, pixels = _read(source, number)
        parts.append(_layers(task, pixels, name, size, recompression))
        names.append(name)
    if not parts:
        raise DataError("photos: got none, expected at least one")
    condition, field = (torch.stack(layers) for layers in zip(*parts, strict=True))
    return TensorPairs(condition, field, names)


def changed_copies(
    sources: Iterable[Source], task: Task, size: tuple[int, int], recompression: Recompression | None = None
) -> Iterator[Copies]:
    """Pairs of photos and of copies whose field was changed, and nothing else.

    A copy is ``task.compose`` of the photo and another field, rounded to 8 bits; photo and copies then go
    through the same recompression and are split anew. A field whose range begins at 0 is scaled (``SCALES``),
    any other has smooth functions of the frame added, which are a matter of the photo's name.

    Args:
        sources: files or pixels.
        task: what splits and composes them.
        size: (h, w) of both layers.
        recompression: what photo and copies go through.

    Raises:
        PhotoError: a photo that cannot be read.
        DataError: the task fails on one.
    """
    for number, source in enumerate(sources):
        name, pixels = _read(source, number)
        rgb = shrink_photo(pixels / np.float32(255), working_size_of(task))
        own = split_layers(task, rgb, name)[1]
        stored = [np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)]
        for field in _other_fields(own, task.field, name):
            composed = compose_photo(task, rgb, field, name)
            stored.append(np.rint(np.clip(composed, 0, 1) * 255).astype(np.uint8))
        layers = [_layers(task, copy, name, size, recompression) for copy in stored]
        condition, fields = (torch.stack(parts) for parts in zip(*layers, strict=True))
        yield Copies(name, condition, fields)


def is_scaled(layer: Layer) -> bool:
    """True for a field that interventions scale: its range begins at 0."""
    return layer.low == 0


def _other_fields(own: np.ndarray, layer: Layer, name: str) -> list[np.ndarray]:
    if is_scaled(layer):
        others = [own * np.float32(factor) for factor in SCALES]
    else:
        others = [own + light for light in _lights(own.shape, layer, name)]
    return [np.clip(field, layer.low, layer.high).astype(np.float32) for field in others]


def _lights(shape: tuple[int, ...], layer: Layer, name: str) -> Iterator[np.ndarray]:
    """Smooth functions (h, w, c) without a mean: cosines of up to two half-waves per side."""
    generator = named_generator(0, f"light/{name}")
    rows, columns = (np.pi * (np.arange(side) + 0.5) / side for side in shape[:2])
    waves = [np.cos(i * rows)[:, None] * np.cos(j * columns) for i in range(3) for j in range(3) if i or j]
    for _ in range(LIGHTS):
        weights = torch.randn(len(waves), shape[2], generator=generator).numpy()
        light = np.tensordot(np.stack(waves, -1), weights, 1)
        yield (LIGHT_STD * 0.1 * (layer.high - layer.low) / max(light.std(), 1e-6) * light).astype(np.float32)


def _layers(
    task: Task, pixels: np.ndarray, name: str, size: tuple[int, int], recompression: Recompression | None
) -> list[Tensor]:
    pixels = pixels if recompression is None else recompression(pixels)
    rgb = shrink_photo(pixels / np.float32(255), working_size_of(task))
    layers = split_layers(task, rgb, name)
    return [torch.from_numpy(np.ascontiguousarray(area_average(x, size).transpose(2, 0, 1))) for x in layers]


def _read(source: Source, number: int) -> tuple[str, np.ndarray]:
    photo = read_photo(source)
    pixels = photo.pixels
    if pixels.dtype != np.uint8:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    name = f"photo {number}" if isinstance(source, np.ndarray) else Path(source).name
    return name, pixels
