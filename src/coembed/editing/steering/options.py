"""What a user asks of the draws besides how many: near an example, holding a hint, between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coembed.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Picture = str | Path | bytes | Image.Image | np.ndarray


@dataclass(frozen=True, eq=False)
class ControlOptions:
    """Pictures are paths, the bytes of files, Pillow images, or arrays (h, w, 3) of uint8 or uint16.

    Attributes:
        like: an example, any photo: draws come near its field.
        closeness: how near, 0 (not at all) to 1 (as near as the model can).
        hint: a retouched copy of the photo, of its size; what it looks like inside ``mask`` is held.
        mask: where, of the photo's size: white is held, black is free.
        keep: where the photo itself is held, a mask likewise.
        between: numbers of two draws; the results are steps on the way from one to the other.

    Raises:
        ConfigError: a number outside its range, or options that do not go together.
    """

    like: Picture | None = None
    closeness: float = 0.7
    hint: Picture | None = None
    mask: Picture | None = None
    keep: Picture | None = None
    between: tuple[int, int] | None = None

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
    def asked(self) -> bool:
        """Whether anything is asked of the draws at all."""
        return self.like is not None or self.between is not None or self.holds

    @property
    def holds(self) -> bool:
        """Whether something of the photo is held, so that the options are for that photo alone."""
        return self.hint is not None or self.keep is not None
