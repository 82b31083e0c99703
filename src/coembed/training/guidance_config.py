"""The options of embedding guidance (imports no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from coembed.errors import ConfigError


@dataclass(frozen=True)
class GuidanceConfig:
    """Codes are drawn to an embedding in which similar photos lie close (paper sec. 4.1, eq. 8, 9).

    The loss gains lambda x how far a code's guided dimensions are from their targets (see ``form``), in the
    prior's own standard deviations; lambda starts at ``weight`` and falls by half a cosine to ``floor`` in
    the first ``cool`` of the run. Nothing of it is left when the model is used.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    weight: float = 0.0
    """lambda at the start, in nats per pair for codes one standard deviation off; 0: no guidance at all."""
    floor: float = 0.0
    """lambda at the end."""
    cool: float = 0.5
    """Fraction of the run after which lambda is at its floor."""
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
    """Neighbours a pair in the graph of similar pairs."""
    form: Literal["targets", "contrastive"] = "targets"
    """targets: codes are drawn to places (eq. 8), by their mean squared distance. contrastive: codes shall have
    the neighbours that their targets have within a batch, wherever they lie (see ``guidance.contrast``)."""
    temperature: float = 0.1
    """Of the contrastive form: the squared distance a dimension over which likeness falls to 1/e, where two
    pairs taken at random are about 2 apart. Less: only the nearest count."""
    sides: Literal["both", "condition", "field"] = "both"
    """Whose codes are drawn."""
    align: Literal["joint", "procrustes", "cca", "none"] = "joint"
    """How both sides' targets agree, as a tie needs: one embedding of everything; the field's rotated onto the
    condition's; both turned to their canonical correlations; or not at all."""
    layers: Literal["spread", "top"] = "spread"
    """The smoothest dimensions guide the top code, further ones those below; or the top code alone."""
    clip: float = 3.0
    """Targets are held to this many standard deviations."""

    def __post_init__(self):
        for name in ("weight", "floor", "label", "layout", "pixels", "own_weight"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"guidance.{name}: got {value}, expected 0 or more")
        for name in ("components", "neighbors"):
            if getattr(self, name) < 1:
                raise ConfigError(f"guidance.{name}: got {getattr(self, name)}, expected at least 1")
        if not 0 <= self.cool <= 1:
            raise ConfigError(f"guidance.cool: got {self.cool}, expected 0 to 1")
        if self.floor > self.weight:
            raise ConfigError(f"guidance.floor: got {self.floor}, expected at most the weight, {self.weight}")
        for name in ("clip", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"guidance.{name}: got {getattr(self, name)}, expected more than 0")

    def strength(self, progress: float) -> float:
        """lambda when this fraction of the run is done.

        >>> config = GuidanceConfig(weight=10.0, floor=2.0, cool=0.5)
        >>> [round(config.strength(p), 3) for p in (0.0, 0.25, 0.5, 1.0)]
        [10.0, 6.0, 2.0, 2.0]
        """
        if progress >= self.cool:
            return self.floor
        return self.floor + (self.weight - self.floor) * 0.5 * (1 + math.cos(math.pi * progress / self.cool))
