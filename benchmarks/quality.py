"""The quality table: simple samplers and models on the first 1,000 validation photos, 100 samples each.

    python benchmarks/quality.py --pairs DIR [NAME=FOLDER ...]

Writes ``results/quality-TASK.json`` and ``.md``, of the pairs' task (``quality-TASK-NAME`` with ``--set NAME``;
with ``--train DIR`` the simple samplers are fitted on the training pairs of another folder). Every sampler's
scores are kept in ``--cache`` as soon as it is done, so an interrupted run goes on where it stopped, and a new
model costs its own time only. A cached result is used if pairs, options and weights are the same.

Fair play: all samplers see the same photos and the same seed, and all samples are clipped to the field's range
before they are scored (the squared error of a sample never grows by it). Only "linear-Gaussian,
unclipped" (``--unclipped``) is not, to show what clipping changes. Simple samplers are fitted on the training
split alone, on whole photos or frames: crops (``prepare --crops``) would only crowd the nearest neighbours with
the same scene.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from machine import describe
from peers.rows import Whole, digest
from torch import Tensor

from coembed.cli.output.progress import Progress
from coembed.data.duplicates import near_duplicates
from coembed.data.pairs import Pairs
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import CoEmbedError, ConfigError
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import Evaluation, summaries
from coembed.evaluation.tables import markdown_comparison, markdown_content, markdown_table
from coembed.models.base import Sampler
from coembed.models.pretrained import load_pretrained
from coembed.models.registry import NEAREST, SIMPLE, fit_closed_form
from coembed.numerics.random import Streams
from coembed.serialization import read_json, write_compact_json, write_json

UNCLIPPED = "linear-Gaussian, unclipped"
TOLD = "random fields of the true action"
METRICS_VERSION = 2  # raise it when the scores change: cached results are then measured again


def main() -> None:
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    stored, val = open_pairs(arguments.train or arguments.pairs, "train"), open_pairs(arguments.pairs, "val")
    if stored.folder == val.folder:
        raise ConfigError(f"{arguments.pairs}: is one store, expected a folder that holds train/ and val/")
    train = Whole(stored)
    name = f"{val.index.task}-{arguments.set}" if arguments.set else val.index.task
    arguments.cache /= name
    arguments.stem = arguments.out / f"quality-{name}"
    for folder in (arguments.out, arguments.cache):
        folder.mkdir(parents=True, exist_ok=True)
    copies = set(near_duplicates(val, train, vector=val.index.field.vector))
    pairs = val[[i for i in range(len(val)) if i not in copies]]
    evaluations = []
    for name, identity, build in _samplers(arguments.models, train, val, unclipped=arguments.unclipped):
        key = {
            "metrics": METRICS_VERSION,
            "sampler": identity,
            "train": digest(train.store) if identity == "simple" else "",
            "val": digest(val),
            "limit": arguments.limit,
            "samples": arguments.samples,
            "seed": arguments.seed,
            "left_out": len(copies),
            "full": arguments.full,
            **({"level": False} if arguments.no_level else {}),
        }
        evaluations.append(_measure(name, key, build, val, pairs, arguments))
        _write(evaluations, train, val, len(copies), arguments)
    print(arguments.stem.with_suffix(".md"))


class OfItsClass:
    """Training fields of the action that a frame shows, which no model is told: what knowing it is worth.

    Args:
        train: clips named ``v_Action_...``.
        val: those that will be asked for; a frame is found again by its pixels.
    """

    def __init__(self, train: Whole, val: PairStore):
        actions = [name.split("_")[1].casefold() for name in train.names]
        self.train, self.everything = train, torch.arange(len(train))
        self.rows = {a: torch.tensor([i for i, b in enumerate(actions) if a == b]) for a in set(actions)}
        asked = zip(val.names, val.condition(slice(0, len(val))), strict=True)
        self.actions = {frame.numpy().tobytes(): name.split("_")[1].casefold() for name, frame in asked}

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n training fields of the action; of any, where training has none of it."""
        uniform = torch.special.ndtr(Streams.of(generator, len(condition)).normal(n, 1)[..., 0].double())
        fields = []
        for frame, draws in zip(condition, uniform.T, strict=True):
            rows = self.rows.get(self.actions[frame.numpy().tobytes()], self.everything)
            fields.append(self.train.field(rows[(draws * len(rows)).long().clamp(max=len(rows) - 1)]))
        return torch.stack(fields, 1)


