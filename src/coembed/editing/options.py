"""Options of an edit, written down once: keyword arguments in Python, options on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict, get_args

import tyro

from coembed.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Picture = str | Path | bytes | Image.Image | np.ndarray
else:
    Picture = Path  # which is what a command line takes

Pick = Literal["typical", "spread"]
"""How versions are chosen out of a larger draw: one of each common kind, or likely ones that are far apart."""


@dataclass(frozen=True)
class SampleOptions:
    """Number and choice of a photo's versions, and the share of the change.

    Raises:
        ConfigError: an option outside its range.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 4
    """Versions of each photo."""
    seed: int = 0
    """Same photo, seed and model, same versions."""
    strength: float = 1.0
    """Share of the change that is applied, 0 (none) to 1 (all), or up to 4: beyond what was drawn."""
    temperature: float = 1.0
    """Spread of the draws: below 1 more usual ones, above 1 more daring ones."""
    exposure: float = 0.0
    """Of new light: share of its change of exposure that is applied, 0 (only where light falls changes) to
    1."""
    all: tyro.conf.FlagCreatePairsOff[bool] = False
    """Plain draws 0 to n-1, in place of versions chosen to differ out of a larger draw."""
    pick: Pick = "typical"
    """Which versions are chosen: one of each common kind, or likely ones that are far from each other."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n is {self.n}, expected at least 1")
        if self.pick not in get_args(Pick):
            raise ConfigError(f"pick is {self.pick!r}, expected one of {', '.join(get_args(Pick))}")
        for name in ("strength", "temperature"):
            if not 0 <= getattr(self, name) <= 4:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 to 4")
        if not 0 <= self.exposure <= 1:
            raise ConfigError(f"exposure is {self.exposure}, expected 0 to 1")


@dataclass(frozen=True, eq=False)
class SteeringOptions:
    """Wishes for the draws: near an example, with a part held, between two of them.

    Pictures are paths, the bytes of files, Pillow images, or arrays (h, w, 3) of uint8 or uint16.

    Raises:
        ConfigError: a number outside its range, or options that do not go together.
    """

    like: Picture | None = None
    """An example, any photo: versions come near its look."""
    closeness: float = 0.7
    """How near to the example, 0 (not at all) to 1 (as near as the model can)."""
    hint: Picture | None = None
    """A retouched copy of the photo: inside --mask it is held, and the rest of each version follows from it."""
    mask: Picture | None = None
    """Where the hint is held: white, and black elsewhere; of the photo's size."""
    keep: Picture | None = None
    """Where the photo is held as it is, a mask likewise."""
    between: tuple[int, int] | None = None
    """Two draws of the seed, as the page numbers them: the n versions are steps from the one to the other."""

    def __post_init__(self) -> None:
        if not 0 <= self.closeness <= 1:
            raise ConfigError(f"closeness is {self.closeness}, expected 0 to 1")
        if (self.hint is None) != (self.mask is None):
            given, missing = ("hint", "mask") if self.mask is None else ("mask", "hint")
            raise ConfigError(f"{given} is given without {missing}, expected both: what is held, and where")
        if self.between is not None:
            if any(option is not None for option in (self.like, self.hint, self.keep)):
                raise ConfigError("between does not go with like, hint or keep: it goes from draw to draw")
            first, second = self.between
            if first < 0 or second < 0 or first == second:
                raise ConfigError(f"between is {first} and {second}, expected two different draws from 0 on")

    @property
    def steers(self) -> bool:
        """True if anything is asked of the draws at all."""
        return self.like is not None or self.between is not None or self.has_fixed_region

    @property
    def has_fixed_region(self) -> bool:
        """True if a part of the photo is held, so that the options are for that photo alone."""
        return self.hint is not None or self.keep is not None


@dataclass(frozen=True, eq=False)
class EditOptions(SteeringOptions, SampleOptions):
    """All that may be asked of an edit."""

    def __post_init__(self) -> None:
        SampleOptions.__post_init__(self)
        SteeringOptions.__post_init__(self)


class EditKeywords(TypedDict, total=False):
    """Options of ``EditOptions`` as keyword arguments; ``distinct`` is the opposite of ``all``."""

    strength: float
    temperature: float
    exposure: float
    distinct: bool
    pick: Pick
    like: Picture | None
    closeness: float
    hint: Picture | None
    mask: Picture | None
    keep: Picture | None
    between: tuple[int, int] | None
