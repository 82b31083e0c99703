"""How well true high-resolution fields come back from their area means, by method.

    python benchmarks/upsample.py FOLDER

The saturation of each photo at 512 x 512 is the truth; its means over 32 x 32 and 64 x 64 cells are upsampled
with the photo as guide. Errors are root mean squares over all photos' pixels. Edges are places where the truth,
smoothed by one pixel, changes by more than 0.08 a pixel; the edge band reaches 6 pixels. Times are CPU
seconds of one thread. The filters' settings, like the package's, were chosen on photos of another split.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import machine
import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from coembed.config import write_json
from coembed.imaging.color import saturation
from coembed.imaging.photo import PHOTO_SUFFIXES, read_photo
from coembed.imaging.resize import area_average
from coembed.upsample.interpolate import Interpolator

SIZE = 512
BAND = 6
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--limit", type=int, default=30, help="photos")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "upsample.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    large = [_large(cells) for cells in (32, 64)]
    paths = sorted(p for p in options.folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)[: options.limit]
    photos = [cv2.resize(read_photo(path).pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for path in paths]
    rows = [
        {"cells": cells, "method": name, **_measure(method, photos, cells)}
        for cells in (32, 64)
        for name, method in _methods().items()
    ]
    result = {
        "field": "saturation",
        "size": SIZE,
        "photos": len(photos),
        "machine": machine.describe(),
        "methods": rows,
        "twelve_megapixels": large,
    }
    write_json(options.out, result)
    for row in rows:
        print(
            f"{row['cells']}  {row['method']:24s}  {row['rmse']:.4f}  edges {row['rmse_edges']:.4f}"
            f"  elsewhere {row['rmse_elsewhere']:.4f}  consistency {row['consistency']:.1e}"
            f"  beyond {row['beyond_local_range']:.4f}  texture {row['texture']:+.2f}  {row['seconds']:.3f} s"
        )
    for row in large:
        print(row)


def _methods() -> dict[str, Method]:
    plain: dict[str, Method] = {
        "bilinear": partial(_resized, interpolation=cv2.INTER_LINEAR),
        "bicubic": partial(_resized, interpolation=cv2.INTER_CUBIC),
        "guided filter": _guided_filter,
        "joint bilateral": _joint_bilateral,
    }
    projected = {
        f"{name} + back-projection": partial(_back_projected, method) for name, method in plain.items()
    }
    ours = {"coembed": _coembed, "coembed, no limit": partial(_coembed, overshoot=None)}
    return {"truth": lambda photo, low: saturation(photo / np.float32(255))} | plain | projected | ours


def _measure(method: Method, photos: list[np.ndarray], cells: int) -> dict[str, float]:
    squares, edge_squares, edge_pixels, consistency, beyond, textures, seconds = 0.0, 0.0, 0, 0.0, 0.0, [], []
    for photo in photos:
        truth = saturation(photo / np.float32(255))
        low = area_average(truth, (cells, cells))
        start = time.process_time()
        field = method(photo, low)
        seconds.append(time.process_time() - start)
        error, band = np.square(field - truth, dtype=np.float64), _edge_band(truth)
        squares += error.sum()
        edge_squares += error[band].sum()
        edge_pixels += int(band.sum())
        consistency = max(consistency, float(np.abs(area_average(field, (cells, cells)) - low).max()))
        highest, lowest = (_per_pixel(f(low, 3, mode="nearest")) for f in (maximum_filter, minimum_filter))
        beyond += float((np.maximum(field - highest, 0) + np.maximum(lowest - field, 0)).mean())
        textures.append(_texture(field, photo, highest - lowest, SIZE / cells))
    pixels = len(photos) * SIZE * SIZE
    return {
        "rmse": math.sqrt(squares / pixels),
        "rmse_edges": math.sqrt(edge_squares / edge_pixels),
        "rmse_elsewhere": math.sqrt((squares - edge_squares) / (pixels - edge_pixels)),
        "edge_share": edge_pixels / pixels,
        "consistency": consistency,
        "beyond_local_range": beyond / len(photos),
        "texture": float(np.nanmean(textures)),
        "seconds": float(np.median(seconds)),
    }


def _edge_band(truth: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(truth, (0, 0), 1.0)
    change = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 8
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    return cv2.dilate((change > 0.08).astype(np.uint8), disc) > 0


def _texture(field: np.ndarray, photo: np.ndarray, ranges: np.ndarray, cell: float) -> float:
    """Correlation of fine structure with the photo's, unsigned, where the low field is flat; nan if nowhere."""
    flat = ranges < 0.05
    if flat.mean() < 0.01:
        return math.nan
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = [(layer - cv2.GaussianBlur(layer, (0, 0), cell / 2))[flat] for layer in (field, grey)]
    if min(f.std() for f in fine) < 1e-6:
        return 0.0
    return abs(float(np.corrcoef(*fine)[0, 1]))


