"""Scores and times one row after the other; what is done is kept, and read again if nothing has changed."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coembed.cli.output.progress import Progress
from coembed.data.pairs import Subset, evenly_spaced
from coembed.data.store.store import PairStore
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import Evaluation
from coembed.models.base import Sampler
from coembed.serialization import read_json, write_json
from peers.rows import Row, digest

METRICS_VERSION = 1  # raise it when scores or timing change: kept results are then measured again
TIMED_PHOTOS, TIMED_SAMPLES, ROUNDS = 2, 100, 3


@dataclass(frozen=True)
class Options:
    """Options of scoring rows.

    Attributes:
        limit: validation pairs, from the first.
        slow_limit: the same of a row that is limited, evenly spread over those.
        samples: drawn for each.
        slow_samples: the same of a row that is limited: scores are fair for any number, but the best of 100
            is then unknown.
        seed: of every draw.
        cache: folder where finished rows are kept.
    """

    limit: int
    slow_limit: int
    samples: int
    slow_samples: int
    seed: int
    cache: Path

    def few(self, pairs: int) -> list[int]:
        """Pairs that a limited row is scored on, of a store of so many: the first ones may be of one scene."""
        return evenly_spaced(min(self.limit, pairs), self.slow_limit).tolist()


@dataclass(frozen=True)
class Timing:
    """CPU milliseconds of one thread a field, the fastest of some rounds that alternate with the reference."""

    own: float
    reference: float | None


@dataclass(frozen=True)
class Scored:
    """A row with its scores."""

    row: Row
    evaluation: Evaluation
    timing: Timing


def score(row: Row, val: PairStore, reference: Row | None, options: Options) -> Scored:
    """Scores and times per row, or reads what an earlier call found.

    Args:
        row: what to score.
        val: pairs that no row was trained on.
        reference: timed beside it; may be the row itself.
        options: how.
    """
    field = val.index.field
    few = options.few(len(val))
    key: dict[str, Any] = {
        "metrics": METRICS_VERSION,
        "name": row.name,
        "identity": row.identity,
        "val": digest(val),
        "limit": len(few) if row.limited else min(options.limit, len(val)),
        "samples": options.slow_samples if row.limited else options.samples,
        "seed": options.seed,
    }
    if row.limited:
        key["of"] = min(options.limit, len(val))
    timing_key = {"key": key, "reference": reference.identity if reference else None}
    scores = options.cache / f"{_stem(key)}.json"
    times = options.cache / f"{_stem(timing_key)}-time.json"
    sampler = None
    if not scores.exists():
        sampler = row.build()
        options.cache.mkdir(parents=True, exist_ok=True)
        with Progress(row.name, key["limit"], unit="photos") as progress:
            found = evaluate(
                sampler,
                Subset(val, torch.tensor(few)) if row.limited else val,
                name=row.name,
                limit=key["limit"],
                samples=key["samples"],
                seed=options.seed,
                clip=(field.low, field.high),
                vector=field.vector,
                progress=progress.advance,
            )
        found.save(scores)
    if not times.exists():
        sampler = sampler or row.build()
        other = reference.build() if reference and reference is not row else None
        timing = time_beside(sampler, other, val.condition(slice(0, TIMED_PHOTOS)), key["samples"])
        write_json(
            times, {"own": timing.own, "reference": timing.reference, "seconds": row.seconds, "key": key}
        )
    kept = read_json(times)
    row.seconds = kept["seconds"]
    reference_time = kept["own"] if reference is row else kept["reference"]
    return Scored(row, Evaluation.load(scores), Timing(kept["own"], reference_time))


def time_beside(
    sampler: Sampler, reference: Sampler | None, condition: Tensor, samples: int = TIMED_SAMPLES
) -> Timing:
    """Time both in turn in one process, so that a busy machine slows both.

    Args:
        sampler: what is timed.
        reference: what is timed between its rounds, if anything.
        condition: (batch, c, h, w); what is drawn for.
        samples: fields drawn for each.
    """
    timed = [s for s in (sampler, reference) if s is not None]
    best = [float("inf")] * len(timed)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for one in timed:
            one.sample(condition[:1], 1, generator=0)
        for _ in range(ROUNDS):
            for index, one in enumerate(timed):
                begun = time.process_time()
                one.sample(condition, samples, generator=0)
                spent = (time.process_time() - begun) / (samples * len(condition))
                best[index] = min(best[index], 1000 * spent)
    finally:
        torch.set_num_threads(before)
    return Timing(best[0], best[1] if reference is not None else None)


def at(evaluation: Evaluation, rows: list[int]) -> Evaluation:
    """The scores of some photos alone; those of an evaluation of just these photos are returned as they are."""
    if len(rows) >= evaluation.conditions:
        return evaluation
    values = {key: tuple(column[i] for i in rows) for key, column in evaluation.values.items()}
    names = tuple(evaluation.names[i] for i in rows)
    return replace(evaluation, conditions=len(rows), names=names, values=values, sets={})


def _stem(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
