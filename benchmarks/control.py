"""Worth of a hint: a quarter of each field is revealed, and samples of the rest are scored.

    python benchmarks/control.py --pairs DIR [--model NAME] [--photos 200] [--samples 50]

Writes ``results/control-TASK.json``. Photos are done in parts, each kept in ``--cache`` as soon as it is
scored, so an interrupted run goes on where it stopped.

Photo i reveals quarter i mod 4 of its frame. Four ways to sample the rest: without the hint; plain draws that
agree best with it (of twenty times as many), which needs no code space; the model's posterior
(``sample_given``); and the same in some doubt of the model, as photos are edited.
The same is done with fields that the model itself drew (temperature 1, unclipped), where the
truth comes from the model: what is wrong there is the inference's, not the model's.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path

import torch
from machine import describe
from torch import Tensor

from coembed.data.store.store import open_pairs
from coembed.editing.controls import MODEL_STD
from coembed.editing.loading import load_model
from coembed.models.sampling_config import SamplingConfig
from coembed.models.shaped.model import PhotoShaped
from coembed.models.steering import Hint
from coembed.numerics.random import Streams
from coembed.numerics.scoring_rules import crps, energy_score
from coembed.serialization import read_json, write_json

SEED, PART, MORE = 0, 10, 20
SCORES = ("rmse", "energy", "crps", "spread", "coverage_90", "seconds")
WAYS = ("without", "nearest draws", "hint", "hint, doubted")


def main() -> None:
    """Score part by part, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder with val/ pairs")
    parser.add_argument("--model", default=None, help="of the pairs' task; the bundled one by default")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("out/control"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    store = open_pairs(options.pairs, "val")
    task = store.index.task
    model, _ = load_model(options.model, task)
    options.cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, float]]] = {f"{of}, {way}": [] for of in ("photos", "own") for way in WAYS}
    for start in range(0, options.photos, PART):
        rows = list(range(start, min(start + PART, options.photos)))
        path = options.cache / f"{task}-{options.model or 'bundled'}-{options.samples}-{start}-{len(rows)}.json"
        if not path.is_file():
            condition = torch.as_tensor(store.condition(rows)).float()
            part = _scores(model, condition, torch.as_tensor(store.field(rows)).float(), rows, options.samples)
            write_json(path, part)
            print(f"{task}: {rows[-1] + 1} of {options.photos} photos", flush=True)
        for name, scores in read_json(path).items():
            found[name] += scores
    results = {
        "format": "coembed-control",
        "version": 1,
        "task": task,
        "model": options.model or "bundled",
        "photos": options.photos,
        "samples": options.samples,
        "revealed": 0.25,
        "machine": describe(),
        "scores": {name: _summary(scores) for name, scores in found.items()},
    }
    write_json(options.out / f"control-{task}.json", results)
    for name, scores in results["scores"].items():
        print(f"{name:22}", *(f"{k} {v['value']:.4f} ± {v['error']:.4f}" for k, v in scores.items()))


def _scores(
    model: PhotoShaped, condition: Tensor, field: Tensor, rows: list[int], n: int
) -> dict[str, list[dict[str, float]]]:
    """Scores of every photo of a part, by whose field it is and the way of sampling."""
    learned = model.with_sampling(SamplingConfig())
    learned.config = dataclasses.replace(model.config, clip=None)
    own = learned.sample(condition, 1, generator=Streams(SEED + 1, rows))[0]
    mask = torch.zeros(len(rows), 1, *field.shape[-2:])
    height, width = field.shape[-2] // 2, field.shape[-1] // 2
    for i, row in enumerate(rows):
        y, x = divmod(row % 4, 2)
        mask[i, :, y * height : (y + 1) * height, x * width : (x + 1) * width] = 1
    found: dict[str, list[dict[str, float]]] = {}
    for name, sampler, truth in (("photos", model, field), ("own", learned, own)):
        hint = Hint(truth, mask)
        for way in WAYS:
            start, streams = time.process_time(), Streams(SEED, rows)
            if way.startswith("hint"):
                doubted = dataclasses.replace(hint, model_std=MODEL_STD if way == "hint, doubted" else 0.0)
                samples = sampler.sample_given(condition, n, hint=doubted, generator=streams)
            else:
                samples = sampler.sample(condition, n if way == "without" else MORE * n, generator=streams)
            if way == "nearest draws":
                samples = _nearest(samples, hint, n)
            seconds = (time.process_time() - start) / len(rows)
            found[f"{name}, {way}"] = _rest(samples, truth, hint.covered, seconds)
    return found


def _nearest(samples: Tensor, hint: Hint, n: int) -> Tensor:
    """The n samples of each photo that agree best with what is held."""
    missed = ((samples - hint.field).square() * hint.covered).flatten(2).sum(2)
    best = missed.argsort(0)[:n]
    return samples[best, torch.arange(samples.shape[1])]


def _rest(samples: Tensor, truth: Tensor, covered: Tensor, seconds: float) -> list[dict[str, float]]:
    """Scores of the part of each field that was not revealed."""
    found = []
    for i in range(len(truth)):
        free = ~covered[i]
        sampled, wanted = samples[:, i][:, free][:, None, None, None], truth[i][free][None, None, None]
        mean, low, high = sampled.mean(0), sampled.quantile(0.05, 0), sampled.quantile(0.95, 0)
        found.append(
            {
                "rmse": (mean - wanted).square().mean().sqrt().item(),
                "energy": energy_score(sampled, wanted).item(),
                "crps": crps(sampled, wanted).item(),
                "spread": sampled.var(0).mean().sqrt().item(),
                "coverage_90": ((wanted >= low) & (wanted <= high)).float().mean().item(),
                "seconds": seconds,
            }
        )
    return found


def _summary(scores: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean over photos and its standard error; errors and spreads as root mean squares."""
    found = {}
    for name in SCORES:
        values = torch.tensor([s[name] for s in scores], dtype=torch.float64)
        if name in ("rmse", "spread"):
            value = values.square().mean().sqrt()
            error = values.square().std() / (2 * value * math.sqrt(len(values)))
        else:
            value, error = values.mean(), values.std() / math.sqrt(len(values))
        found[name] = {"value": round(value.item(), 5), "error": round(error.item(), 5)}
    return found


if __name__ == "__main__":
    main()
