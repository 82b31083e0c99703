"""A few fields out of a larger draw: those that stand for the most others, or those farthest apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OUTLIER_NEIGHBOURS = 5  # a draw with so many others nearby is no outlier
KEPT_SHARE = 0.9  # of the draws to choose from: those in the sparsest places are dropped
MAX_ROUNDS = 100  # k-medoids settles in a handful; this only bounds the loop


@dataclass(frozen=True)
class Representatives:
    """Draws that were chosen, most common kind first.

    Args:
        draws: which were chosen.
        weights: share of all draws that each stands for; they sum to 1.
    """

    draws: tuple[int, ...]
    weights: tuple[float, ...]


def representatives(distances: np.ndarray, n: int, least: float = 0.0) -> Representatives:
    """Choose n draws by k-medoids; the same distances give the same choice.

    The start is greedy (each new medoid lowers the summed distance most), then medoids and clusters are
    improved in turn until they settle. One that is closer than ``least`` to one that stands for more draws
    gives way to the likely draw that is farthest from those chosen.

    Args:
        distances: (draws, draws), symmetric, 0 on the diagonal.
        n: 1 to the number of draws.
        least: distance that any two of the chosen should have; they are closer only where the draws do not
            allow it.

    >>> representatives(distances_between(np.array([[0.0], [0.1], [0.2], [9.0]])), 2)
    Representatives(draws=(1, 3), weights=(0.75, 0.25))
    """
    _check(distances, n)
    medoids = _greedy(distances, n)
    for _ in range(MAX_ROUNDS):
        improved = _central(distances, _nearest(distances, medoids), medoids)
        if improved == medoids:
            break
        medoids = improved
    chosen = _by_share(distances, medoids)
    if least > 0:
        chosen = _by_share(distances, _spaced(distances, chosen.draws, least))
    return chosen


def farthest_points(distances: np.ndarray, n: int, kept: float = KEPT_SHARE) -> Representatives:
    """Choose n draws that are far from each other: farthest-point sampling, from the medoid outwards.

    Each draw chosen is the one farthest from all chosen before, so the least distance between two of them is
    at least half of the most that any n could have [Gonzalez 1985]. Far corners are where a model's accidents
    are, too: first the draws whose fifth-nearest neighbour is farthest are dropped, which are the least likely.

    Args:
        distances: (draws, draws), symmetric, 0 on the diagonal.
        n: 1 to the number of draws.
        kept: share of the draws to choose from, in (0, 1]; n are always kept.

    Returns:
        The medoid of what was kept first, then the farthest from it, and so on; weights are the shares of all
        draws that are nearest to each.

    >>> farthest_points(distances_between(np.array([[0.0], [0.1], [0.2], [3.0], [9.0]])), 2, kept=1.0)
    Representatives(draws=(2, 4), weights=(0.8, 0.2))
    """
    _check(distances, n)
    likely = _likely(distances, max(n, round(kept * len(distances))))
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
    return Representatives(tuple(rows), tuple(float(c) / len(distances) for c in counts))


def distances_between(fields: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, n) between n fields of any shape; in double precision, exactly 0 on the
    diagonal."""
    points = fields.reshape(len(fields), -1).astype(np.float64)
    points = points - points.mean(axis=0)
    norms = (points**2).sum(axis=1)
    squared = norms[:, None] + norms[None] - 2 * points @ points.T
    np.fill_diagonal(squared, 0)
    return np.sqrt(np.maximum(squared, 0))


def _check(distances: np.ndarray, n: int) -> None:
    if not 1 <= n <= len(distances):
        raise ValueError(f"n is {n}, expected 1 to {len(distances)}, the number of draws")


def _by_share(distances: np.ndarray, medoids: list[int]) -> Representatives:
    """The draws with their shares, the largest first."""
    counts = np.bincount(_nearest(distances, medoids), minlength=len(medoids))
    order = sorted(range(len(medoids)), key=lambda j: (-counts[j], medoids[j]))
    shares = tuple(float(counts[j]) / len(distances) for j in order)
    return Representatives(tuple(medoids[j] for j in order), shares)


def _likely(distances: np.ndarray, count: int) -> np.ndarray:
    """Draws without those in the sparsest places, in order."""
    nearby = np.sort(distances, axis=1)[:, min(OUTLIER_NEIGHBOURS, len(distances) - 1)]
    return np.sort(np.argsort(nearby, kind="stable")[:count])


def _spaced(distances: np.ndarray, medoids: tuple[int, ...], least: float) -> list[int]:
    """The draws, those too close to one before them replaced by the likely draw farthest from all others."""
    chosen = [medoids[0]]
    likely = _likely(distances, max(len(medoids), round(KEPT_SHARE * len(distances))))
    for medoid in medoids[1:]:
        if distances[medoid, chosen].min() < least:
            room = distances[likely][:, chosen].min(axis=1)
            room[np.isin(likely, chosen)] = -1
            farthest = int(likely[room.argmax()])
            if room.max() > distances[medoid, chosen].min():
                medoid = farthest
        chosen.append(medoid)
    return chosen


def _greedy(distances: np.ndarray, n: int) -> list[int]:
    medoids: list[int] = []
    nearest = np.full(len(distances), np.inf)
    for _ in range(n):
        costs = np.minimum(nearest[None], distances).sum(axis=1)
        costs[medoids] = np.inf
        medoids.append(int(costs.argmin()))
        nearest = np.minimum(nearest, distances[medoids[-1]])
    return medoids


def _nearest(distances: np.ndarray, medoids: list[int]) -> np.ndarray:
    labels = distances[medoids].argmin(axis=0)
    labels[medoids] = np.arange(len(medoids))  # equal fields must not empty a cluster
    return labels


def _central(distances: np.ndarray, labels: np.ndarray, medoids: list[int]) -> list[int]:
    found = []
    for j, medoid in enumerate(medoids):
        members = np.flatnonzero(labels == j)
        costs = distances[np.ix_(members, members)].sum(axis=1)
        best = int(members[costs.argmin()])
        # Only a real gain moves a medoid, or rounding could make two of them swap for ever.
        kept = costs[members == medoid][0]
        found.append(best if costs.min() < kept * (1 - 1e-9) else medoid)
    return found
