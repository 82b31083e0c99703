"""The part of the field that the condition decides: a ridge regression and a U-Net that begins at zero."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.model.config import RegressionConfig
from coembed.model.towers import ResidualBlock, full_precision, principal_components

_COARSEST = 8  # the U-Net works at 1/2, 1/4 and 1/8 of the field's size


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
        self.unet = UNet(config, condition_shape, shape) if config.channels else None
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


class UNet(nn.Module):
    """Three scales from half the field's size down; its output starts at zero."""

    def __init__(self, config: RegressionConfig, inputs: tuple[int, int, int], shape: tuple[int, int, int]):
        super().__init__()
        height, width = shape[1:]
        if inputs[1:] != shape[1:] or height % _COARSEST or width % _COARSEST:
            raise ConfigError(
                f"regression: the U-Net needs condition and field of one size, a multiple of {_COARSEST}, got "
                f"{inputs[1]} x {inputs[2]} and {height} x {width}; channels=0 leaves it out"
            )
        a, b, c = config.channels, 2 * config.channels, 4 * config.channels
        drop = config.dropout
        self.stem = nn.Conv2d(4 * inputs[0], a, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, a, height // 2, width // 2))
        self.down = nn.ModuleList(ResidualBlock(n, n, "none", drop) for n in (a, b, c))
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, 2), nn.Conv2d(b, c, 2, 2)])
        self.middle = ResidualBlock(c, c, "none", drop)
        self.features = nn.Linear(16 * c, config.features)
        self.context = nn.Linear(config.features, c)
        self.join = nn.ModuleList([nn.Conv2d(2 * c, c, 1), nn.Conv2d(2 * b, b, 1), nn.Conv2d(2 * a, a, 1)])
        self.up = nn.ModuleList([ResidualBlock(c, b, "none", drop), ResidualBlock(b, a, "none", drop)])
        self.last = ResidualBlock(a, a, "none", drop)
        self.out = nn.Conv2d(a, 4 * shape[0], 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, c, h, w) to (batch, c', h, w) and features (batch, n)."""
        x = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        fine = self.down[0](self.stem(x) + self.position)
        middle = self.down[1](self.shrink[0](fine))
        coarse = self.down[2](self.shrink[1](middle))
        h = self.middle(coarse)
        pooled = h if h.shape[-2:] == (4, 4) else F.adaptive_avg_pool2d(h, 4)
        features = F.silu(self.features(pooled.flatten(1)))
        h = h + self.context(features)[:, :, None, None]
        h = self.up[0](F.interpolate(self.join[0](torch.cat([h, coarse], 1)), scale_factor=2))
        h = self.up[1](F.interpolate(self.join[1](torch.cat([h, middle], 1)), scale_factor=2))
        h = self.last(self.join[2](torch.cat([h, fine], 1)))
        return F.pixel_shuffle(self.out(h), 2).float(), features.float()
