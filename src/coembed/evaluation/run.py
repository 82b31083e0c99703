"""``coembed evaluate``: a model, and if wanted the simple samplers, on pairs; a table and a JSON file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from coembed.baselines.simple import NEAREST, fit_simple
from coembed.data.progress import Progress
from coembed.data.shards import open_pairs
from coembed.errors import ConfigError, DataError
from coembed.evaluation.compact import write_compact_json
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.options import EvaluateConfig
from coembed.evaluation.report import Evaluation, difference, ratio, summaries
from coembed.evaluation.table import rich_table
from coembed.sampling import Sampler


def run_evaluate(config: EvaluateConfig) -> list[Evaluation]:
    """Scores the model (first) and the simple samplers, prints the table and writes the JSON file.

    The training pairs are read for the simple samplers only.

    Raises:
        ModelError: no such model.
        DataError: no such pairs, or a single store where ``baselines`` needs a training split.
        ConfigError: a JSON file whose folder is missing, or more samples than there are nearest neighbours.
    """
    if config.json is not None and not Path(config.json).absolute().parent.is_dir():
        raise ConfigError(f"json: {config.json} lies in a folder that does not exist")
    if config.threads:
        torch.set_num_threads(config.threads)
    store = open_pairs(config.pairs, config.split)
    if config.baselines and (store.folder is None or store.folder == Path(config.pairs)):
        raise DataError(f"{config.pairs}: is one store; --baselines needs a folder that holds train/ and val/")
    clip = (store.index.field.low, store.index.field.high) if config.clip else None
    evaluations = []
    for name, sampler in _samplers(config):
        with Progress(name, min(config.limit, len(store)), unit="photos") as progress:
            found = evaluate(
                sampler,
                store,
                name=name,
                limit=config.limit,
                samples=config.samples,
                seed=config.seed,
                clip=clip,
                progress=progress.advance,
            )
        evaluations.append(found)
    _print(evaluations, config.baselines)
    if config.json is not None:
        data = {
            "format": "coembed-evaluations",
            "version": 1,
            "task": store.index.task,
            "split": config.split,
            "samplers": summaries(evaluations, NEAREST if config.baselines else None),
            "photos": evaluations[0].names,
            "per_photo": {e.name: e.values for e in evaluations},
        }
        write_compact_json(config.json, data)
    return evaluations


def _samplers(config: EvaluateConfig) -> Iterator[tuple[str, Sampler]]:
    from coembed.hub import from_pretrained

    yield Path(config.run).name or config.run, from_pretrained(config.run)
    if config.baselines:
        yield from fit_simple(open_pairs(config.pairs, "train"))


def _print(evaluations: list[Evaluation], baselines: bool) -> None:
    # A log has no width of its own; the table needs about this much.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(rich_table(evaluations))
    reference = next((e for e in evaluations if e.name == NEAREST), None)
    if not baselines or reference is None or evaluations[0].samples < 2:
        return
    model = evaluations[0]
    against, apart = ratio(model, reference, "energy"), difference(model, reference, "energy")
    error = "" if apart.error is None else f" ± {apart.error:.3f}"
    paired = f"energy score x {against.value:.3f} ({apart.value:+.3f}{error}, paired)"
    console.print(f"{model.name} against {NEAREST}: {paired}")
