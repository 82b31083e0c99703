"""Confidence intervals by resampling photos, of one sampler and of two on the same photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from coembed.errors import ConfigError
from coembed.evaluation.results import MEANS, METRICS, Columns, Evaluation, check_paired, linearised

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A number over photos and the range that resampling them gives it.

    Attributes:
        value: on the photos as they are.
        low: lower end of the interval.
        high: upper end of the interval.
        level: nominal coverage of the interval.
    """

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Comparison:
    """Two samplers on the same photos.

    Attributes:
        metric: what was compared.
        difference: the first minus the second.
        better: share of resamplings in which the first has the lower value: 0.5 if nothing tells them apart.
        wins: share of single photos on which the first is lower (ties count half), or None where the metric is
            no mean over photos.
    """

    metric: str
    difference: Interval
    better: float
    wins: float | None


def interval(
    evaluation: Evaluation, metric: str, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Percentile bootstrap over photos.

    Raises:
        ConfigError: a metric the evaluation lacks, a level outside (0, 1), or no draws.
    """
    measure = _measure(evaluation, metric)
    value = measure(None)
    return _interval(value, [measure(rows) for rows in _rows(evaluation.conditions, draws, seed)], level)


def compare(
    one: Evaluation, other: Evaluation, metric: str, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Comparison:
    """``one`` against ``other``: the same photos are drawn for both, so that what they share cancels.

    Raises:
        ConfigError: evaluations of other photos, a metric that one lacks, a level outside (0, 1), or no draws.
    """
    check_paired(one, other)
    first, second = _measure(one, metric), _measure(other, metric)
    value = first(None) - second(None)
    sampled = [first(rows) - second(rows) for rows in _rows(one.conditions, draws, seed)]
    better = float(np.mean([(d < 0) + 0.5 * (d == 0) for d in sampled]))
    return Comparison(metric, _interval(value, sampled, level), better, _wins(one, other, metric))


def _measure(evaluation: Evaluation, metric: str) -> Callable[[np.ndarray | None], float]:
    if metric not in METRICS:
        raise ConfigError(f"metric: got {metric!r}, expected one of {', '.join(METRICS)}")
    columns = {key: np.asarray(column, np.float64) for key, column in evaluation.values.items()}

    def measure(rows: np.ndarray | None) -> float:
        try:
            found = METRICS[metric](Columns(columns, rows))
        except KeyError:
            found = None
        if found is None:
            raise ConfigError(f"{evaluation.name}: has no {metric} (samples per photo: {evaluation.samples})")
        return found[0]

    return measure


def _rows(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    if draws < 1:
        raise ConfigError(f"draws: got {draws}, expected 1 or more")
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        yield generator.integers(0, count, count)


def _interval(value: float, sampled: list[float], level: float) -> Interval:
    if not 0 < level < 1:
        raise ConfigError(f"level: got {level}, expected a number between 0 and 1")
    low, high = np.quantile(sampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def _wins(one: Evaluation, other: Evaluation, metric: str) -> float | None:
    if metric not in MEANS:
        return None
    pair = [linearised(evaluation, metric) for evaluation in (one, other)]
    # The influence on a mean is the photo's value less the mean.
    first, second = (found[0] + found[1] for found in pair if found is not None)
    return float(np.mean((first < second) + 0.5 * (first == second)))
