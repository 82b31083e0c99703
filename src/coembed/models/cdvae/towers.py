r"""Towers: the networks of one ladder, and how its latents are inferred with them.

Layers run coarse to fine: layer 0 is the top, whose prior is N(0, I). The convolutional tower lies in
``towers_conv``; the pixel likelihood is the ladder's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.inference import Inference, NoiseSource, TopDownState
from coembed.models.nn import full_precision
from coembed.numerics.distributions import Gaussian, bounded_log_var
from coembed.numerics.pca import principal_components

LOG_VAR_BOUNDS = (-8.0, 4.0)

Message = TypeVar("Message", Gaussian, Tensor)
"""One layer's part of the upward pass: a Gaussian, or hidden maps."""


class Tower(nn.Module, Generic[Message]):
    """Networks of a ladder of Gaussian layers, the base of every tower.

    A tower must give ``messages``, ``infer_layer``, ``lower_prior`` and ``pixels``; the rest has a default.

    Args:
        config: of the ladder.
        shape: (channels, height, width) of the data.
        code_shapes: of every latent, coarse to fine, without the batch.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int], code_shapes: list[tuple[int, ...]]):
        super().__init__()
        self.config, self.shape, self.code_shapes = config, shape, code_shapes

    # ---- what every tower gives ------------------------------------------------------------------------------

    def messages(self, x: Tensor, context_maps: list[Tensor] | None = None) -> list[Message]:
        """The upward pass of x (batch, c, h, w): one message per latent, coarse to fine (eq. 24-25)."""
        raise NotImplementedError

    def infer_layer(self, state: TopDownState, message: Message) -> tuple[Gaussian, Gaussian]:
        """q(z_layer | x, latents above) and p(z_layer | latents above) of the next latent (eq. 26-27)."""
        raise NotImplementedError

    def lower_prior(self, state: TopDownState) -> Gaussian:
        """p(z_layer | latents above) of the next latent, below the top (eq. 13-14)."""
        raise NotImplementedError

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        """Pixel mean (batch, c, h, w) and raw log variance of that shape, or None, after the last latent."""
        raise NotImplementedError

    # ---- what some towers have -------------------------------------------------------------------------------

    def encode_context(self, condition: Tensor, mean: Tensor, proposals: Tensor | None) -> list[Tensor] | None:
        """Maps of the condition that a conditional tower reads, coarse to fine; None for all others.

        Args:
            condition: (batch, c, h, w), standardised.
            mean: their mean fields (batch, c', h', w').
            proposals: fields of every mode (batch, modes * c', h', w'), if there are any; they end the list.
        """
        return None

    def initialize_from_data(self, x: Tensor, components: tuple[Tensor, Tensor] | None = None) -> float | None:
        """Set what has a closed form, if anything has, from standardised data.

        Args:
            x: (n, c, h, w).
            components: its ``principal_components``, at least as many as there are dimensions, if known.

        Returns:
            The variance of the pixel noise, if that has a closed form.
        """
        return None

    def linear_map(self) -> tuple[Tensor, Tensor] | None:
        """``(offset (size,), weights (size, dimensions))`` of pixels that are linear in latents, or None."""
        return None

    def project(self, image: Tensor, layer: int) -> Tensor:
        """The latent of one layer whose decoding is nearest to an image (batch, c, h, w), the offset aside.

        Raises:
            ConfigError: pixels that are not linear in the latents.
        """
        raise ConfigError(f"tower: got {self.config.tower!r}, expected 'linear', which can be projected on")

    # ---- the way down ----------------------------------------------------------------------------------------

    def top_down(self, rows: Tensor, context_maps: list[Tensor] | None = None) -> TopDownState:
        """The state above the top latent; ``rows`` is any tensor (batch, ...) of the examples."""
        return TopDownState(rows, context_maps)

    def prior(self, state: TopDownState) -> Gaussian:
        """p(z_layer | latents above) of the next latent: N(0, I) at the top."""
        if state.layer:
            return self.lower_prior(state)
        return Gaussian.standard(state.rows.new_zeros(len(state.rows), *self.code_shapes[0]))

    def step(self, state: TopDownState, latent: Tensor) -> TopDownState:
        """The state after one more latent (batch, ...)."""
        return replace(state, latents=(*state.latents, latent))

    def infer(
        self,
        x: Tensor,
        noise: NoiseSource | None,
        *,
        at: list[Tensor] | None = None,
        context_maps: list[Tensor] | None = None,
    ) -> Inference:
        """q(z | x): the upward pass, then top down, each posterior given the latents sampled above it.

        Args:
            x: (batch, c, h, w), standardised.
            noise: gives standard normals; None takes the means.
            at: latents from elsewhere, to be judged in place of latents sampled here.
            context_maps: maps of the condition of x, from ``encode_context``.
        """
        posteriors: list[Gaussian] = []
        priors: list[Gaussian] = []
        state = self.top_down(x, context_maps)
        for message in self.messages(x, context_maps):
            posterior, prior = self.infer_layer(state, message)
            posteriors.append(posterior)
            priors.append(prior)
            if at is not None:
                latent = at[state.layer]
            else:
                latent = posterior.mean if noise is None else posterior.sample(noise(posterior.mean.shape))
            state = self.step(state, latent)
        return Inference(posteriors, priors, state)


class FullyConnectedTower(Tower[Gaussian]):
    """The paper's tower: vector codes, two fully connected layers and leaky rectifiers between them."""

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__(config, shape, [(c,) for c in config.codes])
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

    def messages(self, x: Tensor, context_maps: list[Tensor] | None = None) -> list[Gaussian]:
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
        """The message at the top; below, merged with the prior, or with nets of inference's own."""
        prior = self.prior(state)
        if not state.layer:
            return message, prior
        own = prior if self.down_inference is None else _gaussian_below(self.down_inference, state)
        return own.merge(message), prior

    def lower_prior(self, state: TopDownState) -> Gaussian:
        """p(z_i | z_{i+1}) (eq. 13-14)."""
        return _gaussian_below(self.down, state)

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        """Pixels depend on z_1 alone (eq. 12)."""
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


class LinearTower(Tower[Gaussian]):
    """Whitened principal components as codes: layer 0 holds the leading ones, the last layer the finest.

    The decoder is ``mean + basis (scale x code)``, so the exact posterior of a code is a Gaussian whose message
    is the projection of the data: the upward pass. ``initialize_from_data`` sets all of it in closed form.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__(config, shape, [(c,) for c in config.codes])
        if config.likelihood == "pixel":
            raise ConfigError("likelihood: a linear tower has no network for 'pixel'; use 'channel' or 'fixed'")
        size, rank = math.prod(shape), sum(config.codes)
        if rank > size:
            raise ConfigError(f"codes: got {rank} dimensions in all, expected at most {size}, the data's size")
        self.basis = nn.Parameter(torch.linalg.qr(torch.randn(size, rank))[0])
        self.offset = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(rank))
        self.message_log_var = nn.Parameter(torch.full((rank,), 2 * math.log(config.sigma)))

    @torch.no_grad()
    def initialize_from_data(self, x: Tensor, components: tuple[Tensor, Tensor] | None = None) -> float:
        """Probabilistic principal components of x (n, c, h, w) [Tipping and Bishop 1999].

        Returns:
            The pixel noise's variance: the mean of the variances left out, at least ``sigma_floor`` squared, or
            ``sigma`` squared where every component is kept.
        """
        x = x.flatten(1)
        size, rank = self.basis.shape
        self.offset.copy_(x.mean(0))
        x = x - self.offset
        known = principal_components(x, rank) if components is None else components
        variance, basis = known[0][:rank], known[1][:, :rank]
        noise = self.config.sigma**2
        if rank < size:
            left = (x.square().mean(0).sum() - variance.sum()).item() / (size - rank)
            noise = max(left, self.config.sigma_floor**2)
        self.basis.copy_(basis)
        scale2 = (variance - noise).clamp(min=0.1 * noise)
        self.log_scale.copy_(0.5 * scale2.log())
        self.message_log_var.copy_(math.log(noise) - scale2.log())
        return noise

    def messages(self, x: Tensor, context_maps: list[Tensor] | None = None) -> list[Gaussian]:
        """Projections on the components, in units of their standard deviations."""
        with full_precision(x):
            mean = ((x.flatten(1) - self.offset) @ self.basis) * torch.exp(-self.log_scale)
        log_var = self.message_log_var.expand_as(mean)
        parts = zip(mean.split(self.config.codes, -1), log_var.split(self.config.codes, -1), strict=True)
        return [Gaussian(m, v) for m, v in parts]

    def infer_layer(self, state: TopDownState, message: Gaussian) -> tuple[Gaussian, Gaussian]:
        """The message is a likelihood, so it merges with the prior at the top too."""
        prior = self.prior(state)
        return prior.merge(message) if state.layer else message.merge(prior), prior

    def lower_prior(self, state: TopDownState) -> Gaussian:
        """N(0, I): principal components are uncorrelated. What depends on what is the tie's to learn."""
        above = state.latents[0]
        return Gaussian.standard(above.new_zeros(len(above), self.config.codes[state.layer]))

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        """Mean of the pixels from every latent."""
        flat = torch.cat(state.latents, -1) * torch.exp(self.log_scale)
        with full_precision(flat):
            return (self.offset + flat @ self.basis.T).view(-1, *self.shape), None

    def linear_map(self) -> tuple[Tensor, Tensor]:
        """``(offset (size,), weights (size, dimensions))`` of the pixels."""
        return self.offset, self.basis * torch.exp(self.log_scale)

    def project(self, image: Tensor, layer: int) -> Tensor:
        """The latent of one layer whose decoding is nearest to an image (batch, c, h, w), the offset aside."""
        start = sum(self.config.codes[:layer])
        part = slice(start, start + self.config.codes[layer])
        with full_precision(image):
            return (image.flatten(1) @ self.basis[:, part]) * torch.exp(-self.log_scale[part])


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
