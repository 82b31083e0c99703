"""Exact nearest neighbours in bounded memory, kept out of a row's own group; faiss for more rows than that."""

from __future__ import annotations

import numpy as np

from coembed.errors import ConfigError

MAX_EXACT_ROWS = 200_000  # beyond this the exact search, which is quadratic, would take hours
_SLACK = 8  # further candidates, which the exact distances may put in front of those float32 took
_BUCKET = 64


def nearest_neighbors(
    points: np.ndarray,
    k: int,
    *,
    groups: np.ndarray | None = None,
    memory_mb: float = 512,
    method: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of every row, nearest first; equal distances go to the lower row number.

    Args:
        points: (n, d), float32 or float64.
        k: neighbours per row.
        groups: (n,) whole numbers; rows of one group are never neighbours. By default a row is its own group.
        memory_mb: that the search may hold at a time, in MB, beside points and result.
        method: ``exact`` compares all rows; ``faiss`` searches an inverted index (extra ``[scale]``) and may
            miss a few neighbours; ``auto`` is exact up to 200,000 rows.

    Returns:
        Row numbers (n, k), int64, -1 where a row has fewer neighbours; squared distances (n, k), float64, inf
        there.

    Raises:
        ConfigError: an unknown method, or faiss is needed and not installed.
    """
    if method not in ("auto", "exact", "faiss"):
        raise ConfigError(f"neighbors: got {method!r}, expected auto, exact or faiss")
    count = len(points)
    groups = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    if method == "faiss" or (method == "auto" and count > MAX_EXACT_ROWS):
        candidates = _faiss_candidates(points, k + _SLACK, groups)
    else:
        candidates = _exact_candidates(points, k + _SLACK, groups, memory_mb)
    return _rank(points, candidates, k, memory_mb)


def _exact_candidates(points: np.ndarray, k: int, groups: np.ndarray, memory_mb: float) -> np.ndarray:
    """Row numbers (n, k'), k' >= k where there are that many rows, -1 for none; in no order.

    Columns are dealt into buckets. The k nearest lie in the k buckets with the smallest minima: a bucket beyond
    those has k rows before its own best. So all but one pass over the scores is over minima only.
    """
    count = len(points)
    order = np.argsort(groups, kind="stable")  # a group is then one slice
    sorted_groups = groups[order]
    first = np.searchsorted(sorted_groups, sorted_groups, "left")
    last = np.searchsorted(sorted_groups, sorted_groups, "right")
    buckets = -(-count // _BUCKET)
    width = buckets * min(_BUCKET, count)
    kept = min(k, buckets)
    # One product gives |b|^2 - 2ab, which is |a - b|^2 less |a|^2, the same for a whole row.
    left = np.ones((count, points.shape[1] + 1), dtype=np.float32)
    right = np.zeros((width, points.shape[1] + 1), dtype=np.float32)
    right[:count, :-1] = points[order]
    right[:count, -1] = np.einsum("ij,ij->i", right[:count], right[:count])
    right[count:, -1] = np.inf
    left[:, :-1] = -2 * right[:count, :-1]
    rows = int(np.clip(memory_mb * 1e6 / (4 * (width + 3 * buckets + 5 * kept * _BUCKET)), 1, count))
    scores = np.empty((rows, width), dtype=np.float32)
    found = np.full((count, min(k, width)), -1, dtype=np.int64)
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        block = scores[: stop - start]
        np.matmul(left[start:stop], right.T, out=block)
        for i in range(start, stop):
            block[i - start, first[i] : last[i]] = np.inf
        columns, values = _smallest(block, buckets, kept, found.shape[1])
        found[order[start:stop]] = np.where(np.isfinite(values), order[np.minimum(columns, count - 1)], -1)
    return found


def _smallest(block: np.ndarray, buckets: int, kept: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k smallest scores per row, in no order; bucket b holds b, b + buckets, ..."""
    dealt = block.reshape(len(block), -1, buckets)
    best = np.argpartition(dealt.min(1), kept - 1, axis=1)[:, :kept]
    columns = (best[:, None, :] + buckets * np.arange(dealt.shape[1])[:, None]).reshape(len(block), -1)
    values = np.take_along_axis(block, columns, 1)
    if k < values.shape[1]:
        chosen = np.argpartition(values, k - 1, axis=1)[:, :k]
        columns, values = np.take_along_axis(columns, chosen, 1), np.take_along_axis(values, chosen, 1)
    return columns, values


def _faiss_candidates(points: np.ndarray, k: int, groups: np.ndarray) -> np.ndarray:
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError(
            f"neighbors: {len(points)} rows need faiss: pip install 'coembed[scale]', or ask for 'exact'"
        ) from None
    data = np.ascontiguousarray(points, dtype=np.float32)
    cells = int(np.clip(4 * np.sqrt(len(data)), 1, len(data) // 39 or 1))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(data.shape[1]), data.shape[1], cells)
    index.cp.seed = 0
    index.train(data)
    index.add(data)
    index.nprobe = min(32, cells)
    # A row's own group may fill the front places, so look as much further as the largest group is.
    found = index.search(data, min(len(data), k + min(int(np.bincount(groups).max()), 256)))[1]
    found[(found >= 0) & (groups[found] == groups[:, None])] = -1
    return found


def _rank(
    points: np.ndarray, candidates: np.ndarray, k: int, memory_mb: float
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the candidates by distances taken exactly: differences first, in float64."""
    count, width = candidates.shape
    neighbors = np.full((count, k), -1, dtype=np.int64)
    distances = np.full((count, k), np.inf)
    rows = max(1, int(memory_mb * 1e6 / (20 * width * points.shape[1])))
    for start in range(0, count, rows):
        block = np.sort(candidates[start : start + rows], axis=1)
        here = points[start : start + rows].astype(np.float64)
        difference = points[block] - here[:, None]
        squared = np.einsum("ijk,ijk->ij", difference, difference)
        squared[block < 0] = np.inf
        nearest = np.argsort(squared, axis=1, kind="stable")[:, :k]
        chosen = np.take_along_axis(squared, nearest, 1)
        distances[start : start + rows, : chosen.shape[1]] = chosen
        numbers = np.take_along_axis(block, nearest, 1)
        neighbors[start : start + rows, : chosen.shape[1]] = np.where(np.isfinite(chosen), numbers, -1)
    return neighbors, distances
