"""End-point error and time of every flow estimator on pairs with true flow.

    python benchmarks/flow.py FOLDER

FOLDER holds ``NAME-img0.ppm``, ``NAME-img1.ppm`` and ``NAME-gt.flo`` (FlyingChairs). Besides the pairs
themselves, sequences are made of each first frame by a known motion, on which trajectories composed from frame
to frame (``chain``) stand against the direct match of the first and the last frame.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import machine
import numpy as np
from PIL import Image

from coembed.imaging.flow.estimate import (
    METHODS,
    chain,
    end_point_error,
    estimate,
    forward_backward_error,
    validity,
)
from coembed.imaging.flow.files import read_flo
from coembed.imaging.resize import area_average
from coembed.serialization import write_json

CELLS = (32, 32)  # the grid that fields are learnt on
STEPS = 12  # frames after the first in a made sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "flow.json")
    options = parser.parse_args()
    truths = sorted(options.folder.glob("*-gt.flo"))
    if not truths:
        parser.error(f"{options.folder}: no *-gt.flo")

    cv2.setNumThreads(1)
    pairs = []
    for path in truths:
        stem = str(path).removesuffix("-gt.flo")
        frames = [np.asarray(Image.open(f"{stem}-img{i}.ppm").convert("RGB")) for i in (0, 1)]
        pairs.append((*frames, *read_flo(path)))
    sequences = [make_sequence(pair[0]) for pair in pairs]
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "pairs": len(pairs),
        "size": list(pairs[0][0].shape[:2]),
        "no_motion": {
            "end_point_error": round(
                statistics.mean(end_point_error(np.zeros_like(t), t, v) for _, _, t, v in pairs), 3
            )
        },
        "methods": {},
    }
    for method in METHODS:
        results["methods"][method] = measured = measure_pairs(method, pairs)
        measured["sequences"] = measure_sequences(method, sequences)
        print(
            f"{method:14} {measured['end_point_error']:.3f} px, valid {measured['end_point_error_valid']:.3f} "
            f"({measured['share_valid']:.0%}), cells {measured['end_point_error_cells']:.3f}, "
            f"{measured['cpu_ms']:.0f} ms; sequences: chain {measured['sequences']['chain']:.3f}, "
            f"direct {measured['sequences']['direct']:.3f}"
        )
    write_json(options.out, results)
    print(f"written to {options.out}")


def measure_pairs(method: str, pairs: list[tuple[np.ndarray, ...]]) -> dict[str, Any]:
    """Means over pairs of the error in pixels: of all pixels, of those that pass validity, of cell means."""
    rows = []
    for frame0, frame1, truth, known in pairs:
        spent = []
        for _ in range(3):
            start = time.process_time()
            flow = estimate(frame0, frame1, method)
            spent.append(time.process_time() - start)
        valid = validity(flow, estimate(frame1, frame0, method)) & known
        distance = np.linalg.norm(flow - truth, axis=-1)[known]
        rows.append(
            {
                "end_point_error": end_point_error(flow, truth, known),
                "end_point_error_median": float(np.median(distance)),
                "end_point_error_valid": end_point_error(flow, truth, valid),
                "share_valid": float(valid.mean()),
                "end_point_error_cells": end_point_error(area_average(flow, CELLS), area_average(truth, CELLS)),
                "cpu_ms": 1e3 * min(spent),
            }
        )
    means: dict[str, Any] = {key: round(statistics.mean(row[key] for row in rows), 3) for key in rows[0]}
    means["end_point_error_by_pair"] = [round(row["end_point_error"], 3) for row in rows]
    return means


def make_sequence(frame: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of a picture that turns, grows and drifts step by step, and the true flow from first to last."""
    h, w = frame.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float64)
    frames, matrix = [frame], np.eye(2, 3)
    for step in range(1, STEPS + 1):
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), 1.5 * step, 1.01**step)
        matrix[:, 2] += (4.0 * step, 1.0 * step)
        frames.append(
            cv2.warpAffine(frame, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        )
    target = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    return frames, (target - np.stack([x, y], -1)).astype(np.float32)


def measure_sequences(method: str, sequences: list[tuple[list[np.ndarray], np.ndarray]]) -> dict[str, Any]:
    """Mean end-point error, of the pixels that stay inside, by trajectories and by the direct match."""
    errors: dict[str, list[float]] = {"chain": [], "direct": []}
    for frames, truth in sequences:
        stays = np.isfinite(forward_backward_error(truth, np.zeros_like(truth)))
        errors["chain"].append(end_point_error(chain(frames, method), truth, stays))
        errors["direct"].append(end_point_error(estimate(frames[0], frames[-1], method), truth, stays))
    return {"steps": STEPS, **{name: round(statistics.mean(values), 3) for name, values in errors.items()}}


if __name__ == "__main__":
    main()
