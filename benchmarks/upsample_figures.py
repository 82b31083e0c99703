"""Figures of docs/upsampling.md: one low-resolution field through each method, with an enlarged edge.

    python benchmarks/upsample_figures.py [OUT]

From the photos that come with the package (their licences: examples/ATTRIBUTION.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from upsample_rivals import Method, cell_means, rivals

from coembed.editing.loading import load_model
from coembed.imaging.color import saturation
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average
from coembed.imaging.upsampling.interpolate import Interpolator

CELLS = (32, 32)
WIDTH = 300  # of a tile
SHOWN = ("bilinear", "bicubic + bp", "guided filter + bp", "joint bilateral + bp", "fast bilateral solver + bp")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parents[1] / "docs" / "images")
    options = parser.parse_args()
    assets = Path(__file__).parents[1] / "examples"
    photo = read_photo(assets / "suitcases.jpg").pixels
    truth = saturation(photo / np.float32(255))
    low = cell_means(truth[None], CELLS)
    _figure(photo, low, (150, 250, 120), truth).save(options.out / "upsampling-truth.jpg", quality=85)
    photo = read_photo(assets / "horses.jpg").pixels
    _figure(photo, _sample(photo), (95, 175, 110), None).save(options.out / "upsampling-sample.jpg", quality=85)


def _sample(photo: np.ndarray) -> np.ndarray:
    """One saturation field of the bundled model for the photo, (1, 32, 32)."""
    model, task = load_model("resaturation")
    condition, _ = task.split(photo / np.float32(255))
    small = torch.from_numpy(area_average(condition, CELLS).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        return model.sample(small, 1, generator=1)[0, 0].numpy()


def _figure(
    photo: np.ndarray, low: np.ndarray, crop: tuple[int, int, int], truth: np.ndarray | None
) -> Image.Image:
    """Tiles of the photo, the low field, the methods' results and, where it is known, the truth.

    Args:
        photo: (h, w, 3) uint8.
        low: (1, rows, columns), in [0, 1].
        crop: top, left and side of the enlarged square, pixels.
        truth: (h, w), or None.
    """
    size = photo.shape[1], photo.shape[0]
    methods: dict[str, Method] = {name: method for name, method in rivals().items() if name in SHOWN}
    methods["coembed"] = Interpolator
    blocks = cv2.resize(low[0], size, interpolation=cv2.INTER_NEAREST)
    tiles = {"photo": photo, f"the field, {low.shape[2]} x {low.shape[1]}": _coloured(blocks)}
    for name, method in methods.items():
        tiles[name] = _coloured(method(photo, CELLS)(low)[0])
    if truth is not None:
        tiles["truth"] = _coloured(truth)
    columns = 4 if len(tiles) == 8 else 3
    sampled = [_tile(name, picture, crop) for name, picture in tiles.items()]
    height = sampled[0].height
    rows = -(-len(sampled) // columns)
    sheet = Image.new("RGB", (columns * (WIDTH + 6), rows * (height + 6)), "white")
    for k, tile in enumerate(sampled):
        sheet.paste(tile, (k % columns * (WIDTH + 6), k // columns * (height + 6)))
    return sheet


def _tile(name: str, picture: np.ndarray, crop: tuple[int, int, int]) -> Image.Image:
    top, left, side = crop
    whole = Image.fromarray(picture)
    height = round(WIDTH * whole.height / whole.width)
    near = whole.crop((left, top, left + side, top + round(side * 0.7)))
    near = near.resize((WIDTH, round(WIDTH * 0.7)), Image.Resampling.NEAREST)
    scale = WIDTH / whole.width
    whole = whole.resize((WIDTH, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(whole)
    box = [left * scale, top * scale, (left + side) * scale, (top + side * 0.7) * scale]
    draw.rectangle(box, outline="white", width=2)
    tile = Image.new("RGB", (WIDTH, 22 + height + near.height + 2), "white")
    ImageDraw.Draw(tile).text((4, 3), name, fill="black", font=ImageFont.load_default(15))
    tile.paste(whole, (0, 22))
    tile.paste(near, (0, 24 + height))
    return tile


def _coloured(field: np.ndarray) -> np.ndarray:
    levels = np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


if __name__ == "__main__":
    main()
