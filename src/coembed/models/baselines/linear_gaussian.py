r"""The linear-Gaussian conditional in closed form: ridge regression and a full residual covariance.

.. math:: y \mid x \sim N(\bar y + W^T (x - \bar x),\; S)

Both come from second moments, gathered in one pass over the pairs. The ridge is the one with the least squared
error on every tenth pair, which the fit for it never sees; the share of isotropic variance mixed into S (for
few pairs) is the one with the best log-likelihood there. The final fit uses all pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, as_pairs, check_condition, chunks, mean_of
from coembed.errors import ConfigError, DataError
from coembed.numerics.pca import Subspace
from coembed.numerics.random import Streams

FULL_DIM = 4096  # layers with more values than this are reduced to their leading principal components
_HELD_OUT = 10  # every tenth pair
_RIDGES = [10 ** (k / 4) for k in range(-24, 13)]  # in units of the mean variance of a condition value
_SHARES = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_JITTER = 1e-6  # least variance in any direction, in units of the mean variance


class LinearGaussian:
    """One Gaussian a photo, whose mean is linear in the condition and whose covariance is always the same.

    Layers of up to 4,096 values are used whole. A larger condition enters through its leading principal
    components alone; a larger field is modelled in its leading components, and the variance outside them is
    spread evenly (probabilistic PCA), so samples and density still cover every direction.

    Attributes:
        ridge: the chosen penalty, in units of the mean variance of a condition value.
        share: the chosen share of isotropic variance in the residual covariance.
        clip: (low, high) that samples are clipped to, or None.
    """

    def __init__(
        self,
        pairs: Pairs,
        condition: Subspace,
        field: Subspace,
        weight: Tensor,
        directions: Tensor,
        variances: Tensor,
        *,
        ridge: float,
        share: float,
        clip: tuple[float, float] | None,
    ):
        if clip is not None and not clip[0] < clip[1]:
            raise ConfigError(f"clip: got {clip}, expected (low, high) with low < high")
        self.pairs, self.condition_space, self.field_space = pairs, condition, field
        self.weight, self.directions, self.variances = weight, directions, variances
        self.ridge, self.share, self.clip = ridge, share, clip

    @classmethod
    def fit(
        cls,
        pairs: Pairs | tuple[Tensor, Tensor],
        *,
        rank: int | None = None,
        clip: tuple[float, float] | None = None,
    ) -> LinearGaussian:
        """Fit in closed form; memory is a few matrices of at most 4,096 x 4,096 and one piece of the pairs.

        Args:
            pairs: at least 20 training pairs.
            rank: principal components kept of every layer; None keeps all of up to 4,096, else 256.
            clip: range that samples are clipped to; the density stays that of the Gaussian.

        Raises:
            DataError: fewer than 20 pairs, or values that are not finite.
            ConfigError: a rank below 1 or an empty range.
        """
        found = as_pairs(pairs, minimum=2 * _HELD_OUT)
        means = mean_of(found)
        if not all(bool(mean.isfinite().all()) for mean in means):
            raise DataError("pairs: values that are not finite, expected numbers only")
        condition, field = (
            Subspace.fit(
                lambda layer=layer: map(layer, chunks(found)), mean, count=len(found), full=FULL_DIM, rank=rank
            )
            for layer, mean in zip((found.condition, found.field), means, strict=True)
        )
        fitted, held_out = _moments(found, condition, field)
        ridge = _choose_ridge(fitted, held_out)
        share = _choose_share(fitted, held_out, ridge)
        everything = fitted + held_out
        weight, freedom = _regress(everything, ridge)
        variances, directions = torch.linalg.eigh(_residual_covariance(everything, weight, freedom))
        variances = _shrink(variances, share)
        return cls(
            found,
            condition,
            field,
            weight.float(),
            directions.flip(1).contiguous().float(),
            variances.flip(0),
            ridge=ridge,
            share=share,
            clip=clip,
        )

    def clipped(self, clip: tuple[float, float] | None) -> LinearGaussian:
        """The same conditional whose samples are clipped to (low, high), or not at all for None."""
        return LinearGaussian(
            self.pairs,
            self.condition_space,
            self.field_space,
            self.weight,
            self.directions,
            self.variances,
            ridge=self.ridge,
            share=self.share,
            clip=clip,
        )

    def mean(self, condition: Tensor) -> Tensor:
        """Mean field of every condition, (batch, c, h, w), never clipped.

        Raises:
            DataError: conditions of another shape than those fitted on.
        """
        return self._shape(self.field_space.decode(self._mean_code(condition)))

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); sample k of photo i depends on (seed, i, k) alone.

        The first numbers of a stream drive the directions of largest residual variance.
        """
        code = self._mean_code(condition)
        streams = Streams.of(generator, len(condition))
        codes, outside = len(self.variances), self.field_space.outside
        noise = streams.normal(n, codes + (self.field_space.dim if outside else 0))
        scaled = noise[..., :codes] * self.variances.sqrt().float()
        fields = self.field_space.decode(code + scaled @ self.directions.T)
        if outside:
            fields = fields + math.sqrt(outside) * self.field_space.reject(noise[..., codes:])
        fields = self._shape(fields)
        return fields if self.clip is None else fields.clamp_(*self.clip)

    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Log density of fields under the Gaussian (before any clipping), (batch,) in nats, float64.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c, h, w), natural units.
        """
        space = self.field_space
        wanted = (len(condition), *self.pairs.field(slice(0, 1)).shape[1:])
        if field.shape != wanted:
            raise DataError(f"field: got shape {tuple(field.shape)}, expected {wanted}, one per condition")
        centred = field.double().flatten(1) - space.mean
        code = space.project(centred)
        residual = (code - self._mean_code(condition).double()) @ self.directions.double()
        squared = (residual.square() / self.variances).sum(1)
        log_volume = self.variances.log().sum()
        if space.outside:
            squared = squared + (centred.square().sum(1) - code.square().sum(1)) / space.outside
            log_volume = log_volume + (space.dim - len(self.variances)) * math.log(space.outside)
        return -0.5 * (squared + log_volume + space.dim * math.log(2 * math.pi))

    def _mean_code(self, condition: Tensor) -> Tensor:
        check_condition(condition, self.pairs)
        return self.condition_space.encode(condition.float().flatten(1)) @ self.weight

    def _shape(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, self.pairs.field(slice(0, 1)).shape[1:])


@dataclass(frozen=True)
class _Moments:
    """Sum over pairs of products of centred codes: condition x, field y; float64."""

    count: int
    xx: Tensor
    xy: Tensor
    yy: Tensor

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(self.count + other.count, self.xx + other.xx, self.xy + other.xy, self.yy + other.yy)

    @property
    def unit(self) -> float:
        """Mean variance of a condition value times the number of pairs; the ridge is given in it."""
        return max(float(self.xx.diagonal().mean()), 1e-12 * self.count)


def _moments(pairs: Pairs, condition: Subspace, field: Subspace) -> tuple[_Moments, _Moments]:
    """Moments of the pairs fitted on and of every tenth, held out."""
    sizes = (condition.rank, field.rank)
    sums = [[torch.zeros(a, b, dtype=torch.float64) for a, b in _blocks(*sizes)] for _ in range(2)]
    counts = [0, 0]
    for rows in chunks(pairs):
        x = condition.encode(pairs.condition(rows).double().flatten(1))
        y = field.encode(pairs.field(rows).double().flatten(1))
        held_out = torch.arange(rows.start, rows.stop) % _HELD_OUT == _HELD_OUT - 1
        for part, mask in enumerate((~held_out, held_out)):
            px, py = x[mask], y[mask]
            counts[part] += len(px)
            for total, left, right in zip(sums[part], (px, px, py), (px, py, py), strict=True):
                total.addmm_(left.T, right)
    fitted, kept = (_Moments(count, *blocks) for count, blocks in zip(counts, sums, strict=True))
    return fitted, kept


def _blocks(x: int, y: int) -> list[tuple[int, int]]:
    return [(x, x), (x, y), (y, y)]


def _choose_ridge(fitted: _Moments, held_out: _Moments) -> float:
    """The ridge of least squared error on the pairs held out.

    In the eigenvectors of xx every ridge is a diagonal, so the whole grid costs three products.
    """
    values, vectors = torch.linalg.eigh(fitted.xx)
    slopes = vectors.T @ fitted.xy
    linear = (slopes * (vectors.T @ held_out.xy)).sum(1)
    quadratic = (slopes @ slopes.T) * (vectors.T @ held_out.xx @ vectors)

    def error(ridge: float) -> float:
        gain = 1 / (values.clamp(min=0) + ridge * fitted.unit)
        return float(gain @ quadratic @ gain - 2 * gain @ linear)

    return min(_RIDGES, key=error)


def _choose_share(fitted: _Moments, held_out: _Moments, ridge: float) -> float:
    """The share of isotropic variance under which the pairs held out are likeliest."""
    weight, freedom = _regress(fitted, ridge)
    variances, directions = torch.linalg.eigh(_residual_covariance(fitted, weight, freedom))
    seen = _residual_covariance(held_out, weight, 0.0)
    seen = (directions * (seen @ directions)).sum(0)

    def cost(share: float) -> float:
        shrunk = _shrink(variances, share)
        return float((seen / shrunk + shrunk.log()).sum())

    return min(_SHARES, key=cost)


def _regress(moments: _Moments, ridge: float) -> tuple[Tensor, float]:
    """Weights (x, y) of the ridge regression and its effective degrees of freedom."""
    penalised = moments.xx + ridge * moments.unit * torch.eye(len(moments.xx), dtype=torch.float64)
    factor = torch.linalg.cholesky(penalised)
    freedom = float(torch.cholesky_solve(moments.xx, factor).diagonal().sum())
    return torch.cholesky_solve(moments.xy, factor), freedom


def _residual_covariance(moments: _Moments, weight: Tensor, freedom: float) -> Tensor:
    """Covariance of y - W'x, divided by what the regression leaves of the pairs instead of their number."""
    cross = weight.T @ moments.xy
    squares = moments.yy - cross - cross.T + weight.T @ moments.xx @ weight
    return (squares + squares.T) / (2 * max(moments.count - freedom, 1.0))


def _shrink(variances: Tensor, share: float) -> Tensor:
    mean = max(float(variances.mean()), 1e-12)
    return ((1 - share) * variances + share * mean).clamp(min=_JITTER * mean)
