"""Sheets of twelve real photos: what every task makes of them, before a change and after it.

    python scripts/sheets.py make --photos COCO --out out/sheets/after     under the code and weights of either
    side python scripts/sheets.py lay --before out/sheets/before --after out/sheets/after

``COCO`` holds ``train2014/`` and ``val2014/`` of MS-COCO. The first writes tiles, one file per photo and task,
the second ``docs/images/sheet-TASK.jpg``: a row per photo, the photo first, then four results before and four
after. To see a past side, run the first with ``PYTHONPATH`` at the ``src`` of a checkout of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import coembed
from coembed.cli.output.motion_pictures import arrow_picture, scale_of
from coembed.imaging.io.photo import read_photo

# Photos of MS-COCO whose licences allow it, chosen for faces, skies, night, snow, white walls, food and fur.
PHOTOS = [
    *(f"val2014/COCO_val2014_{n:012}" for n in (257, 252639, 294832, 205401, 442450)),
    *(f"train2014/COCO_train2014_{n:012}" for n in (459, 415748, 360461, 360, 24577, 423617, 309)),
]
WIDTH, HEIGHT, GAP, WIDE = 168, 112, 4, 12
QUALITY = 82


def main() -> None:
    """Make tiles, or lay them out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make")
    making.add_argument("--photos", type=Path, required=True)
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--tasks", nargs="+", choices=MAKERS, default=list(MAKERS))
    making.add_argument("--model", action="append", default=[], metavar="TASK=MODEL")
    laying = verbs.add_parser("lay")
    laying.add_argument("--before", type=Path, required=True)
    laying.add_argument("--after", type=Path, required=True)
    laying.add_argument("--dest", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    options = parser.parse_args()
    if options.verb == "make":
        make(options.photos, options.out, options.tasks, dict(pair.split("=", 1) for pair in options.model))
    else:
        for task in MAKERS:
            lay(task, options.before, options.after, options.dest / f"sheet-{task}.jpg")


def resaturated(path: Path, model: str | None) -> list[np.ndarray]:
    """Four saturations."""
    return [np.asarray(image) for image in coembed.resaturate(path, n=4, seed=0, model=model)]


def relit(path: Path, model: str | None) -> list[np.ndarray]:
    """Four lights."""
    return [np.asarray(image) for image in coembed.relight(path, n=4, seed=0, model=model)]


def moved(path: Path, model: str | None) -> list[np.ndarray]:
    """Four motions, as arrows."""
    motions = coembed.predict_motion(path, n=4, seed=0, model=model)
    stretch = scale_of([motion.flow for motion in motions]).stretch
    return [arrow_picture(read_photo(path).pixels, motion.flow, stretch) for motion in motions]


MAKERS: dict[str, Callable[[Path, str | None], list[np.ndarray]]] = {
    "resaturation": resaturated,
    "relighting": relit,
    "motion": moved,
}


def make(photos: Path, out: Path, tasks: list[str], models: dict[str, str]) -> None:
    """Write the tiles of every photo and task, five in a row; those that are there stay."""
    out.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        for name in PHOTOS:
            path, file = photos / f"{name}.jpg", out / f"{task}-{Path(name).name}.png"
            if not file.exists():
                pictures = [read_photo(path).pixels, *MAKERS[task](path, models.get(task))]
                cv2.imwrite(str(file), np.hstack([tile(p) for p in pictures])[..., ::-1])


def lay(task: str, before: Path, after: Path, file: Path) -> None:
    """Write a task's sheet."""
    rows = []
    for name in PHOTOS:
        sides = [cv2.imread(str(folder / f"{task}-{Path(name).name}.png")) for folder in (before, after)]
        cells = [side.reshape(HEIGHT, 5, WIDTH, 3).swapaxes(0, 1) for side in sides]
        rows.append(gapped([cells[0][0]], [*cells[0][1:]], [*cells[1][1:]]))
        rows.append(np.full((GAP, rows[0].shape[1], 3), 255, np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.vstack(rows[:-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(file)


def gapped(*groups: list[np.ndarray]) -> np.ndarray:
    """Tiles side by side, with a wider gap between groups."""
    parts: list[np.ndarray] = []
    for group in groups:
        for number, cell in enumerate(group):
            parts += [cell, np.full((HEIGHT, WIDE if number == len(group) - 1 else GAP, 3), 255, np.uint8)]
    return np.hstack(parts[:-1])


def tile(pixels: np.ndarray) -> np.ndarray:
    """The middle of a photo at the tile's aspect, shrunk."""
    height, width = pixels.shape[:2]
    scale = min(height / HEIGHT, width / WIDTH)
    h, w = int(HEIGHT * scale), int(WIDTH * scale)
    top, left = (height - h) // 2, (width - w) // 2
    return cv2.resize(pixels[top : top + h, left : left + w], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
