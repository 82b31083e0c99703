"""Principal components of many rows in bounded memory: dense or sparse, read a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
from scipy import sparse
from scipy.sparse.linalg import eigsh

Rows = Any
"""(n, d) float32 or float64, a numpy array or a sparse one in rows; scipy says too little of these."""

_DENSE_SOLVE = 1500  # features up to which all eigenvectors are found, beyond it only the leading ones
_DUAL_ROWS = 4000  # fewer rows than features, and than this: the Gram matrix of the rows is the smaller one


def chunks(x: Rows, memory_mb: float) -> Iterator[tuple[slice, np.ndarray]]:
    """Dense rows (b, d) in order, with the slice they come from; a chunk takes a quarter of the memory."""
    step = max(1, int(memory_mb * 1e6 / 4 / (x.dtype.itemsize * max(1, x.shape[1]))))
    for start in range(0, x.shape[0], step):
        rows = slice(start, min(start + step, x.shape[0]))
        part = x[rows]
        yield rows, (part.toarray() if sparse.issparse(part) else np.asarray(part))


def column_means(x: Rows, memory_mb: float) -> np.ndarray:
    """The mean of every column, (d,) float64, summed in float64."""
    total = np.zeros(x.shape[1])
    for _, part in chunks(x, memory_mb):
        total += part.sum(0, dtype=np.float64)
    return total / x.shape[0]


def principal_components(
    x: Rows, mean: np.ndarray, limit: int, memory_mb: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Leading principal components, without those that rounding cannot tell from none.

    Products of float32 rows are float32 within a chunk, after the mean is taken off, and are summed over chunks
    in float64, so that the error does not grow with the number of rows.

    Args:
        x: (n, d) float32 or float64.
        mean: (d,) of the rows.
        limit: most components.
        memory_mb: for a chunk and its copy; the Gram matrix comes on top.

    Returns:
        Orthonormal directions (d, r), variances (r,) falling, and the share of the total variance they hold.
    """
    count, size = x.shape
    if count < size and count <= _DUAL_ROWS:
        return _dual(x, mean, limit, memory_mb)
    gram = np.zeros((size, size), order="F")
    product = np.zeros((size, size), dtype=x.dtype, order="F")
    multiply: Any = scipy.linalg.get_blas_funcs("syrk", dtype=x.dtype)
    for _, part in chunks(x, memory_mb):
        centred = np.subtract(part, mean.astype(x.dtype), order="C")
        # The upper triangle alone, which halves the work.
        product = multiply(1.0, centred.T, beta=0.0, c=product, overwrite_c=True)
        gram += product
    del product
    total = float(np.trace(gram))
    limit = min(limit, size, count - 1) if count > 1 else 0
    if limit == 0 or total == 0:
        return np.zeros((size, 0)), np.zeros(0), 0.0
    if size <= _DENSE_SOLVE or limit > size // 4:
        values, vectors = scipy.linalg.eigh(gram, lower=False, subset_by_index=(size - limit, size - 1))
    else:
        gram += np.triu(gram, 1).T
        start = np.random.default_rng(0).standard_normal(size)
        values, vectors = eigsh(gram, k=limit, which="LA", v0=start, tol=1e-9, ncv=min(size, 2 * limit + 20))  # pyright: ignore[reportArgumentType]
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
    return _kept(values[::-1], vectors[:, ::-1], total, x)


def _dual(x: Rows, mean: np.ndarray, limit: int, memory_mb: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The same from the n x n Gram matrix: d x d would have rank n - 1 at most."""
    count = x.shape[0]
    dense = np.concatenate([part - mean.astype(x.dtype) for _, part in chunks(x, memory_mb)])
    gram = dense.astype(np.float64) @ dense.T.astype(np.float64)
    total = float(np.trace(gram))
    limit = min(limit, count - 1)
    if limit < 1 or total == 0:
        return np.zeros((x.shape[1], 0)), np.zeros(0), 0.0
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(count - limit, count - 1))
    rows, variances, share = _kept(values[::-1], vectors[:, ::-1], total, x)
    directions = np.linalg.qr(dense.T.astype(np.float64) @ rows)[0]
    return directions, variances, share


def _kept(
    values: np.ndarray, vectors: np.ndarray, total: float, x: Rows
) -> tuple[np.ndarray, np.ndarray, float]:
    floor = values[0] * 10 * max(x.shape) ** 0.5 * np.finfo(x.dtype).eps
    kept = values > floor
    return np.ascontiguousarray(vectors[:, kept]), values[kept] / x.shape[0], float(values[kept].sum() / total)
