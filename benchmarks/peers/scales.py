"""The convolutional encoder and decoder of the one-pass peers: maps at three scales, chance put in at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from peers.peer import Shape
from peers.unet import Block

_GROUPS = 8
PATCH = 2
"""Pixels a side that become one place of the finest scale."""

Inject = Callable[[int, Tensor], Tensor]
"""(level, its maps) to the maps with a code put in; level 0: one vector everywhere, 1 to 3: coarse to fine."""


def widths(width: int) -> tuple[int, int, int]:
    """Channels from the coarsest scale to the finest."""
    return 3 * width, 2 * width, width


def level_shapes(channels: Sequence[int], shape: Shape) -> list[Shape]:
    """Shapes of the codes of the four levels: one vector, then maps of 1/8, 1/4 and 1/2 of (c, h, w)."""
    height, width = shape[-2:]
    sizes = [(1, 1)] + [(height // (PATCH * k), width // (PATCH * k)) for k in (4, 2, 1)]
    return [(count, *size) for count, size in zip(channels, sizes, strict=True)]


class Encoder(nn.Module):
    """Maps to features of three scales, coarse to fine: 1/8, 1/4 and 1/2 of the side.

    Args:
        inputs: channels in.
        size: (height, width), multiples of 8; every place has a learned bias.
        width: channels at the finest scale, a multiple of 8.
    """

    def __init__(self, inputs: int, size: tuple[int, int], width: int):
        super().__init__()
        if size[0] % (4 * PATCH) or size[1] % (4 * PATCH):
            raise ConfigError(f"size: got {size[0]} x {size[1]}, expected multiples of {4 * PATCH}")
        c, b, a = widths(width)
        self.stem = nn.Conv2d(inputs * PATCH**2, a, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, a, size[0] // PATCH, size[1] // PATCH))
        self.blocks = nn.ModuleList(Block(n, n) for n in (a, b, c))
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, 2), nn.Conv2d(b, c, 2, 2)])
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, inputs, h, w) to three maps, coarse to fine."""
        x = F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last)
        fine = self.blocks[0](self.stem(x) + self.place)
        middle = self.blocks[1](self.shrink[0](fine))
        return [self.blocks[2](self.shrink[1](middle)), middle, fine]


class Decoder(nn.Module):
    """Features of three scales to maps of full size; ``inject`` puts a code in at four levels on the way.

    Args:
        outputs: channels out.
        width: as the encoder's.
        skips: whether the features of the two finer scales join; else the coarsest is all there is.
    """

    def __init__(self, outputs: int, width: int, *, skips: bool = True):
        super().__init__()
        c, b, a = widths(width)
        self.join = nn.ModuleList(Block(2 * n if skips else n, n) for n in (b, a)) if skips else None
        self.mix = nn.ModuleList(Block(n, n) for n in (c, c, b, a))
        self.grow = nn.ModuleList([nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.norm = nn.GroupNorm(_GROUPS, a)
        self.out = nn.Conv2d(a, outputs * PATCH**2, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, features: Sequence[Tensor], inject: Inject = lambda _, h: h) -> Tensor:
        """Maps, coarse to fine, to (batch, outputs, h, w), float32."""
        h = self.mix[0](inject(0, features[0]))
        h = self.mix[1](inject(1, h))
        for index in range(2):
            h = F.interpolate(self.grow[index](h), scale_factor=2)
            if self.join is not None:
                h = self.join[index](torch.cat([h, features[1 + index]], 1))
            h = self.mix[2 + index](inject(2 + index, h))
        return F.pixel_shuffle(self.out(F.silu(self.norm(h))), PATCH).float()
