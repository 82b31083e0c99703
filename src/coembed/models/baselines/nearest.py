"""Nearest neighbours: the fields of the training photos whose conditions look most alike (paper sec. 6.2)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from coembed.data.pairs import Pairs, as_pairs, check_condition, chunks, mean_of
from coembed.errors import ConfigError
from coembed.numerics.random import Streams

_SPARE = 8  # candidates beyond n that are ranked again by exact differences
_QUERIES = 256  # conditions searched together; bounds the table of distances


class NearestNeighbours:
    """Sample k is the field of the k-th nearest training condition in L2, whatever the seed.

    The search is exact: distances from matrix products in float64, the nearest ranked again from differences,
    equal distances by row. The pairs are read in pieces, once for every 256 conditions.

    Samples come nearest first, so they are not exchangeable: averaged over subsets, best-of-3 of 100
    neighbours is best-of-3 among the 100 nearest, not the best of the 3 nearest.

    Args:
        pairs: training pairs; read when sampling.
        mean: mean condition, flattened, float64; conditions are measured from it so that no digits cancel.
        norms: squared distance of every training condition from ``mean``, float64.
        smoothing: standard deviation in pixels of a Gaussian that smooths every field; 0 for none.
    """

    def __init__(self, pairs: Pairs, mean: Tensor, norms: Tensor, smoothing: float = 0.0):
        if not 0 <= smoothing < float("inf"):
            raise ConfigError(f"smoothing: got {smoothing} px, expected 0 or more")
        self.pairs, self.mean, self.norms, self.smoothing = pairs, mean, norms, smoothing

    @classmethod
    def fit(cls, pairs: Pairs | tuple[Tensor, Tensor], *, smoothing: float = 0.0) -> NearestNeighbours:
        """Read the conditions twice, for their mean and their norms.

        Raises:
            DataError: no pairs.
            ConfigError: a negative smoothing.
        """
        found = as_pairs(pairs)
        mean, _ = mean_of(found)
        norms = [(found.condition(rows).double().flatten(1) - mean).square().sum(1) for rows in chunks(found)]
        return cls(found, mean, torch.cat(norms), smoothing)

    def smoothed(self, smoothing: float) -> NearestNeighbours:
        """The same neighbours with another smoothing, in pixels; nothing is fitted again."""
        return NearestNeighbours(self.pairs, self.mean, self.norms, smoothing)

    def neighbours(self, condition: Tensor, n: int) -> Tensor:
        """Rows of the n nearest training pairs, nearest first, (batch, n) int64.

        Raises:
            ConfigError: n above the number of training pairs.
            DataError: conditions of another shape than those fitted on.
        """
        check_condition(condition, self.pairs)
        if not 1 <= n <= len(self.pairs):
            raise ConfigError(f"n: got {n} samples, expected 1 to {len(self.pairs)}, the training pairs")
        if not len(condition):
            return torch.zeros(0, n, dtype=torch.int64)
        return torch.cat([self._search(part, n) for part in condition.double().flatten(1).split(_QUERIES)])

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """The fields of the n nearest training conditions, nearest first, (n, batch, c, h, w).

        Raises:
            ConfigError: n above the number of training pairs.
        """
        Streams.of(generator, len(condition))  # refuses a wrong number of streams, as every sampler does
        rows = self.neighbours(condition, n).T
        return smooth(self.pairs.field(rows.flatten()).unflatten(0, rows.shape), self.smoothing)

    def _search(self, queries: Tensor, n: int) -> Tensor:
        keep = min(n + _SPARE, len(self.pairs))
        centred = queries - self.mean
        distances = queries.new_zeros(len(queries), 0)
        candidates = torch.zeros(len(queries), 0, dtype=torch.int64)
        for rows in chunks(self.pairs):
            conditions = self.pairs.condition(rows).double().flatten(1) - self.mean
            found = self.norms[rows] - 2 * centred @ conditions.T
            found, at = found.topk(min(keep, found.shape[1]), largest=False)
            distances = torch.cat([distances, found], 1)
            candidates = torch.cat([candidates, at + rows.start], 1)
            distances, order = distances.topk(min(keep, distances.shape[1]), largest=False)
            candidates = candidates.gather(1, order)
        return torch.stack([self._rank(q, c)[:n] for q, c in zip(queries, candidates, strict=True)])

    def _rank(self, query: Tensor, candidates: Tensor) -> Tensor:
        candidates = candidates.sort().values
        differences = self.pairs.condition(candidates).double().flatten(1) - query
        return candidates[differences.square().sum(1).argsort(stable=True)]


def smooth(fields: Tensor, pixels: float) -> Tensor:
    """Gaussian smoothing of (..., h, w) with mirrored borders, as ``scipy.ndimage.gaussian_filter`` does it."""
    if pixels == 0:
        return fields
    rows, columns = (_smoothing_matrix(size, pixels).to(fields) for size in fields.shape[-2:])
    return rows @ fields @ columns.T


def _smoothing_matrix(size: int, pixels: float) -> Tensor:
    return torch.from_numpy(gaussian_filter1d(np.eye(size), pixels, axis=0, mode="reflect"))
