"""The networks of a co-embedding model, and the one path that conditions and noise take to fields."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor

from coembed.errors import ModelError
from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.encoded import EncodedCondition, Noise
from coembed.models.cdvae.inference import Inference, NoiseSource, TopDownState
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import top_down
from coembed.models.cdvae.ties import build_tie
from coembed.models.normalization import Scaled
from coembed.models.sampling_config import SamplingConfig
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.random import Streams


class CoEmbedding(Scaled):
    """Two ladders, a tie, and the path from noise to fields; ``CDVAE`` is what is trained.

    Args:
        config: what the model is made of.
        sampling: how it is sampled.

    Raises:
        ConfigError: a number of temperatures that is not that of the layers.
    """

    def __init__(self, config: CDVAEConfig, sampling: SamplingConfig | None = None):
        super().__init__(config)
        self.sampling = sampling or SamplingConfig()
        self.condition_ladder = LadderVAE(config.condition, config.condition_shape)
        self.field_ladder = LadderVAE(config.field, config.field_shape)
        self.tie = build_tie(config.tie, self.condition_ladder, self.field_ladder)

    @property
    def sampling(self) -> SamplingConfig:
        """The way the model is sampled."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingConfig) -> None:
        sampling.check_layers(len(self.config.field.codes))
        self._sampling = sampling

    def with_sampling(self, sampling: SamplingConfig) -> Self:
        """The same model, weights shared and unchanged, sampled in another way."""
        other = copy.copy(self)
        other.sampling = sampling
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
        return EncodedCondition(self._standardise(condition, "condition"))

    # ---- noise to fields -------------------------------------------------------------------------------------

    def noise(self, streams: Streams, n: int) -> Tensor:
        """The noise of the streams' next n samples (one stream per condition), (n * batch, size), by sample."""
        return streams.normal(n, self._noise_size).flatten(0, 1).to(self.field_mean.device)

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
        own = self.sampling.of_layers(layers)
        return [a * b for a, b in zip(wanted, own, strict=True)]

    def conditional(self, above: list[Tensor], enc: EncodedCondition) -> Gaussian | Mixture:
        """p(next latent of the field | latents above, condition), flat where it is a mixture.

        Args:
            above: coarse to fine, each (rows, ...), fewer than there are layers.
            enc: conditions with latents, one per row.
        """
        state = self.field_ladder.through(above, top_down(self.field_ladder, enc))
        return self.tie.conditional(self.field_ladder, state, enc)

    def sample_latents(
        self,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
    ) -> list[Tensor]:
        """Latents of fields, coarse to fine, one sample of the tie per row.

        Args:
            enc: conditions with latents, one per row.
            noise: (rows, ``tie.noise_size``).
            temperatures: one per layer, top first.
        """
        return list(self.tie.sample(self.field_ladder, enc, noise, temperatures).latents)

    def infer_field(self, field: Tensor) -> Inference:
        """q(zg | xg) of fields (batch, c, h, w), natural units, at its means."""
        return self.field_ladder.tower.infer(self.standardise_field(field), None)

    @property
    def _condition_noise_size(self) -> int:
        return sum(self.condition_ladder.code_sizes) if self.samples_latents else 0

    @property
    def _noise_size(self) -> int:
        size = self.tie.noise_size + self._condition_noise_size
        return size + (self.config.field_size if self.config.decode == "draw" else 0)

    def _decode(self, state: TopDownState, pixels: Tensor, temperature: float) -> Tensor:
        pixel = self.field_ladder.decode(state)
        if self.config.decode == "draw":
            return pixel.sample(temperature * pixels.view_as(pixel.mean))
        return pixel.mean
