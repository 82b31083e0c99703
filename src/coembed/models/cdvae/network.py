"""The networks of a co-embedding model, and the one path that conditions and noise take to fields."""

from __future__ import annotations

import copy
from typing import Any, Self

from torch import Tensor

from coembed.errors import ModelError
from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.encoded import EncodedCondition, Noise
from coembed.models.cdvae.inference import Inference, NoiseSource, TopDownState
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.mode_proposals import ModeProposals
from coembed.models.cdvae.regression import Regression
from coembed.models.cdvae.tie import top_down
from coembed.models.cdvae.ties import build_tie
from coembed.models.normalization import Scaled
from coembed.models.sampling_config import DEFAULT, SamplingConfig
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.random import Streams


class CoEmbedding(Scaled):
    """Two ladders, a tie and a regression, and the path from noise to fields; ``CDVAE`` is what is trained.

    Args:
        config: what the model is made of.
        sampling: the ways it may be sampled.

    Raises:
        ConfigError: a number of temperatures that is not that of the layers.
    """

    def __init__(self, config: CDVAEConfig, sampling: SamplingConfig | None = None):
        super().__init__(config)
        self.sampling = sampling or SamplingConfig()
        self.condition_ladder = LadderVAE(config.condition, config.condition_shape)
        self.field_ladder = LadderVAE(
            config.field, config.field_shape, config.condition_shape, config.n_proposals
        )
        self.regression, proposals, features = None, None, 0
        if config.regression is not None:
            self.regression = Regression(config.regression, config.condition_shape, config.field_shape)
            features = self.regression.feature_size
            if config.n_proposals:
                proposals = ModeProposals(config.n_proposals, self.regression.rank, config.field_shape)
        self.add_module("kinds", proposals)  # as files have called it since version 1
        self.tie = build_tie(config.tie, self.condition_ladder, self.field_ladder, features)

    @property
    def mode_proposals(self) -> ModeProposals | None:
        """Regressions whose fields are shown to a conditional field tower, if any."""
        proposals = self._modules["kinds"]
        return proposals if isinstance(proposals, ModeProposals) else None

    @property
    def sampling(self) -> SamplingConfig:
        """The ways the model may be sampled; its ``default`` is in use."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingConfig) -> None:
        sampling.check_layers(len(self.config.field.codes))
        self._sampling = sampling

    def with_sampling(self, profile: str = DEFAULT, **changes: Any) -> Self:
        """The same model, weights shared and unchanged, with changes to a ``SamplingProfile``."""
        other = copy.copy(self)
        other.sampling = self.sampling.with_profile(profile, **changes)
        return other

    # ---- conditions and fields as the networks read them -----------------------------------------------------

    def encode(self, condition: Tensor) -> EncodedCondition:
        """Read conditions (batch, c, h, w), natural units; the model should be in evaluation mode.

        Raises:
            ModelError: a condition of another shape.
        """
        enc = self._read(condition)
        if self.samples_latents:
            return enc
        return enc.replace_latents(self.condition_ladder.tower.infer(enc.condition, None).latents)

    def standardise_field(self, field: Tensor) -> Tensor:
        """Fields (batch, c, h, w) in natural units as the networks read them.

        Raises:
            ModelError: a field of another shape.
        """
        self._check(field, self.config.field_shape, "field")
        return self._standardise(field, "field")

    def to_natural(self, field: Tensor) -> Tensor:
        """Standardised samples in natural units, within the range of samples (``config.clip``)."""
        field = self._natural(field)
        return field.clamp(*self.config.clip) if self.config.clip else field

    def log_volumes(self, field: Tensor) -> tuple[Tensor, Tensor]:
        """Log determinants of what standardises conditions, (), and these fields, (batch,) or ().

        Log densities of standardised data less these are in natural units.
        """
        of_shape = {"condition": self.config.condition_shape, "field": self.config.field_shape}
        stds = {"condition": self.condition_std, "field": self.field_std}
        found = {side: stds[side].log().sum() * (h * w) for side, (_, h, w) in of_shape.items()}
        return found["condition"], found["field"] + self._log_volume(field)

    @property
    def samples_latents(self) -> bool:
        """Latents of the condition are samples of q(zc | xc), not its means."""
        return self.config.condition_code == "sample"

    def infer_condition(
        self, enc: EncodedCondition, noise: NoiseSource | None
    ) -> tuple[Inference, EncodedCondition]:
        """q(zc | xc), and the conditions with the latents that the tie reads: its samples or its means."""
        q = self.condition_ladder.tower.infer(enc.condition, noise)
        return q, enc.replace_latents(q.latents if self.samples_latents else q.means)

    def with_latents(self, enc: EncodedCondition, noise: Tensor) -> EncodedCondition:
        """The conditions with latents: their own, else sampled from noise (batch, size)."""
        if enc.latents is not None:
            return enc
        pieces = iter(noise.split(self.condition_ladder.code_sizes, -1))
        return self.infer_condition(enc, lambda shape: next(pieces).reshape(shape))[1]

    def _read(self, condition: Tensor) -> EncodedCondition:
        """As ``encode``, without latents."""
        self._check(condition, self.config.condition_shape, "condition")
        xc = self._standardise(condition, "condition")
        if self.regression is None:
            mean, features = xc.new_zeros(len(xc), *self.config.field_shape), None
        else:
            mean, features = self.regression(xc)
        features = features if self.config.tie.features else None
        return EncodedCondition(xc, mean, features, context_maps=self._context_maps(xc, mean))

    def _context_maps(self, xc: Tensor, mean: Tensor) -> list[Tensor] | None:
        proposals = None
        if self.mode_proposals is not None and self.regression is not None:
            proposals = self.mode_proposals(self.regression.ridge(xc)[0])
        return self.field_ladder.tower.encode_context(xc, mean, proposals)

    # ---- noise to fields -------------------------------------------------------------------------------------

    def noise(self, streams: Streams, n: int, n_active_dims: int | None = None) -> Tensor:
        """The noise of the streams' next n samples, (n * batch, size), sample by sample.

        Args:
            streams: one per condition.
            n: samples per condition.
            n_active_dims: leading dimensions of the top latent that vary, 0 for all; None for the model's.

        Raises:
            ModelError: ``n_active_dims`` below 0.
        """
        noise = streams.normal(n, self._noise_size).flatten(0, 1).to(self.field_mean.device)
        return self._truncate_noise(
            noise, self.sampling.default.n_active_dims if n_active_dims is None else n_active_dims
        )

    def split_noise(self, noise: Tensor) -> Noise:
        """Parts of noise (rows, size): views of it."""
        condition, tie = self._condition_noise_size, self.tie.noise_size
        return Noise(*noise.split([condition, tie, noise.shape[-1] - condition - tie], -1))

    @property
    def temperature_layers(self) -> int:
        """Layers of field latents, each of which has a temperature of its own."""
        return self.field_ladder.layers

    def temperatures(self, temperature: float | list[float]) -> list[float]:
        """Scales of the noise, one per layer, top first, with the config's own.

        Raises:
            ModelError: a number of temperatures that is not that of the layers, or one below 0.
        """
        layers = self.field_ladder.layers
        wanted = list(temperature) if isinstance(temperature, list | tuple) else [float(temperature)] * layers
        if len(wanted) != layers or min(wanted) < 0:
            raise ModelError(
                f"temperature: got {temperature}, expected a number >= 0 or {layers} of them, one per layer"
            )
        own = self.sampling.default.temperatures or (1.0,) * layers
        return [a * b for a, b in zip(wanted, own, strict=True)]

    def conditional(self, above: list[Tensor], enc: EncodedCondition) -> Gaussian | Mixture:
        """p(next latent of the field | latents above, condition), flat where it is a mixture.

        Args:
            above: coarse to fine, each (rows, ...), fewer than there are layers.
            enc: conditions with latents, one per row.
        """
        state = self.field_ladder.through(above, top_down(self.field_ladder, enc))
        return self.tie.conditional(self.field_ladder, state, enc)

    def top(self, enc: EncodedCondition) -> Gaussian | Mixture:
        """p(top latent | condition), of all latents at once where one mixture joins them, in closed form.

        Raises:
            ModelError: a tie that has no closed form.
        """
        return self.tie.top(self.field_ladder, enc)

    def sample_latents(
        self,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
        top: Gaussian | Mixture | None = None,
    ) -> list[Tensor]:
        """Latents of fields, coarse to fine, one sample of the tie per row.

        Args:
            enc: conditions with latents, one per row.
            noise: (rows, ``tie.noise_size``).
            temperatures: one per layer, top first.
            top: sampled in place of what ``top(enc)`` says.
        """
        return list(self.tie.sample(self.field_ladder, enc, noise, temperatures, top).latents)

    def decode(
        self, latents: list[Tensor], enc: EncodedCondition, pixels: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Standardised fields (rows, c, h, w) of latents, coarse to fine.

        Args:
            latents: of fields, each (rows, ...).
            enc: the conditions, one per row.
            pixels: noise (rows, c * h * w), for models that sample their pixels, else of any size.
            temperature: scale of that noise.
        """
        state = self.field_ladder.through(latents, top_down(self.field_ladder, enc))
        return self._decode(state, enc, pixels, temperature)

    def sample_fields(
        self,
        enc: EncodedCondition,
        noise: Noise,
        temperatures: list[float],
        top: Gaussian | Mixture | None = None,
    ) -> Tensor:
        """Standardised fields (rows, c, h, w): what ``decode`` gives of ``sample_latents``, in one way down.

        Args:
            enc: conditions, one per row; latents that they lack are sampled.
            noise: of as many rows.
            temperatures: one per layer, top first.
            top: sampled in place of what ``top(enc)`` says.
        """
        enc = self.with_latents(enc, noise.condition)
        state = self.tie.sample(self.field_ladder, enc, noise.tie, temperatures, top)
        return self._decode(state, enc, noise.pixels, temperatures[-1])

    def infer_field(self, enc: EncodedCondition, field: Tensor) -> Inference:
        """q(zg | xg) of fields (batch, c, h, w), natural units, at its means."""
        residual = self.standardise_field(field) - enc.mean
        return self.field_ladder.tower.infer(residual, None, context_maps=enc.context_maps)

    @property
    def _condition_noise_size(self) -> int:
        return sum(self.condition_ladder.code_sizes) if self.samples_latents else 0

    @property
    def _noise_size(self) -> int:
        size = self.tie.noise_size + self._condition_noise_size
        return size + (self.config.field_size if self.config.decode == "draw" else 0)

    def _truncate_noise(self, noise: Tensor, n_active_dims: int) -> Tensor:
        """Set noise (rows, size) of the top latent to 0 after its leading dimensions, in place; 0 keeps all."""
        if n_active_dims < 0:
            raise ModelError(f"n_active_dims: got {n_active_dims}, expected 0 or more")
        if n_active_dims:
            top = self.split_noise(noise).tie[:, 1 : 1 + self.tie.sizes[0]]  # the first picks the component
            top[:, n_active_dims:] = 0
        return noise

    def _decode(self, state: TopDownState, enc: EncodedCondition, pixels: Tensor, temperature: float) -> Tensor:
        pixel = self.field_ladder.decode(state)
        residual = pixel.mean
        if self.config.decode == "draw":
            residual = pixel.sample(temperature * pixels.view_as(residual))
        return residual + enc.mean
