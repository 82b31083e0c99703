"""One sampler against the fields that were observed: every score for every photo, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, as_pairs
from coembed.errors import ConfigError, DataError
from coembed.evaluation import extended, metrics
from coembed.evaluation import reliability as calibration
from coembed.evaluation.change import sample_with_own
from coembed.evaluation.results import BEST_OF, LEVELS, SCALES, Evaluation
from coembed.models.base import Sampler
from coembed.numerics import scoring_rules
from coembed.numerics.random import Streams

_BATCH_VALUES = 16 << 20  # values of samples in memory at a time: 64 MiB in float32


def evaluate(
    sampler: Sampler,
    store: Pairs | tuple[Tensor, Tensor],
    *,
    name: str = "sampler",
    limit: int = 1000,
    samples: int = 100,
    seed: int = 0,
    batch: int | None = None,
    clip: tuple[float, float] | None = None,
    level: bool = True,
    scores: Literal["basic", "full"] = "basic",
    vector: bool = False,
    training: Pairs | tuple[Tensor, Tensor] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Draws samples for the first ``limit`` conditions and scores them against their fields.

    Photo i draws from stream (seed, i), so results depend neither on ``batch`` nor on ``limit`` (up to float32
    rounding within the sampler). With one sample there are errors alone: spread and proper scores need two.

    Args:
        sampler: what draws.
        store: pairs never seen in training.
        name: of the sampler, in tables and errors.
        limit: most pairs to score on; a smaller store is taken whole.
        samples: drawn for every condition; best-of-n is reported for n up to it.
        seed: of every draw.
        batch: conditions drawn for together; by default as many as keep their samples within 64 MiB.
        clip: (low, high) that samples are clipped to before they are scored.
        level: score fields as they are; otherwise less their means over the frame, channel by channel.
        scores: ``full`` adds the scores of ``extended`` (two samples or more); scoring then takes three times
            as long.
        vector: the two channels of a field are parts of one displacement: end-point errors are added.
        training: the pairs that the sampler was trained on; ``full`` then adds the distance to the nearest.
        progress: called with the number of conditions done since its last call.

    Returns:
        The scores of every condition, and the seconds that sampling and scoring took.

    Raises:
        ConfigError: a number out of range.
        DataError: no pairs, or samples of a wrong shape or with values that are not finite.
    """
    pairs = as_pairs(store)
    for option, value in (("limit", limit), ("samples", samples), ("batch", 1 if batch is None else batch)):
        if value < 1:
            raise ConfigError(f"{option}: got {value}, expected 1 or more")
    count = min(limit, len(pairs))
    _, channels, height, width = pairs.field(slice(0, 1)).shape
    if batch is None:
        batch = max(1, _BATCH_VALUES // (samples * channels * height * width))
    full = None
    if scores == "full" and samples > 1:
        full = extended.FullScores(
            sampler, pairs, count, training=None if training is None else as_pairs(training), vector=vector
        )
    columns: dict[str, list[Tensor]] = {}
    sampling = scoring = 0.0
    for start in range(0, count, batch):
        rows = slice(start, min(start + batch, count))
        condition, truth = pairs.condition(rows), pairs.field(rows)
        streams = Streams(seed, range(rows.start, rows.stop))
        begun = time.perf_counter()
        with torch.no_grad():
            if full is None:
                sampled, own = sampler.sample(condition, samples, generator=streams), None
            else:
                sampled, own = sample_with_own(sampler, condition, truth, samples, streams)
        drawn_at = time.perf_counter()
        _check(sampled, (samples, *truth.shape), start, name)
        sampled, truth = _as_scored(sampled, clip, level), _as_scored(truth, None, level)
        own = None if own is None else _as_scored(own, None, level)
        found = _score(sampled, truth)
        if vector:
            found |= _displacements(sampled, truth)
        if full is not None and own is not None:
            found |= full.add(rows, condition, sampled, own, truth)
        for key, values in found.items():
            columns.setdefault(key, []).append(values)
        sampling += drawn_at - begun
        scoring += time.perf_counter() - drawn_at
        if progress is not None:
            progress(len(truth))
    sets: dict[str, tuple[float, ...]] = {}
    if full is not None:
        columns |= {key: [values] for key, values in full.columns().items()}
        sets = full.sets()
    names = getattr(pairs, "names", None) or [str(i) for i in range(count)]
    return Evaluation(
        name=name,
        conditions=count,
        samples=samples,
        seed=seed,
        shape=(channels, height, width),
        clip=clip,
        sampling_seconds=round(sampling, 3),
        scoring_seconds=round(scoring, 3),
        names=tuple(names[:count]),
        values={key: tuple(_digits(torch.cat(parts))) for key, parts in columns.items()},
        sets=sets,
    )


def _as_scored(fields: Tensor, clip: tuple[float, float] | None, level: bool) -> Tensor:
    """Fields (..., h, w) within a range, and less their means over the frame without the level."""
    fields = fields if clip is None else fields.clamp(*clip)
    return fields if level else fields - fields.mean((-2, -1), keepdim=True)


def _score(sampled: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Every column of an ``Evaluation``, (batch,) each."""
    count = len(sampled)
    best = metrics.best_of_n(sampled, truth, [n for n in (1, *BEST_OF) if n <= count])
    scores = {f"best_{n}": values for n, values in best.items()}
    of_samples, of_truth = metrics.sharpness(sampled, truth)
    scores |= {"gradient_samples": of_samples, "gradient_truth": of_truth}
    if count < 2:
        return scores
    scales = [s for s in SCALES if s <= min(truth.shape[-2:])]
    energy = scoring_rules.multiscale_energy_score(sampled, truth, scales)
    scores |= {f"energy_{s}px": values for s, values in energy.items()}
    spread, skill = calibration.spread_and_skill(sampled, truth)
    covered = calibration.coverage(sampled, truth, LEVELS)
    scores |= {"variance": metrics.grid_variance(sampled), "crps": scoring_rules.crps(sampled, truth)}
    scores |= {"spread": spread, "skill": skill}
    return scores | {f"coverage_{round(100 * level)}": values for level, values in covered.items()}


def _displacements(sampled: Tensor, truth: Tensor) -> dict[str, Tensor]:
    count = len(sampled)
    best = metrics.best_end_point_error(sampled, truth, [n for n in (1, *BEST_OF) if n <= count])
    of_mean = metrics.end_point_errors(sampled.mean(0, keepdim=True), truth)[0]
    return {**{f"epe_{n}": values for n, values in best.items()}, "epe_mean": of_mean}


def _digits(column: Tensor) -> list[float]:
    """Float32 values in nine digits, all that they have: a file then holds exactly what is in memory."""
    return [float(f"{value:.9g}") for value in column.tolist()]


def _check(sampled: Tensor, wanted: tuple[int, ...], start: int, name: str) -> None:
    if sampled.shape != wanted:
        raise DataError(
            f"{name}: samples of shape {tuple(sampled.shape)}, expected {wanted} (n, batch, c, h, w)"
        )
    finite = sampled.isfinite().flatten(2).all(2)
    if not bool(finite.all()):
        sample, row = (~finite).nonzero()[0].tolist()
        raise DataError(f"{name}: sample {sample} of condition {start + row} holds values that are not finite")
