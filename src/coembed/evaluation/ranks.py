r"""Ranks of a whole field among its samples, and histograms of ranks in bins that suit any number of samples.

Fields are ordered by a number (a pre-rank) that treats truth and samples alike; if they are exchangeable, the
truth's rank is uniform. As in ``calibration``, the truth is given the cell of the unit interval that its rank
and its ties allow, which is what breaking ties at random gives on average.

* average rank: are values too high or too low, or, like the paper's variance, spread too little?
* band depth: is the truth as central among the samples as they are among each other? It sees wrong spread and
  wrong correlations alike [Thorarinsdottir, Scheuerer, Heinz 2016].
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from coembed.evaluation.reliability import cells
from coembed.evaluation.results import BINS
from coembed.numerics.scoring_rules import check_samples

PRE_RANKS = ("average_rank", "band_depth")


def rank_bins(samples: Tensor, truth: Tensor, bins: int = BINS) -> Tensor:
    """The rank histogram over the pixels of each example, in equal bins of the unit interval.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).
        bins: how many; the number of samples need not fit, cells are shared between bins.

    Returns:
        (batch, bins) fractions that sum to 1; flat on average if calibrated.
    """
    low, high = cells(samples, truth)
    return binned(low.flatten(1), high.flatten(1), bins).float()


def multivariate_ranks(samples: Tensor, truth: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The cell of the unit interval in which the whole field's rank lies, for both pre-ranks.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).

    Returns:
        ``average_rank`` and ``band_depth``, each ``(low, high)`` of (batch,) within [0, 1].
    """
    count = check_samples(samples, truth)
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in PRE_RANKS}
    for i in range(len(truth)):
        everyone = torch.cat([truth[i : i + 1], samples[:, i]]).flatten(1)
        below, not_above = _below_and_not_above(everyone.T.contiguous())
        above = count + 1 - not_above
        scores = {
            # Twice the mid-ranks, in whole numbers: ties stay ties.
            "average_rank": (below + not_above).sum(0),
            # Pairs of members that enclose a value, itself included: all pairs less those on one side of it.
            "band_depth": -(below * (below - 1) + above * (above - 1)).sum(0),
        }
        for name, score in scores.items():
            smaller, equal = (score < score[0]).sum(), (score == score[0]).sum()
            found[name].append((smaller / (count + 1), (smaller + equal) / (count + 1)))
    cells_of = {name: tuple(map(torch.stack, zip(*pairs, strict=True))) for name, pairs in found.items()}
    return cells_of  # type: ignore[return-value]


def _below_and_not_above(values: Tensor) -> tuple[Tensor, Tensor]:
    """Counts of a row's members below each, and of those not above it; values (rows, members)."""
    members = values.shape[1]
    order = _order(values)
    ordered = values.gather(1, order)
    place = torch.arange(members, device=values.device).expand_as(order)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if bool(new.all()):  # no ties: a member's place is its rank
        below = torch.empty_like(order).scatter_(1, order, place)
        return below, below + 1
    first = torch.where(new, place, 0).cummax(1).values
    last = torch.ones_like(new)
    last[:, :-1] = new[:, 1:]
    end = torch.where(last, place, members).flip(1).cummin(1).values.flip(1)
    below = torch.empty_like(order).scatter_(1, order, first)
    return below, torch.empty_like(order).scatter_(1, order, end + 1)


def _order(values: Tensor) -> Tensor:
    """Places of every row's members in rising order; on a CPU by numpy, which is six times as fast here."""
    if values.device.type != "cpu":
        return values.argsort(dim=1)
    return torch.from_numpy(np.argsort(values.numpy(), axis=1))


def binned(low: Tensor, high: Tensor, bins: int = BINS) -> Tensor:
    """Share of the cells [low, high] (..., count) that falls in each equal bin of [0, 1]: (..., bins)."""
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=low.device)
    low, width = low.double(), (high - low).double()
    shares = [
        ((low + width).clamp(max=right) - low.clamp(min=left)).clamp(min=0) / width
        for left, right in itertools.pairwise(edges)
    ]
    return torch.stack([share.mean(-1) for share in shares], -1)
