"""The scores beyond the usual ones: they cost twice as much again, so they are taken when asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from coembed.data.names import groups_of
from coembed.data.pairs import Pairs
from coembed.evaluation import change, manifold, moving, ranks, spectrum, structure
from coembed.evaluation.results import BINS
from coembed.evaluation.two_sample import TwoSampleTest
from coembed.evaluation.variogram import variogram_score
from coembed.models.base import Sampler

SET_LIMIT = 10_000  # photos whose pairs are compared as sets: tables of distances grow with the square
_FITTED = 2_000  # real pairs that the directions of a comparison of sets are fitted on
SAME_NOISE_PHOTOS = 200  # that draws by the same noise are compared between
_WAITING = 1_024  # fields looked up among the training fields at a time


def scores(sampled: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Columns of the full set for a batch of photos, (batch,) each.

    Args:
        drawn: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).
    """
    found: dict[str, Tensor] = {}
    if max(truth.shape[-2:]) > 1:
        found["variogram"] = variogram_score(sampled, truth)
    bins = ranks.rank_bins(sampled, truth)
    found |= {f"rank_{i}": bins[:, i] for i in range(BINS)}
    for name, (low, high) in ranks.multivariate_ranks(sampled, truth).items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    for band, (of_samples, of_truth) in spectrum.band_power(sampled, truth).items():
        found |= {f"power_samples_{band}px": of_samples, f"power_truth_{band}px": of_truth}
    return found


