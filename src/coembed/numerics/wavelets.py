r"""Orthonormal wavelets on a square or oblong grid, with borders that mirror: one matrix a level and axis.

The low-pass filter of order p is the discrete B-spline, ``cos^p(w/2)``, made orthonormal by symmetric
(Loewdin) orthonormalisation: away from the borders the Butterworth wavelets of Herley and Vetterli (1993),

.. math:: |H(w)|^2 = \cos^{2p}(w/2) / (\cos^{2p}(w/2) + \sin^{2p}(w/2))

p = 1 is Haar's, whose functions are blocks; those of p = 3 are smooth and fall off exponentially.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from coembed.errors import ConfigError


class Wavelets(nn.Module):
    """The transform of fields of one size, and back.

    Coefficients are in groups, coarse to fine: group 0 holds the averages, group j the details of the j-th
    level; they are flat, group after group.

    Args:
        shape: (channels, height, width) of a field; both sides multiples of ``2**levels``.
        levels: halvings; 0 leaves fields as they are.
        order: of the filters, odd; 1 is Haar's.

    Attributes:
        sides: (height, width) of every group's maps, coarse to fine.
        maps: number of maps of every group: channels, or three times as many.
        sizes: coefficients of every group; they sum to the values of a field.

    Raises:
        ConfigError: sides that cannot be halved so often, or an order that is even or below 1.
    """

    def __init__(self, shape: tuple[int, int, int], levels: int, order: int):
        super().__init__()
        channels, height, width = shape
        if levels < 0 or height % 2**levels or width % 2**levels:
            raise ConfigError(f"levels: got {levels} for {height} x {width}, expected both to halve so often")
        self.shape, self.levels = tuple(shape), levels
        coarsest = (height >> levels, width >> levels)
        self.sides = [coarsest, *((height >> j, width >> j) for j in range(levels, 0, -1))]
        self.maps = [channels, *[3 * channels] * levels]
        self.sizes = [m * h * w for m, (h, w) in zip(self.maps, self.sides, strict=True)]
        for level in range(levels):
            for axis, side in (("rows", height >> level), ("columns", width >> level)):
                self.register_buffer(f"{axis}_{level}", filter_bank(side, order), persistent=False)

    def forward(self, field: Tensor) -> Tensor:
        """Coefficients (..., values) of fields (..., c, h, w)."""
        groups, low = [], field
        for level in range(self.levels):
            h, w = (side // 2 for side in low.shape[-2:])
            both = self._matrix("rows", level) @ low @ self._matrix("columns", level).T
            details = torch.cat([both[..., :h, w:], both[..., h:, :w], both[..., h:, w:]], -3)
            groups.append(details.flatten(-3))
            low = both[..., :h, :w]
        return torch.cat([low.flatten(-3), *reversed(groups)], -1)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Fields (..., c, h, w) of coefficients (..., values)."""
        low, *details = (
            part.unflatten(-1, (maps, *sides))
            for part, maps, sides in zip(self.split(coefficients), self.maps, self.sides, strict=True)
        )
        for level, detail in zip(reversed(range(self.levels)), details, strict=True):
            right, below, corner = detail.chunk(3, -3)
            both = torch.cat([torch.cat([low, right], -1), torch.cat([below, corner], -1)], -2)
            low = self._matrix("rows", level).T @ both @ self._matrix("columns", level)
        return low

    def split(self, coefficients: Tensor) -> list[Tensor]:
        """The groups (..., size) of coefficients (..., values)."""
        return list(coefficients.split(self.sizes, -1))

    def expand(self, values: Tensor) -> Tensor:
        """One value per group (..., groups) as one per coefficient (..., values)."""
        return values.repeat_interleave(torch.tensor(self.sizes, device=values.device), -1)

    def _matrix(self, axis: str, level: int) -> Tensor:
        return self.get_buffer(f"{axis}_{level}")


@lru_cache(maxsize=64)
def filter_bank(side: int, order: int) -> Tensor:
    """One level along one axis: an orthogonal (side, side) matrix, float32, averages first, then details.

    Args:
        side: even.
        order: odd, at least 1.

    Raises:
        ConfigError: an order that is even or below 1, or a side that is odd.
    """
    if order < 1 or order % 2 == 0:
        raise ConfigError(f"order: got {order}, expected an odd number from 1")
    if side < 2 or side % 2:
        raise ConfigError(f"side: got {side}, expected an even number")
    low = _orthonormal(_filters(side, [math.comb(order, i) for i in range(order + 1)]))
    high = _filters(side, [-1.0, 1.0])
    high = _orthonormal(high - high @ low.T @ low)
    return torch.cat([low, high]).float()


def _filters(side: int, weights: list[float]) -> Tensor:
    """A filter at every second cell, (side / 2, side), float64; what reaches over a border is mirrored."""
    rows, reach = torch.zeros(side // 2, side, dtype=torch.float64), (len(weights) - 2) // 2
    for row in range(side // 2):
        for offset, weight in enumerate(weights):
            at = (2 * row - reach + offset) % (2 * side)
            rows[row, min(at, 2 * side - 1 - at)] += weight
    return rows


def _orthonormal(rows: Tensor) -> Tensor:
    """The orthonormal rows nearest to independent ones (Loewdin)."""
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    return vectors @ torch.diag(values.rsqrt()) @ vectors.T @ rows
