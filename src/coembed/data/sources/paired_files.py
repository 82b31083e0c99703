"""A user's own pairs: two folders whose files match by name, as images, ``.npy`` arrays or ``.flo`` flow."""

from __future__ import annotations

from pathlib import Path

from coembed.data.sources.folder import describe, find_files
from coembed.data.sources.items import Found, Item
from coembed.data.sources.layer_files import LAYER_SUFFIXES
from coembed.data.store.index import Skipped
from coembed.errors import DataError


def match_files(condition: Path | str, field: Path | str) -> Found:
    """Items of a condition's and a field's file with the same relative path but for the suffix.

    Files without a partner are left out, with the reason.

    Raises:
        DataError: a missing folder, two files of one stem, or no match at all.
    """
    sides, left_out = [], []
    for folder in (condition, field):
        found = find_files(folder, LAYER_SUFFIXES)
        left_out += found.left_out
        stems: dict[str, Item] = {}
        for item in found.items:
            stem = item.name[: -len(Path(item.name).suffix)]
            if stem in stems:
                raise DataError(f"{folder}: holds {stems[stem].name} and {item.name}, expected one file a name")
            stems[stem] = item
        sides.append(stems)
    conditions, fields = sides
    items = [
        Item(stem, (item.paths[0], fields[stem].paths[0]))
        for stem, item in conditions.items()
        if stem in fields
    ]
    if not items:
        raise DataError(
            f"no file of {condition} has the name of one of {field} (but for the suffix): the first "
            f"holds {describe(condition)}; the second {describe(field)}. "
            f"Read are: {', '.join(sorted(LAYER_SUFFIXES))}"
        )
    left_out += [
        Skipped(x.name, "no field of this name") for stem, x in conditions.items() if stem not in fields
    ]
    left_out += [Skipped(x.name, "no condition of this name") for s, x in fields.items() if s not in conditions]
    return Found(items, left_out)
