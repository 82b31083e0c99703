"""Flow over a second of real clips, by each way to find it, and clips a second that one core turns into pairs.

    python benchmarks/motion.py FOLDER [--limit 40] [--true-flow FOLDER]

No clip comes with its true flow over a second. What can be measured is how far from its start a point ends that
goes there and back, and how different the picture looks at the end of its way; both are shares of their full
range. True ends exist for made sequences: a picture that turns, grows and drifts by 50 px in 12 frames.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import machine
import numpy as np
from flow import STEPS, make_sequence
from PIL import Image

from coembed.data.prepare.clips import DEFAULT_LONGER_SIDE, MAX_GREY_CHANGE, MAX_RETURN_ERROR, ClipRecipe
from coembed.data.sources.folder import find_files
from coembed.data.sources.video import VIDEO_SUFFIXES, open_video, read_frames
from coembed.errors import PhotoError
from coembed.imaging.flow.chain import frames_wanted, there_and_back
from coembed.imaging.flow.estimate import (
    end_point_error,
    forward_backward_error,
    looks_alike,
    validity,
    warp,
)
from coembed.serialization import write_json

WAYS = {"direct": "direct", "four hops": "chain", "auto": "auto", "every frame": "chain"}
SAMPLES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="videos")
    parser.add_argument("--limit", type=int, default=40, help="clips, evenly spread over the folder")
    parser.add_argument("--true-flow", type=Path, help="folder of pairs as for benchmarks/flow.py")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "motion.json")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    items = find_files(options.folder, VIDEO_SUFFIXES).items
    items = items[:: max(1, len(items) // options.limit)][: options.limit]
    result: dict[str, Any] = {
        "clips": len(items),
        "longest_side": DEFAULT_LONGER_SIDE,
        "samples_a_clip": SAMPLES,
    }
    result["ways"] = measure_ways([item.paths[0] for item in items])
    recipe, seconds, pairs, left_out = ClipRecipe("motion", (32, 32)), 0.0, 0, 0
    for item in items:
        start = time.process_time()
        try:
            made, counts = recipe.pairs_of(item)
        except PhotoError:
            continue
        seconds += time.process_time() - start
        pairs, left_out = pairs + len(made), left_out + sum(counts.values())
    result["prepare"] = {
        "clips_per_cpu_second": round(len(items) / seconds, 2),
        "pairs": pairs,
        "left_out": left_out,
    }
    print(f"prepare: {result['prepare']}")
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {"runs": {}}
    results["machine"] = machine.describe()
    results["runs"][options.folder.name] = result
    if options.true_flow:
        results["made_sequences"] = measure_sequences(options.true_flow)
        print(f"made sequences: {results['made_sequences']}")
    write_json(options.out, results)
    print(f"written to {options.out}")


def measure_ways(paths: list[str]) -> dict[str, dict[str, float]]:
    """Means over samples of every way, in percent and CPU milliseconds."""
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for path in paths:
        video = open_video(path)
        gap = round(video.fps)
        for start in sorted({0, (video.count - 1 - gap) // 2} if video.count > gap else ()):
            frames, _ = read_frames(video, range(start, start + gap + 1), DEFAULT_LONGER_SIDE)
            if len(frames) <= gap:
                continue
            for way, via in WAYS.items():
                wanted = frames_wanted(gap, "auto" if way == "four hops" else via)  # type: ignore[arg-type]
                between = [frames[start + n] for n in wanted]
                clock = time.process_time()
                there, back = there_and_back(between, via)  # type: ignore[arg-type]
                spent = time.process_time() - clock
                rows[way].append({"cpu_ms": 1e3 * spent, **score(between[0], between[-1], there, back)})
    print("way | " + ", ".join(rows["auto"][0]))
    means = {}
    for way, measured in rows.items():
        means[way] = {k: round(statistics.mean(row[k] for row in measured), 2) for k in measured[0]}
        print(f"{way:12}", list(means[way].values()))
    return means


def score(first: np.ndarray, last: np.ndarray, there: np.ndarray, back: np.ndarray) -> dict[str, float]:
    """Errors of a flow in percent: of the frame's longer side, of the frame's area, of white."""
    side = max(first.shape[:2])
    away = np.minimum(forward_backward_error(there, back) / side, 1)
    there_too = validity(there, back, absolute=(MAX_RETURN_ERROR * side) ** 2)
    trusted = there_too & looks_alike(first, last, there, tolerance=MAX_GREY_CHANGE)
    different = np.abs(warp(last, there) - first.astype(np.float32)).mean(-1) / 255
    return {
        "there_and_back_median": 100 * float(np.median(away)),
        "area_trusted": 100 * float(trusted.mean()),
        "pairs_left_out": 100.0 * float(trusted.mean() < 0.5),
        "look_different": 100 * float(different.mean()),
        "look_different_still": 100 * float(np.abs(last.astype(np.float32) - first).mean() / 255),
    }


def measure_sequences(folder: Path) -> dict[str, float]:
    """Mean end-point error in pixels of every way, of the pixels that stay inside."""
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    for path in sorted(folder.glob("*-img0.ppm")):
        frames, truth = make_sequence(np.asarray(Image.open(path).convert("RGB")))
        stays = np.isfinite(forward_backward_error(truth, np.zeros_like(truth)))
        for way, via in WAYS.items():
            wanted = frames_wanted(STEPS, "auto" if way == "four hops" else via)  # type: ignore[arg-type]
            there, _ = there_and_back([frames[n] for n in wanted], via)  # type: ignore[arg-type]
            errors[way].append(end_point_error(there, truth, stays))
    return {way: round(statistics.mean(values), 3) for way, values in errors.items()}


if __name__ == "__main__":
    main()
