"""A photo as a data set of small files would hold it: reduced, and compressed once more."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from coembed.errors import ConfigError
from coembed.imaging.color import levels_to_linear, linear_to_srgb
from coembed.imaging.resize import area_average, shrunk_size

_SUBSAMPLING = {"4:4:4": 0, "4:2:0": 2}


@dataclass(frozen=True)
class Recompression:
    """A reduction and a JPEG compression.

    Args:
        side: longer side that larger photos are reduced to, pixels; None leaves the size.
        quality: of the JPEG, 1 to 100; None for no compression.
        subsampling: of its colour: ``"4:2:0"`` halves it either way, ``"4:4:4"`` does not.

    Raises:
        ConfigError: a value outside its range.
    """

    side: int | None = None
    quality: int | None = None
    subsampling: Literal["4:2:0", "4:4:4"] = "4:2:0"

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 8:
            raise ConfigError(f"side is {self.side}, expected at least 8")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"quality is {self.quality}, expected 1 to 100")
        if self.subsampling not in _SUBSAMPLING:
            raise ConfigError(f"subsampling is {self.subsampling!r}, expected 4:2:0 or 4:4:4")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The photo (h, w, 3) uint8 after it, uint8."""
        size = shrunk_size((pixels.shape[0], pixels.shape[1]), self.side)
        if size != pixels.shape[:2]:
            linear = area_average(levels_to_linear(pixels), size)
            pixels = np.rint(linear_to_srgb(linear) * 255).astype(np.uint8)
        if self.quality is None:
            return pixels
        file = io.BytesIO()
        Image.fromarray(pixels).save(
            file, "JPEG", quality=self.quality, subsampling=_SUBSAMPLING[self.subsampling]
        )
        return np.asarray(Image.open(file))

    def __str__(self) -> str:
        parts = [f"{self.side} px"] * (self.side is not None)
        parts += [f"JPEG {self.quality} {self.subsampling}"] * (self.quality is not None)
        return ", ".join(parts) or "as it is"
