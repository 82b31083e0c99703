"""Best of n of plain draws, of draws in few dimensions, and of fields that cover, by model and by neighbours.

    python benchmarks/cover.py RUN --pairs PAIRS [--limit 100] [--n 100]

Scores ``limit`` validation pairs spread over the first 1,000; writes ``results/cover-TASK.json`` and ``.md``.
Ratios are to the best of n neighbours smoothed by a pixel. These and a linear-Gaussian are made to cover, too,
so that a gain of covering is not taken for one of the model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `peers` and `machine` lie there

from machine import describe
from peers.rows import Whole

from coembed.cli.output.progress import Progress
from coembed.data.pairs import Subset, evenly_spaced
from coembed.data.store.store import open_pairs
from coembed.evaluation.bootstrap import compare
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import BEST_OF, Evaluation
from coembed.models.base import Sampler
from coembed.models.covering import Covering
from coembed.models.pretrained import load_pretrained
from coembed.models.registry import SIMPLE, fit_closed_form
from coembed.serialization import to_dict, write_bytes, write_json

NEIGHBOURS, GAUSSIAN = "nearest, smoothed 1 px", "linear-Gaussian"
_FROM = 1000  # pairs that the ones scored are spread over


def main() -> None:
    """Score every row and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--pairs", required=True, type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--n", type=int, choices=BEST_OF, default=100)
    parser.add_argument("--results", type=Path, default=Path(__file__).resolve().parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_pretrained(arguments.run).model
    train, val = open_pairs(arguments.pairs, "train"), open_pairs(arguments.pairs, "val")
    field, chosen = val.index.field, Subset(val, evenly_spaced(min(_FROM, len(val)), arguments.limit))
    count = len(chosen)
    simple = {}
    for name in (NEIGHBOURS, GAUSSIAN):
        preset, options = SIMPLE[name]
        simple[name] = fit_closed_form(preset, Whole(train), **options)
    rows: dict[str, Sampler] = {
        NEIGHBOURS: simple[NEIGHBOURS],
        f"{NEIGHBOURS}, covering": Covering(simple[NEIGHBOURS]),
        f"{GAUSSIAN}, covering": Covering(simple[GAUSSIAN]),
        "default": model,
        "default, covering": Covering(model),
    }
    found: dict[str, Evaluation] = {}
    for name, sampler in rows.items():
        with Progress(name, count, unit="photos") as progress:
            found[name] = evaluate(
                sampler,
                chosen,
                name=name,
                limit=count,
                samples=arguments.n,
                batch=1,
                clip=(field.low, field.high),
                progress=progress.advance,
            )
    _write(found, val.index.task, arguments)


def _write(found: dict[str, Evaluation], task: str, arguments: argparse.Namespace) -> None:
    key = f"best_{arguments.n}"
    base = found[NEIGHBOURS]
    lines, data = [], []
    for name, evaluation in found.items():
        summary = evaluation.summary()
        best, sharp = summary[key], summary["sharpness"].value
        ratio = best.value / base.summary()[key].value
        d = compare(evaluation, base, key).difference
        lines.append(
            f"| {name} | {100 * best.value:.4g} | {ratio:.3f} | {100 * d.value:+.3g} "
            f"({100 * d.low:+.3g} to {100 * d.high:+.3g}) | {sharp:.2f} | {summary['energy'].value:.4g} |\n"
        )
        data.append({"name": name, "ratio": ratio, "summary": {k: to_dict(v) for k, v in summary.items()}})
    machine = describe(threads=1)
    page = (
        f"# The best of {arguments.n}: {task}\n\n{base.conditions} validation pairs spread over the first "
        f"{_FROM}, squared error a value x 100. Ratio and difference (with its 95% interval of paired "
        "resampling) are to neighbours smoothed by a pixel. Covering fields are no draws: their energy score "
        "says what they would be as such, and sharpness (1 is real) how smooth they are.\n\n"
        "| | best | ratio | difference | sharpness | energy score |\n|---|---:|---:|---:|---:|---:|\n"
        + "".join(lines)
        + f"\nMeasured on {machine['cpu']}, one thread, torch {machine['torch']}.\n"
    )
    stem = arguments.results / f"cover-{task}"
    write_json(stem.with_suffix(".json"), {"n": arguments.n, "machine": machine, "rows": data})
    write_bytes(stem.with_suffix(".md"), page.encode())
    print(page)


if __name__ == "__main__":
    main()
