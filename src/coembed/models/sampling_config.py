"""Ways to sample a model, apart from what it is made of: kept in ``sampling.json`` beside its weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from coembed.errors import ConfigError

DEFAULT, CALIBRATED = "default", "calibrated"
"""Profiles that the package itself knows: the one in use, and that of ``coembed calibrate --beside``."""


@dataclass(frozen=True)
class SamplingProfile:
    """One way to sample a model.

    Attributes:
        temperatures: scale of the noise of every layer of field latents, top first; empty means 1.
        n_active_dims: samples vary in so many leading dimensions of the top latent alone; those after stay
            where the component has them. Smooth fields, and the best best-of-n. 0: in all.

    Raises:
        ConfigError: a value below 0.
    """

    temperatures: tuple[float, ...] = ()
    n_active_dims: int = 0

    def __post_init__(self) -> None:
        if self.n_active_dims < 0:
            raise ConfigError(f"n_active_dims: got {self.n_active_dims}, expected 0 or more")
        if any(not temperature >= 0 for temperature in self.temperatures):
            raise ConfigError(f"temperatures: got {self.temperatures}, expected 0 or more")


@dataclass(frozen=True)
class SamplingConfig:
    """Named ways to sample a model; a name ends in ``:PROFILE`` for another than ``default``."""

    profiles: dict[str, SamplingProfile] = field(default_factory=lambda: {DEFAULT: SamplingProfile()})

    def __post_init__(self) -> None:
        if DEFAULT not in self.profiles:
            raise ConfigError(f"profiles: got {', '.join(self.profiles) or 'none'}, expected {DEFAULT!r} too")

    @property
    def default(self) -> SamplingProfile:
        """The profile in use."""
        return self.profiles[DEFAULT]

    def check_layers(self, layers: int) -> None:
        """Check the temperatures against a model's layers of field latents.

        Raises:
            ConfigError: a profile with temperatures of another number.
        """
        for name, profile in self.profiles.items():
            if len(profile.temperatures) not in (0, layers):
                found = len(profile.temperatures)
                raise ConfigError(f"{name}: got {found} temperatures, expected one per layer: {layers}")

    def with_profile(self, name: str, **changes: Any) -> SamplingConfig:
        """The same with changes to a profile, which begins as a plain one if it is new."""
        profile = dataclasses.replace(self.profiles.get(name, SamplingProfile()), **changes)
        return SamplingConfig({**self.profiles, name: profile})
