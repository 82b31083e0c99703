"""P(field | condition) as a distribution object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coembed.numerics.random import Streams

if TYPE_CHECKING:
    from coembed.models.cdvae.model import CDVAE


class ConditionalField:
    """P(field | condition): a distribution over fields for a batch of conditions."""

    def __init__(self, model: CDVAE, condition: Tensor):
        self.model, self.condition = model, condition

    def sample(
        self, shape: tuple[int] = (1,), *, generator: Streams | torch.Generator | int | None = None
    ) -> Tensor:
        """(n, batch, c, h, w) for ``shape`` (n,); without a generator, from torch's global one."""
        if generator is None:
            generator = int(torch.randint(2**62, (1,)).item())
        return self.model.sample(self.condition, shape[0], generator=generator)

    def log_prob(
        self, field: Tensor, particles: int = 1, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Importance-weighted bound on log p(field | condition), nats, (batch,)."""
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        return self.model.log_conditional(self.condition, field, particles=particles, generator=generator)
