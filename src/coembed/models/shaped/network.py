"""The U-Net of the photo-shaped model: what a condition says of its fields."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.models.nn import ResidualBlock, full_precision, zero_init
from coembed.models.shaped.config import ShapedConfig
from coembed.numerics.wavelets import Wavelets

MIN_LOG_STD, MAX_LOG_STD = -4.0, 2.0  # of the code's deviations
MAX_GAIN = 1.5  # most that a component moves the log deviations of a group of wavelets
MAX_FEATURE, MAX_MAP = (
    200.0,
    6.0,
)  # root mean square of features and of maps; 2 and 3 times what trained nets have


@dataclass(frozen=True)
class Drawing:
    """A network's drawing for a batch of conditions, standardised.

    Attributes:
        mean: (batch, c, h, w).
        factors: (batch, R, c, h, w).
        log_noise: log deviation of every wavelet coefficient, (batch, values).
        logits: of the components, (batch, K).
        mode_logits: of the modes of every factor, (batch, K, R, J).
        code_mean: (batch, K, R, J).
        code_log_std: (batch, K, R, J).
        gain: what a component adds to the log deviations of a group of wavelets, (batch, K, groups).
    """

    mean: Tensor
    factors: Tensor
    log_noise: Tensor
    logits: Tensor
    mode_logits: Tensor
    code_mean: Tensor
    code_log_std: Tensor
    gain: Tensor


def limited(x: Tensor, limit: float) -> Tensor:
    """Features or maps (batch, ...), scaled down where an example's root mean square passes the limit.

    Without normalisation a network that meets an odd condition, or a step too far, can answer with numbers that
    no matrix of theirs can be factored; scaling an example as a whole keeps what it says.
    """
    square = x.float().flatten(1).square().mean(1).clamp(min=limit**2)
    return x * (limit * square.rsqrt()).to(x.dtype).view(-1, *[1] * (x.dim() - 1))


class DrawingNet(nn.Module):
    """Conditions in, drawings out; it begins at the starting values that its parameters hold.

    Args:
        config: of the model.
        wavelets: of the field.
    """

    def __init__(self, config: ShapedConfig, wavelets: Wavelets):
        super().__init__()
        self.config, self.sizes, self.sides = config, wavelets.sizes, wavelets.sides
        c, height, width = config.field_shape
        stride, widths = config.stride, config.channels
        finest = (height // stride, width // stride)
        inputs = config.condition_shape[0] * (stride * max(1, config.enlarged)) ** 2
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, widths[0], *finest))
        self.down = nn.ModuleList(self._blocks(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.middle = self._blocks(widths[-1])
        scale = 2 ** (len(widths) - 1)
        self.pool = (min(4, finest[0] // scale), min(4, finest[1] // scale))
        self.features = nn.Linear(widths[-1] * self.pool[0] * self.pool[1], config.hidden)
        self.context = nn.Linear(config.hidden, widths[-1])
        self.join = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths)
        self.up = nn.ModuleList(self._blocks(width) for width in widths)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.maps = zero_init(nn.Conv2d(widths[0], stride**2 * c * (1 + config.factors), 3, padding=1))
        self.noise = nn.ModuleList(
            self._noise_head(side, finest, maps) for side, maps in self._groups(wavelets)
        )
        k, r, j, groups = config.components, config.factors, config.modes, len(self.sizes)
        self.head_sizes = [k, k * r * j, k * r * j, k * r * j, k * groups]
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Sequential(
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            zero_init(nn.Linear(config.hidden, sum(self.head_sizes))),
        )
        self.start_mean = nn.Parameter(torch.zeros(c, height, width))
        self.start_factors = nn.Parameter(torch.randn(r, c, height, width) * 0.1)
        self.start_noise = nn.Parameter(torch.zeros(sum(wavelets.maps)))
        self.start_code = nn.Parameter(0.5 * torch.randn(k, r, 1) + torch.linspace(-1, 1, j) * (j > 1))
        self.start_log_std = nn.Parameter(torch.zeros(k, r, 1).repeat(1, 1, j) - 0.5 * (j > 1))

    def forward(self, condition: Tensor) -> Drawing:
        """Drawings for standardised conditions (batch, c, h, w)."""
        config = self.config
        x = condition
        if not config.enlarged:
            x = F.interpolate(x, size=config.field_shape[1:], mode="bilinear", antialias=True)
        x = F.pixel_unshuffle(x, config.stride * max(1, config.enlarged))
        x = self.stem(x.contiguous(memory_format=torch.channels_last)) + self.position
        kept = []
        for level, blocks in enumerate(self.down):
            x = blocks(x if not level else self.shrink[level - 1](x))
            kept.append(x)
        x = self.middle(x)
        pooled = x if x.shape[-2:] == self.pool else F.adaptive_avg_pool2d(x, self.pool)
        features = limited(F.silu(self.features(pooled.flatten(1))), MAX_FEATURE)
        x = x + self.context(features)[:, :, None, None]
        scales: list[Tensor] = []
        for level in reversed(range(len(kept))):
            x = limited(self.up[level](self.join[level](torch.cat([x, kept[level]], 1))), MAX_MAP)
            scales.insert(0, x)
            if level:
                x = F.interpolate(self.grow[level - 1](x), scale_factor=2)
        maps = (
            F.pixel_shuffle(self.maps(scales[0]), config.stride).unflatten(1, (1 + config.factors, -1)).float()
        )
        noise = [self._noise_of(head, scales, side) for head, side in zip(self.noise, self.sides, strict=True)]
        with full_precision(condition):
            return self._drawing(maps, noise, self.head(self.dropout(features.float())))

    def _drawing(self, maps: Tensor, noise: list[Tensor], told: Tensor) -> Drawing:
        config, batch = self.config, len(maps)
        starts = self.start_noise.split([m.shape[1] for m in noise])
        noise = [(m.float() + s[:, None, None]).flatten(1) for m, s in zip(noise, starts, strict=True)]
        log_noise = torch.cat(noise, 1)
        floor = config.noise_floor
        log_noise = 0.5 * torch.logaddexp(2 * log_noise.clamp(max=3), log_noise.new_tensor(floor).log() * 2)
        logits, mode_logits, mean, log_std, gain = told.split(self.head_sizes, 1)
        shape = (batch, *self.start_code.shape)
        log_std = self.start_log_std + log_std.view(shape)
        middle, half = (MAX_LOG_STD + MIN_LOG_STD) / 2, (MAX_LOG_STD - MIN_LOG_STD) / 2
        return Drawing(
            self.start_mean + maps[:, 0],
            self.start_factors + maps[:, 1:],
            log_noise,
            logits,
            mode_logits.view(shape),
            self.start_code + mean.view(shape),
            middle + half * torch.tanh((log_std - middle) / half),
            MAX_GAIN * torch.tanh(gain.view(batch, config.components, -1) / MAX_GAIN),
        )

    def _blocks(self, width: int) -> nn.Sequential:
        return nn.Sequential(
            *(
                ResidualBlock(width, width, self.config.norm, self.config.dropout)
                for _ in range(self.config.blocks)
            )
        )

    @staticmethod
    def _groups(wavelets: Wavelets) -> list[tuple[tuple[int, int], int]]:
        return list(zip(wavelets.sides, wavelets.maps, strict=True))

    def _noise_head(self, side: tuple[int, int], finest: tuple[int, int], maps: int) -> nn.Conv2d:
        """From the scale of as many cells, or from the nearest one there is."""
        level, ratio = self._scale_of(side, finest)
        return zero_init(nn.Conv2d(self.config.channels[level], maps * ratio**2, 1))

    def _scale_of(self, side: tuple[int, int], finest: tuple[int, int]) -> tuple[int, int]:
        """Number of the U-Net's scale for maps of these sides, and how many of their cells one of its holds."""
        if side[0] > finest[0]:
            return 0, side[0] // finest[0]
        level = min((finest[0] // side[0]).bit_length() - 1, len(self.config.channels) - 1)
        return level, 1

    def _noise_of(self, head: nn.Module, scales: list[Tensor], side: tuple[int, int]) -> Tensor:
        finest = (scales[0].shape[-2], scales[0].shape[-1])
        level, ratio = self._scale_of(side, finest)
        found = head(scales[level])
        if ratio > 1:
            return F.pixel_shuffle(found, ratio)
        return found if tuple(found.shape[-2:]) == side else F.adaptive_avg_pool2d(found, side)
