"""The index of a store of pairs: one JSON beside its safetensors shards that says what they hold.

folder/
  index.json               this file
  shard-00000.safetensors  tensors "condition" and "field", each (n, c, h, w)
  ...
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coembed.errors import ConfigError, DataError
from coembed.serialization import from_dict, read_json, to_dict, write_bytes, write_json
from coembed.tasks.task import Layer

FORMAT = "coembed-pairs"
VERSION = 1
INDEX = "index.json"

Dtype = Literal["float16", "float32"]


@dataclass(frozen=True)
class ShardEntry:
    """One safetensors file.

    Attributes:
        name: in the folder.
        count: pairs in it.
        sha256: of its bytes.
        left_out: pairs that its items could have given and that were left out on purpose, by reason.
    """

    name: str
    count: int
    sha256: str
    left_out: dict[str, int] = default(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A photo that gave no pair, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Source:
    """The origin of pairs; ``name`` is the folder's own name, never a path of the machine."""

    kind: str
    name: str = ""
    split: str = ""


@dataclass(frozen=True)
class PairIndex:
    """Contents of a store.

    Args:
        task: the task's name, or ``"module:Class"``, or ``"custom"`` for a user's own pairs.
        condition: channels, range and unit of what is given.
        field: channels, range and unit of what is generated.
        size: (h, w) of both.
        dtype: of the stored numbers; they are read as float32.
        count: pairs in all.
        names: one per pair, in order.
        shards: the files, in order; empty for a store in memory.
        source: where the pairs came from.
        skipped: photos that gave no pair.
        options: all that decided the bytes; preparing again with other options is refused.
        left_out: pairs that were left out on purpose, e.g. for unreliable motion: counts by reason.

    Raises:
        ConfigError: counts that do not add up.
    """

    task: str
    condition: Layer
    field: Layer
    size: tuple[int, int]
    dtype: Dtype
    count: int
    names: tuple[str, ...]
    shards: tuple[ShardEntry, ...] = ()
    source: Source = Source("memory")
    skipped: tuple[Skipped, ...] = ()
    options: dict[str, Any] = default(default_factory=dict)
    left_out: dict[str, int] = default(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(self.names) != self.count:
            raise ConfigError(f"names: got {len(self.names)}, expected one per pair: {self.count}")
        in_shards = sum(s.count for s in self.shards)
        if self.shards and in_shards != self.count:
            raise ConfigError(f"shards: hold {in_shards} pairs, expected count: {self.count}")

    def shape(self, layer: Literal["condition", "field"], count: int) -> tuple[int, int, int, int]:
        """The shape (count, c, h, w) of a layer of that many pairs."""
        return (count, getattr(self, layer).channels, *self.size)


def read_index(folder: Path | str) -> PairIndex:
    """Read and check ``folder/index.json``.

    Raises:
        DataError: no index, another format or version, an unknown key, or counts that do not add up.
    """
    path = Path(folder) / INDEX
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise DataError(f"{path}: format is {found!r}, expected {FORMAT!r}")
        if data.get("version") != VERSION:
            raise DataError(f"{path}: version is {data.get('version')!r}, this CoEmbed reads version {VERSION}")
        index = from_dict(PairIndex, data, str(path))
    except ConfigError as error:
        raise DataError(str(error)) from None
    for shard in index.shards:
        # A name with a separator would let an index reach files outside its folder.
        if Path(shard.name).name != shard.name or not shard.name.endswith(".safetensors"):
            raise DataError(
                f"{path}: shard name is {shard.name!r}, expected NAME.safetensors in the same folder"
            )
    return index


def write_index(folder: Path | str, index: PairIndex) -> None:
    """Write ``folder/index.json`` whole or not at all."""
    data = to_dict(index)
    first = {"format": data.pop("format"), "version": data.pop("version")}
    last = {"skipped": data.pop("skipped"), "names": data.pop("names")}
    write_json(Path(folder) / INDEX, first | data | last)


def write_shard(
    folder: Path | str,
    number: int,
    condition: np.ndarray,
    field: np.ndarray,
    left_out: dict[str, int] | None = None,
) -> ShardEntry:
    """Write ``shard-NUMBER.safetensors`` whole or not at all; both arrays are (n, c, h, w)."""
    from safetensors.numpy import save

    name = f"shard-{number:05d}.safetensors"
    data = save({"condition": np.ascontiguousarray(condition), "field": np.ascontiguousarray(field)})
    write_bytes(Path(folder) / name, data)
    return ShardEntry(name, len(condition), hashlib.sha256(data).hexdigest(), left_out or {})


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shard_pairs(size: tuple[int, int], channels: int, dtype: Dtype) -> int:
    """Pairs per shard: 2048, or fewer where that would pass 64 MB, so that a stopped run loses little."""
    pair_bytes = size[0] * size[1] * channels * np.dtype(dtype).itemsize
    return max(16, min(2048, 64_000_000 // pair_bytes))


def as_stored(layer: np.ndarray, dtype: Dtype, where: str) -> np.ndarray:
    """A layer in the dtype of the store.

    Raises:
        DataError: a value that is not finite, or does not fit the dtype; the message starts with ``where``.
    """
    if not np.isfinite(layer).all():
        bad = np.argwhere(~np.isfinite(layer))[0].tolist()
        raise DataError(f"{where} holds {layer[tuple(bad)]} at {bad}, expected finite values")
    largest = float(np.abs(layer).max(initial=0))
    if largest > float(np.finfo(dtype).max):
        raise DataError(f"{where} reaches {largest:g}, more than {dtype} holds ({np.finfo(dtype).max:g})")
    return layer.astype(dtype)
