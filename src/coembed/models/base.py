"""The contracts of models: every one samples; what else it can do is a protocol, asked for with ``isinstance``.

A class may be asked with ``issubclass`` before it is built for all protocols but ``TemperatureSampler``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs
from coembed.models.sampling_config import SamplingConfig
from coembed.numerics.random import Streams

Shape = tuple[int, int, int]
"""(channels, height, width)."""
Range = tuple[float, float]
"""(low, high), natural units."""
Latents = tuple[list[Tensor], list[Tensor]]
"""Posterior means of the condition's and of the field's latents, coarse to fine, (batch, ...) per layer."""


@runtime_checkable
class Sampler(Protocol):
    """Anything that samples fields for conditions: CDVAE, every baseline, a model from outside."""

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """Draw n fields per condition, in natural units.

        Args:
            condition: (batch, channels, height, width), natural units.
            n: samples per condition; the sample axis stays even for n = 1.
            generator: streams, or what ``Streams.of`` turns into streams.

        Returns:
            (n, batch, channels, height, width).
        """
        ...


@runtime_checkable
class TemperatureSampler(Protocol):
    """A sampler whose samples can be told to lie closer together or further apart."""

    @property
    def temperature_layers(self) -> int:
        """Layers of latents, each of which has a temperature of its own."""
        ...

    def sample(
        self,
        condition: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Draw as ``Sampler.sample``, with standard deviations times ``temperature``.

        Args:
            condition: (batch, channels, height, width), natural units.
            n: samples per condition.
            generator: streams, or what ``Streams.of`` turns into streams.
            temperature: of all layers, or one per layer, top first.

        Returns:
            (n, batch, channels, height, width).
        """
        ...


@runtime_checkable
class Saved(Protocol):
    """A model that can be written to files and read again.

    Attributes:
        kind: names its class in ``config.json`` (``models.registry``).
        config: a frozen dataclass of JSON values that rebuilds it.
    """

    kind: ClassVar[str]
    config: Any


@runtime_checkable
class Adjustable(TemperatureSampler, Protocol):
    """A model whose way to be sampled is kept beside its weights."""

    sampling: SamplingConfig

    def with_sampling(self, sampling: SamplingConfig) -> Self:
        """The same model, weights shared and unchanged, sampled in another way."""
        ...


@runtime_checkable
class Reconstructor(Protocol):
    """A model that encodes fields, and decodes them again."""

    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """Decode the latents of true fields, (batch, c, h, w), natural units."""
        ...


def own_field(sampler: Sampler, condition: Tensor, field: Tensor) -> Tensor:
    """True fields as a sampler has them, (batch, c, h, w): reconstructed, or as they are by one without
    codes."""
    return sampler.reconstruct(condition, field) if isinstance(sampler, Reconstructor) else field


@runtime_checkable
class CounterpartSampler(TemperatureSampler, Protocol):
    """A model that knows what its samples vary and what they hold still."""

    def sample_beside(
        self,
        condition: Tensor,
        field: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Sample as ``sample`` does, and reconstruct true fields in what each sample varies.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c', h', w'), the conditions' own fields, natural units.
            n: samples per condition.
            generator: as for ``sample``.
            temperature: as for ``sample``.

        Returns:
            Samples and reconstructions, (n, batch, c', h', w') each, natural units.
        """
        ...


@runtime_checkable
class DensityModel(Protocol):
    """A model whose conditional density is exact."""

    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Log p(field | condition), natural units, nats, (batch,)."""
        ...


@runtime_checkable
class DensityBound(Protocol):
    """A model that bounds its conditional density."""

    def log_conditional(
        self, condition: Tensor, field: Tensor, *, particles: int = 1, generator: torch.Generator
    ) -> Tensor:
        """Lower bound (in expectation) on log p(field | condition), natural units, nats, (batch,)."""
        ...


@runtime_checkable
class ClosedForm(Sampler, Protocol):
    """A model that needs no training steps."""

    @classmethod
    def fit(cls, config: Any, pairs: Pairs) -> Self:
        """Fit to all pairs at once; what fitting finds out goes into the model's own config."""
        ...


class Trainable(nn.Module, ABC):
    """A module that is trained step by step on a loss in nats.

    Every random draw takes the generator it is given, so that a resumed run repeats a whole one.

    Attributes:
        config: a frozen dataclass of JSON values that rebuilds the module.
    """

    config: Any

    @abstractmethod
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Set statistics and starting values from training pairs; called once, before the first step."""

    @abstractmethod
    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Named parts in nats, each (batch,); "total" is minimised, with KL and tie times ``warmup``."""

    @abstractmethod
    def diagnostics(self, condition: Tensor, field: Tensor, *, generator: torch.Generator) -> Mapping[str, Any]:
        """Numbers and lists (one number per layer) for the log: KL, active units, tie, components."""

    @abstractmethod
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """Draw n fields per condition, (n, batch, c, h, w), natural units; see ``Sampler``."""


@runtime_checkable
class Guided(Protocol):
    """A ``Trainable`` with latents that guidance can pull at."""

    def loss_and_latents(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> tuple[dict[str, Tensor], Latents]:
        """As ``loss``, with the posterior means it came by, through which gradients flow."""
        ...

    def latents(self, condition: Tensor, field: Tensor) -> Latents:
        """Posterior means without any noise, for looking at."""
        ...

    def latent_scales(self) -> Latents:
        """The prior's standard deviation of every dimension, one (size,) tensor per layer."""
        ...


@dataclass(frozen=True)
class ScoredDraws:
    """Differentiable samples for a proper score to teach a model by.

    Attributes:
        samples: (K, n, batch, c, h, w), n of each of K components, a channel being about 1.
        truth: (batch, c, h, w), the same units.
        weights: (batch, K), of the components; they sum to 1.
    """

    samples: Tensor
    truth: Tensor
    weights: Tensor


@runtime_checkable
class Scored(Protocol):
    """A ``Trainable`` whose samples are differentiable, so that a proper score can teach it."""

    def loss_and_draws(
        self, condition: Tensor, field: Tensor, n: int, *, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Latents, ScoredDraws]:
        """As ``Guided.loss_and_latents``, with n samples of every component, drawn as ``sample`` draws but
        differentiable."""
        ...
