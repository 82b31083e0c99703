"""Standardisation that travels with a model's weights: one mean and one deviation per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.errors import ModelError


class Scaling(nn.Module):
    """Natural units to standardised ones and back.

    Args:
        shape: (channels, height, width) of the layer.
        name: of the layer, in errors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int], name: str):
        super().__init__()
        self.shape, self.name = tuple(shape), name
        self.register_buffer("mean", torch.zeros(shape[0], 1, 1))
        self.register_buffer("std", torch.ones(shape[0], 1, 1))

    @torch.no_grad()
    def start(self, layer: Tensor) -> None:
        """Measure mean and deviation on training data (n, c, h, w).

        Raises:
            ModelError: another shape, or a channel that is constant everywhere.
        """
        check_layer(layer, self.shape, self.name)
        std, mean = torch.std_mean(layer.float(), dim=(0, 2, 3))
        if not bool((std > 0).all()):
            raise ModelError(f"{self.name}: a channel is constant over all {len(layer)} training pairs")
        self.mean.copy_(mean.view(-1, 1, 1))
        self.std.copy_(std.view(-1, 1, 1))

    def forward(self, layer: Tensor) -> Tensor:
        """Standardised (batch, c, h, w).

        Raises:
            ModelError: another shape.
        """
        check_layer(layer, self.shape, self.name)
        return (layer.to(self.mean.device, self.mean.dtype) - self.mean) / self.std

    def natural(self, layer: Tensor) -> Tensor:
        """Back to natural units; leading axes as they come."""
        return layer * self.std + self.mean

    def log_volume(self) -> Tensor:
        """What standardising adds to a log density, nats: the sum of log deviations over all values."""
        return self.std.log().sum() * (self.shape[1] * self.shape[2])


def check_layer(layer: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Check a batch of conditions or fields.

    Raises:
        ModelError: another shape.
    """
    if layer.ndim != 4 or tuple(layer.shape[1:]) != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise ModelError(f"{name}: got shape {tuple(layer.shape)}, expected (batch, {wanted})")
