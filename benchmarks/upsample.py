"""True high-resolution fields against what comes back from their area means, by method and by segmenter.

    python benchmarks/upsample.py PHOTOS FLOW

PHOTOS holds photos, FLOW pairs with true flow (FlyingChairs). Saturation, log shading and flow at about
512 x 512 are the truth (``upsample_fields.py``); their means over 32 x 32 and 64 x 64 cells are upsampled with
the photo as guide, by the package and by the methods of ``upsample_rivals.py``. Settings, the package's
included, were chosen on photos of another split and on the first four pairs of flow, which are left out here.

For each photo: root mean square errors everywhere, in the edge band (within 6 pixels of places where the truth,
smoothed by one pixel, changes by more than the kind's threshold a pixel) and elsewhere; then means over photos.
Consistency is the largest difference of an area mean, as a share of the field's range. Halo is by how much the
edge band leaves the range of the truth within 6 pixels, on average. Texture is the unsigned correlation of fine
structure with the photo's where the low field is flat. Times are CPU seconds, medians over photos.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import machine
import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter
from upsample_fields import FLOW, KINDS, Kind, scenes
from upsample_rivals import Method, cell_means, rivals
from upsample_segmenters import compare_segmenters
from upsample_table import write_table

from coembed.imaging.resize import area_average
from coembed.imaging.upsampling.interpolate import Interpolator
from coembed.serialization import write_json

BAND = 6
CELLS = (32, 64)
FLOW_LEFT_OUT = 4  # pairs that settings were chosen on


@dataclass(frozen=True)
class Scene:
    """One photo with its true field, (c, h, w), and what of it the measures need."""

    photo: np.ndarray
    truth: np.ndarray
    band: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("flow", type=Path, help="folder of pairs with true flow")
    parser.add_argument("--limit", type=int, default=20, help="photos")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "upsample.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    large = [measure_large(cells) for cells in CELLS]
    rows: list[dict[str, Any]] = []
    segmenters: dict[str, list[dict[str, Any]]] = {}
    counts = {}
    for kind in KINDS:
        # As the package's own verbs call it: motion has fewer ties between like colours.
        ours = partial(Interpolator, kin=1.0 if kind is FLOW else 3.0)
        methods = {"coembed": ours, "coembed, no limit": partial(ours, overshoot=None)} | rivals()
        found = list(scenes(kind, options.flow if kind is FLOW else options.photos, options.limit))
        found = found[FLOW_LEFT_OUT:] if kind is FLOW else found
        measured = [scene for photo, truth in found if (scene := _scene(kind, photo, truth)).band.any()]
        counts[kind.name] = len(measured)
        for cells in CELLS:
            for name, method in methods.items():
                row = {
                    "field": kind.name,
                    "cells": cells,
                    "method": name,
                    **_measure(method, kind, measured, cells),
                }
                rows.append(row)
                print({k: round(v, 4) for k, v in row.items() if isinstance(v, float)}, name, flush=True)
        segmenters[kind.name] = compare_segmenters([(s.photo, s.truth, s.band) for s in measured[:8]])
    result = {
        "scenes": counts,
        "units": {kind.name: kind.unit for kind in KINDS},
        "edge_thresholds": {kind.name: kind.edge for kind in KINDS},
        "machine": machine.describe(),
        "methods": rows,
        "segmenters": segmenters,
        "twelve_megapixels": large,
    }
    write_json(options.out, result)
    write_table(result, options.out.with_suffix(".md"))


def _scene(kind: Kind, photo: np.ndarray, truth: np.ndarray) -> Scene:
    change = np.zeros(truth.shape[1:], np.float32)
    for layer in truth:
        smooth = cv2.GaussianBlur(layer, (0, 0), 1.0)
        slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 8
        change = np.maximum(change, slope)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    band = cv2.dilate((change > kind.edge).astype(np.uint8), disc) > 0
    lowest, highest = (np.stack([f(layer, disc) for layer in truth]) for f in (cv2.erode, cv2.dilate))
    return Scene(photo, truth, band, lowest, highest)


def _measure(method: Method, kind: Kind, measured: Sequence[Scene], cells: int) -> dict[str, Any]:
    """The measures of one method, means over photos, as the module explains."""
    found: dict[str, list[float]] = {}
    for scene in measured:
        low = cell_means(scene.truth, (cells, cells))
        start = time.process_time()
        upsample = method(scene.photo, (cells, cells))
        prepared = time.process_time()
        field = upsample(low)
        end = time.process_time()
        squares = np.square(field - scene.truth, dtype=np.float64).sum(0)
        beyond = np.maximum(field - scene.highest, 0) + np.maximum(scene.lowest - field, 0)
        one = {
            "rmse": math.sqrt(squares.mean()),
            "rmse_edges": math.sqrt(squares[scene.band].mean()),
            "rmse_elsewhere": math.sqrt(squares[~scene.band].mean()),
            "consistency": float(np.abs(cell_means(field, (cells, cells)) - low).max() / np.ptp(low)),
            "halo": float(beyond[:, scene.band].mean()),
            "texture": _texture(field, scene.photo, low, kind.flat),
            "prepare_s": prepared - start,
            "field_s": (end - prepared) / len(low),
        }
        for key, number in one.items():
            found.setdefault(key, []).append(number)
    summary = {key: float(np.nanmean(numbers)) for key, numbers in found.items()}
    summary |= {key: float(np.median(found[key])) for key in ("prepare_s", "field_s")}
    return summary | {"consistency": max(found["consistency"]), "edge_errors": found["rmse_edges"]}


def _texture(field: np.ndarray, photo: np.ndarray, low: np.ndarray, flat: float) -> float:
    """Correlation of fine structure with the photo's, unsigned, where the low field is flat; nan if nowhere."""
    ranges = np.ptp(np.stack([f(low, (1, 3, 3), mode="nearest") for f in (minimum_filter, maximum_filter)]), 0)
    size = photo.shape[1], photo.shape[0]
    where = cv2.resize(ranges.max(0), size, interpolation=cv2.INTER_NEAREST) < flat
    if where.mean() < 0.01:
        return math.nan
    sigma = size[0] / low.shape[2] / 2
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = [(layer - cv2.GaussianBlur(layer, (0, 0), sigma))[where] for layer in (field[0], grey)]
    if min(f.std() for f in fine) < 1e-6:
        return 0.0
    return abs(float(np.corrcoef(fine[0], fine[1])[0, 1]))


