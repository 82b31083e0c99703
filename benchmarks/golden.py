"""A record of what the package computes, to hold a change of its structure against.

    python benchmarks/golden.py make BEFORE      # in the tree as it was
    python benchmarks/golden.py make AFTER       # in the tree as it is
    python benchmarks/golden.py compare BEFORE AFTER

``make`` runs the command line on small made-up photos, clips and arrays, and a few functions on bundled models;
every file they write is kept. ``compare`` says of every file whether it is the same to the byte, the same
numbers, the same to rounding (with the largest relative difference), or not the same. What is left out: clock
times, versions, the commit, pages and figures, which show it, and how a config is written. It goes through the
command line and the public names alone, so it outlives moves of modules. About a minute on a core.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"
ROUNDING = 1e-4  # relative to the largest magnitude in a file
WORDS = {".html", ".log", ".md", ".tex", ".txt", ".svg"}  # which may change
NOT_COMPARED = {"config.json", "sampling.json", "run.json", "figures"}  # files and folders of these names
CLOCK = ["second", "minute", "time", "speed", "version", "cpu", "machine", "memory", "created", "torch"]
CLOCK += ["commit", "sampling", "training"]
TRAIN = "--images 256 --batch-size 16 --threads 1 --validate-every 128 --log-every 64"
PRESETS = {  # name of the run: preset and options
    "default": "default",
    "default-one-mode": "default --model modes=1 wavelet_order=1",
    "default-guided": "default --guidance.weight 1.0 --scores.fraction 0.5",
    "default-contrastive": "default --guidance.weight 1.0 --guidance.form contrastive",
    "paper-draw": "paper-mdn4 --model decode=draw",
    "paper-gauss": "paper-gauss --guidance.weight 1.0",
}
PRESETS |= {
    name: name
    for name in (
        *("paper-shallow", "paper-mdn4", "paper-mdn12", "cvae", "cvae-plus", "regression"),
        *("nearest", "nearest-features", "random", "linear-gaussian"),
    )
}


def make(out: Path) -> None:
    """Run everything in ``out``, a new folder."""
    out.mkdir(parents=True)
    torch.set_num_threads(1)
    with chdir(out):
        make_inputs()
        for step in steps():
            started = time.perf_counter()
            print(f"{step[0]} ...", end="", flush=True)
            step[1]()
            print(f" {time.perf_counter() - started:.1f} s", flush=True)


def make_inputs() -> None:
    """Photos, clips and arrays from a fixed seed."""
    random = np.random.default_rng(0)
    for folder, count in (("photos", 14), ("coco/train2014", 60), ("coco/val2014", 14)):
        Path(folder).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(picture(random, 96, 72)).save(f"{folder}/photo{k:02d}.png")
    for split, count in (("train2014", 60), ("val2014", 14)):
        Path("coco/annotations").mkdir(exist_ok=True)
        names = [f"photo{k:02d}.png" for k in range(count)]
        data = {
            "images": [{"id": k, "file_name": n, "width": 96, "height": 72} for k, n in enumerate(names)],
            "categories": [{"id": c, "name": f"thing{c}"} for c in range(3)],
            "annotations": [
                {"id": k, "image_id": k, "category_id": k % 3, "bbox": [8 + k % 20, 6, 30, 40], "area": 1200}
                for k in range(count)
            ],
        }
        Path(f"coco/annotations/instances_{split}.json").write_text(json.dumps(data))
    lists = Path("ucf/ucfTrainTestlist")
    lists.mkdir(parents=True)
    train, test = [], []
    for k in range(10):
        name = f"Run/v_Run_g{k + 1:02d}_c01.avi"
        path = Path("ucf/UCF-101") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(random, path)
        (train if k < 7 else test).append(name)
    (lists / "classInd.txt").write_text("1 Run\n")
    (lists / "trainlist01.txt").write_text("".join(f"{n} 1\n" for n in train))
    (lists / "testlist01.txt").write_text("".join(f"{n}\n" for n in test))
    for folder, channels in (("own/depth", 2), ("own/flow", 3)):
        Path(folder).mkdir(parents=True)
        for k in range(40):
            np.save(f"{folder}/item{k:02d}.npy", random.random((16, 16, channels)).astype(np.float32))
    np.save("low.npy", random.random((8, 8, 2)).astype(np.float32))


def picture(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, a few boxes, a little noise."""
    smooth = cv2.resize(
        random.random((3, 4, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(4):
        x, y = random.integers(0, width - 24), random.integers(0, height - 18)
        smooth[y : y + 18, x : x + 24] = 0.7 * random.random(3) + 0.3 * smooth[y : y + 18, x : x + 24]
    return np.clip(255 * (smooth + 0.02 * random.standard_normal(smooth.shape)), 0, 255).astype(np.uint8)


def write_clip(random: np.random.Generator, path: Path) -> None:
    """A clip of 30 frames at 15 frames per second, over which a textured picture slides."""
    sheet = cv2.resize(picture(random, 60, 60), (240, 240), interpolation=cv2.INTER_CUBIC)
    step = random.integers(-2, 3, 2)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), codec, 15.0, (80, 60))
    for t in range(30):
        y, x = 80 + step * t
        writer.write(np.ascontiguousarray(sheet[y : y + 60, x : x + 80]))
    writer.release()


def steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """Steps of the record, in order, each with a name."""
    one = "--workers 1"
    yield command(f"prepare coco coco pairs --size 16 --crops 1 {one}")
    yield command(f"prepare folder photos lights --task relighting --size 8 {one}")
    yield command(f"prepare pairs own-pairs --condition own/depth --field own/flow {one}")
    yield command(f"prepare ucf101 ucf motions --size 8 --samples 6 {one}")
    yield command(f"prepare video ucf/UCF-101/Run videos --size 8 --val-fraction 0 {one}")
    yield command("embed --pairs pairs --out embed.csv")
    yield command("embed --pairs motions --out embed.png")
    for name, options in PRESETS.items():
        yield command(f"train --pairs pairs --out runs/{name} {TRAIN} --preset {options}")
    for name in ("default", "paper-gauss"):
        yield command(f"train --pairs motions --out runs/motion-{name} {TRAIN} --preset {name}")
    yield command(f"train --pairs own-pairs --out runs/own {TRAIN}")
    yield from evaluations()
    yield from edits()
    yield "models", models


def evaluations() -> Iterator[tuple[str, Callable[[], object]]]:
    """Scores and the paper's tables."""
    score = "--pairs pairs --limit 8 --samples 12 --threads 1"
    for name in PRESETS:
        beside = "--baselines --intervals --against runs/paper-mdn4" if name == "default" else ""
        density = "" if name.startswith("nearest") else "--particles 3"
        options = f"{score} --scores full {beside} {density}"
        yield command(f"evaluate runs/{name} {options} --json scores/{name}.json")
    few = "--samples 8 --photos 2 --limit 6 --threads 1 --minutes 1"
    methods = "random linear-gaussian nearest-features"  # those that are not trained by the clock
    yield command(f"reproduce --pairs pairs --out report {few} --methods {methods}")


def edits() -> Iterator[tuple[str, Callable[[], object]]]:
    """Photos and motions, every way to steer them."""
    yield "retouch", retouch
    photo, like, keep = (
        "resaturate small/coast.png --format png -n 3",
        "--like small/suitcases.jpg",
        "--keep small/mask.png",
    )
    yield command(f"{photo} --out edits/plain --all --strength 0.7 --temperature 0.8")
    yield command(f"{photo} --out edits/typical")
    yield command(f"{photo} --out edits/spread --pick spread")
    yield command(f"{photo} --out edits/like {like} --closeness 0.5")
    yield command(f"{photo} --out edits/hint --hint small/retouched.png --mask small/mask.png")
    yield command(f"{photo} --out edits/keep {keep} {like}")
    yield command(f"{photo} --out edits/between --between 1 5")
    own = "--model runs/default"
    yield command(f"{photo} --out edits/own-keep {keep} {own}")
    yield command(f"{photo} --out edits/own-between --between 0 3 {own}")
    yield command(f"{photo} --out edits/own-like {like} {own}")
    yield command(f"{photo} --out edits/nearest --model runs/nearest --all")
    yield command("relight small/suitcases.jpg --out edits/relit --format png -n 2")
    yield command(f"relight small/coast.png --out edits/relit-keep {keep}")
    yield command("edit small/coast.png --model runs/cvae --out edits/cvae -n 2")
    yield command("motion small/horses.jpg --out edits/motion -n 3 --draws 40 --animation-frames 4")
    yield command("motion small/coast.png --model runs/motion-default --out edits/motion-own")
    yield command("upsample low.npy --guide small/coast.png --out upsampled.npy")


def retouch() -> None:
    """Two of the example photos, a small copy of a third, one with more colour, and a mask of its left half."""
    Path("small").mkdir()
    for name in ("suitcases.jpg", "horses.jpg"):
        shutil.copy(EXAMPLES / name, f"small/{name}")
    image = Image.open(EXAMPLES / "coast.jpg").convert("RGB").resize((200, 150))
    image.save("small/coast.png")
    pixels = np.asarray(image, np.float32)
    gray = pixels.max(2, keepdims=True)
    Image.fromarray(np.clip(gray + 1.6 * (pixels - gray), 0, 255).astype(np.uint8)).save("small/retouched.png")
    mask = np.zeros((150, 200), np.uint8)
    mask[20:110, :100] = 255
    Image.fromarray(mask).save("small/mask.png")


def models() -> None:
    """Samples, reconstructions, bounds and losses of the bundled models and of some that were trained here."""
    import coembed
    from coembed.models.cdvae.model import CDVAE

    bundled = ("resaturation", "relighting", "motion")
    own = (f"runs/{name}" for name in ("default", "paper-mdn4", "default-one-mode", "paper-draw"))
    Path("models").mkdir()
    for name in (*bundled, *own):
        model = coembed.from_pretrained(name)
        random = torch.Generator().manual_seed(0)
        condition = torch.rand(3, *model.config.condition_shape, generator=random)
        field = torch.rand(3, *model.config.field_shape, generator=random)
        found = {
            "sample": model.sample(condition, 5, generator=7),
            "cooler": model.sample(condition, 3, generator=7, temperature=0.5),
            "stream": model.sample(condition[1:], 2, generator=coembed.Streams(7, [1, 2])),
            "reconstruct": model.reconstruct(condition, field),
        }
        for bound in ("log_joint", "log_conditional") if isinstance(model, CDVAE) else ("log_conditional",):
            generator = torch.Generator().manual_seed(1)
            found[bound] = getattr(model, bound)(condition, field, particles=3, generator=generator)
        parts = model.loss(condition, field, generator=torch.Generator().manual_seed(2))
        found |= {f"loss.{key}": value.detach() for key, value in parts.items()}
        arrays = {key: np.ascontiguousarray(value.numpy()) for key, value in found.items()}
        save_file(arrays, f"models/{name.replace('/', '-').replace(':', '-')}.safetensors")


def command(line: str) -> tuple[str, Callable[[], object]]:
    """A step: the ``coembed`` command with these arguments, in this process."""
    arguments = line.split()

    def run() -> None:
        for option in ("--out", "--json"):
            if option in arguments:
                Path(arguments[arguments.index(option) + 1]).parent.mkdir(parents=True, exist_ok=True)
        said, before = io.StringIO(), sys.argv
        sys.argv = ["coembed", *arguments]
        try:
            with redirect_stdout(said), redirect_stderr(said):
                runpy.run_module("coembed", run_name="__main__")
        except SystemExit as stop:
            if stop.code:
                raise SystemExit(f"coembed {line}: status {stop.code}\n{said.getvalue()}") from None
        finally:
            sys.argv = before

    return f"coembed {line}", run


def compare(before: Path, after: Path) -> int:
    """Print every file that is not the same, and a count of each kind; the number of those that differ."""
    files = [
        {p.relative_to(top) for p in top.rglob("*") if p.is_file() and p.suffix not in WORDS}
        for top in (before, after)
    ]
    counts = {"the same to the byte": 0, "the same numbers": 0, "the same to rounding": 0, "not the same": 0}
    for path in sorted(files[0] | files[1]):
        if NOT_COMPARED & set(path.parts):
            continue
        if path not in files[0] or path not in files[1]:
            kind, note = "not the same", "only in one of the two"
        elif (before / path).read_bytes() == (after / path).read_bytes():
            kind, note = "the same to the byte", ""
        else:
            kind, note = judge(before / path, after / path)
        counts[kind] += 1
        if note:
            print(f"{path}: {kind}: {note}")
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return counts["not the same"]


def judge(before: Path, after: Path) -> tuple[str, str]:
    """Compare two files whose bytes differ."""
    a, b = (dict(leaves(read(path))) for path in (before, after))
    if a.keys() != b.keys():
        return "not the same", f"entries {', '.join(sorted(map(str, a.keys() ^ b.keys()))[:4])}"
    worst, where = 0.0, ""
    for key, x in a.items():
        y = b[key]
        if isinstance(x, str) or isinstance(y, str):
            if x != y:
                return "not the same", f"{key}: {x!r}, {y!r}"
            continue
        x, y = (np.asarray(v, np.float64) for v in (x, y))
        if x.shape != y.shape or not np.array_equal(np.isfinite(x), np.isfinite(y)):
            return "not the same", f"{key}: another shape, or not finite"
        scale = max(1e-12, np.abs(np.nan_to_num(x)).max(initial=0))
        off = np.abs(np.nan_to_num(x - y)).max(initial=0) / scale
        if off > worst:
            worst, where = float(off), str(key)
    if worst == 0:
        return "the same numbers", ""
    kind = "the same to rounding" if worst <= ROUNDING else "not the same"
    return kind, f"{where} by {worst:.1e} of the largest magnitude"


def read(path: Path) -> Any:
    """The content of a file as nested values and arrays."""
    if path.suffix in (".json", ".jsonl"):
        lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        return [json.loads(line) for line in lines]
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text())))
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix in (".png", ".jpg", ".webp"):
        return np.asarray(Image.open(path).convert("RGB"))
    return path.read_bytes().hex()


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number, text and array in nested values with its place, clock times left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not any(word in str(key) for word in CLOCK):
                yield from leaves(inner, (*at, key))
    elif isinstance(value, list):
        for k, inner in enumerate(value):
            yield from leaves(inner, (*at, k))
    elif isinstance(value, str):
        try:
            yield at, float(value)
        except ValueError:
            yield at, value
    elif value is not None:
        yield at, value


def main() -> int:
    """The two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("make").add_argument("out", type=Path)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.verb == "make":
        make(options.out)
        return 0
    return 1 if compare(options.before, options.after) else 0


if __name__ == "__main__":
    sys.exit(main())
