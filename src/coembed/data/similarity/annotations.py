"""MS-COCO's ``instances_*.json``, read entry by entry: memory for boxes, not for a file of half a gigabyte."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from coembed.errors import DataError

_READ = 1 << 20  # characters at a time
_MAX_ENTRY = 64 << 20  # characters of one entry: beyond that the file is damaged, not large


@dataclass(frozen=True)
class Annotations:
    """The boxes of many photos; those of photo p are rows ``starts[p]`` to ``starts[p + 1]``.

    Attributes:
        categories: names, by rising id; ids may have gaps.
        photos: number of a photo by its file name.
        sizes: (photos, 2) width and height in pixels.
        starts: (photos + 1,) row numbers.
        category: (boxes,) place in ``categories``.
        boxes: (boxes, 4) x, y, width, height in pixels from the upper left, as in the file: perhaps outside.
        areas: (boxes,) pixels of the object itself, or of its box where the file does not say.
        crowds: (boxes,) whether the box holds a crowd rather than one object.
    """

    categories: tuple[str, ...]
    photos: dict[str, int]
    sizes: np.ndarray
    starts: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray


def read_annotations(path: Path | str) -> Annotations:
    """Read and check an annotation file.

    Raises:
        DataError: no such file, not JSON, a part is missing, or an entry is wrong; the message names the file,
            the entry's place and id, what is there and what was expected.
    """
    path = Path(path)
    names: dict[int, str] = {}
    photos: dict[int, tuple[str, int, int]] = {}
    found: set[str] = set()
    owners, categories, numbers, crowds = array("q"), array("q"), array("d"), array("b")
    with _open(path) as file:
        for part, place, entry in _entries(path, file):
            found.add(part)
            if place is None:
                continue
            where = f"{path}: {part}[{place}]"
            if not isinstance(entry, dict):
                raise DataError(f"{where}: got {_short(entry)}, expected an object")
            where += f" (id {_short(entry.get('id'))})"
            if part == "categories":
                number = _whole(entry, "id", where)
                if number in names:
                    raise DataError(f"{where}: the id is taken by category {names[number]!r}")
                names[number] = _text(entry, "name", where)
            elif part == "images":
                number = _whole(entry, "id", where)
                if number in photos:
                    raise DataError(f"{where}: the id is taken by photo {photos[number][0]!r}")
                width, height = _whole(entry, "width", where), _whole(entry, "height", where)
                if min(width, height) < 1:
                    raise DataError(
                        f"{where}: width and height are {[width, height]}, expected at least 1 each"
                    )
                photos[number] = (_text(entry, "file_name", where), width, height)
            else:
                owners.append(_whole(entry, "image_id", where))
                categories.append(_whole(entry, "category_id", where))
                numbers.extend(_box(entry, where))
                crowds.append(bool(entry.get("iscrowd", 0)))
    for part in ("images", "annotations", "categories"):
        if part not in found:
            raise DataError(f"{path}: has no list {part!r}, expected images, annotations and categories")
    return _assemble(path, names, photos, owners, categories, numbers, crowds)


def _assemble(
    path: Path,
    names: dict[int, str],
    photos: dict[int, tuple[str, int, int]],
    owners: array,
    categories: array,
    numbers: array,
    crowds: array,
) -> Annotations:
    by_file = {name: i for i, (name, _, _) in enumerate(photos.values())}
    if len(by_file) != len(photos):
        twice = next(n for i, (n, _, _) in enumerate(photos.values()) if by_file[n] != i)
        raise DataError(f"{path}: images: the file_name {twice!r} is there more than once")
    owner = _places(path, "image_id", owners, list(photos))
    category = _places(path, "category_id", categories, sorted(names))
    order = np.argsort(owner, kind="stable")
    table = np.frombuffer(numbers, dtype=np.float64).reshape(-1, 5)[order]
    return Annotations(
        categories=tuple(names[i] for i in sorted(names)),
        photos=by_file,
        sizes=np.array([size for _, *size in photos.values()], dtype=np.int64).reshape(-1, 2),
        starts=np.searchsorted(owner[order], np.arange(len(photos) + 1)),
        category=category[order],
        boxes=table[:, :4],
        areas=table[:, 4],
        crowds=np.frombuffer(crowds, dtype=np.int8)[order].astype(bool),
    )


def _places(path: Path, key: str, found: array, known: list[int]) -> np.ndarray:
    ids = np.frombuffer(found, dtype=np.int64) if found else np.zeros(0, np.int64)
    sorted_ids = np.sort(np.array(known, dtype=np.int64))
    ranks = np.argsort(np.array(known, dtype=np.int64), kind="stable")
    place = np.searchsorted(sorted_ids, ids)
    unknown = (
        (place == len(known)) | (sorted_ids[np.minimum(place, len(known) - 1)] != ids) if known else ids >= 0
    )
    if np.any(unknown):
        first = int(np.argmax(unknown))
        what = "images" if key == "image_id" else "categories"
        raise DataError(f"{path}: annotations[{first}]: {key} is {ids[first]}, which no entry of {what} has")
    return ranks[place] if known else place


def _open(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _entries(path: Path, file: IO[str]) -> Iterator[tuple[str, int | None, Any]]:
    """``(part, place, entry)`` of the three lists, each list announced once by ``(part, None, None)``."""
    text = _Text(path, file)
    text.expect("{")
    while text.next_character() != "}":
        key = text.value()
        text.expect(":")
        wanted = key in ("images", "annotations", "categories")
        if text.next_character() != "[":
            value = text.value()
            if wanted:
                raise DataError(f"{path}: {key} is {_short(value)}, expected a list")
        else:
            if wanted:
                yield key, None, None
            text.expect("[")
            place = 0
            while text.next_character() != "]":
                entry = text.value()
                if wanted:
                    yield key, place, entry
                place += 1
                text.separator("]")
            text.expect("]")
        text.separator("}")


class _Text:
    """JSON text that is read as far as the next value needs."""

    def __init__(self, path: Path, file: IO[str]):
        self._path, self._file = path, file
        self._buffer, self._at, self._before, self._ended = "", 0, 0, False
        self._decoder = json.JSONDecoder()

    def next_character(self) -> str:
        """The next character that is not white space, which stays; an error at the end of the file."""
        while True:
            while self._at < len(self._buffer):
                if not self._buffer[self._at].isspace():
                    return self._buffer[self._at]
                self._at += 1
            if not self._more(_READ):
                raise self._error("the file ends early")

    def expect(self, character: str) -> None:
        """Pass over one character."""
        found = self.next_character()
        if found != character:
            raise self._error(f"got {found!r}, expected {character!r}")
        self._at += 1

    def separator(self, closing: str) -> None:
        """Pass over a comma, unless the closing character comes next, which stays."""
        if self.next_character() != closing:
            self.expect(",")
            if self.next_character() == closing:
                raise self._error(f"got {closing!r} after a comma")

    def value(self) -> Any:
        """Decode the next value whole."""
        self.next_character()
        step = _READ
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
                # A number that reaches the end of what was read may go on.
                if end < len(self._buffer) or not self._more(step):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at > _MAX_ENTRY or not self._more(step):
                    self._at = min(error.pos, len(self._buffer))
                    raise self._error(error.msg) from None
            except RecursionError:
                raise self._error("nested too deeply") from None
            step *= 2  # so that a long value is not decoded over and over

    def _more(self, size: int) -> bool:
        if self._ended:
            return False
        try:
            read = self._file.read(size)
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}: not UTF-8 text ({error.reason})") from None
        self._ended = not read
        self._before += self._at
        self._buffer, self._at = self._buffer[self._at :] + read, 0
        return bool(read)

    def _error(self, what: str) -> DataError:
        return DataError(f"{self._path}: not valid JSON at character {self._before + self._at}: {what}")


def _whole(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise DataError(f"{where}: {key} is {_short(value)}, expected a whole number")
    return value


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {key} is {_short(value)}, expected a name")
    return value


def _box(entry: dict[str, Any], where: str) -> list[float]:
    box = entry.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(_number, box)) and min(box[2:]) >= 0):
        raise DataError(f"{where}: bbox is {_short(box)}, expected [x, y, width, height], no side negative")
    area = entry.get("area", box[2] * box[3])
    if not _number(area) or area < 0:
        raise DataError(f"{where}: area is {_short(area)}, expected a number of at least 0")
    return [*map(float, box), float(area)]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
