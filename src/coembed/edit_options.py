"""What a user chooses of an edit, whatever the task."""

from __future__ import annotations

from dataclasses import dataclass

from coembed.errors import ConfigError


@dataclass(frozen=True)
class EditOptions:
    """How many versions of a photo, which ones, and how much of the change.

    Args:
        n: versions, at least 1.
        seed: same photo, seed and model, same versions.
        strength: share of the change that is applied, 0 (none) to 1 (all), or a bit beyond.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        distinct: choose versions that differ, out of a larger draw, most common kind first. Otherwise draws
            0..n-1 as they come.

    Raises:
        ConfigError: an option outside its range.
    """

    n: int = 4
    seed: int = 0
    strength: float = 1.0
    temperature: float = 1.0
    distinct: bool = True

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n is {self.n}, expected at least 1")
        for name in ("strength", "temperature"):
            if not 0 <= getattr(self, name) <= 4:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 to 4")
