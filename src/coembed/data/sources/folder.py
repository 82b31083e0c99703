"""Photos in a folder: found recursively, in an order that is the same anywhere, split into train and val."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from coembed.data.sources.items import Found, Item
from coembed.data.store.index import Skipped
from coembed.errors import ConfigError, DataError


def find_files(root: Path | str, suffixes: frozenset[str]) -> Found:
    """All files of these suffixes (any case) below a folder, sorted by the bytes of their relative path.

    Hidden files and folders are passed over. Links to files inside the folder are followed; links that lead
    outside are not, and are listed; links to folders never are (what lies inside the folder is found anyway).

    Raises:
        DataError: no such folder, or one that cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: {'not a folder' if root.exists() else 'no such folder'}, expected a folder of files"
        )
    top = os.path.realpath(root)
    found: list[tuple[bytes, Item]] = []
    left_out: list[Skipped] = []

    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    for folder, folders, files in os.walk(top, onerror=unreadable):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for file in files:
            path = os.path.join(folder, file)
            if file.startswith(".") or os.path.splitext(file)[1].lower() not in suffixes:
                continue
            relative = os.path.relpath(path, top).replace(os.sep, "/")
            if os.path.islink(path) and not os.path.realpath(path).startswith(os.path.join(top, "")):
                left_out.append(Skipped(printable(relative), "a link that leads outside the folder"))
            else:
                found.append((os.fsencode(relative), Item(printable(relative), (path,))))
    items = [item for _, item in sorted(found, key=lambda pair: pair[0])]
    return Found(items, sorted(left_out, key=lambda s: s.name))


def files_of(names: Collection[str], root: Path | str, suffixes: frozenset[str]) -> list[str]:
    """Paths of the files that pairs of these names were made from, as ``find_files`` finds them.

    Raises:
        DataError: as for ``find_files``.
    """
    # A pair of the MS-COCO layout is named within its split.
    items = find_files(root, suffixes).items
    return [item.paths[0] for item in items if item.name in names or item.name.partition("/")[2] in names]


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are none become ``\\xNN`` escapes.

    >>> printable("caf" + chr(0xDCE9))
    'caf\\\\udce9'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def split(found: Found, val_fraction: float) -> dict[str, Found]:
    """Items as ``train`` and, unless empty, ``val``, by a hash of their names alone.

    Args:
        found: items in order, which both sides keep; what was left out is listed with ``train``.
        val_fraction: in [0, 1); the nearest whole number of items; unless it is 0, at least 1 and at most all
            but 1.

    Raises:
        ConfigError: a fraction outside [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ConfigError(f"val_fraction is {val_fraction}, expected at least 0 and below 1")
    items = found.items
    count = round(len(items) * val_fraction)
    if val_fraction > 0:
        count = min(max(count, 1), len(items) - 1)
    ranked = sorted(range(len(items)), key=lambda i: (hashlib.sha256(items[i].name.encode()).digest(), i))
    val = set(ranked[: max(count, 0)])
    sides = {"train": Found([x for i, x in enumerate(items) if i not in val], found.left_out)}
    return sides | ({"val": Found([x for i, x in enumerate(items) if i in val], [])} if val else {})


def split_files(root: Path, suffixes: frozenset[str], kind: str, val_fraction: float) -> dict[str, Found]:
    """The files below a folder in their splits; see ``find_files`` and ``split``.

    Raises:
        ConfigError: a fraction outside [0, 1).
        DataError: no file of that kind (``"photo"``) there.
    """
    found = find_files(root, suffixes)
    if not found.items:
        raise DataError(f"{root}: holds no {kind}; it holds {describe(root)}")
    return split(found, val_fraction)


def describe(folder: Path | str) -> str:
    """Entries of a folder, in a few words, for messages."""
    entries = sorted(printable(p.name) + ("/" if p.is_dir() else "") for p in Path(folder).iterdir())
    more = f" and {len(entries) - 6} more" if len(entries) > 6 else ""
    return (", ".join(entries[:6]) + more) or "nothing"
