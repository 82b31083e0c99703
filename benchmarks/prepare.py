"""Photos a second that one core turns into pairs, parted into reading, layers and averaging.

    python benchmarks/prepare.py [FOLDER]

Without a folder, 640 x 480 JPEGs are synthesised. Every stage is timed in CPU time and in wall time;
where other programs share the core, the CPU time is what the work itself takes.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import machine
import numpy as np
from PIL import Image

from coembed.data.prepare.photos import PhotoRecipe
from coembed.data.prepare.workers import Item
from coembed.data.sources.folder import find_files
from coembed.imaging.io.photo import PHOTO_SUFFIXES, read_photo
from coembed.serialization import write_json

STAGES = ("read", "layers", "averaging")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos; synthesised ones by default")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--limit", type=int, default=100, help="photos")
    parser.add_argument("--repeats", type=int, default=5, help="passes over the photos, after one to warm up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prepare.json")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or synthesise(Path(scratch), 40)
        items = find_files(folder, PHOTO_SUFFIXES).items[: options.limit]
        recipe = PhotoRecipe("resaturation", (options.size, options.size))
        passes = [time_pass(recipe, items) for _ in range(options.repeats + 1)][1:]
        megapixels = [photo.width * photo.height / 1e6 for photo in (read_photo(i.paths[0]) for i in items)]
    result = {
        "photos": "synthetic 640x480 JPEG" if options.folder is None else options.folder.name,
        "count": len(items),
        "mean_megapixels": round(statistics.mean(megapixels), 4),
        "size": options.size,
        "passes": options.repeats,
        **{
            clock: summary([p[clock] for p in passes], statistics.mean(megapixels)) for clock in ("cpu", "wall")
        },
    }
    results = {"machine": machine.describe(), "runs": {}}
    if options.out.exists():
        results["runs"] = json.loads(options.out.read_text())["runs"]
    results["runs"][result["photos"]] = result
    write_json(options.out, results)
    for clock in ("cpu", "wall"):
        rates, ms = result[clock]["photos_per_second"], result[clock]["ms_a_photo"]
        stages = ", ".join(f"{s} {ms[s]:.2f} ms" for s in STAGES)
        scaled = result[clock]["photos_per_second_at_640x480"]
        print(f"{clock}: {rates['median']:.0f} photos/s a core ({scaled:.0f} at 640x480): {stages}")
    print(f"written to {options.out}")


def time_pass(recipe: PhotoRecipe, items: list[Item]) -> dict[str, dict[str, float]]:
    """Milliseconds a photo in each stage, by both clocks."""
    clocks = {"cpu": time.process_time, "wall": time.perf_counter}
    spent = {clock: dict.fromkeys(STAGES, 0.0) for clock in clocks}
    for item in items:
        marks = [{c: now() for c, now in clocks.items()}]
        rgb = read_photo(item.paths[0], max_pixels=recipe.max_pixels).as_float()
        marks.append({c: now() for c, now in clocks.items()})
        layers = recipe.split(item.name, rgb)
        marks.append({c: now() for c, now in clocks.items()})
        recipe.average(item.name, *layers)
        marks.append({c: now() for c, now in clocks.items()})
        for stage, start, end in zip(STAGES, marks, marks[1:], strict=False):
            for clock in clocks:
                spent[clock][stage] += (end[clock] - start[clock]) * 1e3 / len(items)
    return spent


def summary(passes: list[dict[str, float]], megapixels: float) -> dict:
    """Medians a stage, and the rate with its quartiles over the passes."""
    rates = [1e3 / sum(p.values()) for p in passes]
    low, median, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
    return {
        "ms_a_photo": {stage: round(statistics.median(p[stage] for p in passes), 3) for stage in STAGES},
        "photos_per_second": {"q1": round(low, 1), "median": round(median, 1), "q3": round(high, 1)},
        "photos_per_second_at_640x480": round(median * megapixels / 0.3072, 1),
    }


def synthesise(folder: Path, count: int) -> Path:
    """Photos of 640 x 480 with large shapes and fine grain, of about the size in bytes of real ones."""
    for i in range(count):
        generator = np.random.default_rng(i)
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.float32)
        grain = generator.normal(0, 8, (480, 640, 1))
        data = io.BytesIO()
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=90)
        (folder / f"{i:03d}.jpg").write_bytes(data.getvalue())
    return folder


if __name__ == "__main__":
    main()
