"""The options of a calibration: one frozen dataclass that is also the command line (imports no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro

from coembed.errors import ConfigError


@dataclass(frozen=True)
class CalibrateConfig:
    """Fit how widely a trained model's samples spread: one temperature a layer of codes.

    The temperatures that give samples the least energy score (over fields averaged over 1, 2, 4 and 8 px) on
    half of the pairs are written with the unchanged weights into a new folder; scores before and after are of
    the other half. Where the score is flat, as it is in fine layers, sharpness and spread decide.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    run: tyro.conf.Positional[str]
    """A run's folder, a model's folder, or the name of a model (for example resaturation)."""
    pairs: str
    """Folder of pairs, as `coembed prepare` writes it."""
    out: str
    """Folder for the calibrated model; new or empty."""
    split: Literal["train", "val"] = "val"
    """Which pairs to fit and judge on. A model is too sure of pairs it was trained on: take train only where
    it was not."""
    limit: int = 600
    """Most pairs to use, taken from the end: `coembed evaluate` takes them from the front."""
    samples: int = 16
    """Samples a pair while fitting; the score is fair, so that more only steady it."""
    beside: bool = False
    """Keep the model's own way to draw, and write what is fitted beside it, for draws in all dimensions: they
    are made where the model is named with ":calibrated" after its name."""
    tolerance: float = 0.01
    """How much of the energy score, as a fraction, may be given for samples as sharp as real fields, and as
    much for samples as wide as their errors: all of it where they are wrong by a factor e or more, less where
    by less. 0: the score alone."""
    seed: int = 0
    """Of every random draw."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 4), ("samples", 2), ("threads", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected {least} or more")
        if not 0 <= self.tolerance <= 1:
            raise ConfigError(f"tolerance: got {self.tolerance}, expected 0 to 1")