def _per_pixel(low: np.ndarray) -> np.ndarray:
    return cv2.resize(low, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)


def _resized(photo: np.ndarray, low: np.ndarray, *, interpolation: int) -> np.ndarray:
    return cv2.resize(low, (SIZE, SIZE), interpolation=interpolation)


def _back_projected(method: Method, photo: np.ndarray, low: np.ndarray, rounds: int = 10) -> np.ndarray:
    field = method(photo, low)
    for _ in range(rounds):
        field = field + method(photo, low - area_average(field, low.shape))
    return field


def _guided_filter(photo: np.ndarray, low: np.ndarray, *, eps: float = 3e-4) -> np.ndarray:
    """He's guided filter of the bilinear field, grey guide, radius one cell."""
    guide = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    field = _resized(photo, low, interpolation=cv2.INTER_LINEAR)
    radius = SIZE // len(low)
    mean = partial(cv2.blur, ksize=(2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)
    slope = (mean(guide * field) - mean(guide) * mean(field)) / (mean(guide * guide) - mean(guide) ** 2 + eps)
    return mean(slope) * guide + mean(mean(field) - slope * mean(guide))


def _joint_bilateral(
    photo: np.ndarray, low: np.ndarray, *, colour: float = 10.0, space: float = 1.0
) -> np.ndarray:
    """Kopf's joint bilateral upsampling over 5 x 5 cells, Lab guide; ``space`` in cells."""
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    cells = area_average(lab, low.shape)
    place = (np.arange(SIZE, dtype=np.float32) + 0.5) * len(low) / SIZE - 0.5
    nearest = np.rint(place).astype(int)
    total, weights = np.zeros((2, SIZE, SIZE), np.float32)
    for down in range(-2, 3):
        for right in range(-2, 3):
            row, column = (np.clip(nearest + step, 0, len(low) - 1) for step in (down, right))
            near = [np.exp(-0.5 * ((place - nearest - step) / space) ** 2) for step in (down, right)]
            unlike = np.square(lab - cells[row][:, column]).sum(-1)
            weight = np.outer(*near) * (np.exp(-0.5 * unlike / colour**2) + 1e-4)
            total += weight * low[row][:, column]
            weights += weight
    return total / weights


def _coembed(photo: np.ndarray, low: np.ndarray, *, overshoot: float | None = 1.0) -> np.ndarray:
    return Interpolator(photo, low.shape, overshoot=overshoot)(low)


def _large(cells: int) -> dict[str, float]:
    """One 4000 x 3000 photo and four fields in strips, and what it costs at 512 x 512."""
    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 256, (750, 1000, 3), np.uint8), (0, 0), 8)
    photo = cv2.resize(cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX), (4000, 3000))
    fields = np.stack([cv2.GaussianBlur(rng.random((cells, cells), np.float32), (0, 0), 2) for _ in range(4)])
    Interpolator(photo[:512, :512], (cells, cells))(fields)  # first calls load libraries
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    up = Interpolator(photo, (cells, cells))
    prepared = time.process_time()
    means = np.empty((4, 3000, 1), np.float32)
    for rows, strip in up.strips(fields):
        means[:, rows, 0] = strip.mean(-1)
    end = time.process_time()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    result = {
        "cells": cells,
        "prepare_s": prepared - start,
        "four_fields_s": end - prepared,
        "extra_mb": grown / 1024,
    }
    result["consistency_full"] = float(
        np.abs(area_average(np.moveaxis(up(fields), 0, -1), (cells, cells)) - np.moveaxis(fields, 0, -1)).max()
    )
    small_photo = np.ascontiguousarray(cv2.resize(photo, (512, 512), interpolation=cv2.INTER_AREA))
    start = time.process_time()
    up = Interpolator(small_photo, (cells, cells))
    result["prepare_512_s"] = time.process_time() - start
    start = time.process_time()
    up(fields)
    result["each_field_512_s"] = (time.process_time() - start) / 4
    return result


if __name__ == "__main__":
    main()
