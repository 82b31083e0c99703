"""The options of an evaluation: one frozen dataclass that is also the command line (imports no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro

from coembed.errors import ConfigError


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model's samples against real fields.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    run: tyro.conf.Positional[str]
    """A run's folder, a model's folder, or the name of a model (for example resaturation, or
    resaturation:calibrated for its calibrated draws)."""
    pairs: str
    """Folder of pairs, as `coembed prepare` writes it."""
    split: Literal["train", "val"] = "val"
    """Which pairs to score on."""
    limit: int = 1000
    """Most pairs to score on, from the first."""
    samples: int = 100
    """Samples a photo."""
    seed: int = 0
    """Of every random draw."""
    clip: bool = True
    """Clip the samples of every sampler to the field's range before they are scored."""
    baselines: bool = False
    """Score random fields, nearest neighbours and a linear-Gaussian too, fitted on the training pairs."""
    against: str | None = None
    """Another model, scored on the same photos with the same seed and compared photo by photo."""
    scores: Literal["basic", "full"] = "basic"
    """full adds variogram score, rank histograms, spectrum, precision and recall of pairs, novelty."""
    particles: int = 0
    """Bound the likelihood with this many particles, for every sampler that has a density; 0 leaves it out."""
    intervals: bool = False
    """Bootstrap 95% confidence intervals, and those of paired differences, in the JSON file and on screen."""
    json: str | None = None
    """File for all numbers, those of every photo included."""
    csv: str | None = None
    """File for every number of every sampler with its standard error, one row a sampler."""
    latex: str | None = None
    """File for the main table as LaTeX."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("samples", 1), ("threads", 0), ("particles", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected {least} or more")
