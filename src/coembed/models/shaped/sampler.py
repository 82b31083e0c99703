"""Sampling of the photo-shaped model: fields of conditions, plain, beside their own, or as they are asked
for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.nn import eval_mode
from coembed.models.normalization import Scaled
from coembed.models.sampling_config import SamplingConfig
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.density import CodePosterior, code_posterior
from coembed.models.shaped.network import Drawing, DrawingNet
from coembed.models.shaped.sampling import DrawNoise, Picked, by_factors, decode
from coembed.numerics.random import Streams
from coembed.numerics.wavelets import Wavelets

CHUNK_VALUES = 2**20
"""Field values sampled at a time: bounds memory, changes no sample."""


class PhotoShapedSampler(Scaled):
    """A photo-shaped model as it is used.

    Args:
        config: what the model is made of.
        sampling: how it is sampled: a temperature for the code and one for the detail.

    Raises:
        ConfigError: a number of temperatures other than two.
    """

    config: ShapedConfig

    def __init__(self, config: ShapedConfig, sampling: SamplingConfig | None = None):
        super().__init__(config)
        self.sampling = sampling or SamplingConfig()
        self.wavelets = Wavelets(config.field_shape, config.levels, config.wavelet_order)
        self.network = DrawingNet(config, self.wavelets)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def sampling(self) -> SamplingConfig:
        """The way the model is sampled."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingConfig) -> None:
        sampling.check_layers(self.temperature_layers)
        self._sampling = sampling

    def with_sampling(self, sampling: SamplingConfig) -> Self:
        """The same model, weights shared and unchanged, sampled in another way."""
        other = copy.copy(self)
        other.sampling = sampling
        return other

    @property
    def temperature_layers(self) -> int:
        """Two: the code, and the detail that no code holds."""
        return 2

    def temperatures(self, temperature: float | list[float]) -> tuple[float, float]:
        """Scales of the noise of code and detail, with the config's own.

        Raises:
            ModelError: not one or two numbers, or one below 0.
        """
        wanted = list(temperature) if isinstance(temperature, list | tuple) else [float(temperature)] * 2
        if len(wanted) != 2 or min(wanted) < 0:
            raise ModelError(f"temperature: got {temperature}, expected a number >= 0 or two: code, detail")
        own = self.sampling.of_layers(2)
        return wanted[0] * own[0], wanted[1] * own[1]

    # ---- conditions and fields as the network reads them -----------------------------------------------------

    def encode(self, condition: Tensor) -> Drawing:
        """Read conditions (batch, c, h, w), natural units, once.

        Raises:
            ModelError: a condition of another shape.
        """
        self._check(condition, self.config.condition_shape, "condition")
        return self.network(self._standardise(condition, "condition"))

    def standardise_field(self, field: Tensor) -> Tensor:
        """Fields (batch, c, h, w) in natural units as the model has them.

        Raises:
            ModelError: a field of another shape.
        """
        self._check(field, self.config.field_shape, "field")
        return self._standardise(field, "field").float()

    def to_natural(self, field: Tensor) -> Tensor:
        """Standardised samples in natural units, within the range of samples (``config.clip``)."""
        field = self._natural(field)
        return field.clamp(*self.config.clip) if self.config.clip else field

    def posterior(self, drawing: Drawing, field: Tensor) -> CodePosterior:
        """p(code | field, condition) of fields (batch, c, h, w), natural units."""
        return code_posterior(drawing, self.wavelets, self.standardise_field(field))

    # ---- sampling --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Sample n fields per condition in one pass of the network.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition, at least 1.
            generator: sample k of condition i depends on (seed, i, k) alone (see ``Streams``).
            temperature: scales the deviations of code and detail, or one number for each; it multiplies the
                model's own (``sampling``).

        Returns:
            (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape, n below 1, or temperatures of the wrong number or sign.
        """
        with eval_mode(self):
            drawing = self.encode(condition)
            return self._sample(drawing, None, n, generator, temperature)[0]

    @torch.no_grad()
    def sample_beside(
        self,
        condition: Tensor,
        field: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Sample as ``sample`` does, and the conditions' own fields in what each sample varies (eq. 10).

        Where the model's own profile draws detail, that is the own field itself; where it does not, what the
        code can hold of it (``reconstruct``), so that the own detail stays.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c', h', w'), the conditions' own fields, natural units.
            n, generator, temperature: as for ``sample``.

        Returns:
            Samples and counterparts, (n, batch, c', h', w') each, natural units.

        Raises:
            ModelError: as for ``sample``, or a field of another shape.
        """
        with eval_mode(self):
            drawing = self.encode(condition)
            found = self._sample(drawing, field, n, generator, temperature)
            return found[0], found[1]

    def _sample(
        self,
        drawing: Drawing,
        field: Tensor | None,
        n: int,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float],
    ) -> list[Tensor]:
        batch = len(drawing.mean)
        temperatures, streams = self.temperatures(temperature), Streams.of(generator, batch)
        own = None if field is None else self.own_parts(drawing, field)
        parts: list[list[Tensor]] = []
        for count in self.chunks(n, batch):
            index = torch.arange(batch, device=drawing.mean.device).repeat(count)
            noise = self.noise(streams, count)
            picked = Picked.of(drawing, index, noise)
            fields, code = decode(drawing, self.wavelets, index, picked, noise, temperatures)
            found = [fields]
            if own is not None:
                found.append(self.counterpart(drawing, index, code, own))
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

    def own_parts(self, drawing: Drawing, field: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (batch, R) of the conditions' own fields, and these fields, standardised."""
        return self.posterior(drawing, field).expected_code(), self.standardise_field(field)

    def counterpart(self, drawing: Drawing, index: Tensor, code: Tensor, own: tuple[Tensor, Tensor]) -> Tensor:
        """Own fields (rows, c, h, w), standardised, in what the model's own profile varies."""
        scales = self.sampling.of_layers(2)
        own_code, own_field = (part[index] for part in own)
        held = by_factors(drawing, index, code - own_code) if scales[0] == 0 else 0.0
        if scales[1]:
            return own_field + held
        return drawing.mean[index] + by_factors(drawing, index, own_code) + held

    @torch.no_grad()
    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """The part of true fields that the code can hold, mu + L E[z | y, x] (D(zo) of eq. 10), natural units,
        unclipped."""
        with eval_mode(self):
            drawing = self.encode(condition)
            code = self.posterior(drawing, field).expected_code()
            return self._natural(drawing.mean + by_factors(drawing, torch.arange(len(code)), code))
