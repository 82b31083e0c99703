"""The options of a training run: frozen dataclasses that are also the command line (imports no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from coembed.data.similarity.config import SimilarityConfig
from coembed.errors import ConfigError, check_at_least

DEFAULT_EPOCHS = 100.0
_BATCH_SIZES = {"default": 64}  # by preset; 256 for the others
_LEARNING_RATES = {"default": 2e-3}  # likewise; 1e-3
SCORED_FRACTION = 0.4  # of a run, of models whose samples can be scored


@dataclass(frozen=True)
class GuidanceConfig(SimilarityConfig):
    """Codes are drawn to an embedding in which similar photos lie close (paper sec. 4.1, eq. 8, 9).

    The loss gains lambda x how far a code's guided dimensions are from their targets (see ``form``), in the
    prior's own standard deviations; lambda starts at ``weight`` and falls by half a cosine to ``floor`` in
    the first ``cool`` of the run. Nothing of it is left when the model is used.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    weight: float = 0.0
    """lambda at the start, in nats per pair for codes one standard deviation off; 0: no guidance at all."""
    floor: float = 0.0
    """lambda at the end."""
    cool: float = 0.5
    """Fraction of the run after which lambda is at its floor."""
    form: Literal["targets", "contrastive"] = "targets"
    """targets: codes are drawn to places (eq. 8), by their mean squared distance. contrastive: codes shall have
    the neighbours that their targets have within a batch, wherever they lie (see ``guidance.contrast``)."""
    temperature: float = 0.1
    """Of the contrastive form: the squared distance per dimension over which likeness falls to 1/e, where two
    pairs taken at random are about 2 apart. Less: only the nearest count."""
    sides: Literal["both", "condition", "field"] = "both"
    """Whose codes are drawn."""
    layers: Literal["spread", "top"] = "spread"
    """The smoothest dimensions guide the top code, further ones those below; or the top code alone."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("weight", "floor"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"guidance.{name}: got {value}, expected 0 or more")
        if not 0 <= self.cool <= 1:
            raise ConfigError(f"guidance.cool: got {self.cool}, expected 0 to 1")
        if self.floor > self.weight:
            raise ConfigError(f"guidance.floor: got {self.floor}, expected at most the weight, {self.weight}")
        if not self.temperature > 0:
            raise ConfigError(f"guidance.temperature: got {self.temperature}, expected more than 0")

    def strength(self, progress: float) -> float:
        """lambda when this fraction of the run is done.

        >>> config = GuidanceConfig(weight=10.0, floor=2.0, cool=0.5)
        >>> [round(config.strength(p), 3) for p in (0.0, 0.25, 0.5, 1.0)]
        [10.0, 6.0, 2.0, 2.0]
        """
        if progress >= self.cool:
            return self.floor
        return self.floor + (self.weight - self.floor) * 0.5 * (1 + math.cos(math.pi * progress / self.cool))


@dataclass(frozen=True)
class ScoreConfig:
    """In the last part of a run, samples themselves are judged: the fair energy score of a few per pair.

    The loss then is ``likelihood`` x bound + ``weight`` x values per field x score
    (``numerics.scoring_rules``).

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    fraction: float | None = None
    """Last part of the run, 0 to 1, in which samples are scored; 0: never. None is what suits the model: 0.4
    where its samples can be scored, as those of the preset default can."""
    weight: float = 1.0
    """Nats per value of a field for a score of 1; one that knows nothing of the condition scores about 0.7."""
    likelihood: float = 0.3
    """Weight of the (bound on the) likelihood beside it. At 0 the model is a sampler alone: its likelihood is
    not learned any further and gets worse."""
    samples: int = 2
    """Samples per pair and component, at least 2."""
    level: bool = True
    """Score the mean over the frame, too. Switch off where edits leave it as it is, as in relighting."""
    pools: tuple[int, ...] = (1, 2, 4, 8)
    """Sides, in pixels, of the cells that fields are averaged over before they are scored; all weigh alike."""

    def __post_init__(self):
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ConfigError(f"scores.fraction: got {self.fraction}, expected 0 to 1")
        for name in ("weight", "likelihood"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"scores.{name}: got {value}, expected 0 or more")
        if self.samples < 2:
            raise ConfigError(f"scores.samples: got {self.samples}, expected at least 2")
        if not self.pools or min(self.pools) < 1:
            raise ConfigError(f"scores.pools: got {self.pools}, expected sides of 1 pixel or more")

    def due(self, progress: float) -> bool:
        """True when samples are scored at this fraction of the run.

        >>> [ScoreConfig(fraction=0.25).due(p) for p in (0.0, 0.74, 0.75, 1.0)]
        [False, False, True, True]
        """
        fraction = self.fraction or 0.0
        return fraction > 0 and self.weight > 0 and progress >= 1 - fraction


