"""The photos that held-out pairs were made of, to show fields where they belong: in the photo, at its size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from coembed.cli.reproduce.models import Corpus
from coembed.data.prepare.photos import PhotoRecipe
from coembed.data.sources.items import Item
from coembed.editing.render import render
from coembed.errors import CoEmbedError
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.resize import shrink_photo
from coembed.imaging.upsampling.detail import detail_delta
from coembed.tasks.task import get_task, task_names

_MAX_SIDE = 256  # pixels: larger photos are reduced before they are edited
_TOLERANCE = 0.02  # of the condition's range: a photo whose own condition is further off is another one


def find_originals(folders: Sequence[str], corpus: Corpus, rows: Sequence[int]) -> dict[int, Photo]:
    """The photos of these held-out pairs, as far as they are found and are truly theirs.

    A photo is looked for by the pair's name, in each folder and in the folders within. What it shows is
    compared with the pair's own condition, so that a file that only has the name is not taken.

    Args:
        folders: of photos.
        corpus: whose held-out pairs.
        rows: of them.

    Returns:
        Photos by row, at most 256 pixels per side; empty for pairs of no registered task and for motion, whose
        frames come from videos.
    """
    index = corpus.val.index
    if not folders or index.task not in task_names() or index.field.vector:
        return {}
    recipe = PhotoRecipe(index.task, (index.size[0], index.size[1]))
    found = {}
    for row in rows:
        name, wanted = corpus.val.names[row], corpus.val.condition([row])[0].numpy()
        for path in _places(folders, name):
            try:
                condition = recipe.make(Item(name, (str(path),)))[0].transpose(2, 0, 1)
                photo = read_photo(path)
            except CoEmbedError:
                continue
            if np.abs(condition - wanted).mean() < _TOLERANCE * (index.condition.high - index.condition.low):
                small = shrink_photo(photo.as_float(), _MAX_SIDE)
                found[row] = read_photo(np.rint(255 * small).astype(np.uint8))
                break
    return found


def edited(photo: Photo, task: str, fields: np.ndarray, own: np.ndarray, side: int) -> list[np.ndarray]:
    """The photo under other fields, as `coembed edit` makes it (eq. 10), each in a square of white.

    Args:
        photo: to be edited.
        task: a registered one.
        fields: (n, c, h, w), at the model's size, natural units.
        own: (c, h, w), what the photo's own field is to the model: its reconstruction, or the field itself.
        side: of the square, pixels.
    """
    deltas = detail_delta(fields, own)
    return [framed(pixels, side) for pixels in render(photo, get_task(task), deltas)]


def framed(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture (h, w, 3) uint8 at its proportions in the middle of a white square of ``side`` pixels."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square = np.full((side, side, 3), 255, dtype=np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(pixels, size, interpolation=way)
    return square


def _places(folders: Sequence[str], name: str) -> list[Path]:
    paths = []
    for folder in map(Path, folders):
        paths += [folder / name, *sorted(p / name for p in folder.glob("*/") if p.is_dir())]
    return [path for path in paths if path.is_file()]
