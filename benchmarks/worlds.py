"""Every method where the truth is known: modes found, how often, how exactly, and what the codes hold.

    python benchmarks/worlds.py [--presets default paper-gauss ...] [--minutes 5] [--worlds shading ...]

Trains each preset on scattered pairs (one field a condition) of each world, fits the simple samplers on the
same pairs, and scores all of them, and the truth's own sampler, on new conditions. Writes
``results/worlds.json`` and ``results/worlds.md`` after every sampler. Pairs, runs and scores are kept in
``--cache`` under the options that made them, so an interrupted benchmark goes on where it stopped.

The full run of the repository, about five hours on one core:

    python benchmarks/worlds.py --minutes 10 --threads 1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from machine import describe

from coembed.baselines.pairs import TensorPairs
from coembed.baselines.presets import BASELINES
from coembed.baselines.simple import SIMPLE
from coembed.config import from_dict, read_json, to_dict, write_json
from coembed.data.progress import Progress
from coembed.data.shards import PairStore
from coembed.errors import CoEmbedError
from coembed.evaluation.collapse import code_collapse
from coembed.evaluation.compact import write_compact_json
from coembed.evaluation.world_scores import WorldScores, score_world
from coembed.evaluation.worlds import WORLDS, World
from coembed.hub import from_pretrained
from coembed.model.cdvae import CDVAE
from coembed.model.presets import PRESETS
from coembed.sampling import Sampler
from coembed.training.config import TrainConfig
from coembed.training.run import run_train

TRAINED = (*PRESETS, "cvae", "cvae-plus", "regression")
TRUTH = "the truth"
HEADS = {
    "mode_recall": "mode recall",
    "on_mode": "on a mode",
    "frequency_kl": "KL of frequencies",
    "mode_rmse": "RMSE to mode / truth's",
    "energy_distance": "energy distance",
    "sliced_wasserstein": "sliced W1",
    "conditional_kl": "conditional KL (nats)",
    "code_spread": "code spread",
    "code_modes": "modes in codes",
    "code_distance": "code distance",
}


def main() -> None:
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    for folder in (arguments.out, arguments.cache):
        folder.mkdir(parents=True, exist_ok=True)
    found: list[WorldScores] = []
    for name in arguments.worlds:
        world = WORLDS[name](arguments.size)
        for sampler, options, build in _samplers(world, arguments):
            found.append(_scored(world, sampler, options, build, arguments))
            _write(found, arguments)
    print(arguments.out / "worlds.md")


def _parse() -> Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--presets", nargs="*", choices=[*PRESETS, *BASELINES], default=list(TRAINED))
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, a preset and world")
    parser.add_argument("--pairs", type=int, default=20_000, help="training pairs a world")
    parser.add_argument("--size", type=int, default=16, help="height and width of fields")
    parser.add_argument("--conditions", type=int, default=300, help="new conditions to score on")
    parser.add_argument("--samples", type=int, default=100, help="samples a condition")
    parser.add_argument("--particles", type=int, default=100, help="of the bound on the likelihood")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path, default=Path("out/worlds"))
    return parser.parse_args()


def _samplers(
    world: World, arguments: Namespace
) -> Iterator[tuple[str, dict[str, object], Callable[[], Sampler]]]:
    """Name, the options beyond the common ones that it depends on, and how to get it."""
    yield TRUTH, {}, lambda: world
    for name, make in SIMPLE.items():
        yield name, {}, lambda make=make: make(TensorPairs(*world.pairs(arguments.pairs, seed=arguments.seed)))
    for name in arguments.presets:
        options: dict[str, object] = {"minutes": arguments.minutes}
        yield name, options, lambda name=name: _trained(name, world, arguments)


def _trained(name: str, world: World, arguments: Namespace) -> Sampler:
    data = f"{world.name}-{arguments.size}-{arguments.pairs}-{arguments.seed}"
    folder = arguments.cache / "pairs" / data
    for split, count, seed in (("train", arguments.pairs, arguments.seed), ("val", 500, arguments.seed + 1)):
        if not (folder / split).exists():
            PairStore.from_arrays(*world.pairs(count, seed=seed)).save(folder / split)
    run = arguments.cache / "runs" / f"{data}-{name}-{arguments.minutes:g}"
    if not (run / "model" / "config.json").is_file():
        config = TrainConfig(
            pairs=str(folder),
            out=str(run),
            preset=name,
            seed=arguments.seed,
            minutes=arguments.minutes,
            flips=False,  # in a mirrored world other modes are likely
            threads=arguments.threads,
            resume=run.exists(),
        )
        run_train(config)
    return from_pretrained(run)


def _scored(
    world: World, name: str, options: dict[str, object], build: Callable[[], Sampler], arguments: Namespace
) -> WorldScores:
    common = ("pairs", "size", "conditions", "samples", "particles", "seed")
    key = (
        options
        | {option: getattr(arguments, option) for option in common}
        | {"name": name, "world": world.name}
    )
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = arguments.cache / f"{world.name}-{digest}.json"
    if path.is_file():
        return from_dict(WorldScores, read_json(path), str(path))
    sampler = build()
    with Progress(f"{world.name}: {name}", arguments.conditions, unit="conditions") as progress:
        found = score_world(
            sampler,
            world,
            name=name,
            conditions=arguments.conditions,
            samples=arguments.samples,
            seed=arguments.seed,
            particles=arguments.particles,
            progress=progress.advance,
        )
    if isinstance(sampler, CDVAE):
        found.scores.update(code_collapse(sampler, world, samples=arguments.samples, seed=arguments.seed))
    write_json(path, to_dict(found))
    return found


def _write(found: list[WorldScores], arguments: Namespace) -> None:
    options = {k: v for k, v in vars(arguments).items() if k not in ("out", "cache")}
    machine = describe()
    data = {
        "format": "coembed-worlds",
        "version": 1,
        "options": options,
        "machine": machine,
        "scores": [to_dict(scores) for scores in found],
    }
    write_compact_json(arguments.out / "worlds.json", data)
    text = [
        "# Known truth\n",
        f"{arguments.pairs} training pairs a world, one field a condition, {arguments.size} px square; "
        f"presets trained for {arguments.minutes:g} minutes each on {arguments.threads} thread(s); "
        f"{arguments.conditions} new conditions, {arguments.samples} samples each, seed {arguments.seed}. ± is "
        "one standard error over conditions. Read every column beside the truth's own row. Conditional KL: how "
        f"far the bound of {arguments.particles} particles falls short of the true density, nats a field; code "
        "columns: variance of drawn codes over that of true codes (1 is right), share of the true codes' "
        "variance that tells modes apart, and distance of the two clouds (0 is right).\n",
    ]
    for world in dict.fromkeys(scores.world for scores in found):
        rows = [scores for scores in found if scores.world == world]
        text += [f"## {world.capitalize()}\n", _table(rows)]
    text.append(f"Measured on {machine['cpu']}, torch {machine['torch']}.\n")
    (arguments.out / "worlds.md").write_text("\n".join(text), encoding="utf-8")


def _table(rows: list[WorldScores]) -> str:
    keys = [key for key in HEADS if any(key in scores.scores for scores in rows)]
    lines = [["Sampler", *[HEADS[key] for key in keys], "s"], ["---", *["---:"] * (len(keys) + 1)]]
    for scores in rows:
        cells = []
        for key in keys:
            value = scores.scores.get(key)
            error = "" if value is None or value.error is None else f" ± {value.error:.2g}"
            cells.append("–" if value is None else f"{value.value:.3g}{error}")
        lines.append([scores.name, *cells, f"{scores.seconds:.1f}"])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"worlds: {error}")
