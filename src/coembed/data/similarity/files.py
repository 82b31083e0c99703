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

from coembed.data.similarity.annotations import read_annotations
from coembed.data.similarity.features import (
    Block,
    Matrix,
    action_block,
    annotation_blocks,
    own_block,
    pixel_block,
    smaller,
)
from coembed.data.store.index import file_sha256, read_index
from coembed.data.store.store import PairStore
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


def annotate(store: Path | str, annotations: Path | str) -> None:
    """Write label and layout of every pair beside the shards; a crop's layout is its own.

    Args:
        store: folder of one store, with its ``index.json``.
        annotations: MS-COCO's ``instances_*.json``.

    Raises:
        DataError: no store, or annotations that are wrong or name none of its photos.
    """
    index = read_index(store)
    crops = index.options.get("crops", {})
    if isinstance(crops, list):  # other crops than those of today
        raise DataError(f"{store}: its crops are of an older version; prepare the pairs again")
    source = Path(annotations)
    blocks = annotation_blocks(read_annotations(source), index.names, crop_seed=crops.get("seed", 0))
    write_features(store, blocks, index.names, source)


def known_blocks(store: PairStore) -> dict[str, Block]:
    """Label and layout of a store's pairs, where they are known; clips of UCF101 have their action as label.

    Raises:
        DataError: a damaged file.
    """
    blocks = read_features(store.folder, store.names) if store.folder is not None else {}
    if "label" not in blocks and (actions := action_block(store.names)) is not None:
        blocks = {"label": actions, **blocks}
    return blocks


def store_blocks(
    store: PairStore, wanted: tuple[str, ...] = ("label", "layout", "pixels"), own: str | None = None
) -> dict[str, Block]:
    """The blocks of a store that are wanted and there; see ``known_blocks``.

    Args:
        store: pairs on disk or in memory.
        wanted: of label, layout and pixels (condition and field); those that are missing are left out.
        own: a user's ``.npy`` file, a row per pair.

    Raises:
        DataError: a damaged file, or not one block is there.
    """
    blocks = {name: block for name, block in known_blocks(store).items() if name in wanted}
    if "pixels" in wanted:
        blocks["pixels"] = pixel_block(store.condition, len(store))
        blocks["field_pixels"] = pixel_block(store.field, len(store))
    if own is not None:
        blocks["own"] = own_block(own, len(store))
    if not blocks:
        raise DataError(
            f"{store.folder or store}: has none of the features {', '.join(wanted)}: there is no {HEADER}, "
            "which `coembed prepare coco` writes where it finds annotations/"
        )
    return blocks


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()
