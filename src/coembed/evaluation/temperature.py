"""Temperatures at which a model's samples score best, and whether their spread is right.

A model trained by its likelihood is as sure of new photos as it is of those it learned from, and its decoder
leaves out pixel noise. One factor a layer mends either without another step of training [as temperature scaling
does for classifiers, Guo et al. 2017]. It is fitted by a proper score: best-of-n alone would ask for another
spread, and coverage alone would be content with noise. Where the score is flat, sharpness and spread decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from coembed.data.names import groups_of
from coembed.data.pairs import Subset
from coembed.data.store.store import PairStore
from coembed.errors import DataError
from coembed.evaluation.metrics import sharpness
from coembed.evaluation.reliability import spread_and_skill
from coembed.evaluation.results import SCALES
from coembed.numerics.random import Streams
from coembed.numerics.scoring_rules import multiscale_energy_score

HIGHEST = 2.0
_STEPS = (0.2, 0.1, 0.05)
_BATCH = 32


def fit_temperatures(score: Callable[[tuple[float, ...]], float], start: Sequence[float]) -> tuple[float, ...]:
    """The temperatures of least score near ``start``: one layer after the other, by steps of 0.2, 0.1 and 0.05.

    A temperature stays within 0 and 2. The score must be the same for the same temperatures; each is asked for
    once.
    """
    known: dict[tuple[float, ...], float] = {}

    def of(temperatures: tuple[float, ...]) -> float:
        if temperatures not in known:
            known[temperatures] = score(temperatures)
        return known[temperatures]

    best = tuple(round(float(t), 4) for t in start)
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            for layer in range(len(best)):
                for change in (step, -step):
                    value = round(best[layer] + change, 4)
                    tried = (*best[:layer], value, *best[layer + 1 :])
                    while 0 <= value <= HIGHEST and of(tried) < of(best):
                        best, moved = tried, True
                        value = round(value + change, 4)
                        tried = (*best[:layer], value, *best[layer + 1 :])
    return best


@dataclass(frozen=True)
class Judged:
    """Scores of samples at some temperatures.

    Attributes:
        energy: mean fair energy score over the scales, natural units.
        sharpness: gradient energy of samples over that of real fields.
        spread_skill: spread over skill.
    """

    energy: float
    sharpness: float
    spread_skill: float

    def cost(self, tolerance: float) -> float:
        """The energy score, and as many percent more as sharpness and spread are wrong: what is fitted.

        ``energy (1 + tolerance (m(sharpness) + m(spread_skill)))`` with ``m(r) = min(|log r|, 1)``. The score
        hardly sees the noise of fine layers: where it is flat it would take fields that are too smooth or too
        rough. What decides there is worth ``tolerance`` of the score each, at most.
        """
        marks = (self.sharpness, self.spread_skill)
        wrong = sum(min(abs(math.log(max(mark, 1e-3))), 1.0) for mark in marks)
        return self.energy * (1 + tolerance * wrong)


@torch.no_grad()
def judge(model: Any, temperatures: tuple[float, ...], pairs: Subset, *, samples: int, seed: int) -> Judged:
    """Judge a model at these temperatures, with the same noise for all of them."""
    tempered, energy = model.with_sampling(temperatures=temperatures), 0.0
    marks = torch.zeros(4, dtype=torch.float64)  # gradient energy of samples and truth, spread and skill
    for rows in torch.arange(len(pairs)).split(_BATCH):
        condition, truth = pairs.condition(rows), pairs.field(rows)
        sampled = tempered.sample(condition, samples, generator=Streams(seed, rows.tolist()))
        scales = [s for s in SCALES if s <= min(truth.shape[-2:])]
        scores = multiscale_energy_score(sampled, truth, scales)
        energy += sum(float(score.double().sum()) for score in scores.values()) / len(scales)
        parts = (*sharpness(sampled, truth), *spread_and_skill(sampled, truth))
        marks += torch.stack([part.double().sum() for part in parts])
    drawn_gradient, true_gradient, spread, skill = (max(float(mark), 1e-12) for mark in marks)
    return Judged(energy / len(pairs), drawn_gradient / true_gradient, math.sqrt(spread / skill))


def halves(store: PairStore, limit: int) -> tuple[Subset, Subset]:
    """The last ``limit`` pairs, the scenes by turns in one part and in the other.

    Raises:
        DataError: fewer than two scenes.
    """
    first = max(0, len(store) - limit)
    groups = torch.tensor(groups_of(store.names[first:]))
    if int(groups.max() if len(groups) else 0) < 1:
        raise DataError(f"{store.folder}: got fewer than 2 scenes, expected one to fit on and one to judge by")
    rows = torch.arange(first, len(store))
    return Subset(store, rows[groups % 2 == 0]), Subset(store, rows[groups % 2 == 1])
