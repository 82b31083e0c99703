"""Pairs of condition and field, on disk or in memory, read by number.

Shards are memory-mapped: opening a store reads headers only, and a pair costs the pages it lies on. The system
keeps pages that are used often, so there is no cache of our own to size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from coembed.data.pairs import Indices, Pairs, as_numbers
from coembed.data.store.index import (
    INDEX,
    Dtype,
    PairIndex,
    ShardEntry,
    as_stored,
    file_sha256,
    read_index,
    shard_pairs,
    write_index,
    write_shard,
)
from coembed.errors import DataError
from coembed.tasks.task import Layer

_LAYERS: tuple[Literal["condition", "field"], ...] = ("condition", "field")
_STORED = {"F16": "float16", "F32": "float32"}


class PairStore(Pairs):
    """Scattered pairs: one condition and one field each, in natural units.

    Make one with ``PairStore.open`` or ``PairStore.from_arrays``.

    Attributes:
        index: what the store holds.
        folder: where it lies, or None in memory.
    """

    def __init__(self, index: PairIndex, parts: dict[str, list[Tensor]], folder: Path | None = None):
        self.index = index
        self.folder = folder
        self._parts = parts
        self._starts = torch.tensor([0, *accumulate(len(p) for p in parts["condition"])])

    def __len__(self) -> int:
        return self.index.count

    def __repr__(self) -> str:
        i = self.index
        what = f"{i.condition.name} -> {i.field.name}, {i.size[0]}x{i.size[1]}, task {i.task!r}"
        return f"PairStore({i.count} pairs, {what})"

    def __reduce__(self) -> tuple[Any, ...]:
        """A store on disk is opened anew in a worker process; one in memory is sent."""
        if self.folder is not None:
            return PairStore.open, (self.folder,)
        return PairStore, (self.index, self._parts)

    @property
    def names(self) -> list[str]:
        """One name per pair, in their order."""
        return list(self.index.names)

    def condition(self, indices: Indices) -> Tensor:
        """Conditions (b, c, h, w), float32, natural units; see ``field``."""
        return self._gather("condition", indices)

    def field(self, indices: Indices) -> Tensor:
        """Fields (b, c, h, w), float32, natural units.

        Args:
            indices: a slice, or numbers in any order, repeats allowed, negative ones counted from the end.

        Raises:
            IndexError: a number outside the store.
        """
        return self._gather("field", indices)

    @classmethod
    def open(cls, folder: Path | str) -> PairStore:
        """Open a store, checking that every shard is there with the shapes and dtypes of the index.

        Checksums are left to ``verify``, which reads every byte.

        Raises:
            DataError: no store there, or a shard that is missing, damaged or unlike the index.
        """
        folder = Path(folder)
        index = read_index(folder)
        parts: dict[str, list[Tensor]] = {layer: [] for layer in _LAYERS}
        for shard in index.shards:
            for layer, tensor in _open_shard(folder / shard.name, shard, index).items():
                parts[layer].append(tensor)
        return cls(index, parts, folder)

    @classmethod
    def from_arrays(
        cls,
        condition: np.ndarray | Tensor,
        field: np.ndarray | Tensor,
        *,
        task: str = "custom",
        names: Sequence[str] | None = None,
        condition_layer: Layer | None = None,
        field_layer: Layer | None = None,
    ) -> PairStore:
        """A store in memory (float32) from a user's own arrays.

        Args:
            condition: (n, c, h, w), any real dtype, natural units.
            field: (n, c, h, w), the same n, h and w.
            task: a task's name, or ``"custom"``.
            names: one per pair; row numbers by default.
            condition_layer: name, channels, range and unit; by default the range measured.
            field_layer: the same for the field.

        Raises:
            DataError: wrong shapes, a value that is not finite or lies outside the layer's range.
        """
        arrays = {"condition": _as_float(condition, "condition"), "field": _as_float(field, "field")}
        c, f = arrays["condition"], arrays["field"]
        if len(c) != len(f) or c.shape[2:] != f.shape[2:]:
            raise DataError(
                f"condition is {tuple(c.shape)} and field {tuple(f.shape)}, "
                "expected the same n, h and w in (n, c, h, w)"
            )
        names = [str(i) for i in range(len(c))] if names is None else [str(name) for name in names]
        if len(names) != len(c):
            raise DataError(f"names: got {len(names)}, expected one per pair: {len(c)}")
        layers = {}
        for layer, given in (("condition", condition_layer), ("field", field_layer)):
            layers[layer] = _check_values(arrays[layer], layer, given, names)
        index = PairIndex(
            task=task,
            condition=layers["condition"],
            field=layers["field"],
            size=(c.shape[2], c.shape[3]),
            dtype="float32",
            count=len(c),
            names=tuple(names),
        )
        return cls(index, {"condition": [c], "field": [f]})

    def save(self, folder: Path | str, *, dtype: Dtype = "float16") -> None:
        """Write the store to a folder that holds no store yet; the index is written last.

        Args:
            folder: made if missing.
            dtype: float16 keeps 11 bits; take float32 where that is too coarse.

        Raises:
            DataError: the folder holds a store, or a value does not fit the dtype.
        """
        folder = Path(folder)
        if (folder / INDEX).exists():
            raise DataError(f"{folder}: already holds pairs; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        i = self.index
        rows = shard_pairs(i.size, i.condition.channels + i.field.channels, dtype)
        shards = []
        for number, start in enumerate(range(0, len(self), rows)):
            block = slice(start, start + rows)
            condition, field = (as_stored(self._gather(x, block).numpy(), dtype, x) for x in _LAYERS)
            shards.append(write_shard(folder, number, condition, field))
        values = {f: getattr(i, f) for f in PairIndex.__dataclass_fields__}
        write_index(folder, PairIndex(**(values | {"dtype": dtype, "shards": tuple(shards)})))

    def verify(self) -> None:
        """Read every shard and compare its SHA-256 with the index.

        Raises:
            DataError: names the first file that differs.
        """
        if self.folder is None:
            return
        for shard in self.index.shards:
            if file_sha256(self.folder / shard.name) != shard.sha256:
                raise DataError(
                    f"{self.folder / shard.name}: the checksum differs from {INDEX}; prepare it again"
                )

    def _gather(self, layer: Literal["condition", "field"], indices: Indices) -> Tensor:
        index = as_numbers(indices, len(self))
        parts = self._parts[layer]
        if len(parts) == 1:
            return parts[0].index_select(0, index).float()
        out = torch.empty(self.index.shape(layer, len(index)))
        part = torch.searchsorted(self._starts, index, right=True) - 1
        for p in part.unique().tolist():
            places = (part == p).nonzero()[:, 0]
            out[places] = parts[p].index_select(0, index[places] - self._starts[p]).float()
        return out


def open_pairs(folder: Path | str, split: Literal["train", "val"]) -> PairStore:
    """Open the pairs of a split: ``folder`` is a store itself, or holds the stores ``train`` and ``val``.

    Raises:
        DataError: neither; the message says what is there instead.
    """
    folder = Path(folder)
    if (folder / split / INDEX).is_file():
        return PairStore.open(folder / split)
    if (folder / INDEX).is_file():
        return PairStore.open(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected prepared pairs (see `coembed prepare --help`)")
    if (folder / split / ".preparing").is_dir():
        raise DataError(
            f"{folder / split}: its preparation was not finished; run the same `coembed prepare` again"
        )
    entries = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())
    there = ", ".join(entries[:6]) + (f" and {len(entries) - 6} more" if len(entries) > 6 else "")
    raise DataError(
        f"{folder}: no {INDEX} and no {split}/{INDEX} (see `coembed prepare --help`); "
        f"it holds {there or 'nothing'}"
    )


def _open_shard(path: Path, shard: ShardEntry, index: PairIndex) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError(f"{path}: missing, though {INDEX} lists it; prepare it again")
    tensors = {}
    try:
        with safe_open(path, framework="pt") as file:
            held = set(file.keys())
            for layer in _LAYERS:
                if layer not in held:
                    raise DataError(
                        f"{path}: has no tensor {layer!r}, only {', '.join(sorted(held)) or 'nothing'}"
                    )
                view = file.get_slice(layer)
                expected = index.shape(layer, shard.count)
                found = (tuple(view.get_shape()), _STORED.get(view.get_dtype(), view.get_dtype()))
                if found != (expected, index.dtype):
                    raise DataError(
                        f"{path}: {layer} is {found[1]} {found[0]}, expected {index.dtype} {expected}"
                    )
                tensors[layer] = file.get_tensor(layer)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a whole safetensors file ({error}); prepare it again") from None
    return tensors


def _as_float(array: np.ndarray | Tensor, name: str) -> Tensor:
    if isinstance(array, np.ndarray) and array.dtype.kind not in "buif":
        raise DataError(f"{name} is {array.dtype}, expected real numbers")
    tensor = torch.as_tensor(array).detach().to("cpu", torch.float32).contiguous()
    if tensor.ndim != 4 or 0 in tensor.shape:
        raise DataError(f"{name} has shape {tuple(tensor.shape)}, expected (n, c, h, w), none of them 0")
    return tensor


def _check_values(array: Tensor, layer: str, given: Layer | None, names: Sequence[str]) -> Layer:
    low, high = array.flatten(1).aminmax(dim=1)  # NaN and infinities show in one or the other
    bad = (~(low.isfinite() & high.isfinite())).nonzero()
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{layer} of pair {row} ({names[row]!r}) holds NaN or infinite values, expected finite ones"
        )
    if given is None:
        return Layer(layer, array.shape[1], float(low.min()), float(high.max()), "")
    if given.channels != array.shape[1]:
        raise DataError(f"{layer} has {array.shape[1]} channels, expected {given.channels} as its layer says")
    slack = 1e-5 * max(1.0, given.high - given.low)
    bad = ((low < given.low - slack) | (high > given.high + slack)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{layer} of pair {row} ({names[row]!r}) spans {float(low[row]):g} to {float(high[row]):g}, "
            f"expected {given.low:g} to {given.high:g}"
        )
    return given
