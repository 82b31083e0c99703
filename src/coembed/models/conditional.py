"""P(field | condition) as a distribution object."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.base import DensityBound, Sampler
from coembed.numerics.random import Streams


class _Bounded(Sampler, DensityBound, Protocol):
    """A sampler whose density is bounded."""


class ConditionalField:
    """P(field | condition): a distribution over fields for a batch of conditions.

    Args:
        model: one with latents.
        condition: (batch, c, h, w), natural units.
    """

    def __init__(self, model: _Bounded, condition: Tensor):
        self.model, self.condition = model, condition

    def sample(
        self, n: int | tuple[int, ...] = 1, *, generator: Streams | torch.Generator | int | None = None
    ) -> Tensor:
        """Sample n fields per condition, (n, batch, c, h, w), natural units.

        Args:
            n: samples per condition, at least 1; a shape of one axis, (n,), is taken too.
            generator: streams of noise; without one, seeded from torch's global one.

        Raises:
            ModelError: n below 1, or a shape of another number of axes than one.
        """
        if isinstance(n, tuple):
            if len(n) != 1:
                raise ModelError(f"n: got {n}, expected a number of samples per condition, or (number,)")
            (n,) = n
        if generator is None:
            generator = int(torch.randint(2**62, (1,)).item())
        return self.model.sample(self.condition, n, generator=generator)

    def log_prob_bound(
        self, field: Tensor, particles: int = 1, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Importance-weighted lower bound, in expectation, on log p(field | condition), nats, (batch,).

        Args:
            field: (batch, c, h, w), natural units.
            particles: with more, the bound is tighter; at least 1.
            generator: of the particles; the same ones every time without it.

        Raises:
            ModelError: no particles, or a field of another shape.
        """
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        return self.model.log_conditional(self.condition, field, particles=particles, generator=generator)

    log_prob = log_prob_bound
    """The bound, under the name that distributions give their densities."""
