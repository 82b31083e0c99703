"""The way a model is sampled, apart from what it is made of: kept in ``sampling.json`` beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

from coembed.errors import ConfigError


@dataclass(frozen=True)
class SamplingConfig:
    """The way a model is sampled.

    Attributes:
        temperatures: scale of the noise of every layer of field latents, top first; empty means 1.

    Raises:
        ConfigError: a value below 0.
    """

    temperatures: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(not temperature >= 0 for temperature in self.temperatures):
            raise ConfigError(f"temperatures: got {self.temperatures}, expected 0 or more")

    def of_layers(self, layers: int) -> tuple[float, ...]:
        """One temperature per layer."""
        return self.temperatures or (1.0,) * layers

    def check_layers(self, layers: int) -> None:
        """Check the temperatures against a model's layers of field latents.

        Raises:
            ConfigError: temperatures of another number.
        """
        if len(self.temperatures) not in (0, layers):
            found = len(self.temperatures)
            raise ConfigError(f"temperatures: got {found}, expected one per layer: {layers}")
