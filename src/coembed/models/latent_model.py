"""Parts that every model with latents has in common: natural units, its way to be sampled, starting
statistics."""

from __future__ import annotations

import copy
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from coembed.data.pairs import evenly_spaced
from coembed.errors import ModelError
from coembed.models.files import save_pretrained
from coembed.models.nn import eval_mode
from coembed.models.normalization import Scaled
from coembed.models.sampling_config import SamplingConfig
from coembed.numerics.random import Streams


class LatentModel(Scaled):
    """A model that reads conditions once, and samples fields of them by latents.

    A subclass gives ``temperature_layers``, ``encode`` and ``_sample``.

    Args:
        config: shapes of condition and field, the field's scale, the range of samples.
        sampling: how it is sampled.
    """

    temperatures_expected: str
    """What a list of temperatures has to be, in errors."""

    def __init__(self, config: Any, sampling: SamplingConfig | None = None):
        super().__init__(config)
        self._sampling = sampling or SamplingConfig()

    # ---- the way it is sampled -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def temperature_layers(self) -> int:
        """Layers of field latents, each of which has a temperature of its own."""

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

    def temperatures(self, temperature: float | list[float]) -> list[float]:
        """Scales of the noise, one per layer, top first, with the config's own.

        Raises:
            ModelError: a number of temperatures that is not that of the layers, or one below 0.
        """
        layers = self.temperature_layers
        wanted = list(temperature) if isinstance(temperature, list | tuple) else [float(temperature)] * layers
        if len(wanted) != layers or min(wanted) < 0:
            raise ModelError(
                f"temperature: got {temperature}, expected a number >= 0 or "
                f"{self.temperatures_expected.format(layers=layers)}"
            )
        return [a * b for a, b in zip(wanted, self.sampling.of_layers(layers), strict=True)]

    # ---- natural units ---------------------------------------------------------------------------------------

    def standardise_field(self, field: Tensor) -> Tensor:
        """Fields (batch, c, h, w) in natural units as the model has them.

        Raises:
            ModelError: a field of another shape.
        """
        self._check(field, self.config.field_shape, "field")
        return self._standardise(field, "field")

    def to_natural(self, field: Tensor) -> Tensor:
        """Standardised samples in natural units, within the range of samples (``config.clip``)."""
        field = self._natural(field)
        return field.clamp(*self.config.clip) if self.config.clip else field

    def field_log_volume(self, field: Tensor) -> Tensor:
        """Log determinant of what standardises these fields, (batch,) or ().

        Log densities of standardised fields less it are in natural units.
        """
        _, height, width = self.config.field_shape
        return self.field_std.log().sum() * (height * width) + self._log_volume(field)

    def _measure_pairs(self, condition: Tensor, field: Tensor, most: int) -> Tensor:
        """Take the statistics of training pairs, of at most so many that are spread over all of them.

        Returns:
            The numbers of those, (rows,).

        Raises:
            ModelError: shapes that are not the config's, conditions and fields that are not as many, or a
                channel that is constant everywhere.
        """
        self._check(condition, self.config.condition_shape, "condition")
        self._check(field, self.config.field_shape, "field")
        if len(condition) != len(field):
            raise ModelError(
                f"field: got {len(field)} rows, expected one for each of {len(condition)} conditions"
            )
        rows = evenly_spaced(len(condition), most)
        self._measure(condition[rows].float(), field[rows].float())
        return rows

    # ---- sampling --------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, condition: Tensor) -> Any:
        """Read conditions (batch, c, h, w), natural units; the model should be in evaluation mode.

        Raises:
            ModelError: a condition of another shape.
        """

    @abstractmethod
    def _sample(
        self,
        enc: Any,
        n: int,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float],
        field: Tensor | None = None,
    ) -> list[Tensor]:
        """Samples (n, batch, c, h, w), natural units, and with the conditions' own fields their
        counterparts."""

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Sample n fields per condition in one pass.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition, at least 1.
            generator: sample k of condition i depends on (seed, i, k) alone (see ``Streams``).
            temperature: scales the deviations of every layer of latents; or one number per layer, top first. It
                multiplies the model's own (``sampling``).

        Returns:
            (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape, n below 1, or temperatures of the wrong number or sign.
        """
        with eval_mode(self):
            return self._sample(self.encode(condition), n, generator, temperature)[0]

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

        A sample less its counterpart changes nothing that the model's samples hold still: layers that its own
        ``sampling`` gives no noise are the same in both, whatever temperature is asked for.

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
            found = self._sample(self.encode(condition), n, generator, temperature, field)
            return found[0], found[1]

    def save_pretrained(self, folder: Path | str, *, task: str = "custom", card: str | None = None) -> None:
        """Write the model to a folder (see ``coembed.save_pretrained``)."""
        save_pretrained(self, folder, task=task, card=card)
