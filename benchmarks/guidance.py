"""Worth of embedding guidance: the same model without it and with each kind of feature, from few pairs on.

    python benchmarks/guidance.py --name photos --pairs DIR --counts 2000 10000 30000 --seeds 0 1
    python benchmarks/guidance.py --name regions --world regions --counts 2000

Every run is ``coembed train`` on a part of the training pairs (with their features). A quarter of the photos
(or clips) for validation chooses the state of the weights that is kept, the others score it: fair energy
score and best-of-100, each also as a paired difference from the run without guidance on the same photos, and
on the top codes of both sides how well they keep the neighbourhoods of the features (all blocks, weighted as
by default): trustworthiness, continuity, and collapse, the share of the tenth of pairs that are farthest
apart in features which is among the tenth closest in code (0.1 is chance). In a known-truth world, mode
recall, energy distance to the truth and the KL of the modes' frequencies beside.

Runs are kept in ``--cache`` as soon as they are done, so an interrupted sweep goes on where it stopped;
``results/guidance-NAME.{json,md}`` are written anew after each. ``--minutes`` bounds the whole.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from guidance_table import write_results
from guidance_worlds import world_blocks, world_store
from neighborhoods import preservation

from coembed.data.names import clip_of
from coembed.data.similarity.features import Block, Scaling, action_block, pixel_block
from coembed.data.similarity.files import read_features, write_features
from coembed.data.store.store import PairStore, open_pairs
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.synthetic.scores import score_world
from coembed.evaluation.synthetic.worlds import WORLDS
from coembed.models.pretrained import load_pretrained
from coembed.serialization import write_json
from coembed.training.config import GuidanceConfig, TrainConfig
from coembed.training.run import run_train

RESULTS = Path(__file__).parent / "results"
PLAIN = GuidanceConfig()
KINDS = {
    "none": {},
    "pixels": {"label": 0.0, "layout": 0.0},
    "pixels, floor": {"label": 0.0, "layout": 0.0, "floor": 0.1},
    "pixels, condition only": {"label": 0.0, "layout": 0.0, "sides": "condition"},
    "pixels, field only": {"label": 0.0, "layout": 0.0, "sides": "field"},
    "labels": {"layout": 0.0, "pixels": 0.0},
    "layout": {"label": 0.0, "pixels": 0.0},
    "all": {},
    "all, floor": {"floor": 0.1},
    "all, condition only": {"sides": "condition"},
    "all, field only": {"sides": "field"},
    "all, procrustes": {"align": "procrustes"},
    "all, cca": {"align": "cca"},
    "all, not aligned": {"align": "none"},
    "all, top code only": {"layers": "top", "components": 16},
    "contrastive": {"form": "contrastive"},
    "contrastive, floor": {"form": "contrastive", "floor": 0.1},
    "contrastive, labels": {"form": "contrastive", "layout": 0.0, "pixels": 0.0},
    "contrastive, pixels": {"form": "contrastive", "label": 0.0, "layout": 0.0},
    "contrastive, condition only": {"form": "contrastive", "sides": "condition"},
}
"""Options of guidance by the name of a row; a floor is a fraction of the weight."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the results")
    parser.add_argument("--pairs", type=Path, help="train/ and val/, prepared with annotations")
    parser.add_argument("--world", choices=list(WORLDS), help="a known-truth world in place of pairs")
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 10_000, 30_000])
    parser.add_argument(
        "--kinds",
        dest="features",
        nargs="+",
        default=["none", "pixels", "labels", "layout", "all"],
        choices=KINDS,
    )
    parser.add_argument("--preset", default="paper-mdn4")
    parser.add_argument("--images", type=int, default=100_000, help="pairs seen a run, whatever the count")
    parser.add_argument("--weights", type=float, nargs="+", default=[100.0], help="lambda at the start")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--limit", type=int, default=500, help="validation pairs to score on")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="budget of the whole")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("out/guidance"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    options = parser.parse_args()
    if (options.pairs is None) == (options.world is None):
        parser.error("give either --pairs or --world")
    cache = options.cache / options.name
    if options.table:
        print(write_results(cache, options.out / f"guidance-{options.name}"))
        return
    torch.set_num_threads(options.threads)
    end, longest, data = time.monotonic() + 60 * options.minutes, 0.0, None
    for seed in options.seeds:
        for count in options.counts:
            for weight, kind in [(w, k) for k in options.features for w in options.weights]:
                weight = 0.0 if kind == "none" else weight
                key = f"{options.preset}/{count}/{options.images}/{kind}/{weight:g}/{seed}"
                if (cache / key / "scores.json").exists():
                    continue
                if time.monotonic() + longest > end:
                    print("left for the next time:", key)
                    continue
                start = time.monotonic()
                data = data or load(options)
                run(data, count, kind, weight, seed, options, cache / key)
                longest = max(longest, time.monotonic() - start)
                print(key, (cache / key / "scores.json").read_text(), flush=True)
                write_results(cache, options.out / f"guidance-{options.name}")
    print(write_results(cache, options.out / f"guidance-{options.name}"))


