"""Networks that models share: residual blocks, a small U-Net; and the modes they run in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError

Layer = TypeVar("Layer", bound=nn.Module)

_COARSEST = 8  # it works at 1/2, 1/4 and 1/8 of the field's size


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions that start as the identity (or a 1 x 1 projection)."""

    def __init__(self, inputs: int, outputs: int, norm: str = "none", dropout: float = 0.0):
        super().__init__()
        self.norm1 = _map_norm(norm, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _map_norm(norm, outputs)
        self.conv2 = zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, c, h, w) to the same height and width."""
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(self.norm2(h))))


def unet_fits(condition: tuple[int, int, int], shape: tuple[int, int, int]) -> bool:
    """True if ``UNet``, which halves its maps three times, can go from this condition to this field."""
    return condition[1:] == shape[1:] and not any(side % _COARSEST for side in shape[1:])


class UNet(nn.Module):
    """Three scales from half the field's size down; its output starts at zero."""

    def __init__(
        self,
        inputs: tuple[int, int, int],
        shape: tuple[int, int, int],
        channels: int,
        features: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        height, width = shape[1:]
        if inputs[1:] != shape[1:] or height % _COARSEST or width % _COARSEST:
            raise ConfigError(
                f"the U-Net needs condition and field of one size, a multiple of {_COARSEST}, got "
                f"{inputs[1]} x {inputs[2]} and {height} x {width}; channels=0 leaves it out"
            )
        a, b, c = channels, 2 * channels, 4 * channels
        self.stem = nn.Conv2d(4 * inputs[0], a, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, a, height // 2, width // 2))
        self.down = nn.ModuleList(ResidualBlock(n, n, "none", dropout) for n in (a, b, c))
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, 2), nn.Conv2d(b, c, 2, 2)])
        self.middle = ResidualBlock(c, c, "none", dropout)
        self.features = nn.Linear(16 * c, features)
        self.context = nn.Linear(features, c)
        self.join = nn.ModuleList([nn.Conv2d(2 * c, c, 1), nn.Conv2d(2 * b, b, 1), nn.Conv2d(2 * a, a, 1)])
        self.up = nn.ModuleList([ResidualBlock(c, b, "none", dropout), ResidualBlock(b, a, "none", dropout)])
        self.last = ResidualBlock(a, a, "none", dropout)
        self.out = zero_init(nn.Conv2d(a, 4 * shape[0], 3, padding=1))

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


def zero_init(layer: Layer) -> Layer:
    """The layer with all its parameters at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def full_precision(x: Tensor) -> torch.autocast:
    """Switch autocast off: the finest components are smaller than bf16's rounding of the coarsest."""
    return torch.autocast(x.device.type, enabled=False)


@contextmanager
def seeded_dropout(generator: torch.Generator, like: Tensor) -> Iterator[None]:
    """Dropout that depends on ``generator`` alone: torch's global one, which it draws from, seeded by it and
    put back afterwards, on the device of ``like``."""
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device).item())
    with torch.random.fork_rng([like.device] if like.is_cuda else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and as it was afterwards."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _map_norm(norm: str, channels: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)
