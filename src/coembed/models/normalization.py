"""Natural units outside, standardised data inside: the statistics travel with the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.errors import ModelError
from coembed.models.base import Shape
from coembed.models.cdvae.config import CDVAEConfig


class Scaling(nn.Module):
    """Natural units of one layer to standardised ones and back, channel by channel: ``(x - mean) / std``.

    Args:
        shape: (channels, height, width) of the layer.
        name: of the layer, in errors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Shape, name: str):
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
        _measure(layer.float(), self.name, self.mean, self.std)

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
        """Sum of log deviations over all values, nats: the part of a log density that standardising adds."""
        return self.std.log().sum() * (self.shape[1] * self.shape[2])


class Scaled(nn.Module):
    r"""A model that knows the scale of its data, as buffers of its own.

    Data are standardised channel by channel. With ``config.field_scale`` s > 0 the field is first compressed,
    ``asinh(x / s)``: linear below s, logarithmic above, for fields of heavy tails.

    Args:
        config: shapes of condition and field, and the field's scale.
    """

    condition_mean: Tensor
    condition_std: Tensor
    field_mean: Tensor
    field_std: Tensor
    field_peak: Tensor

    def __init__(self, config: CDVAEConfig):
        super().__init__()
        self.config = config
        for name, shape in (("condition", config.condition_shape), ("field", config.field_shape)):
            self.register_buffer(f"{name}_mean", torch.zeros(shape[0], 1, 1))
            self.register_buffer(f"{name}_std", torch.ones(shape[0], 1, 1))
        if config.field_scale:
            self.register_buffer("field_peak", torch.ones(config.field_shape[0], 1, 1))

    def _measure(self, condition: Tensor, field: Tensor) -> None:
        """Take the statistics of training pairs (n, c, h, w), natural units.

        Raises:
            ModelError: a channel that is constant everywhere.
        """
        if self.config.field_scale:
            self.field_peak.copy_(field.abs().amax((0, 2, 3)).view(-1, 1, 1))
        _measure(condition, "condition", self.condition_mean, self.condition_std)
        _measure(self._compress(field), "field", self.field_mean, self.field_std)

    def _standardise(self, data: Tensor, name: str) -> Tensor:
        mean = getattr(self, f"{name}_mean")
        data = data.to(mean.device, mean.dtype)
        data = self._compress(data) if name == "field" else data
        return (data - mean) / getattr(self, f"{name}_std")

    def _natural(self, field: Tensor) -> Tensor:
        field, scale = field * self.field_std + self.field_mean, self.config.field_scale
        if not scale:
            return field
        # Above the scale a deviation is a factor: unbounded, a draw far out would be far beyond any field seen.
        return (torch.sinh(field.float()) * scale).clamp(-self.field_peak, self.field_peak)

    def _compress(self, field: Tensor) -> Tensor:
        scale = self.config.field_scale
        return torch.asinh(field.float() / scale) if scale else field

    def _log_volume(self, field: Tensor) -> Tensor | float:
        """Log determinant of the field's own scaling before it is standardised, (batch,); 0 without any."""
        scale = self.config.field_scale
        return 0.5 * (field.float().square() + scale**2).log().flatten(1).sum(1) if scale else 0.0

    @staticmethod
    def _check(data: Tensor, shape: Shape, name: str) -> None:
        check_layer(data, shape, name)


def _measure(layer: Tensor, name: str, mean: Tensor, std: Tensor) -> None:
    """Write the statistics of (n, c, h, w) into ``mean`` and ``std``, (c, 1, 1)."""
    deviations, means = torch.std_mean(layer, dim=(0, 2, 3))
    if not bool((deviations > 0).all()):
        raise ModelError(f"{name}: a channel is constant over all {len(layer)} training pairs")
    mean.copy_(means.view(-1, 1, 1))
    std.copy_(deviations.view(-1, 1, 1))


def check_layer(layer: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Check a batch of conditions or fields.

    Raises:
        ModelError: another shape.
    """
    if layer.ndim != 4 or tuple(layer.shape[1:]) != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise ModelError(f"{name}: got shape {tuple(layer.shape)}, expected (batch, {wanted})")