@dataclass(frozen=True)
class TrainConfig:
    """Train a model on pairs.

    The length of a run is ``images``, ``epochs`` (100 when nothing is said) or ``minutes``; every schedule
    follows the fraction of it that is done. With ``minutes`` the schedule follows the clock, so that a stopped
    and resumed run is equivalent but not the same to the last bit; with images or epochs it is.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    pairs: str
    """Folder of pairs, as `coembed prepare` writes it."""
    out: str
    """Folder of the run: options, log, checkpoints, pictures and, at the end, model/."""
    preset: str = "default"
    """Which model to train."""
    model: tuple[str, ...] = ()
    """Options of the model in place of the preset's, NAME=VALUE, e.g. tie.components=4; see --dry-run."""
    adapt: bool = True
    """Fit the preset default to the training pairs first: what few scenes or heavy tails ask for. It takes
    seconds; what was chosen is printed, and options given by --model stay as given."""
    seed: int = 0
    """Of the starting weights, the order of the pairs and every random draw."""
    epochs: float | None = None
    """Length in passes over the training pairs."""
    images: int | None = None
    """Length in pairs seen, in place of epochs."""
    minutes: float | None = None
    """Length by the clock; with images or epochs, whichever ends first. Not bit-exact on resume."""
    clock: Literal["wall", "cpu"] = "wall"
    """What minutes are: of the wall clock, or of this process' CPU time, all threads together, which other work
    on the machine does not change."""
    batch_size: int = 0
    """Pairs per step; 0 is what suits the preset: 64 for default, which learns most in many small steps, 256
    for the others."""
    learning_rate: float = 0.0
    """Highest learning rate of AdamW; 0 is what suits the preset: 0.002 for default, 0.001 for the others."""
    final_fraction: float = 0.02
    """Learning rate at the end, as a fraction of the highest; a half cosine leads there."""
    rise_fraction: float = 0.02
    """Fraction of the run over which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices and kernels; biases and norms (fewer than 2 axes) get none."""
    gradient_clip: float = 1.0
    """Longest gradient of the loss in nats per value (nats per pair / values per pair); 0 never clips."""
    ema_halflife: int = 100_000
    """Half-life, in images, of the running mean of the weights, at most 5% of those seen so far; 0: none."""
    warmup_fraction: float = 0.1
    """Fraction of the run over which KL and tie rise together from 0 to their full weight."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """Draw the codes of similar pairs together while training begins; off unless its weight is above 0."""
    scores: ScoreConfig = field(default_factory=ScoreConfig)
    """Judge samples themselves in the last part of the run; off unless its fraction is above 0."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Arithmetic of the model (weights and optimiser stay float32). auto is bf16 where this machine multiplies
    it faster than float32: processors that were not made for it are many times slower."""
    flips: bool = True
    """Mirror half of the pairs left to right; motion to the right becomes motion to the left. Switch off where
    left and right mean something."""
    log_every: int = 25_600
    """Images between two lines of metrics.jsonl."""
    validate_every: int = 128_000
    """Most images between two validations and diagnoses (on the running mean of the weights); a short run has
    up to 20 of them, as long as they cost little."""
    val_limit: int = 1_000
    """Most validation pairs to look at."""
    keep: Literal["best", "last"] = "best"
    """Which running mean of the weights the model is: the one whose samples score best on validation pairs,
    since small sets are overfitted sooner or later, or the one at the end. Where validation pairs shall measure
    the model as if never seen, keep the last."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints; 0: only at the end and on Ctrl-C."""
    picture_minutes: float = 5.0
    """Minutes between two pictures of samples; 0: only at the end."""
    max_skipped: int = 20
    """Stop after this many non-finite steps in a row, or in all when they are over 5% of the steps."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    resume: bool = False
    """Go on with the run in the folder, bit for bit as if it had never stopped."""
    dry_run: bool = False
    """Print options, parameter counts and the time of an epoch, and stop."""

    def __post_init__(self):
        for name in ("images", "epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}: got {value}, expected more than 0")
        if self.images is not None and self.epochs is not None:
            raise ConfigError(f"images: got {self.images} beside epochs {self.epochs}, expected one of the two")
        for name in ("log_every", "validate_every", "val_limit", "max_skipped"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected more than 0")
        check_at_least(self, batch_size=0, learning_rate=0, weight_decay=0, gradient_clip=0, ema_halflife=0)
        check_at_least(self, checkpoint_minutes=0, picture_minutes=0, threads=0, seed=0)
        for name in ("final_fraction", "rise_fraction", "warmup_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected 0 to 1")

    def resolve(self) -> TrainConfig:
        """The same options, with what suits the preset where nothing is said of it.

        >>> config = TrainConfig("pairs", "run", batch_size=8).resolve()
        >>> config.batch_size, config.learning_rate
        (8, 0.002)
        """
        return replace(
            self,
            batch_size=self.batch_size or _BATCH_SIZES.get(self.preset, 256),
            learning_rate=self.learning_rate or _LEARNING_RATES.get(self.preset, 1e-3),
        )
