"""The progress of a run, and what follows from it: learning rate and warm-up. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coembed.training.config import DEFAULT_EPOCHS, TrainConfig


@dataclass(frozen=True)
class Budget:
    """The length of a run in images, by the clock, or whichever of both ends first."""

    images: int | None
    seconds: float | None

    @classmethod
    def of(cls, config: TrainConfig, pairs: int) -> Budget:
        """The budget of a run over ``pairs`` training pairs."""
        images = config.images
        if images is None and (config.epochs is not None or config.minutes is None):
            images = max(1, round((config.epochs or DEFAULT_EPOCHS) * pairs))
        return cls(images, None if config.minutes is None else 60 * config.minutes)

    def progress(self, images: int, seconds: float) -> float:
        """The fraction done, 0 to 1; a function of ``images`` alone unless the clock is part of the budget."""
        parts = [0.0]
        if self.images is not None:
            parts.append(images / self.images)
        if self.seconds is not None:
            parts.append(seconds / self.seconds)
        return min(max(parts), 1.0)


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Linear rise, then half a cosine down to ``final_fraction``.

    >>> config = TrainConfig("pairs", "run", learning_rate=1.0, rise_fraction=0.5, final_fraction=0.1)
    >>> [round(learning_rate(config, p), 3) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.5, 1.0, 0.55, 0.1]
    """
    if progress < config.rise_fraction:
        return config.learning_rate * progress / config.rise_fraction
    fall = (progress - config.rise_fraction) / max(1 - config.rise_fraction, 1e-12)
    low = config.final_fraction
    return config.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0))))


def warmup(config: TrainConfig, progress: float) -> float:
    """The weight of KL and tie: linear from 0 to 1 over ``warmup_fraction``, then 1.

    >>> config = TrainConfig("pairs", "run", warmup_fraction=0.2)
    >>> [warmup(config, p) for p in (0.0, 0.1, 0.2, 1.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return 1.0 if progress >= config.warmup_fraction else progress / config.warmup_fraction
