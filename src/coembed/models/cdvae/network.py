"""The networks of a co-embedding model, and the one path that conditions and noise take to fields."""

from __future__ import annotations

from torch import Tensor

from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.encoded import EncodedCondition, Noise
from coembed.models.cdvae.inference import Inference, NoiseSource, TopDownState
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import top_down
from coembed.models.cdvae.ties import build_tie
from coembed.models.latent_model import LatentModel
from coembed.models.sampling_config import SamplingConfig
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.random import Streams


class CoEmbedding(LatentModel):
    """Two ladders, a tie, and the path from noise to fields; ``CDVAE`` is what is trained.

    Args:
        config: what the model is made of.
        sampling: how it is sampled.

    Raises:
        ConfigError: a number of temperatures that is not that of the layers.
    """

    temperatures_expected = "{layers} of them, one per layer"

    def __init__(self, config: CDVAEConfig, sampling: SamplingConfig | None = None):
        super().__init__(config, sampling)
        self.condition_ladder = LadderVAE(config.condition, config.condition_shape)
        self.field_ladder = LadderVAE(config.field, config.field_shape)
        self.tie = build_tie(config.tie, self.condition_ladder, self.field_ladder)
        self.sampling.check_layers(self.temperature_layers)

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

    def condition_log_volume(self) -> Tensor:
        """Log determinant of what standardises conditions, (); see ``field_log_volume``."""
        _, height, width = self.config.condition_shape
        return self.condition_std.log().sum() * (height * width)

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
