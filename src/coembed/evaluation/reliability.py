r"""Is the spread of the samples the spread of the truth? Coverage, spread against skill, rank histograms.

All of it rests on one fact: if truth and the n samples are exchangeable, the truth's rank among them is uniform
on 0 .. n. So the truth is given the cell ``[r / (n + 1), (r + 1) / (n + 1)]`` of the unit interval, where r
samples lie below it (its probability integral transform, known up to that cell). Samples equal to the truth
(fields have flat zeros) widen the cell to ``[r / (n + 1), (r + equal + 1) / (n + 1)]``, which is what breaking
ties at random gives on average. Nothing is drawn and no density is assumed, and every statement below is exact
for any n.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coembed.errors import ConfigError
from coembed.numerics.scoring_rules import check_samples


def coverage(samples: Tensor, truth: Tensor, levels: Sequence[float] = (0.5, 0.8, 0.9)) -> dict[float, Tensor]:
    """Share of truths in the central interval of the samples, averaged over pixels and channels.

    A pixel counts with the part of its cell that lies within ``[(1 - level) / 2, (1 + level) / 2]``. This
    interpolates in rank, not in value: if truth and samples are exchangeable the expectation is exactly
    ``level``, for any n and any distribution, where intervals between interpolated sample quantiles cover too
    little.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).
        levels: nominal coverages within (0, 1).

    Returns:
        For every level, (batch,) values within [0, 1].

    Raises:
        ConfigError: a level outside (0, 1).
    """
    for level in levels:
        if not 0 < level < 1:
            raise ConfigError(f"levels: got {level}, expected a number between 0 and 1")
    low, high = cells(samples, truth)
    covered = {}
    for level in levels:
        left, right = (1 - level) / 2, (1 + level) / 2
        overlap = (high.clamp(max=right) - low.clamp(min=left)).clamp(min=0)
        covered[level] = (overlap / (high - low)).flatten(1).mean(1).float()
    return covered


def spread_and_skill(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Variance of the samples and squared error of their mean, whose expectations agree if calibrated.

    Args:
        samples: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).

    Returns:
        ``(spread, skill)``, each (batch,), averaged over pixels: the unbiased variance times (n + 1) / n (the
        mean of n samples is itself uncertain), and the squared error of the mean.
    """
    count = check_samples(samples, truth)
    if count < 2:
        raise ConfigError(f"samples: got {count} a condition, expected at least 2")
    variance, mean = torch.var_mean(samples, dim=0, correction=1)
    spread = variance.flatten(1).mean(1) * (count + 1) / count
    skill = (mean - truth).square().flatten(1).mean(1)
    return spread, skill


def spread_skill(samples: Tensor, truth: Tensor) -> float:
    """sqrt(mean spread / mean skill) over all examples: 1 if calibrated, below 1 if samples vary too little."""
    spread, skill = spread_and_skill(samples, truth)
    return float((spread.double().mean() / skill.double().mean()).sqrt())


def cells(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the unit interval that every value's rank allows: ``(low, high)``, each like ``truth``."""
    below, equal = _below_and_equal(samples, truth)
    ranks = len(samples) + 1
    return below.double() / ranks, (below + equal + 1).double() / ranks


def _below_and_equal(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Counts of samples below the truth and of those equal to it, int64, each the shape of ``truth``."""
    check_samples(samples, truth)
    below = torch.zeros(truth.shape, dtype=torch.int64, device=truth.device)
    equal = torch.zeros_like(below)
    for sample in samples:
        below += sample < truth
        equal += sample == truth
    return below, equal
