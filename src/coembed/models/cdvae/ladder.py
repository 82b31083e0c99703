r"""A variational auto-encoder with ladder inference [Sonderby 2016], paper sec. 3.1 and eq. 11-27."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.inference import TopDownState
from coembed.models.cdvae.towers import Tower
from coembed.numerics.distributions import Gaussian, bounded_log_var


class LadderVAE(nn.Module):
    """Any number of Gaussian layers; data are standardised arrays (batch, c, h, w).

    Args:
        config: how many latents, which pixel likelihood.
        shape: (channels, height, width) of the data.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__()
        self.config, self.shape = config, shape
        self.tower = Tower(config, shape)
        self.code_shapes = self.tower.code_shapes
        log_var = torch.full((shape[0], 1, 1), math.log(config.sigma) * 2)
        if config.likelihood == "fixed":
            self.register_buffer("pixel_log_var", log_var)
        elif config.likelihood == "channel":
            self.pixel_log_var = nn.Parameter(log_var)

    @property
    def layers(self) -> int:
        """Number of stochastic layers."""
        return len(self.code_shapes)

    @property
    def code_sizes(self) -> list[int]:
        """Dimensions of every latent, flat, coarse to fine."""
        return [math.prod(s) for s in self.code_shapes]

    def through(self, latents: Iterable[Tensor], state: TopDownState) -> TopDownState:
        """The way down from a state through more latents, coarse to fine, each (batch, ...)."""
        for latent in latents:
            state = self.tower.step(state, latent)
        return state

    def decode(self, state: TopDownState) -> Gaussian:
        """p(x | latents) over pixels, variances bounded below by the config's floor (eq. 12)."""
        mean, raw = self.tower.pixels(state)
        low = 2 * math.log(self.config.sigma_floor)
        if raw is not None:
            return Gaussian(mean, bounded_log_var(raw, low, 4.0))
        log_var = self.pixel_log_var
        if self.config.likelihood == "channel":
            log_var = low + torch.nn.functional.softplus(log_var - low)
        return Gaussian(mean, log_var.expand_as(mean))

    def decode_latents(self, latents: list[Tensor]) -> Gaussian:
        """As ``decode``, of all latents, coarse to fine, each (batch, ...)."""
        return self.decode(self.through(latents, self.tower.top_down(latents[0])))
