"""A sampler against a known truth: are all modes found, as often as they should be, and how exactly?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.errors import ConfigError
from coembed.evaluation.likelihood import estimate, has_density, likelihood
from coembed.evaluation.results import Estimate
from coembed.evaluation.synthetic.worlds import Modes, World
from coembed.models.base import Sampler
from coembed.numerics.random import Streams

ON_MODE = 2.5  # a part is on a mode if its error is within so many times the truth's own
_PROJECTIONS = 64
_TRUTH_SEED = 1 << 32  # fresh truths are not those that a sampler with the same seed would draw


@dataclass(frozen=True)
class WorldScores:
    """Scores of one sampler in one world; those of the truth's own sampler say what is possible.

    Attributes:
        name: of the sampler.
        world: its name.
        conditions: how many were drawn for.
        samples: a condition.
        seed: of every draw.
        seconds: of sampling.
        scores: ``mode_recall``: share of a part's modes that some sample is on; ``mode_mass``: sum over modes
            of the smaller of true probability and share of samples on it (blur, lost modes and chance hits all
            lower it); ``on_mode``: share of the parts of samples that are on some mode; ``frequency_kl``: KL
            (nats) of the true probabilities of the modes from the samples' frequencies, by nearest mode;
            ``mode_rmse``: root mean squared error to the nearest mode's mean, over the truth's own;
            ``energy_distance`` and ``sliced_wasserstein`` of a condition's samples to as many fresh truths, a
            value; ``conditional_kl``: nats per field by which the model's density (or its bound) falls short of
            the true one, where it has one.
    """

    name: str
    world: str
    conditions: int
    samples: int
    seed: int
    seconds: float
    scores: dict[str, Estimate]


def score_world(
    sampler: Sampler,
    world: World,
    *,
    name: str = "sampler",
    conditions: int = 200,
    samples: int = 100,
    seed: int = 0,
    particles: int = 100,
    batch: int = 20,
    progress: Callable[[int], object] | None = None,
) -> WorldScores:
    """Score a sampler on new conditions of a world.

    Args:
        sampler: what draws; if it has a density, that is compared with the true one.
        world: the truth.
        name: of the sampler.
        conditions: how many; drawn from ``seed`` with numbers that no training set uses.
        samples: a condition, at least 2.
        seed: of conditions, truths and samples.
        particles: of the bound on the likelihood.
        batch: conditions at a time.
        progress: called with the number of conditions done since its last call.

    Raises:
        ConfigError: fewer than 2 samples, or fewer than 1 condition or particle.
    """
    for option, value, least in (("conditions", conditions, 1), ("samples", samples, 2), ("batch", batch, 1)):
        if value < least:
            raise ConfigError(f"{option}: got {value}, expected {least} or more")
    condition, field = world.pairs(conditions, seed=_TRUTH_SEED + seed)
    columns: dict[str, list[Tensor]] = {}
    seconds = 0.0
    for start in range(0, conditions, batch):
        rows = range(start, min(start + batch, conditions))
        part = condition[rows.start : rows.stop]
        begun = time.perf_counter()
        with torch.no_grad():
            sampled = sampler.sample(part, samples, generator=Streams(seed, rows))
        seconds += time.perf_counter() - begun
        truth = world.sample(part, samples, generator=Streams(_TRUTH_SEED + seed + 1, rows))
        found = mode_scores(world, part, sampled)
        found["energy_distance"] = energy_distance(sampled, truth)
        found["sliced_wasserstein"] = sliced_wasserstein(sampled, truth, seed=seed)
        for key, values in found.items():
            columns.setdefault(key, []).append(values)
        if progress is not None:
            progress(len(rows))
    scores = {key: estimate(torch.cat(parts).double()) for key, parts in columns.items()}
    if has_density(sampler):
        nats = likelihood(
            sampler, (condition, field), name=name, particles=particles, seed=seed, limit=conditions
        )
        exact = world.log_prob(condition, field)
        scores["conditional_kl"] = estimate(torch.tensor(nats.bound, dtype=torch.float64) + exact)
    return WorldScores(name, world.name, conditions, samples, seed, round(seconds, 3), scores)


def mode_scores(world: World, condition: Tensor, sampled: Tensor) -> dict[str, Tensor]:
    """``mode_recall``, ``mode_mass``, ``on_mode``, ``frequency_kl`` and ``mode_rmse``, (batch,) each.

    Parts that have one mode only (the ground of the sprites) and modes of no probability do not count.

    Args:
        world: the truth.
        condition: (batch, c, h, w).
        drawn: (n, batch, c, h, w).
    """
    nearest, least, judged = nearest_modes(world, condition, sampled)
    modes = world.modes(condition)
    possible = modes.weights > 0
    own = math.sqrt(world.sigma**2 + world.tau**2)
    on = least <= ON_MODE * own
    shape = (*nearest.shape, possible.shape[-1])
    hit = torch.zeros(shape, dtype=torch.bool).scatter_(-1, nearest[..., None], on[..., None]) & possible
    recall = hit.any(0).sum(-1) / possible.sum(-1)
    mass = torch.minimum(hit.float().mean(0), modes.weights).sum(-1)
    frequency = torch.zeros_like(modes.weights)
    for row in nearest:
        frequency.scatter_add_(-1, row[..., None], torch.ones_like(frequency[..., :1]))
    # Half a count for every possible mode: a mode never drawn costs much, not infinitely much.
    frequency = (frequency + 0.5) / (len(sampled) + 0.5 * possible.sum(-1, keepdim=True))
    kl = torch.where(possible, modes.weights * (modes.weights / frequency).clamp(min=1e-30).log(), 0.0).sum(-1)
    share = judged / judged.sum(-1, keepdim=True).clamp(min=1)
    return {
        "mode_recall": (recall * share).sum(-1),
        "mode_mass": (mass * share).sum(-1),
        "on_mode": (on.float().mean(0) * share).sum(-1),
        "frequency_kl": (kl * share).sum(-1),
        "mode_rmse": (least.square().mean(0) * share).sum(-1).sqrt() / own,
    }


def nearest_modes(world: World, condition: Tensor, sampled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mode that every part of every sample (n, batch, c, h, w) is nearest to, among those it may take.

    Returns:
        ``nearest`` (n, batch, parts) int64; ``error``, its root mean squared distance, like it; ``judged``
        (batch, parts): parts that are there and have a choice.
    """
    modes = world.modes(condition)
    error, counts = _errors(world, modes, sampled)
    possible = modes.weights > 0
    least, nearest = error.masked_fill(~possible, math.inf).min(-1)
    return nearest, least, (possible.sum(-1) > 1) & (counts > 0)


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """Unbiased energy distance of two sets of fields (n, batch, c, h, w), root mean square norm: (batch,).

    2 E|X - Y| - E|X - X'| - E|Y - Y'|, 0 on average (and of either sign) if both have one distribution.
    """
    found, size = [], math.sqrt(one[0, 0].numel())
    for i in range(one.shape[1]):
        x, y = one[:, i].flatten(1).double(), other[:, i].flatten(1).double()
        found.append((2 * torch.cdist(x, y).mean() - torch.pdist(x).mean() - torch.pdist(y).mean()) / size)
    return torch.stack(found).float()


def sliced_wasserstein(one: Tensor, other: Tensor, *, seed: int = 0) -> Tensor:
    """Mean distance W1 of two sets of fields (n, batch, c, h, w) along 64 random directions: (batch,).

    Directions are of unit root mean square, so a constant shift of every value by d is no further than d apart.
    Two sets of the same distribution are not at 0: compare with truth against truth.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(one[0, 0].numel(), _PROJECTIONS, generator=generator)
    directions = directions / directions.norm(dim=0)
    projected = [(fields.flatten(2) @ directions).sort(dim=0).values for fields in (one, other)]
    return (projected[0] - projected[1]).abs().mean((0, 2))


def _errors(world: World, modes: Modes, sampled: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean squared error of every part of every sample to every mode, and the pixels of the parts."""
    errors, counts = [], torch.empty(0)
    for fields in sampled:
        squared, _, counts = world.part_sums(fields[:, None] - modes.means, modes)
        channels = squared.shape[-1]
        errors.append((squared.sum(-1) / (counts.clamp(min=1) * channels)[..., None]).clamp(min=0).sqrt())
    return torch.stack(errors), counts
