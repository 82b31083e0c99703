r"""Hierarchical probabilistic U-Net [Kohl et al. 2019, arXiv:1905.13077]: codes at four scales, learned prior.

The prior's U-Net sees the condition :math:`c`; going up it draws a vector and maps of 1/8, 1/4 and 1/2 of the
side, each given all before it. The posterior sees the field :math:`y` too, and shares the way up:

.. math:: -\log p(y \mid c) \le E_q\Big[ -\log N(y; \mu(z, c), \sigma^2)
          + \sum_l KL\big(q(z_l \mid z_{<l}, y, c) \,\|\, p(z_l \mid z_{<l}, c)\big) \Big]

with :math:`\sigma` learned a channel, a warm-up of the divergences, and free bits: a level whose divergence is
below its floor isn't pressed further.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from peers.gaussians import Gaussian, PixelNoise, divergence, gaussian_head
from peers.peer import Noise, Peer, Shape
from peers.scales import Decoder, Encoder, level_shapes, widths

_WARM_UP = 0.2  # share of training over which divergences gain their full weight
_FIRST_WEIGHT = 0.1
_FREE = 0.02  # nats a value of a code that cost nothing


class Hierarchical(Peer):
    """Hierarchical probabilistic U-Net.

    Args:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        width: channels at the finest scale.
        codes: channels of the codes, from the vector to the finest map.
        pixel_noise: whether samples get the likelihood's own noise; else they are its means. May be set at
            any time.
    """

    name: ClassVar[str] = "hierarchical probabilistic U-Net"
    batch_size: ClassVar[int] = 32
    learning_rate: ClassVar[float] = 2e-3
    settings: ClassVar[dict[str, dict[str, object]]] = {
        "pixel noise": {"pixel_noise": True},
        "means": {"pixel_noise": False},
    }

    def __init__(
        self,
        condition_shape: Shape,
        field_shape: Shape,
        *,
        width: int = 48,
        codes: tuple[int, int, int, int] = (16, 8, 4, 2),
        pixel_noise: bool = True,
    ):
        super().__init__(condition_shape, field_shape)
        size = (field_shape[1], field_shape[2])
        self.pixel_noise, self.codes = pixel_noise, level_shapes(codes, field_shape)
        self.see_condition = Encoder(condition_shape[0], size, width)
        self.see_both = Encoder(condition_shape[0] + field_shape[0], size, width)
        self.decoder = Decoder(field_shape[0], width)
        c, b, a = widths(width)
        self.prior = nn.ModuleList(gaussian_head(w, n) for w, n in zip((c, c, b, a), codes, strict=True))
        self.posterior = nn.ModuleList(
            gaussian_head(2 * w, n) for w, n in zip((c, c, b, a), codes, strict=True)
        )
        self.put = nn.ModuleList(nn.Conv2d(n, w, 1) for w, n in zip((c, c, b, a), codes, strict=True))
        self.likelihood = PixelNoise(field_shape[0])

    def loss(self, condition: Tensor, field: Tensor, *, generator: torch.Generator, fraction: float) -> Tensor:
        """The bound in nats a value of the field, divergences weighted, (batch,)."""
        reconstruction, divergences = self.terms(condition, field, generator)
        weight = min(1.0, _FIRST_WEIGHT + (1 - _FIRST_WEIGHT) * fraction / _WARM_UP)
        total = reconstruction
        for kl, shape in zip(divergences, self.codes, strict=True):
            floor = _FREE * torch.Size(shape).numel()
            total = total + weight * torch.where(kl.mean() > floor, kl, kl.detach())
        return total / field[0].numel()

    def terms(
        self, condition: Tensor, field: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, list[Tensor]]:
        """-log likelihood and the divergence of each level, coarse to fine, in nats, (batch,) each."""
        both = self.see_both(torch.cat([condition, field], 1))
        divergences: list[Tensor] = []

        def inject(level: int, h: Tensor) -> Tensor:
            at = _pool(h) if level == 0 else h
            encoded = _pool(both[0]) if level == 0 else both[level - 1]
            p = Gaussian.of(self.prior[level](at))
            q = Gaussian.of(self.posterior[level](torch.cat([at, encoded], 1)))
            divergences.append(divergence(q, p))
            noise = torch.randn(q.mean.shape, generator=generator)
            return h + self.put[level](q.at(noise))

        mean = self.decoder(self.see_condition(condition), inject)
        return self.likelihood.nats(mean, field), divergences

    def draw(self, condition: Tensor, n: int, noise: Noise) -> Tensor:
        """As ``Peer.draw``: codes from the prior, level by level."""

        def inject(level: int, h: Tensor) -> Tensor:
            p = Gaussian.of(self.prior[level](_pool(h) if level == 0 else h))
            return h + self.put[level](p.at(noise(self.codes[level])))

        features = [f.repeat(n, 1, 1, 1) for f in self.see_condition(condition)]
        mean = self.decoder(features, inject)
        deviation = self.likelihood.log_deviation.exp() if self.pixel_noise else 0.0
        return mean + deviation * noise(self.field_shape)


def _pool(h: Tensor) -> Tensor:
    return h.mean((2, 3), keepdim=True)
