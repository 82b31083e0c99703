"""Neighbourhoods in latent space against those in features: what is similar shall be close."""

from __future__ import annotations

import numpy as np

from coembed.errors import DataError


def preservation(features: np.ndarray, codes: np.ndarray, k: int = 15) -> dict[str, float]:
    """Neighbourhoods of features held against those of codes, on at most a few thousand rows.

    Returns:
        ``trustworthiness``: 1 less what is close in code without being so in features; ``continuity``: 1 less
        what is close in features without being so in code, both by ranks in [0, 1] (Venna & Kaski 2001);
        ``collapse``: of the tenth of all pairs of rows that are farthest apart in features, the share among the
        closest tenth in code. 0.1 where codes know nothing of features, 0 where nothing collapses.

    Raises:
        DataError: other numbers of rows, or not more than 2 k of them.
    """
    n = len(features)
    if len(codes) != n or n <= 2 * k:
        raise DataError(
            f"features and codes: got {n} and {len(codes)} rows, expected as many, more than {2 * k}"
        )
    far, near = _squared(features), _squared(codes)
    rank_features, rank_codes = _ranks(far), _ranks(near)
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    intruders = (rank_codes <= k) & (rank_features > k)
    missing = (rank_features <= k) & (rank_codes > k)
    upper = np.triu_indices(n, 1)
    apart, close = far[upper], near[upper]
    farthest = apart >= np.quantile(apart, 0.9)
    return {
        "trustworthiness": float(1 - scale * (rank_features[intruders] - k).sum()),
        "continuity": float(1 - scale * (rank_codes[missing] - k).sum()),
        "collapse": float((close[farthest] <= np.quantile(close, 0.1)).mean()),
    }


def _squared(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(0)
    lengths = (x * x).sum(1)
    squared = np.maximum(lengths[:, None] + lengths - 2 * x @ x.T, 0)
    np.fill_diagonal(squared, -1)  # a row is its own nearest, whatever its duplicates
    return squared


def _ranks(squared: np.ndarray) -> np.ndarray:
    """The rank of every other row by distance, 1 for the nearest; 0 for a row itself, which counts nowhere."""
    order = np.argsort(squared, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(len(order)), order.shape), 1)
    return ranks
