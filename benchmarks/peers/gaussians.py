"""The Gaussians of the variational peers: a head for mean and deviation, divergence, pixel likelihood."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

_MAX_LOG_DEVIATION = 3.0  # of the logarithm of a code's deviation, either way: bfloat16 networks can't run away
_MIN_LOG_DEVIATION = -4.0  # logarithm of a pixel's deviation, in deviations of the channel


class Gaussian(NamedTuple):
    """Independent normals: ``mean`` and ``log_deviation`` of one shape, float32."""

    mean: Tensor
    log_deviation: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Gaussian:
        """From twice as many channels, (batch, 2 c, ...)."""
        mean, raw = values.float().chunk(2, 1)
        return cls(mean, _MAX_LOG_DEVIATION * torch.tanh(raw / _MAX_LOG_DEVIATION))

    def at(self, noise: Tensor) -> Tensor:
        """The sample that standard normal noise of the same shape makes."""
        return self.mean + self.log_deviation.exp() * noise


def divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q || p) in nats, (batch,), summed over all values."""
    ratio = ((q.mean - p.mean) / p.log_deviation.exp()).square() + (
        2 * (q.log_deviation - p.log_deviation)
    ).exp()
    return (0.5 * (ratio - 1) - q.log_deviation + p.log_deviation).flatten(1).sum(1)


def gaussian_head(inputs: int, channels: int) -> nn.Conv2d:
    """1 x 1 convolution to ``Gaussian.of``; starts at the standard normal."""
    head = nn.Conv2d(inputs, 2 * channels, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head


class PixelNoise(nn.Module):
    """Gaussian likelihood of maps around a mean, with one learned deviation per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.raw = nn.Parameter(torch.full((channels, 1, 1), -0.5))

    @property
    def log_deviation(self) -> Tensor:
        """(channels, 1, 1)."""
        return self.raw.clamp(min=_MIN_LOG_DEVIATION)

    def nats(self, mean: Tensor, values: Tensor) -> Tensor:
        """-log p(values | mean), (batch,)."""
        error = ((values - mean) / self.log_deviation.exp()).square()
        return (0.5 * (error + math.log(2 * math.pi)) + self.log_deviation).flatten(1).sum(1)
