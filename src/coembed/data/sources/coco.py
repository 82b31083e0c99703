"""The MS-COCO layout: photos in ``train2014/`` and ``val2014/`` (or 2017). Annotations are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from coembed.data.sources.folder import describe, find_files
from coembed.data.sources.items import Found
from coembed.errors import DataError

_YEARS = ("2014", "2017")


def coco_splits(root: Path | str, suffixes: frozenset[str]) -> dict[Literal["train", "val"], tuple[str, Found]]:
    """The photos of both splits, annotated or not, with the name of the folder they lie in.

    Args:
        root: the folder that holds ``train2014`` and ``val2014``; these may be links to other places.
        suffixes: of photos.

    Raises:
        DataError: a split's folder is missing or holds no photo.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: {'not a folder' if root.exists() else 'no such folder'}, expected the COCO layout"
        )
    year = next((y for y in _YEARS if (root / f"train{y}").is_dir() or (root / f"val{y}").is_dir()), _YEARS[0])
    splits: dict[Literal["train", "val"], tuple[str, Found]] = {}
    for split in ("train", "val"):
        folder = root / f"{split}{year}"
        if not folder.is_dir():
            raise DataError(
                f"{root}: has no folder {folder.name}; expected train{year}/ and val{year}/ with photos. "
                f"It holds {describe(root)}. For photos in another layout: coembed prepare folder"
            )
        found = find_files(folder, suffixes)
        if not found.items:
            raise DataError(f"{folder}: holds no photo; it holds {describe(folder)}")
        splits[split] = (folder.name, found)
    return splits
