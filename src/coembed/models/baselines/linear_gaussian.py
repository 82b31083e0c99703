r"""The linear-Gaussian conditional in closed form: ridge regression and a full residual covariance.

.. math:: y \mid x \sim N(\bar y + W^T (x - \bar x),\; S)

Both come from second moments, gathered in one pass over the pairs. The ridge is the one with the least squared
error on every tenth pair, which the fit for it never sees; the share of isotropic variance mixed into S (for
few pairs) is the one with the best log-likelihood there. The final fit uses all pairs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs, chunks, mean_of
from coembed.errors import DataError
from coembed.models.base import Range, Shape
from coembed.models.normalization import check_layer
from coembed.models.sampling_config import check_clip
from coembed.numerics.pca import Subspace
from coembed.numerics.random import Streams

FULL_DIM = 4096  # layers with more values than this are reduced to their leading principal components
_HELD_OUT = 10  # every tenth pair
_RIDGES = [10 ** (k / 4) for k in range(-24, 13)]  # in units of the mean variance of a condition value
_SHARES = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_JITTER = 1e-6  # least variance in any direction, in units of the mean variance


@dataclass(frozen=True)
class LinearGaussianConfig:
    """The closed-form linear-Gaussian conditional.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        rank: principal components kept of every layer; None keeps all of up to 4,096 values, else 256.
        condition_rank: components of the condition in use; set by fitting.
        field_rank: the same of the field.
        ridge: penalty, in units of the mean variance of a condition value; chosen by fitting.
        share: of isotropic variance in the residual covariance; chosen by fitting.
        outside: variance per dimension outside the field's components; set by fitting.
        clip: samples are clipped to this range (natural units), if any.
    """

    condition_shape: Shape
    field_shape: Shape
    rank: int | None = None
    condition_rank: int = 0
    field_rank: int = 0
    ridge: float = 0.0
    share: float = 0.0
    outside: float = 0.0
    clip: Range | None = None

    def __post_init__(self):
        check_clip(self.clip)


class LinearGaussian(nn.Module):
    """One Gaussian per photo, whose mean is linear in the condition and whose covariance is always the same.

    Layers of up to 4,096 values are used whole. A larger condition enters through its leading principal
    components alone; a larger field is modelled in its leading components, and the variance outside them is
    spread evenly (probabilistic PCA), so samples and density still cover every direction.
    """

    condition_mean: Tensor
    condition_basis: Tensor | None
    field_mean: Tensor
    field_basis: Tensor | None
    weight: Tensor
    directions: Tensor
    variances: Tensor

    def __init__(self, config: LinearGaussianConfig):
        super().__init__()
        self.config = config
        for layer, shape, rank in (
            ("condition", config.condition_shape, config.condition_rank),
            ("field", config.field_shape, config.field_rank),
        ):
            size = math.prod(shape)
            self.register_buffer(f"{layer}_mean", torch.zeros(size, dtype=torch.float64))
            self.register_buffer(f"{layer}_basis", torch.zeros(size, rank) if rank < size else None)
        self.register_buffer("weight", torch.zeros(config.condition_rank, config.field_rank))
        self.register_buffer("directions", torch.zeros(config.field_rank, config.field_rank))
        self.register_buffer("variances", torch.ones(config.field_rank, dtype=torch.float64))

    @classmethod
    def fit(cls, config: LinearGaussianConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> Self:
        """Fit in closed form; memory is a few matrices of at most 4,096 x 4,096 and one piece of the pairs.

        Args:
            config: its ``rank`` and ``clip`` count.
            pairs: at least 20 training pairs.

        Raises:
            DataError: fewer than 20 pairs, or values that are not finite.
            ConfigError: a rank below 1.
        """
        found = as_pairs(pairs, minimum=2 * _HELD_OUT)
        means = mean_of(found)
        if not all(bool(mean.isfinite().all()) for mean in means):
            raise DataError("pairs: values that are not finite, expected numbers only")
        condition, field = (
            Subspace.fit(
                lambda layer=layer: map(layer, chunks(found)),
                mean,
                count=len(found),
                full=FULL_DIM,
                rank=config.rank,
            )
            for layer, mean in zip((found.condition, found.field), means, strict=True)
        )
        fitted, held_out = _moments(found, condition, field)
        ridge = _choose_ridge(fitted, held_out)
        share = _choose_share(fitted, held_out, ridge)
        everything = fitted + held_out
        weight, freedom = _regress(everything, ridge)
        variances, directions = torch.linalg.eigh(_residual_covariance(everything, weight, freedom))
        ranks = {"condition_rank": condition.rank, "field_rank": field.rank}
        model = cls(dataclasses.replace(config, **ranks, ridge=ridge, share=share, outside=field.outside))
        values = {
            "condition_mean": condition.mean,
            "condition_basis": condition.basis,
            "field_mean": field.mean,
            "field_basis": field.basis,
            "weight": weight,
            "directions": directions.flip(1),
            "variances": _shrink(variances, share).flip(0),
        }
        model.load_state_dict({name: value for name, value in values.items() if value is not None})
        return model.eval()

    @property
    def condition_space(self) -> Subspace:
        """Components of the condition that the mean reads."""
        return Subspace(self.condition_mean, self.condition_basis, 0.0)

    @property
    def field_space(self) -> Subspace:
        """Components of the field that are modelled, and the variance outside them."""
        return Subspace(self.field_mean, self.field_basis, self.config.outside)

    def mean(self, condition: Tensor) -> Tensor:
        """Mean field of every condition, (batch, c, h, w), never clipped.

        Raises:
            ModelError: conditions of another shape than those fitted on.
        """
        return self._shape(self.field_space.decode(self._mean_code(condition)))

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); sample k of photo i depends on (seed, i, k) alone.

        The first numbers of a stream drive the directions of largest residual variance.
        """
        code, space = self._mean_code(condition), self.field_space
        streams, codes = Streams.of(generator, len(condition)), len(self.variances)
        noise = streams.normal(n, codes + (space.dim if space.outside else 0))
        scaled = noise[..., :codes] * self.variances.sqrt().float()
        fields = space.decode(code + scaled @ self.directions.T)
        if space.outside:
            fields = fields + math.sqrt(space.outside) * space.reject(noise[..., codes:])
        fields = self._shape(fields)
        return fields if self.config.clip is None else fields.clamp_(*self.config.clip)

    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Log density of fields under the Gaussian (before any clipping), (batch,) in nats, float64.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c, h, w), natural units.
        """
        space = self.field_space
        wanted = (len(condition), *self.config.field_shape)
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
        check_layer(condition, self.config.condition_shape, "condition")
        return self.condition_space.encode(condition.float().flatten(1)) @ self.weight

    def _shape(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, self.config.field_shape)


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
    observed = _residual_covariance(held_out, weight, 0.0)
    observed = (directions * (observed @ directions)).sum(0)

    def cost(share: float) -> float:
        shrunk = _shrink(variances, share)
        return float((observed / shrunk + shrunk.log()).sum())

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
