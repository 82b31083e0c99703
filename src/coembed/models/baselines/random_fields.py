"""Random training fields, whatever the photo: the marginal, which any use of the condition must beat."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs, load_layer
from coembed.errors import ConfigError
from coembed.models.base import Shape
from coembed.models.normalization import check_layer
from coembed.numerics.random import Streams

Dtype = Literal["float16", "float32"]


@dataclass(frozen=True)
class RandomConfig:
    """Training fields, sampled whatever the condition.

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


class RandomFields(nn.Module):
    """Training fields, held inside, sampled uniformly with replacement without looking at the condition."""

    kind: ClassVar[str] = "random"

    field: Tensor

    def __init__(self, config: RandomConfig):
        super().__init__()
        self.config = config
        dtype = getattr(torch, config.dtype)
        self.register_buffer("field", torch.zeros(config.count, *config.field_shape, dtype=dtype))

    @classmethod
    def fit(cls, config: RandomConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> Self:
        """Take the fields of all pairs.

        Raises:
            DataError: no pairs.
        """
        found = as_pairs(pairs)
        field = load_layer(found.field, len(found))
        model = cls(dataclasses.replace(config, count=len(found), dtype=dtype_name(field)))
        model.field.copy_(field)
        return model.eval()

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); sample k of photo i depends on (seed, i, k) alone."""
        check_layer(condition, self.config.condition_shape, "condition")
        return self.field[Streams.of(generator, len(condition)).pick(n, len(self.field))].float()


def dtype_name(tensor: Tensor) -> Dtype:
    """Name of the dtype in which ``load_layer`` gave a layer."""
    return "float16" if tensor.dtype == torch.float16 else "float32"
