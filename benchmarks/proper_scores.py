"""Training by a proper score of samples: variants side by side, after the same CPU time.

    python benchmarks/proper_scores.py --model RUN/model --pairs DIR --seconds 60

Each variant goes on from the same weights for so many seconds of this process's CPU time, with one thing
changed at a time, and is scored on the same validation photos with the same noise. "plain" is the bound alone:
what the score costs in pairs seen is thereby counted. A variant is kept in ``--work`` as soon as it is done, so
that an interrupted run goes on where it stopped; ``results/proper-scores-NAME.md`` is written anew after each.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from coembed.data.store.store import PairStore, open_pairs
from coembed.evaluation.bootstrap import compare
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import Evaluation
from coembed.models.files import save_pretrained
from coembed.models.pretrained import load_pretrained
from coembed.numerics.random import named_generator
from coembed.serialization import write_bytes
from coembed.training.batches import Batches
from coembed.training.config import ScoreConfig, TrainConfig
from coembed.training.ema import Ema
from coembed.training.step import make_optimizer, train_step

RESULTS = Path(__file__).parent / "results"
SCORE = ScoreConfig(fraction=1.0, weight=4.0)
# Name: options of the score (None: no score), learning rate, and changes of the model's config.
VARIANTS: dict[str, tuple[ScoreConfig | None, float, dict[str, Any]]] = {
    "plain": (None, 3e-4, {}),
    "score": (SCORE, 3e-4, {}),
    "weight 1": (dataclasses.replace(SCORE, weight=1.0), 3e-4, {}),
    "weight 16": (dataclasses.replace(SCORE, weight=16.0), 3e-4, {}),
    "score alone": (dataclasses.replace(SCORE, likelihood=0.0), 3e-4, {}),
    "8 samples, a quarter": (dataclasses.replace(SCORE, samples=8, share=0.25), 3e-4, {}),
    "2 samples, all": (dataclasses.replace(SCORE, samples=2, share=1.0), 3e-4, {}),
    "1 px alone": (dataclasses.replace(SCORE, pools=(1,)), 3e-4, {}),
    "plain, faster": (None, 1e-3, {}),
    "score, faster": (SCORE, 1e-3, {}),
    "temperatures 1": (SCORE, 3e-4, {"temperatures": ()}),
    "plain, temperatures 1": (None, 3e-4, {"temperatures": ()}),
}
SHOWN = ("energy", "multiscale_energy", "crps", "best_10", "spread_skill", "coverage_90", "sharpness")
COMPARED = ("energy", "multiscale_energy", "crps", "best_10")


def main() -> None:
    """Tune and score every variant that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--name", default="resaturation")
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU a variant, scoring aside")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--limit", type=int, default=500, help="validation photos")
    parser.add_argument("--samples", type=int, default=24, help="samples per photo, at least 10")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    options.work.mkdir(parents=True, exist_ok=True)
    store, validation = open_pairs(options.pairs, "train"), open_pairs(options.pairs, "val")
    found: dict[str, Evaluation] = {}
    losses: dict[str, str] = {}
    for name in ["start", *options.only]:
        file = options.work / f"{name.replace(' ', '-').replace(',', '')}.json"
        said = file.with_suffix(".txt")
        if not file.exists():
            model, task = (loaded := load_pretrained(options.model)).model, loaded.task
            text = "" if name == "start" else tune(model, store, options, *VARIANTS[name])
            write_bytes(said, text.encode())
            save_pretrained(model, file.with_suffix(""), task=task, card=None)
            clip = (store.index.field.low, store.index.field.high)
            evaluate(
                model.eval(), validation, name=name, limit=options.limit, samples=options.samples, clip=clip
            ).save(file)
        found[name], losses[name] = Evaluation.load(file), said.read_text()
        text = table(found, losses)
        write_bytes(RESULTS / f"proper-scores-{options.name}.md", text.encode())
        print(f"{name}: {losses[name]}", flush=True)
    print(text)


def tune(
    model: Any,
    store: PairStore,
    options: argparse.Namespace,
    scores: ScoreConfig | None,
    rate: float,
    changes: dict[str, Any],
) -> str:
    """Train on for ``options.seconds`` of CPU, up to the running mean; say the speed and the losses."""
    model = model.with_sampling(**changes)
    model.train()
    config = TrainConfig(options.pairs, "unused", batch_size=options.batch, learning_rate=rate)
    vectors = store.index.condition.vector, store.index.field.vector
    batches = Batches(store, options.batch, 1, torch.device("cpu"), vectors)
    optimizer, ema = make_optimizer(model, config), Ema(model, 20_000)
    noise, flips = named_generator(1, "noise"), named_generator(1, "flips")
    begun, step, parts = time.process_time(), 0, {}
    while (progress := (time.process_time() - begun) / options.seconds) < 1:
        condition, field, _ = batches.get(batches.indices(step), flips)
        outcome = train_step(
            model,
            optimizer,
            condition,
            field,
            config,
            generator=noise,
            warmup=1.0,
            learning_rate=rate * min(1, 20 * progress) * 0.5 * (1.02 + math.cos(math.pi * progress)),
            scores=scores,
        )
        step += 1
        ema.update(model, options.batch, 4 * step * options.batch)
        for key in ("total", "score") if outcome.non_finite is None else ():
            if key in outcome.parts:
                old = parts.get(key, outcome.parts[key])
                parts[key] = 0.95 * old + 0.05 * outcome.parts[key]
    seconds = time.process_time() - begun
    model.load_state_dict(ema.model.state_dict())
    said = ", ".join(f"{key} {value:.4g}" for key, value in parts.items())
    return f"{step * options.batch} pairs at {step * options.batch / seconds:.0f} a second; {said}"


def table(found: dict[str, Evaluation], losses: dict[str, str]) -> str:
    """Markdown: every variant's numbers, and its paired differences from "plain" with 95% intervals."""
    first = next(iter(found.values()))
    lines = [
        f"{first.conditions} photos, {first.samples} samples each; of the first four less is better.\n",
        "| variant | " + " | ".join(SHOWN) + " | training |",
        "|---" * (len(SHOWN) + 2) + "|",
    ]
    for name, one in found.items():
        summary = one.summary()
        numbers = [f"{summary[key].value:.4g}" if key in summary else "" for key in SHOWN]
        lines.append(f"| {name} | {' | '.join(numbers)} | {losses[name]} |")
    if "plain" in found:
        lines += ["\nLess plain, paired, 95%:\n", "| variant | " + " | ".join(COMPARED) + " |"]
        lines.append("|---" * (len(COMPARED) + 1) + "|")
        for name, one in found.items():
            if name == "plain":
                continue
            apart = [compare(one, found["plain"], key).difference for key in COMPARED]
            cells = [f"{d.value:+.3g} ({d.low:+.3g} to {d.high:+.3g})" for d in apart]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
