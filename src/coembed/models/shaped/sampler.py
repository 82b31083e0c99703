"""Sampling of the photo-shaped model: fields of conditions, plain, beside their own, or as they are asked
for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.latent_model import LatentModel
from coembed.models.nn import eval_mode
from coembed.models.sampling_config import SamplingConfig
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.density import CodePosterior, code_posterior
from coembed.models.shaped.network import Drawing, DrawingNet
from coembed.models.shaped.sampling import DrawNoise, Picked, by_factors, decode, index_of
from coembed.numerics.random import Streams
from coembed.numerics.wavelets import Wavelets

CHUNK_VALUES = 2**20
"""Field values sampled at a time: bounds memory, changes no sample."""


class PhotoShapedSampler(LatentModel):
    """A photo-shaped model as it is used.

    Args:
        config: what the model is made of.
        sampling: how it is sampled: a temperature for the code and one for the detail.

    Raises:
        ConfigError: a number of temperatures other than two.
    """

    config: ShapedConfig
    temperatures_expected = "two: code, detail"

    def __init__(self, config: ShapedConfig, sampling: SamplingConfig | None = None):
        super().__init__(config, sampling)
        self.sampling.check_layers(self.temperature_layers)
        self.wavelets = Wavelets(config.field_shape, config.levels, config.wavelet_order)
        self.network = DrawingNet(config, self.wavelets)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def temperature_layers(self) -> int:
        """Two: the code, and the detail that no code holds."""
        return 2

    # ---- conditions and fields as the network reads them -----------------------------------------------------

    def encode(self, condition: Tensor) -> Drawing:
        """Read conditions (batch, c, h, w), natural units, once.

        Raises:
            ModelError: a condition of another shape.
        """
        self._check(condition, self.config.condition_shape, "condition")
        return self.network(self._standardise(condition, "condition"))

    def posterior(self, drawing: Drawing, field: Tensor) -> CodePosterior:
        """p(code | field, condition) of standardised fields (batch, c, h, w)."""
        return code_posterior(drawing, self.wavelets, field)

    # ---- sampling --------------------------------------------------------------------------------------------

    def _sample(
        self,
        enc: Drawing,
        n: int,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float],
        field: Tensor | None = None,
    ) -> list[Tensor]:
        """Samples, and the own fields themselves where detail is drawn; else what the code can hold of them
        (``reconstruct``), so that the own detail stays."""
        batch = len(enc.mean)
        temperatures, streams = self.temperatures(temperature), Streams.of(generator, batch)
        own = None if field is None else self._own_parts(enc, field)
        parts: list[list[Tensor]] = []
        for count in self.chunks(n, batch):
            noise = self.noise(streams, count)
            fields, code = decode(enc, self.wavelets, Picked.of(enc, noise), noise, temperatures)
            found = [fields]
            if own is not None:
                found.append(self._counterpart(enc, code, own))
            parts.append([self.to_natural(f).view(count, batch, *self.config.field_shape) for f in found])
        return [torch.cat(chunks) for chunks in zip(*parts, strict=True)]

    def chunks(self, n: int, batch: int) -> Iterator[int]:
        """Numbers of samples to take at a time; they sum to n.

        Raises:
            ModelError: n below 1.
        """
        if n < 1:
            raise ModelError(f"n: got {n}, expected at least 1")
        at_once = max(1, CHUNK_VALUES // max(1, batch * self.field_values))
        for first in range(0, n, at_once):
            yield min(at_once, n - first)

    def noise(self, streams: Streams, n: int) -> DrawNoise:
        """The noise of the streams' next n draws, sample by sample, (n * batch, ...)."""
        size = DrawNoise.size(self.config.factors, self.field_values)
        rows = streams.normal(n, size).flatten(0, 1).to(self.field_mean.device)
        return DrawNoise.split(rows, self.config.factors)

    @property
    def field_values(self) -> int:
        """Values of a field."""
        return sum(self.wavelets.sizes)

    def _own_parts(self, drawing: Drawing, field: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (batch, R) of the conditions' own fields, and these fields, standardised."""
        standardised = self.standardise_field(field)
        return self.posterior(drawing, standardised).expected_code(), standardised

    def _counterpart(self, drawing: Drawing, code: Tensor, own: tuple[Tensor, Tensor]) -> Tensor:
        """Own fields (rows, c, h, w), standardised, in what the model's own ``sampling`` varies."""
        scales, index = self.sampling.of_layers(2), index_of(drawing, len(code))
        own_code, own_field = (part[index] for part in own)
        held = by_factors(drawing, code - own_code) if scales[0] == 0 else 0.0
        if scales[1]:
            return own_field + held
        return drawing.mean[index] + by_factors(drawing, own_code) + held

    @torch.no_grad()
    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """The part of true fields that the code can hold, mu + L E[z | y, x] (D(zo) of eq. 10), natural units,
        unclipped."""
        with eval_mode(self):
            drawing = self.encode(condition)
            code, _ = self._own_parts(drawing, field)
            return self._natural(drawing.mean + by_factors(drawing, code))
