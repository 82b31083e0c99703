"""Parts of a co-embedding model: one frozen dataclass each, with only the options that the part has."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from coembed.errors import ConfigError


@dataclass(frozen=True)
class LadderConfig:
    """One ladder VAE. Lists run coarse to fine: the first code is the top layer (z_L), the last is z_1.

    Attributes:
        codes: width of every code, top first.
        hidden: width of the hidden layers at every code.
        norm: normalisation of hidden layers.
        shared: inference merges with the generative prior itself (else with a top-down net of its own).
        only_mean_up: the upward pass hands on a layer's mean instead of its hidden activations.
        likelihood: pixel deviation ``fixed``, learned a ``channel``, or a ``pixel`` (from the code).
        sigma: starting (or fixed) pixel standard deviation, in standard deviations of the data.
        sigma_floor: its lower bound.
    """

    codes: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (128, 256, 512)
    norm: Literal["layer", "batch", "none"] = "layer"
    shared: bool = True
    only_mean_up: bool = False
    likelihood: Literal["fixed", "channel", "pixel"] = "channel"
    sigma: float = 0.5
    sigma_floor: float = 0.02

    def __post_init__(self):
        if not self.codes or min(self.codes) < 1:
            raise ConfigError(f"codes: got {self.codes}, expected at least one positive width")
        if len(self.hidden) != len(self.codes):
            raise ConfigError(
                f"hidden: got {len(self.hidden)} widths, expected one per code: {len(self.codes)}"
            )
        if not 0 < self.sigma_floor <= self.sigma:
            raise ConfigError(
                f"sigma: got {self.sigma} with floor {self.sigma_floor}, expected 0 < floor <= sigma"
            )


Layers = Literal["top", "all", "hier"]
"""Where a tie is: at the ``top`` latent, at ``all`` at once, or ``hier``: at every layer given those above."""


@dataclass(frozen=True)
class NoTieConfig:
    """Fields have the field ladder's own prior, whatever the condition."""

    family: Literal["none"] = "none"
    layers: Layers = "hier"


@dataclass(frozen=True)
class GaussianTieConfig:
    """A Gaussian between latents of both sides (eq. 3, 4).

    Attributes:
        fraction: share of a layer's dimensions that are tied.
        sigma: sigma_t.
        conditional: samples are from the ``exact`` N(zc / (1 + s), s / (1 + s)) or the ``paper``'s N(zc, s).
        learn_strength: sigma_t is learned, one per tied dimension, from ``sigma`` on.
    """

    family: Literal["gaussian"] = "gaussian"
    layers: Layers = "hier"
    fraction: float = 0.8
    sigma: float = 0.3
    conditional: Literal["exact", "paper"] = "exact"
    learn_strength: bool = False

    def __post_init__(self):
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction: got {self.fraction}, expected a number in (0, 1]")
        if self.sigma <= 0:
            raise ConfigError(f"sigma: got {self.sigma}, expected a positive number")


@dataclass(frozen=True)
class MixtureTieConfig:
    """A mixture density network (eq. 6, 7).

    Attributes:
        layers: over the ``top`` latent, or over ``all`` of them at once.
        components: K of the mixture.
        sigma: width of the components.
        prior: the mixture ``replace``s the field latent's N(0, I), or is ``add``ed to it (the paper's eq. 7).
        hidden: width of the network.
    """

    family: Literal["mixture"] = "mixture"
    layers: Literal["top", "all"] = "all"
    components: int = 12
    sigma: float = 0.3
    prior: Literal["replace", "add"] = "replace"
    hidden: int = 256

    def __post_init__(self):
        if self.sigma <= 0:
            raise ConfigError(f"sigma: got {self.sigma}, expected a positive number")
        if self.components < 1:
            raise ConfigError(f"components: got {self.components}, expected at least 1")


TieConfig = NoTieConfig | GaussianTieConfig | MixtureTieConfig
TIE_CONFIGS: dict[str, type[TieConfig]] = {
    "none": NoTieConfig,
    "gaussian": GaussianTieConfig,
    "mixture": MixtureTieConfig,
}


@dataclass(frozen=True)
class CDVAEConfig:
    """The joint model of condition and field.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        condition: ladder of the condition.
        field: ladder of the field.
        tie: joins their codes.
        condition_code: codes of the condition are ``sample``d from q(zc | xc) (eq. 5) or its ``mean`` is taken.
        warmup: heed the training loop's warm-up of rates and ties.
        free_bits: nats a layer that the rate may keep for free: of the condition, and of the field where the
            tie leaves layers below the top to the ladder's own prior.
        decode: a sample is the decoder's ``mean`` (as in the paper's figures) or a ``draw`` with pixel noise.
        clip: samples are clipped to this range (natural units), if any.
        field_scale: fields are modelled as ``asinh(field / field_scale)``: straight below the scale (natural
            units), logarithmic above, for heavy tails such as motion's. 0: as they are.
    """

    condition_shape: tuple[int, int, int]
    field_shape: tuple[int, int, int]
    condition: LadderConfig = dataclasses.field(default_factory=LadderConfig)
    field: LadderConfig = dataclasses.field(default_factory=LadderConfig)
    tie: TieConfig = dataclasses.field(default_factory=GaussianTieConfig)
    condition_code: Literal["sample", "mean"] = "sample"
    warmup: bool = True
    free_bits: float = 0.0
    decode: Literal["mean", "draw"] = "mean"
    clip: tuple[float, float] | None = None
    field_scale: float = 0.0

    def __post_init__(self):
        if not 0 <= self.field_scale < math.inf:
            raise ConfigError(f"field_scale: got {self.field_scale}, expected 0 or more")
        for name, shape in (("condition_shape", self.condition_shape), ("field_shape", self.field_shape)):
            if len(shape) != 3 or min(shape) < 1:
                raise ConfigError(f"{name}: got {shape}, expected (channels, height, width)")
        layers = len(self.field.codes)
        if (
            isinstance(self.tie, GaussianTieConfig)
            and self.tie.layers != "top"
            and len(self.condition.codes) != layers
        ):
            raise ConfigError(
                f"tie: a Gaussian tie at {self.tie.layers!r} layers needs as many codes on both sides, "
                f"got {len(self.condition.codes)} and {layers}"
            )
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ConfigError(f"clip: got {self.clip}, expected (low, high) with low < high")

    @property
    def field_size(self) -> int:
        """Values a field."""
        return math.prod(self.field_shape)
