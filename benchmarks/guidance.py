"""What embedding guidance is worth: the same model without it and with each kind of feature, from few pairs on.

    python benchmarks/guidance.py --pairs DIR --minutes 600

Every run is ``coembed train`` on a part of the training pairs (with their features), scored on validation
pairs it never saw: fair energy score and best-of-100 (lower is better), and on the top codes of 1,500 of them
how well they keep the neighbourhoods of the features (all blocks, weighted as by default): trustworthiness,
continuity, and collapse, the share of pairs far apart in features among those close in code (0.1 is chance).

Results are kept in ``results/guidance-TASK.json`` as soon as a run is done, so an interrupted sweep goes on
where it stopped; ``--minutes`` bounds the whole, and runs that would pass it are left for the next time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from coembed.config import read_json, write_json
from coembed.data.shards import PairStore, open_pairs
from coembed.evaluation.evaluate import evaluate
from coembed.guidance.config import GuidanceConfig
from coembed.guidance.feature_files import read_features, write_features
from coembed.guidance.features import Scaling
from coembed.guidance.prepared import store_blocks
from coembed.guidance.preservation import preservation
from coembed.hub import load_pretrained
from coembed.training.config import TrainConfig
from coembed.training.run import run_train

RESULTS = Path(__file__).parent / "results"
NONE = GuidanceConfig()
KINDS = {
    "none": {},
    "pixels": {"label": 0.0, "layout": 0.0},
    "labels": {"layout": 0.0, "pixels": 0.0},
    "layout": {"label": 0.0, "pixels": 0.0},
    "all": {},
    "all, floor": {"floor": 0.1},
    "all, condition only": {"sides": "condition"},
    "all, procrustes": {"align": "procrustes"},
    "all, cca": {"align": "cca"},
    "all, not aligned": {"align": "none"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="train/ and val/, prepared with annotations")
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 10_000, 30_000])
    parser.add_argument(
        "--kinds", nargs="+", default=["none", "pixels", "labels", "layout", "all"], choices=KINDS
    )
    parser.add_argument("--preset", default="paper-mdn4")
    parser.add_argument("--images", type=int, default=400_000, help="pairs seen a run, whatever the count")
    parser.add_argument("--weight", type=float, default=100.0, help="lambda at the start")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=1_000, help="validation pairs to score on")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="budget of the whole")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    store, validation = open_pairs(options.pairs, "train"), open_pairs(options.pairs, "val")
    out = options.out or RESULTS / f"guidance-{store.index.task}.json"
    results = read_json(out) if out.exists() else {}
    torch.set_num_threads(options.threads)
    end, longest = time.monotonic() + 60 * options.minutes, 0.0
    for count in options.counts:
        for seed in range(options.seeds):
            for kind in options.kinds:
                key = f"{options.preset}/{count}/{options.images}/{options.weight:g}/{kind}/{seed}"
                if key in results:
                    continue
                if time.monotonic() + longest > end:
                    print("left for the next time:", key)
                    continue
                start = time.monotonic()
                results[key] = run(store, validation, count, kind, seed, options)
                longest = max(longest, time.monotonic() - start)
                write_json(out, results)
                print(f"{key:<50}", json.dumps(results[key]), flush=True)
    print(table(results))


def run(store: PairStore, validation: PairStore, count: int, kind: str, seed: int, options) -> dict[str, float]:
    """Trains one model and scores it."""
    weight = 0.0 if kind == "none" else options.weight
    changes = dict(KINDS[kind])
    if "floor" in changes:
        changes["floor"] = changes["floor"] * weight
    with tempfile.TemporaryDirectory() as folder:
        part(store, count, Path(folder) / "pairs")
        started = time.monotonic()
        model_folder = run_train(
            TrainConfig(
                pairs=str(Path(folder) / "pairs"),
                out=str(Path(folder) / "run"),
                preset=options.preset,
                images=options.images,
                seed=seed,
                guidance=GuidanceConfig(weight=weight, **changes),
                validate_every=max(1, options.images // 4),
                picture_minutes=0.0,
                checkpoint_minutes=0.0,
                threads=options.threads,
            )
        )
        seconds = time.monotonic() - started
        model = load_pretrained(model_folder).model
    low, high = store.index.field.low, store.index.field.high
    scores = evaluate(model, validation, limit=options.limit, samples=options.samples, clip=(low, high))
    found = {name: estimate.value for name, estimate in scores.summary().items() if name in WANTED}
    return {
        "seconds": round(seconds, 1),
        **{k: round(v, 5) for k, v in {**found, **kept(model, validation)}.items()},
    }


WANTED = ("energy", "best_100", "spread_skill")


def kept(model, validation: PairStore) -> dict[str, float]:
    """How the codes of validation pairs keep the neighbourhoods of their features, side by side."""
    rows = np.arange(min(1_500, len(validation)))
    blocks = {name: block.rows(rows) for name, block in store_blocks(validation).items()}
    weights = {"label": NONE.label, "layout": NONE.layout, "pixels": NONE.pixels, "field_pixels": NONE.pixels}
    features = Scaling.of(blocks, weights).join(blocks)
    features = features if isinstance(features, np.ndarray) else features.toarray()
    codes = model.codes(validation.condition(rows), validation.field(rows))
    found = {}
    for side, layers in zip(("condition", "field"), codes, strict=True):
        top = layers[0].flatten(1).float().numpy()
        found |= {f"{side}_{k}": v for k, v in preservation(features, top, 15).items()}
    return found


def part(store: PairStore, count: int, folder: Path) -> None:
    """Writes the first ``count`` of evenly spread pairs with their features as a store of their own."""
    rows = np.arange(min(count, len(store))) * len(store) // min(count, len(store))
    i, names = store.index, [store.names[r] for r in rows]
    chosen = PairStore.from_arrays(
        store.condition(rows),
        store.field(rows),
        task=i.task,
        names=names,
        condition_layer=i.condition,
        field_layer=i.field,
    )
    chosen.save(folder / "train", dtype=i.dtype)
    assert store.folder is not None
    blocks = {name: b.rows(rows) for name, b in read_features(store.folder, store.names).items()}
    if blocks:
        write_features(folder / "train", blocks, names, store.folder / "features.json")


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown, a line a run."""
    names = sorted({name for row in results.values() for name in row})
    lines = ["| run | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, row in results.items():
        lines.append(f"| {key} | " + " | ".join(str(row.get(name, "")) for name in names) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
