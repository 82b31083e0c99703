"""The options of what makes pairs similar (imports no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from coembed.errors import ConfigError


@dataclass(frozen=True)
class SimilarityConfig:
    """Features that make two pairs similar, their weights, and the embedding of them (paper sec. 4.1).

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    label: float = 2.0
    """Weight of the share of each category (or of a clip's action); 0 leaves it out, as do pairs without."""
    layout: float = 2.0
    """Weight of where each category is, on 5 x 5 cells; 0 leaves it out, as do pairs without."""
    pixels: float = 1.0
    """Weight of condition and field themselves; 0 leaves them out."""
    own: str | None = None
    """A .npy file of features of your own, (pairs, d), rows in the order of the pairs' names."""
    own_weight: float = 1.0
    """Weight of your own features."""
    components: int = 32
    """Dimensions of the embedding."""
    neighbors: int = 15
    """Neighbours per pair in the graph of similar pairs."""
    align: Literal["joint", "procrustes", "cca", "none"] = "joint"
    """How both sides' targets agree, as a tie needs: one embedding of everything; the field's rotated onto the
    condition's; both turned to their canonical correlations; or not at all."""
    clip: float = 3.0
    """Targets are held to this many standard deviations."""

    def __post_init__(self):
        for name in ("label", "layout", "pixels", "own_weight"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"guidance.{name}: got {value}, expected 0 or more")
        for name in ("components", "neighbors"):
            if getattr(self, name) < 1:
                raise ConfigError(f"guidance.{name}: got {getattr(self, name)}, expected at least 1")
        if not self.clip > 0:
            raise ConfigError(f"guidance.clip: got {self.clip}, expected more than 0")

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every block of features."""
        return {
            "label": self.label,
            "layout": self.layout,
            "pixels": self.pixels,
            "field_pixels": self.pixels,
            "own": self.own_weight,
        }

    @property
    def wanted(self) -> tuple[str, ...]:
        """Features of a store that have a weight: of label, layout and pixels."""
        return tuple(name for name in ("label", "layout", "pixels") if getattr(self, name) > 0)
