"""Parts of a co-embedding model: one frozen dataclass each, with only the options that the part has."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from coembed.errors import ConfigError


@dataclass(frozen=True)
class LadderConfig:
    """One ladder VAE. Lists run coarse to fine: the first code is the top layer (z_L), the last is z_1.

    Attributes:
        tower: ``fc`` joins layers by two fully connected layers (the paper); ``conv`` has spatial codes;
            ``linear`` has whitened principal components as codes, set in closed form before training.
        codes: width of every code, top first; for ``conv`` channels of spatial maps.
        hidden: width of the hidden layers at every code (``fc``) or channels (``conv``); none for ``linear``.
        conditional: ``conv`` only, of the field: prior, posterior and decoder read maps of the condition, too.
        maps: ``conv`` only: side of every spatial code as a divisor of the field, e.g. 8 for 4 x 4 at 32 x 32.
        norm: normalisation of hidden layers.
        shared: inference merges with the generative prior itself (else with a top-down net of its own).
        only_mean_up: the upward pass hands on a layer's mean instead of its hidden activations.
        likelihood: pixel deviation ``fixed``, learned a ``channel``, or a ``pixel`` (from the code).
        sigma: starting (or fixed) pixel standard deviation, in standard deviations of the data.
        sigma_floor: its lower bound.
    """

    tower: Literal["fc", "conv", "linear"] = "fc"
    codes: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (128, 256, 512)
    maps: tuple[int, ...] = ()
    conditional: bool = False
    norm: Literal["layer", "batch", "none"] = "layer"
    shared: bool = True
    only_mean_up: bool = False
    likelihood: Literal["fixed", "channel", "pixel"] = "channel"
    sigma: float = 0.5
    sigma_floor: float = 0.02

    def __post_init__(self):
        if not self.codes or min(self.codes) < 1:
            raise ConfigError(f"codes: got {self.codes}, expected at least one positive width")
        if self.tower != "linear" and len(self.hidden) != len(self.codes):
            raise ConfigError(
                f"hidden: got {len(self.hidden)} widths, expected one per code: {len(self.codes)}"
            )
        if self.tower == "conv" and len(self.maps) != len(self.codes):
            raise ConfigError(f"maps: got {len(self.maps)} divisors, expected one per code: {len(self.codes)}")
        if self.tower == "conv" and any(a < b or a % b for a, b in zip(self.maps, self.maps[1:], strict=False)):
            raise ConfigError(f"maps: got {self.maps}, expected each divisor to be a multiple of the next")
        if self.conditional and self.tower != "conv":
            raise ConfigError(f"conditional: is of a conv tower, got tower {self.tower!r}")
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

    features: ClassVar[bool] = False
    refine: ClassVar[int] = 0


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

    features: ClassVar[bool] = False
    refine: ClassVar[int] = 0

    def __post_init__(self):
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction: got {self.fraction}, expected a number in (0, 1]")
        if self.sigma <= 0:
            raise ConfigError(f"sigma: got {self.sigma}, expected a positive number")


@dataclass(frozen=True)
class MixtureTieConfig:
    """A mixture density network (eq. 6, 7).

    Attributes:
        components: K of the mixture.
        sigma: width of the components (start value if learned).
        learn_sigma: components have scales of their own, in bands of neighbouring dimensions.
        prior: the mixture ``replace``s the field latent's N(0, I), or is ``add``ed to it (the paper's eq. 7).
        hidden: width of the network.
        features: it also reads the condition regression's features.
        detail: at ``hier`` layers: leading dimensions of a lower latent whose mean a vector network moves; 0
            for none.
        refine: at ``hier`` layers of a linear tower: channels of a U-Net that reads the condition and the field
            decoded from the latents above, and says what the lower ones are; 0 leaves it out.
        dropout: of the networks.
        least_log_var: lower bound of the log variance of learned scales. Where some fields are next to nothing
            (a scene that stands still), -4 is too wide for them.
        experts: components' means are regressions of their own on the condition's latents, set in closed form
            (``linear`` towers), plus the network's: each finds a mode of the fields at once.
    """

    family: Literal["mixture"] = "mixture"
    layers: Layers = "hier"
    components: int = 12
    sigma: float = 0.3
    learn_sigma: bool = True
    prior: Literal["replace", "add"] = "replace"
    hidden: int = 256
    features: bool = False
    detail: int = 256
    refine: int = 0
    dropout: float = 0.0
    least_log_var: float = -4.0
    experts: bool = False

    def __post_init__(self):
        if not self.least_log_var < 0:
            raise ConfigError(f"least_log_var: got {self.least_log_var}, expected less than 0")
        if self.sigma <= 0:
            raise ConfigError(f"sigma: got {self.sigma}, expected a positive number")
        if self.components < 1:
            raise ConfigError(f"components: got {self.components}, expected at least 1")
        if self.prior == "add" and self.layers == "hier":
            raise ConfigError("prior: 'add' is the paper's form at 'top' or 'all'; 'hier' needs 'replace'")


@dataclass(frozen=True)
class FlowTieConfig(MixtureTieConfig):
    """A normalising flow from a mixture.

    Attributes:
        couplings: layers of the flow.
    """

    family: Literal["flow"] = "flow"  # type: ignore[assignment]  # the tag by which a file is read
    couplings: int = 4

    def __post_init__(self):
        super().__post_init__()
        if self.couplings < 1:
            raise ConfigError(f"couplings: got {self.couplings}, expected at least 1")


TieConfig = NoTieConfig | GaussianTieConfig | MixtureTieConfig | FlowTieConfig
TIE_CONFIGS: dict[str, type[TieConfig]] = {
    "none": NoTieConfig,
    "gaussian": GaussianTieConfig,
    "mixture": MixtureTieConfig,
    "flow": FlowTieConfig,
}


@dataclass(frozen=True)
class RegressionConfig:
    """The part of the field that the condition decides: the field tower models what is left.

    Ridge regressions (set in closed form) plus a convolutional U-Net that starts at zero.

    Attributes:
        rank: principal components of the condition that the ridge regression reads.
        channels: of the U-Net at half resolution, doubled at two further halvings. 0 leaves it out.
        features: length of the vector that a mixture tie may read.
        ridge: penalty in units of the condition's mean eigenvalue.
        dropout: of the U-Net.
        patches: words of a dictionary of small patches, whose averages a second ridge regression reads. 0
            leaves it out.
        patch_rank: rank of that regression, and number of principal components of the averages that a mixture
            tie may read.
    """

    rank: int = 256
    channels: int = 32
    features: int = 256
    ridge: float = 0.02
    dropout: float = 0.0
    patches: int = 0
    patch_rank: int = 128


@dataclass(frozen=True)
class CDVAEConfig:
    """The joint model of condition and field.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        condition: ladder of the condition.
        field: ladder of the field.
        tie: joins their codes.
        regression: predicts the field's conditional mean first, or nothing (the paper).
        condition_code: codes of the condition are ``sample``d from q(zc | xc) (eq. 5) or its ``mean`` is taken.
        warmup: heed the training loop's warm-up of rates and ties. A model set in closed form starts fitted:
            rates below their weight would only spoil it.
        free_bits: nats a layer that the rate may keep for free: of the condition, and of the field where the
            tie leaves layers below the top to the ladder's own prior.
        decode: a sample is the decoder's ``mean`` (as in the paper's figures) or a ``draw`` with pixel noise.
        clip: samples are clipped to this range (natural units), if any.
        field_scale: fields are modelled as ``asinh(field / field_scale)``: straight below the scale (natural
            units), logarithmic above, for heavy tails such as motion's. 0: as they are.
        n_proposals: regressions of a mixture, set in closed form, whose fields are shown to a conditional field
            tower; 0: none.
    """

    condition_shape: tuple[int, int, int]
    field_shape: tuple[int, int, int]
    condition: LadderConfig = dataclasses.field(default_factory=LadderConfig)
    field: LadderConfig = dataclasses.field(default_factory=LadderConfig)
    tie: TieConfig = dataclasses.field(default_factory=GaussianTieConfig)
    regression: RegressionConfig | None = None
    condition_code: Literal["sample", "mean"] = "sample"
    warmup: bool = True
    free_bits: float = 0.0
    decode: Literal["mean", "draw"] = "mean"
    clip: tuple[float, float] | None = None
    field_scale: float = 0.0
    n_proposals: int = 0

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
        if self.tie.features and self.regression is None:
            raise ConfigError("tie.features: needs a regression, whose features it reads")
        if self.tie.refine and self.field.tower != "linear":
            raise ConfigError(f"tie.refine: needs a linear field tower, got {self.field.tower!r}")
        if self.n_proposals < 0 or (self.n_proposals and not self.field.conditional):
            raise ConfigError(
                f"n_proposals: got {self.n_proposals}, expected 0, or more with field.conditional=true"
            )
        if self.n_proposals and self.regression is None:
            raise ConfigError("n_proposals: needs a regression, whose principal components it reads")
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ConfigError(f"clip: got {self.clip}, expected (low, high) with low < high")

    @property
    def field_size(self) -> int:
        """Values a field."""
        return math.prod(self.field_shape)
