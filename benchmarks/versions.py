"""Versions at photo size: how they differ, what of it is exposure, what they spoil; and how motions lie.

    python benchmarks/versions.py --photos COCO [--name after] [--model TASK=MODEL ...]

``COCO`` holds ``val2014/``, ``train2014/`` and ``annotations/`` of MS-COCO. Four versions of every photo (seed
0) of resaturation and relighting are scored by ``evaluation.pictures``; of motion the share of the pan, still
backgrounds, and the energy inside the boxes of people, animals and vehicles over that outside. Means over
photos with standard errors go to ``results/versions-NAME.json`` and ``.md``. What is done is kept in
``--cache``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe

import coembed
from coembed.cli.output.progress import Progress
from coembed.data.similarity.annotations import read_annotations
from coembed.data.similarity.features import coverage
from coembed.editing.draw import sample_beside
from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.loading import load_model
from coembed.errors import CoEmbedError
from coembed.evaluation import change
from coembed.evaluation.moving import energy_inside, is_still, pan_share
from coembed.evaluation.pictures import score_pictures
from coembed.imaging.io.photo import read_photo
from coembed.models.base import own_field
from coembed.serialization import read_json, write_json

RESULTS = Path(__file__).parent / "results"
MOVERS = {
    *(
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "bird",
        "cat",
        "dog",
    ),
    *("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
}
TASKS = ("resaturation", "relighting", "motion")
HEADS = {
    "between": "CIEDE2000 between versions",
    "between_equal": "at equal lightness",
    "closest": "between the two most alike",
    "to_original": "to the photo",
    "to_original_equal": "at equal lightness",
    "lightness": "change of mean L*",
    "lightness_spread": "spread of mean L*",
    "level_share": "share that is one number per version",
    "greyed": "near-white that turns grey",
    "clipped": "pixels clipped",
    "slope": "slope of draws' edits on the photo's own field",
    "slope_whole": "the same, where the whole reconstruction is taken away",
    "common": "share of draws' edits that is common to all",
    "common_whole": "the same, where the whole reconstruction is taken away",
    "pan": "pan's share of the energy",
    "still": "still backgrounds",
    "inside": "energy inside people, animals, vehicles",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--name", default="after")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--model", action="append", default=[], metavar="TASK=MODEL")
    parser.add_argument("--cache", type=Path, default=Path("out/versions"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = dict(pair.split("=", 1) for pair in options.model)
    files = sorted((options.photos / "val2014").glob("*.jpg"))[: options.limit]
    options.cache.mkdir(parents=True, exist_ok=True)
    path = options.cache / f"{options.name}.json"
    done: dict[str, Any] = read_json(path) if path.exists() else {}  # type: ignore[assignment]
    boxes = moving_boxes(options.photos / "annotations" / "instances_val2014.json")
    makers: dict[str, Callable[[Path, str | None], dict[str, float]]] = {
        "resaturation": lambda file, model: pictures(coembed.resaturate, file, model),
        "relighting": lambda file, model: pictures(coembed.relight, file, model),
        "motion": lambda file, model: motions(file, boxes.get(file.name), model),
    }
    for task in TASKS:
        with Progress(task, len(files), unit="photos") as progress:
            for file in files:
                key = f"{task}/{file.name}"
                if key not in done:
                    done[key] = makers[task](file, models.get(task))
                    write_json(path, done)
                progress.advance(1)
    changes = {task: common_changes(task, files, models.get(task)) for task in TASKS[:2]}
    write(options.name, done, changes, len(files))
    print(RESULTS / f"versions-{options.name}.md")


def pictures(edit: Callable[..., list[Any]], file: Path, model: str | None) -> dict[str, float]:
    """Scores of four versions of a photo."""
    versions = [np.asarray(image.convert("RGB")) for image in edit(file, n=4, seed=0, model=model)]
    return {
        k: v for k, v in asdict(score_pictures(read_photo(file).pixels, versions)).items() if math.isfinite(v)
    }


def common_changes(task: str, files: list[Path], model: str | None) -> dict[str, list[float]]:
    """Slope and share in common of 32 plain draws' changes, over all photos: in what draws vary, and in
    everything."""
    sampler, found = load_model(model, task)
    rows: dict[str, list[dict[str, torch.Tensor]]] = {"": [], "_whole": []}
    for file in files:
        condition, field = low_layers(read_photo(file), found, *shapes_of(sampler, found))
        with torch.no_grad():
            samples, own = sample_beside(sampler, condition, field, 32, 0, 1.0)
            rows[""].append(change.scores(samples, own, field))
            whole = own_field(sampler, condition, field)[None]
            rows["_whole"].append(change.scores(samples, whole, field))
    numbers = {}
    for kind, scores in rows.items():
        for name, above, below in (
            ("slope", "version_along", "own_along"),
            ("common", "change_common", "change_all"),
        ):
            over, under = (np.array([float(row[key]) for row in scores]) for key in (above, below))
            ratio = over.sum() / under.sum()
            error = ((over - ratio * under) / under.mean()).std(ddof=1) / math.sqrt(len(over))
            numbers[name + kind] = [float(ratio), float(error), len(over)]
    return numbers


def motions(file: Path, boxes: np.ndarray | None, model: str | None) -> dict[str, float]:
    """Shares of the kinds of motion of a photo, weighted by how many draws each stands for."""
    found = coembed.predict_motion(file, n=8, seed=0, model=model)
    flows, shares = torch.from_numpy(np.stack([m.low for m in found])), np.array([m.share for m in found])
    scores = {"pan": float(shares @ pan_share(flows).numpy()), "still": float(shares @ is_still(flows).numpy())}
    if boxes is not None and len(boxes):
        cells = torch.from_numpy(coverage(boxes, flows.shape[2])).to(flows.dtype)
        if 0.02 < float(cells.mean()) < 0.98:
            scores["inside"] = float(shares @ energy_inside(flows, cells).numpy())
    return scores


def moving_boxes(file: Path) -> dict[str, np.ndarray]:
    """Of every photo's things that move the boxes, left, top, right, bottom in shares of the frame."""
    annotations = read_annotations(file)
    movers = np.array([name in MOVERS for name in annotations.categories])
    found = {}
    for name, number in annotations.photos.items():
        rows = slice(annotations.starts[number], annotations.starts[number + 1])
        boxes = annotations.boxes[rows][movers[annotations.category[rows]]]
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        found[name] = corners / np.tile(annotations.sizes[number], 2)
    return found


