"""Scores of one sampler, photo by photo; their means with standard errors; two samplers compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coembed.errors import ConfigError
from coembed.serialization import from_dict, read_json, to_dict, write_compact_json

BEST_OF = (3, 10, 30, 60, 100)
SCALES = (1, 2, 4, 8)
LEVELS = (0.5, 0.8, 0.9)
BINS = 10  # of rank histograms
STRUCTURE = ("global", "smooth", "rough")  # places of a spread's energy
BANDS = tuple(2**k for k in range(1, 11))  # octaves of wavelength, by their shorter end in pixels


@dataclass(frozen=True)
class Evaluation:
    """Scores of one sampler, photo by photo.

    Attributes:
        name: the sampler's.
        conditions: how many photos were scored.
        samples: drawn for each.
        seed: of every draw.
        shape: (c, h, w) of a field.
        clip: range that samples were clipped to, or None.
        sampling_seconds: in ``sample``, over all conditions.
        scoring_seconds: in the scores.
        names: of the photos, in order.
        values: columns of one value per photo, in the order of ``names``: ``best_1`` (mean squared error of one
            sample), ``best_3`` ... ``best_100``; ``variance`` at the grid points; ``energy_1px`` ...
            ``energy_8px``; ``crps``; ``spread`` and ``skill``; ``coverage_50`` ...; ``gradient_samples`` and
            ``gradient_truth``; for fields that are vectors ``epe_1`` ... and ``epe_mean``. The full set adds
            ``variogram``, ``rank_0`` ..., ``average_rank_low`` and ``_high``, ``band_depth_low`` and ``_high``,
            ``power_samples_2px`` ... with ``power_truth_2px`` ..., ``nearest_samples`` and ``nearest_truth``;
            ``spread_all`` ... and ``left_all`` ... (see ``structure``), ``change_all``, ``change_common``,
            ``version_along`` and ``own_along`` (see ``change``), for vectors ``pan_samples`` ... (see
            ``moving``). Natural units.
        sets: numbers of the photos as a set, each with its standard error: ``precision``, ``density``,
            ``recall`` and ``coverage`` of (condition, field) pairs, and ``real_precision`` ... of real fields
            in their place; ``c2st``, ``c2st_other`` and ``real_c2st`` (see ``two_sample``), ``same_noise`` and
            ``same_noise_rough`` (see ``change``).
    """

    name: str
    conditions: int
    samples: int
    seed: int
    shape: tuple[int, int, int]
    clip: tuple[float, float] | None
    sampling_seconds: float
    scoring_seconds: float
    names: tuple[str, ...]
    values: dict[str, tuple[float, ...]]
    sets: dict[str, tuple[float, ...]] = field(default_factory=dict)
    format: str = "coembed-evaluation"
    version: int = 1

    def summary(self) -> dict[str, Estimate]:
        """Every number of a table that these samples allow, by name; see ``METRICS``."""
        found = {name: linearised(self, name) for name in METRICS}
        estimates = {name: _estimate(*pair) for name, pair in found.items() if pair is not None}
        return estimates | {name: Estimate(*pair) for name, pair in self.sets.items()}

    def save(self, path: Path | str) -> None:
        """Write strict JSON, which ``load`` reads: options and the values of every photo."""
        write_compact_json(path, to_dict(self))

    @classmethod
    def load(cls, path: Path | str) -> Evaluation:
        """Read what ``save`` wrote.

        Raises:
            ConfigError: missing, damaged, or of another format or version.
        """
        data = read_json(path)
        if not isinstance(data, dict) or (data.get("format"), data.get("version")) != ("coembed-evaluation", 1):
            raise ConfigError(f"{path}: expected an evaluation (format 'coembed-evaluation', version 1)")
        return from_dict(cls, data, str(path))


@dataclass(frozen=True)
class Estimate:
    """A number over photos and its standard error (None for a single photo)."""

    value: float
    error: float | None


def difference(one: Evaluation, other: Evaluation, metric: str) -> Estimate:
    """``one`` minus ``other`` in a metric, with the standard error of the paired difference.

    Photos differ far more than samplers do; pairing takes that out of the error.

    Raises:
        ConfigError: evaluations of other photos, or a metric that one of them lacks.
    """
    (a, da), (b, db) = _paired(one, other, metric)
    return _estimate(a - b, da - db)


def ratio(one: Evaluation, other: Evaluation, metric: str) -> Estimate:
    """``one`` over ``other`` in a metric, with the standard error of the paired ratio (delta method).

    Raises:
        ConfigError: evaluations of other photos, a metric that one of them lacks, or a zero to divide by.
    """
    (a, da), (b, db) = _paired(one, other, metric)
    if b == 0:
        raise ConfigError(f"{metric}: is 0 for {other.name}, cannot divide by it")
    return _estimate(a / b, (da - a / b * db) / b)


Linear = tuple[float, np.ndarray]  # a number over photos and the influence of every photo on it


def linearised(evaluation: Evaluation, metric: str) -> Linear | None:
    """A metric and every photo's influence on it: the standard error is that of the influences' mean.

    None if the samples do not allow the metric (one sample; fewer than n; fields without any gradient).
    """
    try:
        return METRICS[metric](Columns(evaluation.values))
    except KeyError:
        return None


class Columns(Mapping[str, np.ndarray]):
    """Columns as float64 arrays, made (and resampled) when they are asked for: a metric reads few of them.

    Args:
        values: one tuple or array a column.
        rows: photos to take, with repeats, or None for all as they are.
    """

    def __init__(self, values: Mapping[str, Sequence[float] | np.ndarray], rows: np.ndarray | None = None):
        self._values, self._rows = values, rows

    def __getitem__(self, key: str) -> np.ndarray:
        column = np.asarray(self._values[key], dtype=np.float64)
        return column if self._rows is None else column[self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


Measure = Callable[[Columns], "Linear | None"]


def _mean(*keys: str) -> Measure:
    def of(columns: Columns) -> Linear:
        column = np.mean([columns[key] for key in keys], axis=0)
        return float(column.mean()), column - column.mean()

    return of


def _multiscale(columns: Columns) -> Linear | None:
    return _mean(*[key for key in columns if key.startswith("energy_")] or ["energy_1px"])(columns)


def _ratio_of_means(top: str, bottom: str, *, root: bool = False) -> Measure:
    def of(columns: Columns) -> Linear | None:
        above, below = columns[top], columns[bottom]
        if below.mean() == 0:
            return None
        value = float(above.mean() / below.mean())
        influence = (above - value * below) / below.mean()
        if not root:
            return value, influence
        return math.sqrt(value), influence / (2 * math.sqrt(value)) if value else 0 * influence

    return of


def _unevenness(shares: np.ndarray) -> Linear:
    """Reliability index of histograms (photos, bins): the mean one's absolute deviations from flat, summed."""
    mean = shares.mean(0)
    return float(np.abs(mean - 1 / shares.shape[1]).sum()), (shares - mean) @ np.sign(
        mean - 1 / shares.shape[1]
    )


