"""A few fields that stand for many: k-medoids of a larger draw, so that the results shown differ visibly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MOST_ROUNDS = 100  # k-medoids settles in a handful; this only bounds the loop


@dataclass(frozen=True)
class Representatives:
    """Which draws were chosen, most common kind first.

    Args:
        rows: indices of the chosen draws.
        weights: share of all draws that each stands for; they sum to 1.
    """

    rows: tuple[int, ...]
    weights: tuple[float, ...]


def representatives(fields: np.ndarray, n: int) -> Representatives:
    """Choose n of the fields by k-medoids in Euclidean distance; the same fields give the same choice.

    The start is greedy (each new medoid lowers the summed distance most), then medoids and clusters are
    improved in turn until they settle.

    Args:
        fields: (draws, ...) float.
        n: 1 to the number of draws.

    >>> representatives(np.array([[0.0], [0.1], [0.2], [9.0]]), 2)
    Representatives(rows=(1, 3), weights=(0.75, 0.25))
    """
    if not 1 <= n <= len(fields):
        raise ValueError(f"n is {n}, expected 1 to {len(fields)}, the number of fields")
    distances = distances_between(fields.reshape(len(fields), -1))
    medoids = _greedy(distances, n)
    for _ in range(_MOST_ROUNDS):
        improved = _central(distances, _nearest(distances, medoids), medoids)
        if improved == medoids:
            break
        medoids = improved
    counts = np.bincount(_nearest(distances, medoids), minlength=n)
    order = sorted(range(n), key=lambda j: (-counts[j], medoids[j]))
    return Representatives(
        tuple(medoids[j] for j in order), tuple(float(counts[j]) / len(fields) for j in order)
    )


def distances_between(points: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, n) between rows (n, size); in double precision, exactly 0 on the diagonal."""
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    norms = (points**2).sum(axis=1)
    squared = norms[:, None] + norms[None] - 2 * points @ points.T
    np.fill_diagonal(squared, 0)
    return np.sqrt(np.maximum(squared, 0))


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
