"""The residual U-Net that the peers share: maps in, maps of the same size out, a vector beside if wanted."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError

_GROUPS = 8


class UNet(nn.Module):
    """Three scales of residual blocks with skips; group norms, SiLU; the output starts at zero.

    With ``patch`` above 1 the first step packs pixels into channels: faster, and worse at fine detail.

    Args:
        inputs: channels in.
        outputs: channels out.
        size: (height, width), multiples of 4 ``patch``; every place has a learned bias.
        width: channels at the finest scale, a multiple of 8; twice and three times as many below.
        vector: length of a vector that scales and shifts every block, such as ``waves`` of a time; 0: none.
        patch: pixels a side that become one place.
        dropout: share of features that a block drops in training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        *,
        width: int = 64,
        vector: int = 0,
        patch: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        if size[0] % (4 * patch) or size[1] % (4 * patch):
            raise ConfigError(f"size: got {size[0]} x {size[1]}, expected multiples of {4 * patch}")
        a, b, c = width, 2 * width, 3 * width
        inner = 4 * width if vector else 0
        self.patch = patch
        self.embed = nn.Sequential(nn.Linear(vector, inner), nn.SiLU()) if vector else None
        self.stem = nn.Conv2d(inputs * patch**2, a, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, a, size[0] // patch, size[1] // patch))
        self.down = nn.ModuleList(Block(n, n, inner, dropout) for n in (a, b, c))
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 2, 2), nn.Conv2d(b, c, 2, 2)])
        self.middle = Block(c, c, inner, dropout)
        self.up = nn.ModuleList(Block(2 * n, n, inner, dropout) for n in (c, b, a))
        self.grow = nn.ModuleList([nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.norm = nn.GroupNorm(_GROUPS, a)
        self.out = nn.Conv2d(a, outputs * patch**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        """(batch, inputs, h, w) and a vector (batch, length), if it was made with one, to float32 maps."""
        v = self.embed(vector) if self.embed is not None and vector is not None else None
        x = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        fine = self.down[0](self.stem(x) + self.place, v)
        middle = self.down[1](self.shrink[0](fine), v)
        coarse = self.down[2](self.shrink[1](middle), v)
        h = self.up[0](torch.cat([self.middle(coarse, v), coarse], 1), v)
        h = F.interpolate(self.grow[0](h), scale_factor=2)
        h = self.up[1](torch.cat([h, middle], 1), v)
        h = F.interpolate(self.grow[1](h), scale_factor=2)
        h = self.up[2](torch.cat([h, fine], 1), v)
        return F.pixel_shuffle(self.out(F.silu(self.norm(h))), self.patch).float()


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; starts as the shortcut alone.

    Args:
        inputs: channels in, a multiple of 8.
        outputs: channels out, a multiple of 8.
        vector: length of the vector that scales and shifts the second normalised map; 0: none.
        dropout: share of features dropped in training.
    """

    def __init__(self, inputs: int, outputs: int, vector: int = 0, dropout: float = 0.0):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(_GROUPS, inputs), nn.GroupNorm(_GROUPS, outputs)])
        self.modulate = nn.Linear(vector, 2 * outputs) if vector else None
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h, w)."""
        h = self.norms[1](self.first(F.silu(self.norms[0](x))))
        if self.modulate is not None and vector is not None:
            scale, shift = self.modulate(vector)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return self.shortcut(x) + self.second(self.dropout(F.silu(h)))


def waves(time: Tensor, length: int = 64) -> Tensor:
    """Times (batch,) in [0, 1] as sines and cosines of ``length`` / 2 frequencies from 1 to 1000 (radians)."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), length // 2, device=time.device))
    angles = time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)
