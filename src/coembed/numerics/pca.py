"""Principal components: exact, randomised, and a layer as a short vector and back, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from coembed.errors import ConfigError

_RANK = 256  # components kept of a layer too large to use whole
_OVERSAMPLE = 16
_ITERATIONS = 2


class Subspace:
    """A layer as code and back: all of it, centred, or its leading principal components.

    Attributes:
        mean: (dim,) float64.
        basis: (dim, rank) orthonormal columns, float32; None if the code is the centred layer itself.
        outside: mean variance per dimension outside the subspace; 0 if nothing is outside.
    """

    def __init__(self, mean: Tensor, basis: Tensor | None, outside: float):
        self.mean, self.basis, self.outside = mean, basis, outside

    @property
    def dim(self) -> int:
        """Values of the layer."""
        return len(self.mean)

    @property
    def rank(self) -> int:
        """Values of the code."""
        return self.dim if self.basis is None else self.basis.shape[1]

    @classmethod
    def fit(
        cls,
        blocks: Callable[[], Iterable[Tensor]],
        mean: Tensor,
        *,
        count: int,
        full: int,
        rank: int | None,
    ) -> Subspace:
        """The whole layer if it has at most ``full`` values and no rank is asked for, else components.

        Two rounds of subspace iteration from a fixed start [Halko, Martinsson and Tropp 2011], each one pass;
        in memory is one matrix (dim, rank + 16).

        Args:
            blocks: called once per pass; gives the layer (batch, ...) block by block, ``count`` rows in all.
            mean: (dim,) float64, of all rows.
            count: rows.
            full: values of a layer that is used whole.
            rank: components; None for as many as suit the size.

        Raises:
            ConfigError: a rank below 1.
        """
        if rank is not None and rank < 1:
            raise ConfigError(f"rank: got {rank}, expected 1 or more")
        dim = len(mean)
        if rank is None and dim <= full:
            return cls(mean, None, 0.0)
        rank = min(rank or _RANK, dim, count - 1)
        if rank == dim:
            return cls(mean, None, 0.0)
        width = min(rank + _OVERSAMPLE, dim)
        basis = torch.randn(dim, width, generator=torch.Generator().manual_seed(0))
        for _ in range(_ITERATIONS):
            product = torch.zeros_like(basis)
            for block in blocks():
                centred = block.flatten(1) - mean.float()
                product.addmm_(centred.T, centred @ basis, alpha=1 / count)
            basis = torch.linalg.qr(product).Q
        inner, total = torch.zeros(width, width, dtype=torch.float64), 0.0
        for block in blocks():
            centred = block.flatten(1) - mean.float()
            code = (centred @ basis).double()
            inner.addmm_(code.T, code, alpha=1 / count)
            total += float(centred.square().sum(dtype=torch.float64)) / count
        values, vectors = torch.linalg.eigh(inner)
        directions = vectors.flip(1)[:, :rank].float()
        left = max(total - float(values.flip(0)[:rank].sum()), 0.0) / (dim - rank)
        return cls(mean, basis @ directions, max(left, 1e-12))

    def encode(self, flat: Tensor) -> Tensor:
        """(..., dim) to (..., rank)."""
        return self.project(flat - self.mean.to(flat.dtype))

    def project(self, centred: Tensor) -> Tensor:
        """Centred layers (..., dim) to codes (..., rank)."""
        return centred if self.basis is None else centred @ self.basis.to(centred.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """(..., rank) to (..., dim), natural units."""
        centred = code if self.basis is None else code @ self.basis.T.to(code.dtype)
        return centred + self.mean.to(code.dtype)

    def reject(self, flat: Tensor) -> Tensor:
        """The part of (..., dim) outside the subspace."""
        if self.basis is None:
            return torch.zeros_like(flat)
        return flat - (flat @ self.basis) @ self.basis.T


def principal_components(x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Variances (rank,) and directions (size, rank) of centred rows x (n, size), largest first.

    Exact up to 4,096 dimensions, randomised (with 16 extra directions and 4 power iterations) above, where
    directions that fewer rows than ``rank`` can't give are zero.
    """
    size = x.shape[1]
    if size <= 4096:
        values, vectors = torch.linalg.eigh(x.T.double() @ x.double() / len(x))
        return values.flip(0)[:rank].clamp(min=0).float(), vectors.flip(1)[:, :rank].float()
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    _, values, vectors = torch.svd_lowrank(x, q=min(rank + 16, *x.shape), niter=4)
    torch.set_rng_state(generator_state)
    short = max(0, rank - len(values))  # fewer rows than directions asked for
    variances, directions = values[:rank].square() / len(x), vectors[:, :rank]
    return F.pad(variances, (0, short)), F.pad(directions, (0, short))
