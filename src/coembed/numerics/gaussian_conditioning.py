r"""Conditioning a Gaussian on a noisy linear observation, y = A z + e, exactly and in the smaller dimension.

With z ~ N(m, diag d) and e ~ N(0, R), S = R + A diag(d) A^T:

    posterior mean   m + d A^T S^-1 (y - A m)
    evidence         log N(y; A m, S)
    a draw           z' = z + d A^T S^-1 (y - A z - e),  z and e drawn from the prior   (Matheron's rule)

The last moves a draw of the prior to one of the posterior, so the same noise gives the same sample, only
moved: no observation, no change. All of it is in double precision: the leading components are a thousand times
the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Observation:
    """Linear observation of one field: y = A z + e with independent noise e.

    Attributes:
        values: (m,) float64, the offset of the decoder and the conditional mean already taken off.
        noise: (m,) float64, variances of e.
        maps: A, (m, size) float64 a layer of codes, coarse to fine.
    """

    values: Tensor
    noise: Tensor
    maps: list[Tensor]

    def covariance(self, variances: list[Tensor], start: int = 0) -> CovarianceFactor:
        """The observation's covariance, diag(noise) + sum of A diag(variance) A^T over the layers from
        ``start`` on.

        Args:
            variances: (rows, size) a layer.
            start: the first layer that is not known.
        """
        return CovarianceFactor.of(self.noise, torch.cat(self.maps[start:], 1), torch.cat(variances, -1))

    def decoded(self, codes: list[Tensor]) -> Tensor:
        """A z summed over the layers, (rows, m), of codes (rows, size) each."""
        total = self.values.new_zeros(len(codes[0]), len(self.values))
        for map_, code in zip(self.maps, codes, strict=True):
            total = total + code.double() @ map_.T
        return total


@dataclass(frozen=True)
class CovarianceFactor:
    r"""S = diag(r) + B diag(v) B^T for rows of variances v, factored once.

    Where fewer codes than values are involved, by Woodbury: S^-1 = r^-1 - r^-1 B (v^-1 + B^T r^-1 B)^-1 B^T
    r^-1, written with sqrt(v) B^T r^-1 B sqrt(v) + I, which needs no reciprocal of a variance that may be 0.

    Attributes:
        noise: r, (m,), positive.
        map: B, (m, size).
        root: sqrt(v), (rows, size) float64.
        factor: Cholesky factor of each row's smaller matrix.
    """

    noise: Tensor
    map: Tensor
    root: Tensor
    factor: Tensor

    @classmethod
    def of(cls, noise: Tensor, map_: Tensor, variance: Tensor) -> CovarianceFactor:
        """Factor S of variances (rows, size)."""
        root = variance.double().sqrt()
        if _is_narrow(map_):
            inner = map_.T @ (map_ / noise[:, None])
            inner = root[:, :, None] * inner * root[:, None]
            matrix = inner + torch.eye(map_.shape[1], dtype=inner.dtype, device=inner.device)
        else:
            scaled = map_ * root[:, None]
            matrix = scaled @ scaled.mT + torch.diag(noise)
        return cls(noise, map_, root, torch.linalg.cholesky(matrix))

    def solve(self, right: Tensor) -> Tensor:
        """S^-1 right, of (rows, m)."""
        if not _is_narrow(self.map):
            return torch.cholesky_solve(right[..., None], self.factor)[..., 0]
        scaled = right / self.noise
        inner = torch.cholesky_solve((self.root * (scaled @ self.map))[..., None], self.factor)[..., 0]
        return scaled - ((self.root * inner) @ self.map.T) / self.noise

    def log_prob(self, right: Tensor) -> Tensor:
        """log N(right; 0, S), (rows,)."""
        log_det = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        if _is_narrow(self.map):
            log_det = log_det + self.noise.log().sum()
        return -0.5 * (right.shape[-1] * LOG_2PI + log_det + (right * self.solve(right)).sum(-1))

    def rows(self, index: Tensor) -> CovarianceFactor:
        """The factors of other rows, chosen and repeated by ``index``."""
        return CovarianceFactor(self.noise, self.map, self.root[index], self.factor[index])


def _is_narrow(map_: Tensor) -> bool:
    """True where Woodbury pays: forming the wide matrix is the dearer of the two."""
    m, size = map_.shape
    return 2 * size < 3 * m
