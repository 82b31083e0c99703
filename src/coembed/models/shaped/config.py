"""Options of the photo-shaped model (imports no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from coembed.errors import ConfigError

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ShapedConfig:
    """A field is a mean, factors times codes, and wavelet noise, all drawn by a U-Net that reads the condition.

    Attributes:
        condition_shape: (channels, height, width) of the condition. Where its sides are those of the field
            times a whole number, the network reads all of it; otherwise as it is at the field's size.
        field_shape: the same of the field.
        factors: R, numbers in the code, each the weight of a map that the condition draws.
        components: K of the mixture that the code is drawn from.
        modes: J of every factor within a component: parts of a field that are in modes of their own, whatever
            the others do.
        channels: of the U-Net at each scale, fine to coarse; its sides halve from one to the next.
        blocks: residual blocks a scale, on the way down and on the way up.
        stride: cells of the field (a side) that one cell of the U-Net's finest scale stands for.
        norm: of the U-Net's blocks.
        hidden: width of the network that tells the mixture.
        dropout: of that network and of the U-Net's blocks.
        levels: of the wavelets in which noise is independent; 0 for single cells.
        wavelet_order: of their filters: 1 (Haar) for blocks, 3 for smooth ones.
        noise_floor: least deviation of a wavelet coefficient, in deviations of the field.
        field_scale: fields are modelled as ``asinh(field / field_scale)``, for heavy tails; 0: as they are.
        clip: samples are clipped to this range (natural units), if any.
    """

    condition_shape: Shape
    field_shape: Shape
    factors: int = 16
    components: int = 6
    modes: int = 3
    channels: tuple[int, ...] = (32, 64, 96, 128)
    blocks: int = 1
    stride: int = 1
    hidden: int = 256
    norm: Literal["none", "layer"] = "none"
    dropout: float = 0.1
    levels: int = 3
    wavelet_order: int = 3
    noise_floor: float = 0.01
    field_scale: float = 0.0
    clip: tuple[float, float] | None = None

    def __post_init__(self):
        for name in ("condition_shape", "field_shape"):
            shape = getattr(self, name)
            if len(shape) != 3 or min(shape) < 1:
                raise ConfigError(f"{name}: got {shape}, expected (channels, height, width)")
        for name in ("factors", "components", "modes", "stride", "blocks", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least 1")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(f"channels: got {self.channels}, expected at least one positive width")
        if not self.noise_floor > 0:
            raise ConfigError(f"noise_floor: got {self.noise_floor}, expected more than 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout: got {self.dropout}, expected 0 or more and less than 1")
        if not 0 <= self.field_scale < math.inf:
            raise ConfigError(f"field_scale: got {self.field_scale}, expected 0 or more")
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ConfigError(f"clip: got {self.clip}, expected (low, high) with low < high")
        h, w = self.field_shape[1:]
        coarsest = self.stride * 2 ** (len(self.channels) - 1)
        if h % coarsest or w % coarsest:
            raise ConfigError(
                f"field_shape: got {h} x {w}, expected multiples of {coarsest}, which stride {self.stride} and "
                f"{len(self.channels)} scales make"
            )
        if self.levels < 0 or h % 2**self.levels or w % 2**self.levels:
            raise ConfigError(f"levels: got {self.levels}, but {h} x {w} does not halve so often")

    @property
    def enlarged(self) -> int:
        """Cells of the condition that the network reads per cell of the field, a side; 0: it is resized."""
        (_, ch, cw), (_, h, w) = self.condition_shape, self.field_shape
        return ch // h if ch % h == 0 and cw % w == 0 and ch // h == cw // w else 0
