"""Results that are spread out: the far corners of a larger draw, not its most common kinds."""

from __future__ import annotations

import numpy as np

from coembed.editing.selection import Representatives, distances_between

_NEIGHBOURS = 5  # a draw with so many others nearby is no outlier
_KEPT = 0.9  # share of the draws to choose from: those in the sparsest places are dropped


def spread_out(fields: np.ndarray, n: int, kept: float = _KEPT) -> Representatives:
    """Choose n fields that are far from each other: farthest-point sampling, from the medoid outwards.

    Each field chosen is the one farthest from all chosen before, so the least distance between two of them is
    at least half of the most that any n could have [Gonzalez 1985]. Far corners are where a model's accidents
    are, too: first the draws whose fifth-nearest neighbour is farthest are dropped, which are the least likely.

    Args:
        fields: (draws, ...) float.
        n: 1 to the number of draws.
        kept: share of the draws to choose from, in (0, 1]; n are always kept.

    Returns:
        The medoid of what was kept first, then the farthest from it, and so on; weights are the shares of all
        draws that are nearest to each.

    >>> spread_out(np.array([[0.0], [0.1], [0.2], [3.0], [9.0]]), 2, kept=1.0)
    Representatives(rows=(2, 4), weights=(0.8, 0.2))
    """
    if not 1 <= n <= len(fields):
        raise ValueError(f"n is {n}, expected 1 to {len(fields)}, the number of fields")
    distances = distances_between(fields.reshape(len(fields), -1))
    nearby = np.sort(distances, axis=1)[:, min(_NEIGHBOURS, len(fields) - 1)]
    count = max(n, round(kept * len(fields)))
    likely = np.sort(np.argsort(nearby, kind="stable")[:count])
    inside = distances[np.ix_(likely, likely)]
    chosen = [int(inside.sum(axis=1).argmin())]
    nearest = inside[chosen[0]].copy()
    for _ in range(n - 1):
        nearest[chosen] = -1  # equal fields must not be chosen twice
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, inside[chosen[-1]])
    rows = [int(likely[j]) for j in chosen]
    labels = distances[rows].argmin(axis=0)
    labels[rows] = np.arange(n)
    counts = np.bincount(labels, minlength=n)
    return Representatives(tuple(rows), tuple(float(c) / len(fields) for c in counts))
