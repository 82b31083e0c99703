"""The part of the field that the condition decides: a ridge regression and a U-Net that begins at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.model.config import RegressionConfig
from coembed.model.towers import full_precision, principal_components
from coembed.model.unet import UNet


class Regression(nn.Module):
    """Conditional mean of the standardised field, and features of the condition.

    ``forward(xc)`` gives ``(mean (batch, c, h, w), features (batch, config.features))``.
    """

    centre: Tensor
    basis: Tensor

    def __init__(
        self, config: RegressionConfig, condition_shape: tuple[int, int, int], shape: tuple[int, int, int]
    ):
        super().__init__()
        self.config, self.shape = config, shape
        size = condition_shape[0] * condition_shape[1] * condition_shape[2]
        rank, outputs = min(config.rank, size), shape[0] * shape[1] * shape[2]
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, rank))
        self.linear = nn.Linear(rank, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.unet = (
            UNet(condition_shape, shape, config.channels, config.features, config.dropout)
            if config.channels
            else None
        )
        self.no_unet_features = None if config.channels else nn.Linear(rank, config.features)

    @torch.no_grad()
    def start(self, condition: Tensor, field: Tensor) -> None:
        """Ridge regression on the condition's principal components, in closed form (standardised data)."""
        x, y = condition.flatten(1), field.flatten(1)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        variance, basis = principal_components(x, self.basis.shape[1])
        self.basis.copy_(basis / (variance.sqrt() + 1e-6))
        codes, offset = x @ self.basis, y.mean(0)
        gram = codes.T @ codes / len(codes)
        # Codes are white, so the penalty on a component is the ridge over its variance.
        penalty = torch.diag(self.config.ridge * variance.mean() / variance.clamp(min=1e-6))
        weights = torch.linalg.solve((gram + penalty).double(), (codes.T @ (y - offset) / len(y)).double())
        self.linear.weight.copy_(weights.T.float())
        self.linear.bias.copy_(offset)

    def ridge(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """White principal components of the condition and the linear part of the mean."""
        with full_precision(condition):
            codes = (condition.flatten(1) - self.centre) @ self.basis
            return codes, self.linear(codes).view(-1, *self.shape)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, c, h, w), standardised, to mean and features."""
        codes, mean = self.ridge(condition)
        if self.unet is None:
            return mean, self.no_unet_features(codes).float()  # type: ignore[misc]
        more, features = self.unet(condition)
        return mean + more, features