class FullScores:
    """Everything of the full set, gathered batch by batch.

    Args:
        sampler: what is scored.
        pairs: what it is scored on.
        count: how many of them, from the first.
        training: the pairs that the sampler was trained on, if known.
        vector: fields are displacements, in sides per second.
    """

    def __init__(
        self, sampler: Sampler, pairs: Pairs, count: int, *, training: Pairs | None = None, vector: bool = False
    ):
        self._sampler, self._pairs, self._count, self._vector = sampler, pairs, count, vector
        self._novelty = None if training is None else Novelty(training)
        self._pair_sets = PairSets(pairs, count, training)
        self._two_sample = TwoSampleTest(mirrors=not vector)
        self._scenes = groups_of(list(pairs.names[:count]))
        self._after = next_of_another(self._scenes)

    def add(
        self, rows: slice, condition: Tensor, sampled: Tensor, own: Tensor, truth: Tensor
    ) -> dict[str, Tensor]:
        """Take a batch of photos and give its columns, (batch,) each.

        Args:
            rows: of the pairs, consecutive from batch to batch.
            condition: (batch, c, h, w).
            sampled: (n, batch, c', h', w'), n >= 2.
            own: (n or 1, batch, c', h', w'), what samples are compared with in an edit.
            truth: (batch, c', h', w').
        """
        found = scores(sampled, truth)
        found |= structure.scores(sampled, truth, *self._labels(rows, condition, truth))
        found |= change.scores(sampled, own, truth)
        if self._vector:
            found |= moving.scores(sampled, truth)
        if self._novelty is not None:
            self._novelty.add(sampled, truth)
        self._pair_sets.add(condition, sampled, truth)
        self._two_sample.add(condition, sampled, truth)
        return found

    def columns(self) -> dict[str, Tensor]:
        """Columns that are known at the end."""
        return {} if self._novelty is None else self._novelty.columns()

    def sets(self) -> dict[str, tuple[float, ...]]:
        """Numbers of the photos as a set, each with its standard error."""
        found: dict[str, tuple[float, ...]] = self._pair_sets.result() | self._two_sample.result()
        first_of = {scene: row for row, scene in reversed(list(enumerate(self._scenes)))}
        photos = sorted(first_of.values())[:SAME_NOISE_PHOTOS]
        if len(photos) > 1:
            conditions = self._pairs.condition(photos)
            for key, values in change.same_noise_correlation(self._sampler, conditions).items():
                found[key] = (float(values.mean()), float(values.std()) / math.sqrt(len(photos)))
        return found

    def _labels(self, rows: slice, condition: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Segments of the photos, and for each those of the next pair of another scene, cyclically."""
        size = (truth.shape[-2], truth.shape[-1])
        own = structure.segments(condition, size)
        after = [self._after[row] for row in range(rows.start, rows.stop)]
        further = sorted({row for row in after if not rows.start <= row < rows.stop})
        known = dict(zip(range(rows.start, rows.stop), own, strict=True))
        if further:
            known |= zip(further, structure.segments(self._pairs.condition(further), size), strict=True)
        return own, torch.stack([known[row] for row in after])


def next_of_another(scenes: Sequence[int]) -> list[int]:
    """For every pair the number of the next one of another scene, cyclically; its own where there is none."""
    count = len(scenes)
    following = list(range(count))
    if len(set(scenes)) > 1:
        for row in reversed(range(2 * count)):  # twice round, for those that go on from the first again
            here, after = row % count, (row + 1) % count
            following[here] = after if scenes[after] != scenes[here] else following[after]
    return following


class Novelty:
    """Distances of samples and truths to the nearest training fields, gathered so that few passes do.

    Args:
        training: the pairs that the sampler was trained on.
    """

    def __init__(self, training: Pairs):
        self._training = training
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._done: list[tuple[Tensor, Tensor]] = []

    def add(self, sampled: Tensor, truth: Tensor) -> None:
        """Take the first sample of every photo."""
        self._waiting.append((sampled[0].clone(), truth))
        if sum(len(fields) for fields, _ in self._waiting) >= _WAITING:
            self._look_up()

    def columns(self) -> dict[str, Tensor]:
        """``nearest_samples`` and ``nearest_truth`` of all photos so far, in order."""
        self._look_up()
        of_samples, of_truth = (torch.cat(parts) for parts in zip(*self._done, strict=True))
        return {"nearest_samples": of_samples, "nearest_truth": of_truth}

    def _look_up(self) -> None:
        if not self._waiting:
            return
        fields = torch.cat([part for pair in zip(*self._waiting, strict=True) for part in pair])
        distance = manifold.nearest_distance(fields, self._training)
        self._done.append((distance[: len(distance) // 2], distance[len(distance) // 2 :]))
        self._waiting = []


class PairSets:
    """Features of real and generated pairs, 512 bytes a photo; every second photo lends its generated pair.

    Args:
        pairs: what is scored.
        count: how many of them are scored, from the first.
        training: pairs that the directions of the comparison are fitted on, if there are any.
    """

    def __init__(self, pairs: Pairs, count: int, training: Pairs | None = None):
        self._limit = min(count, SET_LIMIT)
        # Directions that were fitted to some of the pairs compared spread those out beyond the others. So they
        # are the training pairs' own; else of the reference half, and few, for real and generated pairs of the
        # other half are then both new to them.
        store, last, step = (pairs, self._limit, 2) if training is None else (training, len(training), 1)
        fitted = min(last, _FITTED)
        rows = torch.arange(fitted) * last // max(fitted, 1) // step * step  # evenly spread
        directions = max(2, min(manifold.DIRECTIONS, len(rows.unique()) // 16))
        self._features = None
        if count > 1 and fitted > 1:
            self._features = manifold.PairFeatures.fit(store.condition(rows), store.field(rows), directions)
        self._real: list[Tensor] = []
        self._drawn: list[Tensor] = []
        self._seen = 0

    def add(self, condition: Tensor, sampled: Tensor, truth: Tensor) -> None:
        """Take the first sample of every photo."""
        take = max(0, min(len(truth), self._limit - self._seen))
        self._seen += len(truth)
        if take and self._features is not None:
            self._real.append(self._features(condition[:take], truth[:take]))
            self._drawn.append(self._features(condition[:take], sampled[0, :take]))

    def result(self, neighbours: int = manifold.NEIGHBOURS) -> dict[str, tuple[float, ...]]:
        """Every measure's mean and standard error, and those of real pairs; empty for fewer than 12 photos."""
        if not self._real or min(self._seen, self._limit) < 2 * (neighbours + 1):
            return {}
        real, sampled = torch.cat(self._real), torch.cat(self._drawn)
        found: dict[str, tuple[float, ...]] = {}
        for prefix, judged in (("", sampled), ("real_", real)):
            for key, values in manifold.prdc(real[::2], judged[1::2], neighbours).items():
                error = float(values.std()) / math.sqrt(len(values))
                found[prefix + key] = (float(values.mean()), error)
        return found
