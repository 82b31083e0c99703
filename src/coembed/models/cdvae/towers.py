"""The tower of a ladder: vector codes and fully connected networks, and how latents are inferred with them.

Layers run coarse to fine: layer 0 is the top, whose prior is N(0, I). The pixel likelihood is the ladder's.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor, nn

from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.inference import Inference, NoiseSource, TopDownState
from coembed.numerics.distributions import Gaussian, bounded_log_var

LOG_VAR_BOUNDS = (-8.0, 4.0)


class Tower(nn.Module):
    """The paper's tower: two fully connected layers and leaky rectifiers between vector codes.

    Args:
        config: of the ladder.
        shape: (channels, height, width) of the data.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__()
        self.config, self.shape, self.code_shapes = config, shape, [(c,) for c in config.codes]
        size, layers = math.prod(shape), len(config.codes)
        codes, hidden = config.codes, config.hidden
        below = [codes[i + 1] if config.only_mean_up else hidden[i + 1] for i in range(layers - 1)] + [size]
        self.up = nn.ModuleList(_mlp(below[i], hidden[i], config.norm) for i in range(layers))
        self.up_head = nn.ModuleList(nn.Linear(hidden[i], 2 * codes[i]) for i in range(layers))
        self.down = self._conditional_nets()
        self.down_inference = None if config.shared else self._conditional_nets()
        outputs = 2 if config.likelihood == "pixel" else 1
        self.out = nn.Sequential(
            _mlp(codes[-1], hidden[-1], config.norm), nn.Linear(hidden[-1], outputs * size)
        )

    def top_down(self, rows: Tensor) -> TopDownState:
        """The state above the top latent; ``rows`` is any tensor (batch, ...) of the examples."""
        return TopDownState(rows)

    def step(self, state: TopDownState, latent: Tensor) -> TopDownState:
        """The state after one more latent (batch, ...)."""
        return replace(state, latents=(*state.latents, latent))

    def prior(self, state: TopDownState) -> Gaussian:
        """p(z_layer | latents above) of the next latent: N(0, I) at the top, below it eq. 13-14."""
        if state.layer:
            return _gaussian_below(self.down, state)
        return Gaussian.standard(state.rows.new_zeros(len(state.rows), *self.code_shapes[0]))

    def infer(self, x: Tensor, noise: NoiseSource | None, *, at: list[Tensor] | None = None) -> Inference:
        """q(z | x): the upward pass, then top down, each posterior given the latents sampled above it.

        Args:
            x: (batch, c, h, w), standardised.
            noise: gives standard normals; None takes the means.
            at: latents from elsewhere, to be judged in place of latents sampled here.
        """
        posteriors: list[Gaussian] = []
        priors: list[Gaussian] = []
        state = self.top_down(x)
        for message in self.messages(x):
            posterior, prior = self.infer_layer(state, message)
            posteriors.append(posterior)
            priors.append(prior)
            if at is not None:
                latent = at[state.layer]
            else:
                latent = posterior.mean if noise is None else posterior.sample(noise(posterior.mean.shape))
            state = self.step(state, latent)
        return Inference(posteriors, priors, state)

    def messages(self, x: Tensor) -> list[Gaussian]:
        """The upward pass (eq. 24-25), from the finest latent to the top."""
        h, found = x.flatten(1), []
        for i in reversed(range(len(self.code_shapes))):
            h = self.up[i](h)
            mean, raw = self.up_head[i](h).float().chunk(2, -1)
            found.append(Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS)))
            if self.config.only_mean_up:
                h = mean
        return found[::-1]

    def infer_layer(self, state: TopDownState, message: Gaussian) -> tuple[Gaussian, Gaussian]:
        """q(z_layer | x, latents above) and p(z_layer | latents above) of the next latent (eq. 26-27): the
        message at the top; below, merged with the prior, or with nets of inference's own."""
        prior = self.prior(state)
        if not state.layer:
            return message, prior
        own = prior if self.down_inference is None else _gaussian_below(self.down_inference, state)
        return own.merge(message), prior

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        """Pixel mean (batch, c, h, w) and raw log variance of that shape, or None: of z_1 alone (eq. 12)."""
        out = self.out(state.latents[-1]).float()
        if self.config.likelihood == "pixel":
            mean, raw = out.chunk(2, -1)
            return mean.view(-1, *self.shape), raw.view(-1, *self.shape)
        return out.view(-1, *self.shape), None

    def _conditional_nets(self) -> nn.ModuleList:
        """Nets from every latent to mean and raw log variance of the next."""
        codes, hidden, norm = self.config.codes, self.config.hidden, self.config.norm
        return nn.ModuleList(
            nn.Sequential(_mlp(codes[i - 1], hidden[i], norm), nn.Linear(hidden[i], 2 * codes[i]))
            for i in range(1, len(codes))
        )


def _gaussian_below(nets: nn.ModuleList, state: TopDownState) -> Gaussian:
    """The next latent's Gaussian, by the layer's own net from the latent above."""
    mean, raw = nets[state.layer - 1](state.latents[-1]).float().chunk(2, -1)
    return Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS))


def _mlp(inputs: int, hidden: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), _vector_norm(norm, hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


def _vector_norm(norm: str, width: int) -> nn.Module:
    return {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": lambda _: nn.Identity()}[norm](width)
