"""The picture at the top of the README: one bundled photo per task, with four results of the bundled weights.

    python scripts/readme_figure.py

Writes ``docs/images/tasks.jpg``: saturations, lights, and motions as arrows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import coembed
from coembed.cli.output.motion_pictures import arrow_picture, scale_of
from coembed.imaging.io.photo import read_photo
from coembed.serialization import write_bytes

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "examples"
WIDTH, HEIGHT, GAP = 300, 200, 6


def main() -> None:
    """Make the results and lay them out: the original first, set apart by a wider gap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "tasks.jpg")
    options = parser.parse_args()
    coast, horses = ASSETS / "coast.jpg", ASSETS / "horses.jpg"
    frame = read_photo(horses).pixels
    motions = coembed.predict_motion(horses, n=4, seed=0)
    stretch = scale_of([motion.flow for motion in motions]).stretch
    results = [
        (coast, [np.asarray(image) for image in coembed.resaturate(coast, n=4, seed=0)]),
        (horses, [np.asarray(image) for image in coembed.relight(horses, n=4, seed=0)]),
        (horses, [arrow_picture(frame, motion.flow, stretch) for motion in motions]),
    ]
    rows = []
    for path, pictures in results:
        tiles = [tile(pixels) for pixels in (read_photo(path).pixels, *pictures)]
        rows.append(joined([tiles[0], white(HEIGHT, GAP), *tiles[1:]], axis=1))
    picture = joined(rows, axis=0)
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise SystemExit(f"{options.out}: could not be encoded")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(options.out, data.tobytes())
    print(options.out)


def tile(pixels: np.ndarray) -> np.ndarray:
    """The middle of a photo at the tile's aspect, shrunk."""
    height, width = pixels.shape[:2]
    scale = min(height / HEIGHT, width / WIDTH)
    h, w = int(HEIGHT * scale), int(WIDTH * scale)
    top, left = (height - h) // 2, (width - w) // 2
    crop = pixels[top : top + h, left : left + w]
    return cv2.resize(crop, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def white(height: int, width: int) -> np.ndarray:
    """A blank piece."""
    return np.full((height, width, 3), 255, np.uint8)


def joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    """Pieces in a row (axis 1) or a column (axis 0) with gaps between them."""
    size = parts[0].shape[1 - axis]
    gap = white(size, GAP) if axis == 1 else white(GAP, size)
    pieces = [parts[0]]
    for part in parts[1:]:
        pieces += [gap, part]
    return np.concatenate(pieces, axis=axis)


if __name__ == "__main__":
    main()
