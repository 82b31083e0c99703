"""The options of training with a proper score (imports no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coembed.errors import ConfigError


@dataclass(frozen=True)
class ScoreConfig:
    """In the last part of a run, samples themselves are judged: the fair energy score of a few of them a pair.

    The loss then is ``likelihood`` x bound + ``weight`` x values per pair x score; see ``training.scores``.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    fraction: float = 0.0
    """Last part of the run, 0 to 1, in which samples are scored; 0: never."""
    weight: float = 1.0
    """Nats a value of a pair for a score of 1; one that knows nothing of the condition scores about 0.7."""
    likelihood: float = 1.0
    """Weight of the bound on the likelihood beside it. At 0 the model is a sampler alone: its likelihood is not
    learned any further and gets worse."""
    samples: int = 4
    """Samples a pair, at least 2."""
    share: float = 0.5
    """Of a batch: pairs whose samples are scored."""
    pools: tuple[int, ...] = (1, 2, 4, 8)
    """Sides, in pixels, of the cells that fields are averaged over before they are scored; all weigh alike."""

    def __post_init__(self):
        if not 0 <= self.fraction <= 1:
            raise ConfigError(f"scores.fraction: got {self.fraction}, expected 0 to 1")
        if not 0 < self.share <= 1:
            raise ConfigError(f"scores.share: got {self.share}, expected more than 0 and at most 1")
        for name in ("weight", "likelihood"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"scores.{name}: got {value}, expected 0 or more")
        if self.samples < 2:
            raise ConfigError(f"scores.samples: got {self.samples}, expected at least 2")
        if not self.pools or min(self.pools) < 1:
            raise ConfigError(f"scores.pools: got {self.pools}, expected sides of 1 pixel or more")

    def due(self, progress: float) -> bool:
        """Whether samples are scored when this fraction of the run is done.

        >>> [ScoreConfig(fraction=0.25).due(p) for p in (0.0, 0.74, 0.75, 1.0)]
        [False, False, True, True]
        """
        return self.fraction > 0 and self.weight > 0 and progress >= 1 - self.fraction
