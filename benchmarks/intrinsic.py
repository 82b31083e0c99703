"""Intrinsic decomposition against known answers: error, speed, and the choice of retinex's thresholds.

    python benchmarks/intrinsic.py PHOTOS

PHOTOS is a folder of photos (MS-COCO, about 640 x 480). No photo comes with its true light, so scenes are made
from them: the albedo is a photo's regions (Felzenszwalb and Huttenlocher) painted in their median colours, with
a tenth of the photo's own texture (as a power); the light is a slope, relief, a hard and a soft cast shadow;
every second scene has bluish shadows and a cast. Scenes are made at the photo's size, with noise and JPEG, then
reduced in linear light to each working size. Mondrian scenes (random rectangles) in such light stand beside
them. One half of the photos chooses thresholds ("tuning"), the other half gives the errors ("held out").

Errors: `log RMSE` is the standard deviation of log(found / true shading) in a photo; `in cells` the same after
averaging to 32 x 32 cells, which is what a model learns from; `LMSE` the local squared error, each window of 20
pixels at its own best scale, the mean of shading and albedo (Grosse et al. 2009). WHDR, the disagreement with
human judgements, needs those of Intrinsic Images in the Wild, which cannot be bundled: `whdr.py`
computes it for who has them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import machine
import numpy as np
from scipy import ndimage
from skimage import segmentation

from coembed.imaging.color import linear_to_srgb, srgb_to_linear
from coembed.imaging.intrinsic.bell2014 import Bell2014Options
from coembed.imaging.intrinsic.decompose import decompose
from coembed.imaging.intrinsic.retinex import RetinexOptions
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average
from coembed.serialization import write_bytes, write_json

SIDES = (64, 128, 256)
CELLS = (32, 32)
BRIGHTNESS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7)
COLOUR = (0.1, 0.15, 0.2, 0.3)
WINDOW = 20
BELL_SCENES = 8  # of those held out: it takes seconds per photo


class Scene(NamedTuple):
    """A photo with its true parts, linear: rgb and albedo (h, w, 3), shading (h, w)."""

    rgb: np.ndarray
    albedo: np.ndarray
    shading: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--scenes", type=int, default=24, help="a half")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "intrinsic.json")
    options = parser.parse_args()
    paths = sorted(options.photos.rglob("*.jpg"))[: 2 * options.scenes]
    if len(paths) < 2:
        parser.error(f"{options.photos}: holds {len(paths)} .jpg files, expected at least 2")
    cv2.setNumThreads(1)
    scenes = [photo_scene(path, seed) for seed, path in enumerate(paths)]
    tuning, held_out = scenes[::2], scenes[1::2]
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "scenes": {"tuning": len(tuning), "held_out": len(held_out), "mondrian": len(held_out)},
        "tuning": {str(side): tune(tuning, side) for side in SIDES},
        "held_out": {},
        "speed": speed(),
    }
    mondrians = [mondrian_scene(seed) for seed in range(len(held_out))]
    for side in SIDES:
        for kind, those in (("photos", held_out), ("mondrian", mondrians)):
            small = [reduced(scene, side) for scene in those]
            results["held_out"][f"{kind}, {side} px"] = {
                name: measure(small[:BELL_SCENES] if name.startswith("bell2014") else small, run)
                for name, run in methods(side).items()
            }
    write_json(options.out, results)
    write_bytes(options.out.with_suffix(".md"), table(results).encode())
    print(table(results))


def photo_scene(path: Path, seed: int) -> Scene:
    """A scene whose albedo is a photo's regions in their median colours."""
    generator = np.random.default_rng(seed)
    rgb = read_photo(path).as_float()
    labels = segmentation.felzenszwalb(rgb, scale=200, sigma=0.8, min_size=150)
    linear = srgb_to_linear(rgb)
    medians = np.stack(
        [ndimage.median(linear[..., c], labels, np.arange(labels.max() + 1)) for c in range(3)], -1
    )
    paint = np.clip(medians[labels], 0.02, 0.95)
    texture = (linear.mean(2) + 0.02) / (paint.mean(2) + 0.02)
    albedo = paint * np.clip(texture, 0.3, 3)[..., None] ** 0.1
    return lit(albedo.astype(np.float32), generator, coloured=seed // 2 % 2 == 1)


def mondrian_scene(seed: int, height: int = 480, width: int = 640) -> Scene:
    """A scene of random rectangles of random paints."""
    generator = np.random.default_rng(1000 + seed)
    albedo = np.empty((height, width, 3), np.float32)
    albedo[:] = generator.uniform(0.05, 0.95, 3)
    for _ in range(60):
        top, left = generator.integers(0, height), generator.integers(0, width)
        tall, wide = generator.integers(30, 200, 2)
        albedo[top : top + tall, left : left + wide] = generator.uniform(0.05, 0.95, 3)
    return lit(albedo, generator, coloured=seed % 2 == 1)


def lit(albedo: np.ndarray, generator: np.random.Generator, *, coloured: bool) -> Scene:
    """The albedo under a slope of light, relief, and two cast shadows, with noise and JPEG."""
    h, w = albedo.shape[:2]
    y, x = np.mgrid[:h, :w] / max(h, w)
    angle = generator.uniform(0, 2 * np.pi)
    log = generator.uniform(0.3, 1.5) * (np.cos(angle) * x + np.sin(angle) * y)
    relief = ndimage.gaussian_filter(generator.normal(size=(h // 4 + 1, w // 4 + 1)), 10)
    log += 0.35 * cv2.resize(relief / relief.std(), (w, h), interpolation=cv2.INTER_CUBIC)
    shadow = np.zeros((h, w))
    for softness in (1.5, 15.0):
        corners = generator.uniform(0, 1, (5, 2)) * (w, h)
        hull = cv2.convexHull(corners.astype(np.int32))
        mask = cv2.fillConvexPoly(np.zeros((h, w), np.float64), hull, 1.0)
        shadow = np.maximum(shadow, cv2.GaussianBlur(mask, (0, 0), softness))
    depth = generator.uniform(0.5, 1.3)
    sky = np.array([-0.08, 0.0, 0.12]) if coloured else np.zeros(3)
    cast = generator.normal(0, 0.08, 3) if coloured else np.zeros(3)
    log_light = log[..., None] - shadow[..., None] * (depth - sky) + cast
    light = np.exp(log_light).astype(np.float32)
    rgb = albedo * light
    rgb *= 1 / np.percentile(rgb.max(2), 99)
    noisy = linear_to_srgb(np.clip(rgb, 0, 1)) + generator.normal(0, 0.01, rgb.shape)
    pixels = np.clip(noisy[..., ::-1] * 255, 0, 255).round().astype(np.uint8)
    decoded = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_COLOR)
    assert decoded is not None
    shading = light.mean(2)
    return Scene(srgb_to_linear(decoded[..., ::-1] / np.float32(255)), albedo, shading)


def reduced(scene: Scene, side: int) -> Scene:
    """The scene at a longer side of ``side``: the photo in linear light, the parts as logs."""
    h, w = scene.shading.shape
    size = round(h * side / max(h, w)), round(w * side / max(h, w))
    albedo, shading = (np.exp(area_average(np.log(part), size)) for part in (scene.albedo, scene.shading))
    return Scene(area_average(scene.rgb, size), albedo, shading)


Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def retinex_run(
    brightness: float | None = None,
    colour: float | None = None,
    norm: Literal["l1", "l2"] = "l2",
    screen: float = 0.0,
) -> Run:
    """Retinex with these options; None for the defaults."""
    base = RetinexOptions()
    options = RetinexOptions(
        base.brightness_step if brightness is None else brightness,
        base.colour_step if colour is None else colour,
        norm=norm,
        screen=screen,
    )

    def run(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = decompose(rgb, options=options)
        return parts.albedo, parts.shading

    return run


def bell_run(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bell et al. 2014 as published."""
    parts = decompose(rgb, "bell2014", options=Bell2014Options())
    return parts.albedo, parts.shading


def methods(side: int) -> dict[str, Run]:
    """Methods compared at a size; Bell's at the size that it is solved at."""
    runs: dict[str, Run] = {
        "all light": lambda rgb: (np.ones_like(rgb), rgb.mean(2)),
        "all paint": lambda rgb: (rgb, np.ones(rgb.shape[:2], np.float32)),
        "retinex": retinex_run(),
        "retinex, l1": retinex_run(norm="l1"),
        "retinex, screened": retinex_run(screen=(2 * np.pi / side) ** 2),
    }
    if side == 64:
        runs["bell2014"] = bell_run
        runs["bell2014's scenes by retinex"] = retinex_run()
    return runs


def tune(scenes: list[Scene], side: int) -> dict[str, Any]:
    """Error in cells for every pair of thresholds."""
    small = [reduced(scene, side) for scene in scenes]
    found = {}
    for brightness, colour in itertools.product(BRIGHTNESS, COLOUR):
        run = retinex_run(brightness, colour)
        found[f"{brightness}, {colour}"] = round(statistics.mean(in_cells(s, run(s.rgb)[1]) for s in small), 4)
    return {"best": min(found, key=found.__getitem__), "errors": found}


def measure(scenes: list[Scene], run: Run) -> dict[str, float]:
    """Mean errors of a method over scenes."""
    rows = []
    for scene in scenes:
        albedo, shading = run(scene.rgb)
        rows.append(
            (
                float(log_ratio(scene, shading).std()),
                in_cells(scene, shading),
                (lmse(shading, scene.shading) + lmse(albedo.mean(2), scene.albedo.mean(2))) / 2,
            )
        )
    names = ("log_rmse", "cells", "lmse")
    return {
        name: round(statistics.mean(column), 4)
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def log_ratio(scene: Scene, shading: np.ndarray) -> np.ndarray:
    """log(found / true shading), a pixel."""
    return np.log(np.maximum(shading, 1e-3)) - np.log(scene.shading)


def in_cells(scene: Scene, shading: np.ndarray) -> float:
    """Standard deviation of the log ratio averaged to cells."""
    return float(area_average(log_ratio(scene, shading), CELLS).std())


def lmse(found: np.ndarray, true: np.ndarray) -> float:
    """Local mean squared error: each window at its own best scale, over the windows' energy."""
    error = energy = 0.0
    for top in range(0, max(1, true.shape[0] - WINDOW + 1), WINDOW // 2):
        for left in range(0, max(1, true.shape[1] - WINDOW + 1), WINDOW // 2):
            window = np.s_[top : top + WINDOW, left : left + WINDOW]
            a, b = found[window].astype(np.float64), true[window].astype(np.float64)
            scale = (a * b).sum() / max((a * a).sum(), 1e-12)
            error += ((b - scale * a) ** 2).sum()
            energy += (b * b).sum()
    return float(error / energy)


def speed() -> dict[str, float]:
    """Processor milliseconds per photo on one thread, the median of several."""
    generator = np.random.default_rng(0)
    found = {}
    for side in (64, 128, 256, 512):
        rgb = ndimage.gaussian_filter(generator.random((side, side, 3), np.float32), (2, 2, 0))
        for name, run in methods(side).items():
            if name.startswith("all") or "scenes" in name:
                continue
            times = []
            for _ in range(3 if name == "bell2014" else 15):
                start = time.process_time()
                run(rgb)
                times.append(time.process_time() - start)
            found[f"{name}, {side} px"] = round(1000 * statistics.median(times), 2)
    return found


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# Intrinsic decomposition against known answers",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
    ]
    lines += ["| scenes | method | log RMSE | in cells | LMSE |", "|---|---|---|---|---|"]
    for kind, rows in results["held_out"].items():
        for name, errors in rows.items():
            lines.append(f"| {kind} | {name} | " + " | ".join(f"{e:.3f}" for e in errors.values()) + " |")
    counts = results["scenes"]
    lines += ["", f"{counts['held_out']} scenes of each kind, {BELL_SCENES} for bell2014."]
    lines += [
        "",
        f"Error in cells on {counts['tuning']} tuning scenes; rows: colour threshold, columns: brightness.",
        "",
    ]
    for side, found in results["tuning"].items():
        lines += [f"{side} px, best {found['best']}:", "", "| | " + " | ".join(map(str, BRIGHTNESS)) + " |"]
        lines.append("|---" * (len(BRIGHTNESS) + 1) + "|")
        for colour in COLOUR:
            errors = (f"{found['errors'][f'{b}, {colour}']:.3f}" for b in BRIGHTNESS)
            lines.append(f"| {colour} | " + " | ".join(errors) + " |")
        lines.append("")
    lines += ["", "Processor milliseconds per photo, one thread:", ""]
    lines += [f"* {name}: {ms:.1f}" for name, ms in results["speed"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
