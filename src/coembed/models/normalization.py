"""Natural units outside, standardised data inside: the statistics travel with the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.errors import ModelError
from coembed.models.cdvae.config import CDVAEConfig


class Scaled(nn.Module):
    r"""A model that knows the scale of its data, as buffers of its own.

    Data are standardised channel by channel, ``(x - mean) / std``. With ``config.field_scale`` s > 0 the field
    is first compressed, ``asinh(x / s)``: linear below s, logarithmic above, for fields of heavy tails.

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
        for name, data in (("condition", condition), ("field", self._compress(field))):
            std, mean = torch.std_mean(data, dim=(0, 2, 3))
            if not bool((std > 0).all()):
                raise ModelError(f"{name}: a channel is constant over all {len(data)} training pairs")
            getattr(self, f"{name}_mean").copy_(mean.view(-1, 1, 1))
            getattr(self, f"{name}_std").copy_(std.view(-1, 1, 1))

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
    def _check(data: Tensor, shape: tuple[int, int, int], name: str) -> None:
        if data.ndim != 4 or tuple(data.shape[1:]) != tuple(shape):
            wanted = ", ".join(map(str, shape))
            raise ModelError(f"{name}: got shape {tuple(data.shape)}, expected (batch, {wanted})")