def _pixel_ranks(columns: Columns) -> Linear | None:
    return _unevenness(np.stack([columns[f"rank_{i}"] for i in range(BINS)], 1))


def _field_ranks(name: str) -> Measure:
    def of(columns: Columns) -> Linear:
        low, high = columns[f"{name}_low"], columns[f"{name}_high"]
        edges = np.linspace(0, 1, BINS + 1)
        overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
        return _unevenness(np.maximum(overlap, 0) / (high - low)[:, None])

    return of


MEANS: dict[str, Measure] = {
    **{f"best_{n}": _mean(f"best_{n}") for n in (1, *BEST_OF)},
    "variance": _mean("variance"),
    "energy": _mean("energy_1px"),
    "multiscale_energy": _multiscale,
    "crps": _mean("crps"),
    "variogram": _mean("variogram"),
    **{f"epe_{n}": _mean(f"epe_{n}") for n in (1, *BEST_OF)},
    "epe_mean": _mean("epe_mean"),
}
"""Metrics that are means of one value per photo."""

METRICS: dict[str, Measure] = {
    **MEANS,
    "spread_skill": _ratio_of_means("spread", "skill", root=True),
    **{f"coverage_{round(100 * level)}": _mean(f"coverage_{round(100 * level)}") for level in LEVELS},
    "sharpness": _ratio_of_means("gradient_samples", "gradient_truth"),
    "reliability": _pixel_ranks,
    "average_rank": _field_ranks("average_rank"),
    "band_depth": _field_ranks("band_depth"),
    **{f"power_{b}px": _ratio_of_means(f"power_samples_{b}px", f"power_truth_{b}px") for b in BANDS},
    "novelty": _ratio_of_means("nearest_samples", "nearest_truth"),
    **{f"content_{side}": _ratio_of_means(f"spread_{side}", "spread_rough") for side in ("own", "other")},
    **{f"content_{side}_truth": _ratio_of_means(f"left_{side}", "left_rough") for side in ("own", "other")},
    **{f"structure_{part}": _ratio_of_means(f"spread_{part}", "spread_all") for part in STRUCTURE},
    **{f"structure_{part}_truth": _ratio_of_means(f"left_{part}", "left_all") for part in STRUCTURE},
    "common_change": _ratio_of_means("change_common", "change_all"),
    "own_slope": _ratio_of_means("version_along", "own_along"),
    **{f"{name}_{side}": _mean(f"{name}_{side}") for name in ("pan", "still") for side in ("samples", "truth")},
}
"""Numbers of a summary: errors and variances in squared units of the field, ``energy`` in its L2 norm,
``multiscale_energy`` the mean over fields averaged over 1, 2, 4 and 8 pixels, ``spread_skill`` and
``sharpness`` (gradient energy over that of real fields) 1 if right, coverages as fractions. ``reliability``
(ranks of pixels), ``average_rank`` and ``band_depth`` (ranks of whole fields) are reliability indices, 0 if
flat; of 1,000 calibrated photos the last two come to about 0.08. ``power_2px`` ... are ratios of power between
2 and 4 px, ...; ``novelty`` is the samples' distance to the nearest training field over the truths', near 0 for
copies. ``epe``: end-point errors, in units of the field. ``content_own``: share of the samples' rough spread
that the photo's own segments explain, ``content_other`` that another photo's do, ``..._truth`` of the truth's
residual; ``structure_global`` ... shares of the spread's energy by where it lies; ``common_change``: share of
the energy of edits that all have in common; ``own_slope``: of the edited field on the photo's own."""


