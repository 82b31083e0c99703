"""What a user chooses of an edit, whatever the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from coembed.errors import ConfigError

Pick = Literal["typical", "spread"]
"""How versions are chosen out of a larger draw: one of each common kind, or likely ones that are far apart."""


@dataclass(frozen=True)
class EditOptions:
    """How many versions of a photo, which ones, and how much of the change.

    Args:
        n: versions, at least 1.
        seed: same photo, seed and model, same versions.
        strength: share of the change that is applied, 0 (none) to 1 (all), or a bit beyond.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        distinct: choose versions that differ, out of a larger draw. Otherwise draws 0..n-1 as they come.
        pick: how they are chosen: one of each of the most common kinds (``typical``), or those that are likely
            and farthest from each other (``spread``).

    Raises:
        ConfigError: an option outside its range.
    """

    n: int = 4
    seed: int = 0
    strength: float = 1.0
    temperature: float = 1.0
    distinct: bool = True
    pick: Pick = "typical"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n is {self.n}, expected at least 1")
        if self.pick not in get_args(Pick):
            raise ConfigError(f"pick is {self.pick!r}, expected one of {', '.join(get_args(Pick))}")
        for name in ("strength", "temperature"):
            if not 0 <= getattr(self, name) <= 4:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 to 4")
