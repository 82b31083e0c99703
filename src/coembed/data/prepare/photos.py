"""The recipe that makes pairs from photos: decode whole, split by the task, average over areas.

A task with a working size (relighting) has photos reduced to it, in linear light, before they are split.

Photos are never decoded at reduced size here. Saturation is not linear in rgb: averaging colours before it is
computed (which is what a reduced JPEG decode does) lowers it. Measured on 120 COCO photos of about 640 x 480 at
32 x 32 cells: decoding at a half changes a cell by 1.2/255 on average (bias -1.0/255, single cells up to
57/255), at a quarter by 2.7/255. The value layer changes by 0.2/255, but one decode serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from coembed.data.names import crop_of, crop_options, view_name, whole_of
from coembed.data.prepare.workers import OnePairPerItem, Pair
from coembed.data.sources.items import Item
from coembed.data.store.index import PairIndex
from coembed.imaging.io.origin import read_origin
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average, shrink_photo
from coembed.tasks.task import Layer, get_task, settings_of, split_layers, working_size_of


def views_of(items: Sequence[Item], crops: int) -> list[Item]:
    """Every item, followed by ``crops`` crops of it named ``photo.jpg#1``, ``photo.jpg#2``, ..."""
    return [Item(view_name(item.name, v), item.paths, v) for item in items for v in range(crops + 1)]


def view_of(name: str, view: int, layer: np.ndarray, seed: int = 0) -> np.ndarray:
    """The part of a layer (h, w, ...) that a view shows, contiguous; all of it for view 0."""
    return np.ascontiguousarray(layer[crop_of(name, layer.shape[:2], seed)]) if view else layer


@dataclass(frozen=True)
class TaskRecipe:
    """Common part of the recipes that split by a task.

    Args:
        task: a registered name, or ``"module:Class"``.
        size: (h, w) of both layers.
    """

    task: str
    size: tuple[int, int]

    @property
    def condition(self) -> Layer:
        """The task's condition."""
        return get_task(self.task).condition

    @property
    def field(self) -> Layer:
        """The task's field."""
        return get_task(self.task).field

    def finished(self, index: PairIndex, folder: Path) -> PairIndex:
        """The index unchanged: the task gives the ranges."""
        return index


@dataclass(frozen=True)
class PhotoRecipe(OnePairPerItem, TaskRecipe):
    """Condition and field of one photo at ``size``, by a task.

    Args:
        task: a registered name, or ``"module:Class"``.
        size: (h, w) of both layers; photos of another shape are squeezed to it.
        max_pixels: larger photos are skipped, before decoding.
        crops: random crops per photo, each a pair besides the whole (see ``crop_of``).
        crop_seed: of where the crops lie.
        working_size: the photo's longer side is at most this when it is split; None: as the task says.
        min_side: photos whose shorter side is below, pixels, are left out and counted.
    """

    max_pixels: int = 64_000_000
    crops: int = 0
    crop_seed: int = 0
    working_size: int | None = None
    min_side: int = 0

    def options(self) -> dict[str, Any]:
        """Further options that decide the numbers."""
        task = get_task(self.task)
        options: dict[str, Any] = {"max_pixels": self.max_pixels}
        options |= crop_options(self.crops, self.crop_seed)
        if self.min_side:
            options["min_side"] = self.min_side
        working_size = self.working_size or working_size_of(task)
        if working_size is not None:
            options["working_size"] = working_size
        if settings_of(task):
            options["settings"] = settings_of(task)
        return options

    def pairs_of(self, item: Item) -> tuple[list[Pair], dict[str, int]]:
        """The one pair, or none of a photo that is too small."""
        origin = read_origin(item.paths[0]) if self.min_side else None
        if origin is not None and min(origin.width, origin.height) < self.min_side:
            return [], {f"below {self.min_side} px": 1}
        return super().pairs_of(item)

    def make(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Condition and field of the photo, each (h, w, c) float32.

        Raises:
            PhotoError: the photo cannot be read.
            DataError: the task fails on it, or gives layers of another shape than it says.
        """
        if not item.view:
            _last_layers.cache_clear()  # the file may have changed since an earlier run in this process
        condition, field = _last_layers(self, item.paths[0], whole_of(item.name))
        parts = [view_of(item.name, item.view, layer, self.crop_seed) for layer in (condition, field)]
        return self.average(item.name, *parts)

    def layers(self, path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Both layers of a photo, at its own size or the working size.

        Raises:
            PhotoError: as for ``make``.
            DataError: as for ``make``.
        """
        rgb = read_photo(path, max_pixels=self.max_pixels).as_float()
        return self.split(name, shrink_photo(rgb, self.working_size or working_size_of(get_task(self.task))))

    def split(self, name: str, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The task's two layers at the size of ``rgb``, checked."""
        return split_layers(get_task(self.task), rgb, name, called=self.task)

    def average(self, name: str, condition: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both layers as area means over ``size`` cells."""
        return area_average(condition, self.size), area_average(field, self.size)


@lru_cache(maxsize=1)
def _last_layers(recipe: PhotoRecipe, path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photo's views follow each other: it is decoded and split once for all of them."""
    return recipe.layers(path, name)
