"""Features beside a store's shards, a row per pair: ``features.json`` and ``features.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from scipy import sparse

from coembed.data.similarity.features import Block, Matrix, smaller
from coembed.data.store.index import file_sha256
from coembed.errors import ConfigError, DataError
from coembed.serialization import read_json, write_bytes, write_json

FORMAT, VERSION = "coembed-features", 1
HEADER, TENSORS = "features.json", "features.safetensors"


def write_features(folder: Path | str, blocks: Mapping[str, Block], names: Sequence[str], source: Path) -> None:
    """Write blocks beside a store's shards, the header last.

    Args:
        folder: of the store.
        blocks: a row per pair each.
        names: of the store, in order; a digest of them goes into the header.
        source: the file they were read from; its name and SHA-256 go into the header.
    """
    tensors: dict[str, np.ndarray] = {}
    header: dict[str, object] = {}
    for name, block in blocks.items():
        values = smaller(block.values)
        if sparse.issparse(values):
            for part in ("data", "indices", "indptr"):
                array = getattr(values, part)
                tensors[f"{name}/{part}"] = array.astype(np.float32 if part == "data" else np.int32)
        else:
            tensors[name] = np.ascontiguousarray(values, dtype=np.float32)
        header[name] = {"shape": list(values.shape), "columns": list(block.columns)}
    folder = Path(folder)
    (folder / HEADER).unlink(missing_ok=True)
    write_bytes(folder / TENSORS, safetensors.numpy.save(tensors))
    write_json(
        folder / HEADER,
        {
            "format": FORMAT,
            "version": VERSION,
            "names_sha256": _digest(names),
            "tensors_sha256": file_sha256(folder / TENSORS),
            "source": {"name": source.name, "sha256": file_sha256(source)},
            "blocks": header,
        },
    )


def read_features(folder: Path | str, names: Sequence[str]) -> dict[str, Block]:
    """The blocks that lie beside a store's shards; none where there are none.

    Raises:
        DataError: damaged, another version, or made for other pairs.
    """
    path = Path(folder) / HEADER
    if not path.is_file():
        return {}
    try:
        data = read_json(path)
        if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
            raise DataError(f"{path}: expected format {FORMAT} version {VERSION}; prepare the pairs again")
        if data["names_sha256"] != _digest(names):
            raise DataError(f"{path}: belongs to other pairs than index.json names; prepare them again")
        tensors = safetensors.numpy.load((path.parent / TENSORS).read_bytes())
        blocks = {}
        for name, facts in data["blocks"].items():
            shape = tuple(facts["shape"])
            if name in tensors:
                values: Matrix = tensors[name]
            else:
                parts = tuple(tensors[f"{name}/{part}"] for part in ("data", "indices", "indptr"))
                values = sparse.csr_array(parts, shape=shape)
                values.check_format()
            if values.shape != shape or shape[0] != len(names):
                raise DataError(
                    f"{path}: {name} is {values.shape}, expected {shape}, a row per pair ({len(names)})"
                )
            blocks[name] = Block(values, tuple(facts["columns"]))
        return blocks
    except (ConfigError, OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error}); prepare the pairs again") from None


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()
