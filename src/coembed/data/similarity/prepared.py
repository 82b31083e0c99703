"""Features of prepared pairs: written beside the shards by ``coembed prepare``, gathered again for training."""

from __future__ import annotations

from pathlib import Path

from coembed.data.similarity.annotations import read_annotations
from coembed.data.similarity.features import Block, action_block, annotation_blocks, own_block, pixel_block
from coembed.data.similarity.files import HEADER, read_features, write_features
from coembed.data.store.index import read_index
from coembed.data.store.store import PairStore
from coembed.errors import DataError

BLOCKS = ("label", "layout", "pixels")


def annotate(store: Path | str, annotations: Path | str) -> None:
    """Write label and layout of every pair beside the shards; a crop's layout is its own.

    Args:
        store: folder of one store, with its ``index.json``.
        annotations: MS-COCO's ``instances_*.json``.

    Raises:
        DataError: no store, or annotations that are wrong or name none of its photos.
    """
    names = read_index(store).names
    source = Path(annotations)
    write_features(store, annotation_blocks(read_annotations(source), names), names, source)


def store_blocks(
    store: PairStore, wanted: tuple[str, ...] = BLOCKS, own: str | None = None
) -> dict[str, Block]:
    """The blocks of a store that are wanted and there; clips of UCF101 have their action as label.

    Args:
        store: pairs on disk or in memory.
        wanted: of label, layout and pixels (condition and field); those that are missing are left out.
        own: a user's ``.npy`` file, a row per pair.

    Raises:
        DataError: a damaged file, or not one block is there.
    """
    names = store.names
    kept = read_features(store.folder, names) if store.folder is not None else {}
    if "label" not in kept and (actions := action_block(names)) is not None:
        kept = {"label": actions, **kept}
    blocks = {name: block for name, block in kept.items() if name in wanted}
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