def write(name: str, done: dict[str, Any], changes: dict[str, dict[str, list[float]]], photos: int) -> None:
    """Means over photos as JSON and Markdown."""
    means: dict[str, dict[str, list[float]]] = {}
    for task in TASKS:
        rows = [scores for key, scores in done.items() if key.startswith(f"{task}/")]
        means[task] = changes.get(task, {})
        for score in HEADS:
            values = np.array([row[score] for row in rows if score in row], np.float64)
            if len(values) > 1:
                error = float(values.std(ddof=1)) / math.sqrt(len(values))
                means[task][score] = [float(values.mean()), error, len(values)]
    machine = describe()
    write_json(
        RESULTS / f"versions-{name}.json",
        {"format": "coembed-versions", "version": 1, "photos": photos, "machine": machine, "means": means},
    )
    text = [f"# Versions at photo size: {name}\n"]
    text.append(
        f"{photos} photos of MS-COCO, four versions each, seed 0; ± is one standard error over photos.\n"
    )
    for task in TASKS:
        rows = [f"| {task} | |", "|---|---:|"]
        known = [(HEADS[key], *means[task][key][:2]) for key in HEADS if key in means[task]]
        rows += [f"| {head} | {value:.3f} ± {error:.3f} |" for head, value, error in known]
        text.append("\n".join(rows) + "\n")
    (RESULTS / f"versions-{name}.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"versions: {error}")