def check_paired(one: Evaluation, other: Evaluation) -> None:
    """Check that two evaluations are of the same photos.

    Raises:
        ConfigError: they are not.
    """
    if one.names != other.names:
        raise ConfigError(f"{one.name} and {other.name} were scored on different photos; they do not pair")


def _paired(one: Evaluation, other: Evaluation, metric: str) -> tuple[Linear, Linear]:
    if metric not in METRICS:
        raise ConfigError(f"metric: got {metric!r}, expected one of {', '.join(METRICS)}")
    check_paired(one, other)
    found = []
    for evaluation in (one, other):
        linear = linearised(evaluation, metric)
        if linear is None:
            raise ConfigError(f"{evaluation.name}: has no {metric} (samples per photo: {evaluation.samples})")
        found.append(linear)
    return found[0], found[1]


def _estimate(value: float, influence: np.ndarray) -> Estimate:
    count = len(influence)
    return Estimate(value, float(influence.std(ddof=1)) / math.sqrt(count) if count > 1 else None)


def summaries(evaluations: Sequence[Evaluation], reference: str | None = None) -> list[dict[str, object]]:
    """Every evaluation's summary as JSON values, with paired ratios and differences to the one named."""
    base = next((e for e in evaluations if e.name == reference), None)
    found = []
    for e in evaluations:
        entry: dict[str, object] = {
            "name": e.name,
            "conditions": e.conditions,
            "samples": e.samples,
            "seed": e.seed,
            "clip": e.clip,
            "sampling_seconds": e.sampling_seconds,
            "scoring_seconds": e.scoring_seconds,
            "summary": {key: to_dict(estimate) for key, estimate in e.summary().items()},
        }
        if base is not None:
            entry["reference"] = base.name
            shared = [key for key in e.summary() if key in base.summary() and key in METRICS]
            entry["difference"] = {key: to_dict(difference(e, base, key)) for key in shared}
            positive = [key for key in shared if base.summary()[key].value != 0]
            entry["ratio"] = {key: to_dict(ratio(e, base, key)) for key in positive}
        found.append(entry)
    return found
