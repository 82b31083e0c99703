"""The heat-kernel graph of neighbours (paper sec. 4.1, after He & Niyogi 2003)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from coembed.errors import ConfigError


def heat_graph(
    neighbors: np.ndarray, squared: np.ndarray, bandwidth: float | str
) -> tuple[sparse.csr_array, float]:
    r"""The symmetric weights ``W_ij = exp(-|f_i - f_j|^2 / t)`` on edges to neighbours, either way.

    Args:
        neighbors: (n, k) row numbers, -1 for none.
        squared: (n, k) squared distances.
        bandwidth: t itself; ``median``: the median squared distance to a neighbour; ``local``: t = s_i s_j,
            s_i the distance to the farthest of i's neighbours (Zelnik-Manor & Perona 2004), for uneven density.

    Returns:
        W (n, n) without a diagonal, and t (with ``local`` the median of s_i^2).

    Raises:
        ConfigError: a bandwidth that is neither of these words nor a positive number.
    """
    count, k = neighbors.shape
    there = neighbors >= 0
    positive = squared[there & (squared > 0)]
    if isinstance(bandwidth, str):
        if bandwidth not in ("median", "local"):
            raise ConfigError(f"bandwidth: got {bandwidth!r}, expected median, local or a positive number")
        # All neighbours at distance 0 (duplicates): every edge weighs 1, whatever t is.
        scale = float(np.median(squared[there])) if there.any() else 1.0
        scale = scale or (float(np.median(positive)) if len(positive) else 1.0)
    elif not bandwidth > 0:
        raise ConfigError(f"bandwidth: got {bandwidth}, expected median, local or a positive number")
    else:
        scale = float(bandwidth)
    t: np.ndarray | float = scale
    if bandwidth == "local":
        reach = np.sqrt(np.where(there, squared, 0.0).max(1))
        reach = np.maximum(reach, np.sqrt(positive.min()) if len(positive) else 1.0)
        t = reach[:, None] * reach[np.maximum(neighbors, 0)]
        scale = float(np.median(reach**2))
    with np.errstate(under="ignore"):
        weights = np.exp(-np.where(there, squared, np.inf) / t)
    rows = np.repeat(np.arange(count), k)
    flat = there.ravel() & (weights.ravel() > 0)
    graph = sparse.csr_array(
        (weights.ravel()[flat], (rows[flat], neighbors.ravel()[flat])), shape=(count, count)
    )
    return graph.maximum(graph.T).tocsr(), scale
