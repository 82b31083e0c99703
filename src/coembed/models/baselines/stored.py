"""The samplers that need no training steps, as models on disk: fitted once, saved and loaded like any other.

A folder holds all that sampling needs, training fields included (float16 where that loses nothing): it can be
moved or sent, and is as large as what it holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from coembed.data.pairs import Indices, Pairs, TensorPairs, as_pairs, chunks
from coembed.errors import ConfigError
from coembed.models.baselines.linear_gaussian import LinearGaussian
from coembed.models.baselines.random_fields import RandomFields
from coembed.models.baselines.scaling import check_layer
from coembed.numerics.pca import Subspace
from coembed.numerics.random import Streams

Shape = tuple[int, int, int]
Dtype = Literal["float16", "float32"]


@dataclass(frozen=True)
class RandomConfig:
    """Training fields, drawn whatever the condition.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        count: fields held; set by fitting.
        dtype: in which they are held; set by fitting.
    """

    condition_shape: Shape
    field_shape: Shape
    count: int = 0
    dtype: Dtype = "float32"

    def __post_init__(self):
        if self.count < 0:
            raise ConfigError(f"count: got {self.count}, expected 0 or more")


class RandomModel(nn.Module):
    """``RandomFields`` with the training fields inside."""

    field: Tensor

    def __init__(self, config: RandomConfig):
        super().__init__()
        self.config = config
        dtype = getattr(torch, config.dtype)
        self.register_buffer("field", torch.zeros(config.count, *config.field_shape, dtype=dtype))

    @classmethod
    def fit(cls, config: RandomConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> RandomModel:
        """Take the fields of all pairs.

        Raises:
            DataError: no pairs.
        """
        found = as_pairs(pairs)
        field = hold(found, found.field)
        model = cls(dataclasses.replace(config, count=len(found), dtype=dtype_of(field)))
        model.field.copy_(field)
        return model

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); see ``RandomFields.sample``."""
        check_layer(condition, self.config.condition_shape, "condition")
        nothing = self.field.new_zeros(1, *self.config.condition_shape).expand(self.config.count, -1, -1, -1)
        return RandomFields(TensorPairs(nothing, self.field)).sample(condition, n, generator=generator)


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
    clip: tuple[float, float] | None = None


class LinearGaussianModel(nn.Module):
    """``LinearGaussian`` with its matrices as buffers."""

    def __init__(self, config: LinearGaussianConfig):
        super().__init__()
        self.config = config
        sizes = {"condition": math.prod(config.condition_shape), "field": math.prod(config.field_shape)}
        ranks = {"condition": config.condition_rank, "field": config.field_rank}
        for layer, size in sizes.items():
            self.register_buffer(f"{layer}_mean", torch.zeros(size, dtype=torch.float64))
            if ranks[layer] < size:
                self.register_buffer(f"{layer}_basis", torch.zeros(size, ranks[layer]))
        self.register_buffer("weight", torch.zeros(ranks["condition"], ranks["field"]))
        self.register_buffer("directions", torch.zeros(ranks["field"], ranks["field"]))
        self.register_buffer("variances", torch.ones(ranks["field"], dtype=torch.float64))

    @classmethod
    def fit(cls, config: LinearGaussianConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> LinearGaussianModel:
        """Fit in closed form; see ``LinearGaussian.fit``.

        Raises:
            DataError: fewer than 20 pairs, or values that are not finite.
        """
        fitted = LinearGaussian.fit(pairs, rank=config.rank)
        model = cls(
            dataclasses.replace(
                config,
                condition_rank=fitted.condition_space.rank,
                field_rank=fitted.field_space.rank,
                ridge=fitted.ridge,
                share=fitted.share,
                outside=fitted.field_space.outside,
            )
        )
        for layer, space in (("condition", fitted.condition_space), ("field", fitted.field_space)):
            getattr(model, f"{layer}_mean").copy_(space.mean)
            if space.basis is not None:
                getattr(model, f"{layer}_basis").copy_(space.basis)
        for name in ("weight", "directions", "variances"):
            getattr(model, name).copy_(getattr(fitted, name))
        return model

    def sampler(self) -> LinearGaussian:
        """The conditional itself: mean, samples and density."""
        c = self.config
        nothing = TensorPairs(torch.zeros(1, *c.condition_shape), torch.zeros(1, *c.field_shape))
        tensors = dict(self.named_buffers())
        return LinearGaussian(
            nothing,
            Subspace(tensors["condition_mean"], tensors.get("condition_basis"), 0.0),
            Subspace(tensors["field_mean"], tensors.get("field_basis"), c.outside),
            tensors["weight"],
            tensors["directions"],
            tensors["variances"],
            ridge=c.ridge,
            share=c.share,
            clip=c.clip,
        )

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w), natural units."""
        return self.sampler().sample(condition, n, generator=generator)

    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Log p(field | condition), exact, nats, (batch,), float64."""
        return self.sampler().log_prob(condition, field)


def hold(pairs: Pairs, layer: Callable[[Indices], Tensor]) -> Tensor:
    """All rows of a layer in memory, float16 where that loses nothing (prepared pairs are), else float32."""
    parts, exact = [], True
    for rows in chunks(pairs):
        part = layer(rows)
        exact = exact and torch.equal(part.half().float(), part.float())
        parts.append(part.half() if exact else part.float())
    if exact:
        return torch.cat(parts)
    return torch.cat([layer(rows).float() for rows in chunks(pairs)])


def dtype_of(tensor: Tensor) -> Dtype:
    """Name of the dtype in which ``hold`` gave a layer."""
    return "float16" if tensor.dtype == torch.float16 else "float32"
