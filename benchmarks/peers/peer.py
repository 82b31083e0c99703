"""Base of every peer: a network with a loss for training and a way to draw fields for a condition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from coembed.models.normalization import check_layer
from coembed.numerics.random import Streams

Shape = tuple[int, ...]
Noise = Callable[[Shape], Tensor]
"""From the shape of one sample's noise to standard normals (n * batch, *shape), sample-major."""

_CHUNK_VALUES = 2**19  # field values drawn at a time: bounds memory, changes no sample
_MIN_DEVIATION = 1e-4  # a channel that is constant in training is not blown up


class Peer(nn.Module):
    """A conditional sampler that learns from pairs; subclasses write ``loss`` and ``draw``.

    Networks see standardised layers only: zero mean and unit deviation per channel, from training pairs.

    Args:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field; height and width as the condition's.

    Attributes:
        name: in tables.
        batch_size: pairs per step.
        learning_rate: highest of AdamW.
        settings: ways to sample that are scored apart: their names, and what to set on the trained peer.
        limited: sampling is so slow that fewer photos are scored.
    """

    name: ClassVar[str]
    batch_size: ClassVar[int] = 128
    learning_rate: ClassVar[float] = 1e-3
    settings: ClassVar[dict[str, dict[str, object]]] = {"": {}}
    limited: ClassVar[bool] = False

    condition_mean: Tensor
    condition_deviation: Tensor
    field_mean: Tensor
    field_deviation: Tensor

    def __init__(self, condition_shape: Shape, field_shape: Shape):
        super().__init__()
        self.condition_shape, self.field_shape = tuple(condition_shape), tuple(field_shape)
        for layer, shape in (("condition", condition_shape), ("field", field_shape)):
            self.register_buffer(f"{layer}_mean", torch.zeros(shape[0], 1, 1))
            self.register_buffer(f"{layer}_deviation", torch.ones(shape[0], 1, 1))
        self._noise_shapes: list[Shape] | None = None

    @torch.no_grad()
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Take mean and deviation of every channel from training pairs (batch, c, h, w), before any step."""
        for layer, values in (("condition", condition), ("field", field)):
            deviation, mean = torch.std_mean(values, (0, 2, 3))
            getattr(self, f"{layer}_mean").copy_(mean[:, None, None])
            smallest = deviation.clamp(min=_MIN_DEVIATION)
            getattr(self, f"{layer}_deviation").copy_(smallest[:, None, None])

    def standard(self, tensor: Tensor, layer: Literal["condition", "field"]) -> Tensor:
        """A layer (batch, c, h, w) in natural units, standardised channel by channel."""
        return (tensor - getattr(self, f"{layer}_mean")) / getattr(self, f"{layer}_deviation")

    def natural(self, field: Tensor) -> Tensor:
        """A standardised field (batch, c, h, w) in natural units."""
        return field * self.field_deviation + self.field_mean

    def loss(self, condition: Tensor, field: Tensor, *, generator: torch.Generator, fraction: float) -> Tensor:
        """Loss that training minimises, (batch,): its mean is taken.

        Args:
            condition: (batch, c, h, w), standardised.
            field: the same.
            generator: of every random draw.
            fraction: share of the training that is done, 0 to 1, for warm-ups.
        """
        raise NotImplementedError

    def draw(self, condition: Tensor, n: int, noise: Noise) -> Tensor:
        """n fields per condition, (n * batch, c, h, w), standardised; row k * batch + i is sample k of i.

        Args:
            condition: (batch, c, h, w), standardised; what depends on it alone is worth computing once.
            n: samples per condition.
            noise: the only source of chance. ``noise((8, 4, 4))`` gives (n * batch, 8, 4, 4). Every call of
                ``draw`` must ask for the same shapes in the same order.
        """
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w), natural units; one seed, one result."""
        check_layer(condition, self.condition_shape, "condition")
        streams, batch = Streams.of(generator, len(condition)), len(condition)
        was_training = self.training
        self.eval()
        try:
            xc = self.standard(condition, "condition")
            rows = max(1, _CHUNK_VALUES // (max(1, batch) * math.prod(self.field_shape)))
            parts = []
            for start in range(0, n if batch else 0, rows):
                count = min(rows, n - start)
                field = self.draw(xc, count, self._noise(xc, streams, count)).float()
                parts.append(self.natural(field).view(count, batch, *self.field_shape))
            return torch.cat(parts) if parts else condition.new_zeros(n, batch, *self.field_shape)
        finally:
            self.train(was_training)

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(p.numel() for p in self.parameters())

    def _noise(self, condition: Tensor, streams: Streams, count: int) -> Noise:
        """One row of the streams a sample, handed out call by call: samples depend on no chunking."""
        if self._noise_shapes is None:  # asked once, of one sample
            shapes: list[Shape] = []

            def zeros(shape: Shape) -> Tensor:
                shapes.append(tuple(shape))
                return condition.new_zeros(1, *shape)

            self.draw(condition[:1], 1, zeros)
            self._noise_shapes = shapes
        sizes = [math.prod(shape) for shape in self._noise_shapes]
        row = streams.normal(count, sum(sizes)).flatten(0, 1).to(condition.device)
        left = iter(zip(self._noise_shapes, row.split(sizes, 1), strict=True))

        def noise(shape: Shape) -> Tensor:
            expected, values = next(left)
            if tuple(shape) != expected:
                raise TypeError(f"{type(self).__name__}.draw: noise of {tuple(shape)}, expected {expected}")
            return values.reshape(len(values), *expected)

        return noise