def _parse() -> Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER", help="models to score, in order")
    parser.add_argument("--pairs", required=True, type=Path, help="folder that holds train/ and val/")
    parser.add_argument("--train", type=Path, help="folder of the training pairs, where it is another")
    parser.add_argument("--limit", type=int, default=1000, help="validation pairs, from the first")
    parser.add_argument("--samples", type=int, default=100, help="samples per photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="all scores, and the table of what sees content")
    parser.add_argument("--no-level", action="store_true", help="take means over the frame off all fields")
    parser.add_argument("--unclipped", action="store_true", help="also the linear-Gaussian without clipping")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--set", default="", metavar="NAME", help="of the photos, in the results' names")
    parser.add_argument("--cache", type=Path, default=Path("out/quality"))
    arguments = parser.parse_args()
    named = []
    for model in arguments.models:
        name, equals, folder = model.partition("=")
        if not (equals and name and folder):
            parser.error(f"{model}: expected NAME=FOLDER")
        named.append((name, folder))
    names = [name for name, _ in named]
    if len({*names, *SIMPLE, UNCLIPPED}) < len(names) + len(SIMPLE) + 1:
        parser.error(f"names: {', '.join(names)}: expected each once, and none of the simple samplers'")
    arguments.models = named
    return arguments


def _samplers(
    models: list[tuple[str, str]], train: Whole, val: PairStore, *, unclipped: bool
) -> Iterator[tuple[str, str, Callable[[], Sampler]]]:
    """Name, identity for the cache, and how to get it."""
    for name, (preset, options) in SIMPLE.items():
        yield name, "simple", lambda preset=preset, options=options: fit_closed_form(preset, train, **options)
    if unclipped:
        yield UNCLIPPED, "simple", lambda: fit_closed_form("linear-gaussian", train)
    if train.store.index.source.kind == "ucf101":
        yield TOLD, "simple", lambda: OfItsClass(train, val)
    for name, folder in models:
        loaded = load_pretrained(folder)
        hashes = [
            hashlib.sha256((loaded.folder / f).read_bytes()).hexdigest()
            for f in ("config.json", "model.safetensors", "sampling.json")
            if (loaded.folder / f).is_file()
        ]
        yield name, "-".join(hashes), lambda model=loaded.model: model


def _measure(
    name: str,
    key: dict[str, object],
    build: Callable[[], Sampler],
    val: PairStore,
    pairs: Pairs,
    arguments: Namespace,
) -> Evaluation:
    stem = "".join(c if c.isalnum() else "-" for c in name)
    path, key_path = arguments.cache / f"{stem}.json", arguments.cache / f"{stem}.key.json"
    if path.exists() and key_path.exists() and read_json(key_path) == key:
        found = Evaluation.load(path)
        if found.name == name:
            return found
    with Progress(name, min(arguments.limit, len(pairs)), unit="photos") as progress:
        found = evaluate(
            build(),
            pairs,
            name=name,
            limit=arguments.limit,
            samples=arguments.samples,
            seed=arguments.seed,
            clip=None if name == UNCLIPPED else (val.index.field.low, val.index.field.high),
            level=not arguments.no_level,
            scores="full" if arguments.full else "basic",
            vector=val.index.field.vector,
            progress=progress.advance,
        )
    key_path.unlink(missing_ok=True)
    found.save(path)
    write_json(key_path, key)
    return found


def _write(
    evaluations: list[Evaluation], train: Whole, val: PairStore, left_out: int, arguments: Namespace
) -> None:
    first = evaluations[0]
    reference = next((e for e in evaluations if e.name == NEAREST), None)
    machine = describe()
    data = {
        "format": "coembed-quality",
        "version": 1,
        "task": val.index.task,
        "size": val.index.size,
        "training_pairs": len(train),
        "photos": first.conditions,
        "left_out": left_out,
        "samples": first.samples,
        "seed": first.seed,
        "machine": machine,
        "samplers": summaries(evaluations, NEAREST if reference else None),
    }
    write_compact_json(arguments.stem.with_suffix(".json"), data)
    height, width = val.index.size
    text = [
        f"# Quality: {val.index.task}, {height} x {width}\n",
        f"{first.conditions} validation pairs, {first.samples} samples each, seed {first.seed}; {left_out} of "
        f"{len(val)} were left out as near-copies of training pairs; simple "
        f"samplers fitted on {len(train)} training pairs. All samples are clipped to the field's range before "
        "they are scored, except where the name says so. Nearest neighbours come nearest first and are not "
        "exchangeable: n=3 is the best of any 3 of the 100 nearest, averaged over subsets as for all "
        f"samplers.{' Fields are scored less their means over the frame.' if arguments.no_level else ''}\n",
        markdown_table(evaluations),
    ]
    if reference is not None:
        text += [markdown_comparison(evaluations, reference)]
        text += ["Differences are paired photo by photo; ± is one standard error. Below 1 and 0 is better.\n"]
    text += [markdown_content(evaluations)] if first.sets else []
    text += [f"Measured on {machine['cpu']}, {arguments.threads} thread(s), torch {machine['torch']}.\n"]
    arguments.stem.with_suffix(".md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"quality: {error}")
