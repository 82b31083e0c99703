"""Latents of a ladder as they are inferred and sampled: layer by layer, coarse to fine."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.numerics.distributions import Gaussian
from coembed.numerics.random import Streams

NoiseSource = Callable[[tuple[int, ...]], Tensor]
"""Gives standard normals of a shape (batch, ...)."""


@dataclass(frozen=True)
class TopDownState:
    """The way down a ladder after some of its latents: of one sample of every example.

    Attributes:
        rows: any tensor (batch, ...) of the examples: their number, type and device.
        latents: those so far, coarse to fine, each (batch, ...).
    """

    rows: Tensor
    latents: tuple[Tensor, ...] = ()

    @property
    def layer(self) -> int:
        """Number of the next latent, 0 at the top."""
        return len(self.latents)


@dataclass(frozen=True)
class Inference:
    """q(z | x) of a batch: lists run coarse to fine, one entry per layer.

    Attributes:
        posteriors: q(z_i | x, latents above).
        priors: p(z_i | latents above).
        state: the way down through the latents, sampled or given.
    """

    posteriors: list[Gaussian]
    priors: list[Gaussian]
    state: TopDownState

    @property
    def latents(self) -> list[Tensor]:
        """The latents that priors and posteriors are of, coarse to fine, each (batch, ...)."""
        return list(self.state.latents)

    @property
    def means(self) -> list[Tensor]:
        """Posterior means."""
        return [q.mean for q in self.posteriors]

    def kl(self) -> list[Tensor]:
        """KL(q || p) per layer given the latents above, nats, each (batch,)."""
        return [q.kl(p) for q, p in zip(self.posteriors, self.priors, strict=True)]

    def log_posterior(self) -> Tensor:
        """log q(latents | x), (batch,)."""
        return total_log_prob(self.posteriors, self.latents)

    def log_prior(self) -> Tensor:
        """log p(latents), (batch,)."""
        return total_log_prob(self.priors, self.latents)


def total_log_prob(layers: list[Gaussian], latents: list[Tensor]) -> Tensor:
    """Sum over layers of log densities at the latents, (batch,)."""
    return total(p.log_prob(z) for p, z in zip(layers, latents, strict=True))


def total(terms: Iterable[Tensor]) -> Tensor:
    """Sum of at least one term, in order."""
    return functools.reduce(torch.add, terms)


def noise_source(generator: torch.Generator | Streams, device: torch.device) -> NoiseSource:
    """Standard normals of any shape (batch, ...); from ``Streams``, row i is from stream i."""

    def normal(shape: tuple[int, ...]) -> Tensor:
        if isinstance(generator, Streams):
            return generator.normal(1, math.prod(shape[1:]))[0].view(shape).to(device)
        return torch.randn(*shape, generator=generator, device=generator.device).to(device)

    return normal
