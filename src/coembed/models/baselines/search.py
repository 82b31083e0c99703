"""Exact search for the rows nearest to others."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.errors import ConfigError

_SPARE = 8  # candidates beyond n that are ranked again by exact differences
_QUERIES = 256  # searched together; bounds the table of distances
_CHUNK_VALUES = 4 << 20  # of the rows, in float64 at a time: 32 MiB


class ExactSearch:
    """The nearest rows in L2: by matrix products in float64, ranked again from differences, ties by row.

    Args:
        rows: (count, ...), of any dtype, looked through in pieces; once for every 256 queries.
    """

    def __init__(self, rows: Tensor):
        self.rows = rows.flatten(1)
        # Measured from their mean, so that no digits cancel.
        self.mean = torch.zeros(self.rows.shape[1], dtype=torch.float64)
        for part in self._chunks():
            self.mean += self._read(part).sum(0)
        self.mean /= len(rows)
        self.norms = torch.cat([(self._read(part) - self.mean).square().sum(1) for part in self._chunks()])

    def nearest(self, queries: Tensor, n: int) -> Tensor:
        """Indices of the n nearest rows, nearest first, (batch, n) int64, for queries (batch, ...).

        Raises:
            ConfigError: n above the number of rows.
        """
        if not 1 <= n <= len(self.rows):
            raise ConfigError(f"n: got {n} samples, expected 1 to {len(self.rows)}, the training pairs")
        if not len(queries):
            return torch.zeros(0, n, dtype=torch.int64)
        return torch.cat([self._search(part, n) for part in queries.double().flatten(1).split(_QUERIES)])

    def _search(self, queries: Tensor, n: int) -> Tensor:
        keep = min(n + _SPARE, len(self.rows))
        centred = queries - self.mean
        distances = queries.new_zeros(len(queries), 0)
        candidates = torch.zeros(len(queries), 0, dtype=torch.int64)
        for part in self._chunks():
            found = self.norms[part] - 2 * centred @ (self._read(part) - self.mean).T
            found, at = found.topk(min(keep, found.shape[1]), largest=False)
            distances = torch.cat([distances, found], 1)
            candidates = torch.cat([candidates, at + part.start], 1)
            distances, order = distances.topk(min(keep, distances.shape[1]), largest=False)
            candidates = candidates.gather(1, order)
        return torch.stack([self._rank(q, c)[:n] for q, c in zip(queries, candidates, strict=True)])

    def _rank(self, query: Tensor, candidates: Tensor) -> Tensor:
        candidates = candidates.sort().values
        differences = self._read(candidates) - query
        return candidates[differences.square().sum(1).argsort(stable=True)]

    def _read(self, rows: slice | Tensor) -> Tensor:
        return self.rows[rows].double()

    def _chunks(self) -> list[slice]:
        step = max(1, _CHUNK_VALUES // self.rows.shape[1])
        return [slice(start, min(start + step, len(self.rows))) for start in range(0, len(self.rows), step)]
