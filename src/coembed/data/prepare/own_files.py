"""The recipe that makes pairs from files of a user's own: images, ``.npy`` arrays or ``.flo`` flow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coembed.data.prepare.workers import OnePairPerItem
from coembed.data.sources.items import Item
from coembed.data.sources.layer_files import read_layer
from coembed.data.store.index import PairIndex
from coembed.errors import ConfigError, DataError, PhotoError
from coembed.imaging.resize import area_average
from coembed.tasks.task import Layer


@dataclass(frozen=True)
class OwnRecipe(OnePairPerItem):
    """Condition and field of one pair of files.

    Args:
        size: (h, w) of both; files of another size are averaged over areas if ``resize``, else refused.
        resize: whether to.
        condition: name, channels, unit and range; the range counts if ``condition_range`` says so.
        field: the same for the field.
        condition_range: whether the user gave the range; if not it is measured when all is done.
        field_range: the same for the field.
        task: recorded in the index.

    Layers of ``.flo`` files are vectors.
    """

    size: tuple[int, int]
    resize: bool
    condition: Layer
    field: Layer
    condition_range: bool
    field_range: bool
    task: str = "custom"

    def options(self) -> dict[str, Any]:
        """Further options that decide the numbers or the index."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in ("size", "task")}

    def make(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Both layers, (h, w, c) float32.

        Raises:
            PhotoError: an image that cannot be read.
            DataError: a file of the wrong shape, kind or range; the message names it.
        """
        condition = self._layer(item.paths[0], self.condition, self.condition_range)
        return condition, self._layer(item.paths[1], self.field, self.field_range)

    def finished(self, index: PairIndex, folder: Path) -> PairIndex:
        """The index with the ranges measured over all shards, where the user gave none."""
        condition, field = index.condition, index.field
        if not self.condition_range:
            condition = _measured(index, folder, "condition")
        if not self.field_range:
            field = _measured(index, folder, "field")
        return dataclasses.replace(index, condition=condition, field=field)

    def _layer(self, path: str, layer: Layer, check_range: bool) -> np.ndarray:
        array = read_layer(path, layer.channels)
        h, w = self.size
        if array.shape[2] != layer.channels or (array.shape[:2] != self.size and not self.resize):
            expected = f"({h}, {w}, {layer.channels})" if not self.resize else f"(h, w, {layer.channels})"
            hint = "" if array.shape[2] != layer.channels else "; --size resizes"
            raise DataError(
                f"{path}: {layer.name} has shape {array.shape}, expected {expected} as the others{hint}"
            )
        if not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0].tolist()
            raise DataError(f"{path}: {layer.name} is {array[tuple(bad)]} at {bad}, expected finite values")
        low, high = float(array.min()), float(array.max())
        if check_range and not (layer.low <= low and high <= layer.high):
            raise DataError(
                f"{path}: {layer.name} spans {low:g} to {high:g}, expected {layer.low:g} to {layer.high:g}"
            )
        if array.shape[:2] == self.size:
            return array
        scale = np.ones(array.shape[2], np.float32)
        if path.lower().endswith(".flo"):  # vectors are in pixels, and the pixels change
            scale = np.array([w / array.shape[1], h / array.shape[0]], np.float32)
        return area_average(array, self.size) * scale


@dataclass(frozen=True)
class LayerFacts:
    """Facts of a layer as a user gives them; None: taken from the files.

    Args:
        name: ``"condition"`` or ``"field"``.
        channels: with 3, grey images become three equal channels.
        low_high: smallest and largest value; every file is held to it.
        unit: e.g. ``"px/frame"``.

    Raises:
        ConfigError: a range that is not finite or runs backwards, or no channels.
    """

    name: str
    channels: int | None = None
    low_high: tuple[float, float] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        low, high = self.low_high or (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"the {self.name}'s range is {low} to {high}, expected LOW < HIGH")
        if self.channels is not None and self.channels < 1:
            raise ConfigError(f"the {self.name}'s channels are {self.channels}, expected at least 1")


def own_recipe(
    items: Sequence[Item],
    condition: LayerFacts,
    field: LayerFacts,
    *,
    size: tuple[int, int] | None,
    task: str = "custom",
) -> OwnRecipe:
    """A recipe for these items; what the user did not say is taken from the first pair that can be read.

    Args:
        items: as ``match_files`` gives them.
        condition: what is known of it.
        field: what is known of it.
        size: (h, w), or None for the size of the first pair.
        task: recorded in the index.

    Raises:
        DataError: the first file is of a wrong kind, or condition and field differ in size, and no size
            was given.
    """
    item, c, f = _first_pair(items, condition.channels, field.channels)
    if size is None and c.shape[:2] != f.shape[:2]:
        raise DataError(
            f"{item.paths[1]}: field is {f.shape[0]}x{f.shape[1]}, expected {c.shape[0]}x{c.shape[1]} as its "
            f"condition {item.paths[0]}; --size resizes both"
        )
    layers = [
        Layer(
            facts.name,
            facts.channels or array.shape[2],
            *(facts.low_high or (0.0, 0.0)),
            facts.unit,
            vector=path.lower().endswith(".flo"),
        )
        for facts, array, path in ((condition, c, item.paths[0]), (field, f, item.paths[1]))
    ]
    return OwnRecipe(
        size=size if size is not None else (c.shape[0], c.shape[1]),
        resize=size is not None,
        condition=layers[0],
        field=layers[1],
        condition_range=condition.low_high is not None,
        field_range=field.low_high is not None,
        task=task,
    )


def _first_pair(
    items: Sequence[Item], condition_channels: int | None, field_channels: int | None
) -> tuple[Item, np.ndarray, np.ndarray]:
    reasons = []
    for item in items:
        try:
            condition = read_layer(item.paths[0], condition_channels)
            return item, condition, read_layer(item.paths[1], field_channels)
        except PhotoError as error:
            reasons.append(str(error))
    raise DataError(f"none of {len(items)} pairs can be read; the first: {reasons[0]}")


def _measured(index: PairIndex, folder: Path, layer: str) -> Layer:
    from safetensors import safe_open

    low, high = math.inf, -math.inf
    for shard in index.shards:
        with safe_open(folder / shard.name, framework="np") as file:
            array = file.get_tensor(layer)
        low, high = min(low, float(array.min())), max(high, float(array.max()))
    return dataclasses.replace(getattr(index, layer), low=low, high=high)
