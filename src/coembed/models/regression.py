"""The part of the field that the condition decides: regressions in closed form, a U-Net that begins at zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coembed.models.nn import UNet, full_precision, zero_init
from coembed.numerics.pca import principal_components

ROWS = 4096  # examples at a time


@dataclass(frozen=True)
class RegressionConfig:
    """A ridge regression (set in closed form) plus a convolutional U-Net that starts at zero.

    Attributes:
        rank: principal components of the condition that the ridge regression reads.
        channels: of the U-Net at half resolution, doubled at two further halvings. 0 leaves it out.
        features: length of the vector at the U-Net's bottleneck.
        ridge: penalty in units of the condition's mean eigenvalue.
        dropout: of the U-Net.
    """

    rank: int = 256
    channels: int = 32
    features: int = 256
    ridge: float = 0.02
    dropout: float = 0.0


class Regression(nn.Module):
    """Conditional mean of the standardised field."""

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
        self.linear = zero_init(nn.Linear(rank, outputs))
        self.unet = (
            UNet(condition_shape, shape, config.channels, config.features, config.dropout)
            if config.channels
            else None
        )

    @property
    def rank(self) -> int:
        """Number of principal components of the condition that are read."""
        return self.basis.shape[1]

    @torch.no_grad()
    def initialize_from_data(self, condition: Tensor, field: Tensor) -> Tensor:
        """Ridge regression in closed form (standardised data).

        Args:
            condition: (n, c, h, w).
            field: (n, c, h, w).

        Returns:
            The means for these conditions, (n, c, h, w): those of ``forward``, as long as the U-Net is zero.
        """
        x, y = condition.flatten(1), field.flatten(1)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        variance, basis = principal_components(x, self.rank)
        self.basis.copy_(basis / (variance.sqrt() + 1e-6))
        white, offset = x @ self.basis, y.mean(0)
        del x
        gram = white.T @ white / len(white)
        # Inputs are white, so the penalty on a component is the ridge over its variance.
        penalty = self.config.ridge * variance.mean() / variance.clamp(min=1e-6)
        cross = white.T @ (y - offset) / len(y)
        weights = torch.linalg.solve((gram + torch.diag(penalty)).double(), cross.double())
        self.linear.weight.copy_(weights.T.float())
        self.linear.bias.copy_(offset)
        mean = torch.cat([self.linear(part) for part in white.split(ROWS)])
        return mean.view(-1, *self.shape)

    def ridge(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """White principal components of the condition and the mean that is linear in them."""
        with full_precision(condition):
            white = (condition.flatten(1) - self.centre) @ self.basis
            return white, self.linear(white).view(-1, *self.shape)

    def forward(self, condition: Tensor) -> Tensor:
        """Means (batch, c, h, w) of standardised conditions."""
        mean = self.ridge(condition)[1]
        return mean if self.unet is None else mean + self.unet(condition)[0]