def load(options) -> tuple[PairStore, PairStore, dict[str, Block], dict[str, Block]]:
    """Training and validation pairs with what is known of them beside their pixels."""
    if options.world:
        store, validation = world_store(options.world, 30_000, 0), world_store(options.world, 1_000, 1)
        return store, validation, world_blocks(options.world, store), world_blocks(options.world, validation)
    stores = open_pairs(options.pairs, "train"), open_pairs(options.pairs, "val")
    blocks = []
    for store in stores:
        assert store.folder is not None
        found = read_features(store.folder, store.names)
        if not found and (actions := action_block(store.names)) is not None:
            found = {"label": actions}
        blocks.append(found)
    return *stores, *blocks


def run(data, count: int, kind: str, weight: float, seed: int, options, out: Path) -> None:
    """Train one model and score it."""
    store, validation, features, validation_features = data
    choosing, scoring = chosen_rows(validation)
    scoring = scoring[: options.limit]
    changes = dict(KINDS[kind])
    if "floor" in changes:
        changes["floor"] = changes["floor"] * weight
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs"
        part(
            store,
            features,
            np.arange(min(count, len(store))) * len(store) // min(count, len(store)),
            pairs / "train",
        )
        part(validation, {}, choosing, pairs / "val")
        started = time.process_time()
        model_folder = run_train(
            TrainConfig(
                pairs=str(pairs),
                out=str(Path(folder) / "run"),
                preset=options.preset,
                images=options.images,
                seed=seed,
                guidance=GuidanceConfig(weight=weight, **changes),
                flips=options.world is None,
                val_limit=300,
                picture_minutes=0.0,
                checkpoint_minutes=0.0,
                threads=options.threads,
            )
        )
        seconds = time.process_time() - started
        model = load_pretrained(model_folder).model
        diagnosed = last_validation(Path(folder) / "run" / "metrics.jsonl")
    low, high = store.index.field.low, store.index.field.high
    truth = PairStore.from_arrays(
        validation.condition(scoring), validation.field(scoring), names=[validation.names[i] for i in scoring]
    )
    scores = evaluate(model, truth, name=kind, limit=options.limit, samples=options.samples, clip=(low, high))
    columns = {
        k: v
        for k, v in scores.values.items()
        if k.startswith(("energy", "best_100", "spread", "skill", "best_10"))
    }
    found = {"cpu_seconds": round(seconds, 1), **diagnosed}
    found |= kept(model, validation, validation_features)
    if options.world:
        found |= true_scores(model, options.world)
    out.mkdir(parents=True, exist_ok=True)
    replace(scores, values=columns).save(out / "evaluation.json")
    write_json(out / "scores.json", {k: round(v, 5) for k, v in found.items()})


def chosen_rows(validation: PairStore) -> tuple[np.ndarray, np.ndarray]:
    """Rows that choose the weights and rows that score them: whole photos or clips, in a random order."""
    groups = np.unique([clip_of(name) for name in validation.names], return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(groups.max() + 1)
    first = np.isin(groups, order[: len(order) // 4])
    shuffled = np.random.default_rng(1).permutation(len(validation))
    return shuffled[first[shuffled]], shuffled[~first[shuffled]]


def part(store: PairStore, blocks: dict[str, Block], rows: np.ndarray, folder: Path) -> None:
    """Write some pairs with their features as a store of their own."""
    i, names = store.index, [store.names[r] for r in rows]
    chosen = PairStore.from_arrays(
        store.condition(rows),
        store.field(rows),
        task=i.task,
        names=names,
        condition_layer=i.condition,
        field_layer=i.field,
    )
    chosen.save(folder, dtype=i.dtype)
    if blocks:
        write_features(folder, {n: b.rows(rows) for n, b in blocks.items()}, names, folder / "index.json")


def last_validation(log: Path) -> dict[str, float]:
    """At the end of the run: the bound on validation pairs, KL (nats) and active units of each side's codes."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    last = [line for line in lines if "diagnostics" in line][-1]
    found = {"bound": last["validation"]["total"]}
    for side in ("condition", "field"):
        for name in ("kl", "active"):
            layers = last["diagnostics"].get(f"{name}_{side}", [])
            found |= {f"{name}_{side}": sum(layers), f"{name}_{side}_top": layers[0]}
    return found


def kept(model, validation: PairStore, features: dict[str, Block]) -> dict[str, float]:
    """Neighbourhoods of features that the codes of validation pairs keep, side by side."""
    rows = np.random.default_rng(2).permutation(len(validation))[:1_000]
    blocks = {name: block.rows(rows) for name, block in features.items()}
    condition, field = validation.condition(rows), validation.field(rows)
    blocks["pixels"] = pixel_block(lambda s: condition[s], len(rows))
    blocks["field_pixels"] = pixel_block(lambda s: field[s], len(rows))
    joined = Scaling.of(blocks, PLAIN.weights).join(blocks)
    joined = joined if isinstance(joined, np.ndarray) else joined.toarray()
    found = {}
    for side, layers in zip(("condition", "field"), model.latents(condition, field), strict=True):
        top = layers[0].flatten(1).float().numpy()
        found |= {f"{side}_{k}": v for k, v in preservation(joined, top, 15).items()}
    return found


def true_scores(model, name: str) -> dict[str, float]:
    """Scores that need a known truth."""

    class Sampler:  # without the model's density, whose bound takes longer than all the rest
        def sample(self, condition, n, *, generator):
            return model.sample(condition, n, generator=generator)

    scores = score_world(Sampler(), WORLDS[name](16), conditions=200, samples=100).scores
    names = ("mode_recall", "on_mode", "frequency_kl", "energy_distance")
    return {key: scores[key].value for key in names if key in scores}


if __name__ == "__main__":
    main()