def measure_large(cells: int) -> dict[str, float]:
    """One 4000 x 3000 photo and four fields in strips, and what it costs at 512 x 512: the least of three."""
    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 256, (750, 1000, 3), np.uint8), (0, 0), 8)
    photo = cv2.resize(cv2.normalize(small, np.empty_like(small), 0, 255, cv2.NORM_MINMAX), (4000, 3000))
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
    full = np.moveaxis(up(fields), 0, -1)
    lacking = np.abs(area_average(full, (cells, cells)) - np.moveaxis(fields, 0, -1)).max()
    result = {
        "cells": cells,
        "prepare_s": prepared - start,
        "four_fields_s": end - prepared,
        "extra_mb": grown / 1024,
        "consistency_full": float(lacking / np.ptp(fields)),
    }
    photo = np.ascontiguousarray(cv2.resize(photo, (512, 512), interpolation=cv2.INTER_AREA))
    times = []
    for _ in range(3):
        start = time.process_time()
        up = Interpolator(photo, (cells, cells))
        prepared = time.process_time()
        up(fields)
        times.append((prepared - start, (time.process_time() - prepared) / 4))
    result["prepare_512_s"], result["each_field_512_s"] = (min(column) for column in zip(*times, strict=True))
    return result


if __name__ == "__main__":
    main()
