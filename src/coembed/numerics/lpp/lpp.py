r"""Locality preserving projections (He & Niyogi 2003; paper sec. 4.1): a linear map, neighbours stay close.

With rows F, the graph W of neighbours, D = diag(sum_j W_ij) and L = D - W, the directions a solve
``F^T L F a = lambda F^T D F a`` for the smallest lambda. Solved here as ``F^T W F a = (1 - lambda) F^T D F a``
for the largest, after taking off the D-weighted mean, which removes the trivial constant direction exactly.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.linalg
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from coembed.errors import ConfigError, DataError
from coembed.numerics.lpp.gram import chunks, column_means, principal_components
from coembed.numerics.lpp.graph import heat_graph
from coembed.numerics.lpp.neighbors import nearest_neighbors


class LocalityPreservingProjection(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""A linear map to few dimensions in which neighbours stay close; for scikit-learn's pipelines.

    Memory beside the data: a d x d Gram matrix in float64, n x ``pca_components`` numbers, the graph, and
    ``memory_mb`` for everything that is taken a chunk at a time. Same data, same result.

    Args:
        n_components: dimensions wanted; fewer, with a warning, where the data have fewer.
        n_neighbors: edges from every row to its nearest others; the graph joins rows that either names.
        bandwidth: t of the heat kernel exp(-|f_i - f_j|^2 / t), in the features' squared units; ``median``: the
            median squared distance to a neighbour; ``local``: from each row's own surroundings.
        pca_components: principal components in which neighbours are found and the eigenproblem is solved;
            None for all. Bounds memory and time, and keeps the solution from fitting noise.
        ridge: added to F^T D F, in units of its mean diagonal.
        clip: rows are held to this many standard deviations in every dimension when transformed, or not at all.
            A few outliers alone can fill a direction.
        neighbors: ``exact``, ``faiss`` (extra ``[scale]``) or ``auto``: exact up to 200,000 rows.
        memory_mb: for chunks, in MB.

    Attributes:
        components_: (n_components_, d) the map, rows by rising lambda; scaled so that the projected rows have
            D-weighted variance 1 and no D-weighted correlation; the largest entry of each is positive.
        mean_: (d,) the D-weighted mean of the rows.
        eigenvalues_: (n_components_,) lambda in [0, 2]: 0 for a direction in which all neighbours agree.
        bandwidth_: t as used.
        explained_variance_ratio_: share of the variance that the principal components hold.
        n_components_: dimensions found.
        n_features_in_: d.

    >>> rows = np.random.default_rng(0).normal(size=(200, 6))
    >>> LocalityPreservingProjection(n_components=3).fit_transform(rows).shape
    (200, 3)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        n_neighbors: int = 15,
        bandwidth: float | str = "median",
        pca_components: int | None = 256,
        ridge: float = 0.0,
        clip: float | None = None,
        neighbors: str = "auto",
        memory_mb: float = 512,
    ):
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.bandwidth = bandwidth
        self.pca_components = pca_components
        self.ridge = ridge
        self.clip = clip
        self.neighbors = neighbors
        self.memory_mb = memory_mb

    def fit(self, X: Any, y: Any = None, *, groups: Any = None) -> LocalityPreservingProjection:
        """Find the map.

        Args:
            X: (n, d) rows, float32 or float64 (others are converted), dense, memory-mapped or sparse; read a
                chunk at a time and never copied whole.
            y: not used.
            groups: (n,) labels; rows of one group (frames of a clip, crops of a photo) are never neighbours.

        Returns:
            Itself.

        Raises:
            InvalidOption: an option outside its range.
            InvalidRows: no two rows differ, groups of another length, or all rows in one group.
        """
        del y
        self._check_options()
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_min_samples=2)
        count, size = X.shape
        codes = _group_codes(groups, count)
        mean = column_means(X, self.memory_mb)
        limit = size if self.pca_components is None else self.pca_components
        basis, variances, share = principal_components(X, mean, limit, self.memory_mb)
        if not len(variances):
            raise InvalidRows(f"X: all {count} rows are the same, expected at least two that differ")
        points = _project(X, mean, basis.T, self.memory_mb)
        neighbors, squared = nearest_neighbors(
            points, self.n_neighbors, groups=codes, memory_mb=self.memory_mb, method=self.neighbors
        )
        graph, bandwidth = heat_graph(neighbors, squared, self.bandwidth)
        if graph.nnz == 0:
            raise InvalidRows("the graph has no edge: all rows are of one group, or bandwidth is far too small")
        scale = 1 / np.sqrt(variances)  # whitened, so that F^T D F is well conditioned whatever the features
        centre, values, vectors = _solve(points, graph, scale, self.n_components, self.ridge, self.memory_mb)
        if len(values) < self.n_components:
            warnings.warn(
                f"n_components is {self.n_components}, but the rows span only {len(values)} dimensions",
                UserWarning,
                stacklevel=2,
            )
        components = (basis * scale) @ vectors
        signs = np.sign(components[np.abs(components).argmax(0), np.arange(components.shape[1])])
        self.components_ = np.ascontiguousarray((components * signs).T.astype(X.dtype))
        self.mean_ = (mean + basis @ centre).astype(X.dtype)
        self.eigenvalues_ = 1 - values
        self.bandwidth_ = bandwidth
        self.explained_variance_ratio_ = share
        self.n_components_ = len(values)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows in the few dimensions, (n, n_components_), in D-weighted standard deviations.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: rows of another width.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        out = _project(X, self.mean_, self.components_, self.memory_mb)
        return out if self.clip is None else np.clip(out, -self.clip, self.clip)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_options(self) -> None:
        for name in ("n_components", "n_neighbors", "pca_components"):
            value = getattr(self, name)
            if name == "pca_components" and value is None:
                continue
            if not isinstance(value, Integral) or value < 1:
                raise InvalidOption(f"{name}: got {value!r}, expected a whole number of at least 1")
        for name, low in (("ridge", 0), ("clip", 0), ("memory_mb", 1)):
            value = getattr(self, name)
            if name == "clip" and value is None:
                continue
            if not isinstance(value, Real) or not float(value) >= low:
                raise InvalidOption(f"{name}: got {value!r}, expected a number of at least {low}")


class InvalidOption(ConfigError, ValueError):
    """An option of an estimator outside its range; a ValueError too, as scikit-learn expects."""


class InvalidRows(DataError, ValueError):
    """Rows from which nothing can be learned; a ValueError too, as scikit-learn expects."""


def _group_codes(groups: Any, count: int) -> np.ndarray | None:
    if groups is None:
        return None
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    if len(codes) != count:
        raise InvalidRows(f"groups: got {len(codes)} labels, expected one per row: {count}")
    return codes


def _project(x: Any, mean: np.ndarray, rows: np.ndarray, memory_mb: float) -> np.ndarray:
    """``(x - mean) rows^T``, (n, r) in the dtype of x; centred first, which rounding needs."""
    rows, mean = np.ascontiguousarray(rows.T, dtype=x.dtype), mean.astype(x.dtype)
    out = np.empty((x.shape[0], rows.shape[1]), dtype=x.dtype)
    for where, part in chunks(x, memory_mb):
        out[where] = (part - mean) @ rows
    return out


def _solve(
    points: np.ndarray,
    graph: sparse.csr_array,
    scale: np.ndarray,
    n_components: int,
    ridge: float,
    memory_mb: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The D-weighted mean (r,), the largest 1 - lambda, falling, and their directions (r, k), scaled.

    ``affinity`` is F^T W F and ``degree`` F^T D F, each over the sum of all weights.
    """
    count, size = points.shape
    weights = np.asarray(graph.sum(1)).ravel()
    total = weights.sum()
    centre = np.zeros(size)
    for rows, block in chunks(points, memory_mb):
        centre += weights[rows] @ block.astype(np.float64)
    centre /= total
    centred = ((points - centre.astype(points.dtype)) * scale.astype(points.dtype)).astype(points.dtype)
    affinity, degree = np.zeros((size, size)), np.zeros((size, size))
    step = max(1, int(memory_mb * 1e6 / 4 / (32 * size)))
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        block = centred[rows].astype(np.float64)
        affinity += block.T @ (graph[rows] @ centred)
        degree += (block * weights[rows, None]).T @ block
    affinity = (affinity + affinity.T) / (2 * total)
    degree = (degree + degree.T) / (2 * total)
    degree[np.diag_indices(size)] += (ridge + 1e-12) * np.trace(degree) / size
    # Rows without an edge have no say: what only they span has no weight, and is no direction.
    n_components = min(n_components, size)
    values, vectors = scipy.linalg.eigh(affinity, degree, subset_by_index=(size - n_components, size - 1))
    return centre, values[::-1], vectors[:, ::-1]
