r"""Towers: the networks of one ladder. What is stochastic about a ladder is in ``ladder.py``.

A tower gives, coarse to fine, (1) ``messages(x)``: what the upward pass says of every code (eq. 24-25), (2)
``prior(layer, above)``: p(z_i | z_{i+1}) (eq. 13-14), (3) ``decode(codes)``: mean and raw log variance of the
pixels (eq. 12). Layer 0 is the top, whose prior is N(0, I).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.nn import full_precision
from coembed.numerics.distributions import Gaussian, bounded_log_var

LOG_VAR_BOUNDS = (-8.0, 4.0)


class Tower(Protocol):
    """What a ladder asks of its networks; a convolutional tower has a way down of its own besides."""

    code_shapes: list[tuple[int, ...]]

    def messages(self, x: Tensor) -> list[Gaussian]:
        """The upward pass: one Gaussian a code, coarse to fine."""
        ...

    def prior(
        self,
        layer: int,
        above: list[Tensor],
        *,
        inference: bool = False,
        seen: list[Tensor] | None = None,
    ) -> Gaussian:
        """p(z_layer | codes above), for layer >= 1; ``seen``: what a tower with sight sees of the condition."""
        ...

    def decode(self, codes: list[Tensor], seen: list[Tensor] | None = None) -> tuple[Tensor, Tensor | None]:
        """Pixel mean (batch, c, h, w) and raw log variance of that shape, or None."""
        ...


class FullyConnectedTower(nn.Module):
    """The paper's tower: vector codes, two fully connected layers and leaky rectifiers between them."""

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__()
        self.config, self.shape = config, shape
        size, layers = math.prod(shape), len(config.codes)
        self.code_shapes: list[tuple[int, ...]] = [(c,) for c in config.codes]
        codes, hidden = config.codes, config.hidden
        below = [codes[i + 1] if config.only_mean_up else hidden[i + 1] for i in range(layers - 1)] + [size]
        self.up = nn.ModuleList(_mlp(below[i], hidden[i], config.norm) for i in range(layers))
        self.up_head = nn.ModuleList(nn.Linear(hidden[i], 2 * codes[i]) for i in range(layers))
        self.down = nn.ModuleList(
            _top_down(codes[i - 1], hidden[i], codes[i], config) for i in range(1, layers)
        )
        self.down_inference = (
            None
            if config.shared
            else nn.ModuleList(_top_down(codes[i - 1], hidden[i], codes[i], config) for i in range(1, layers))
        )
        outputs = 2 if config.likelihood == "pixel" else 1
        self.out = nn.Sequential(
            _mlp(codes[-1], hidden[-1], config.norm), nn.Linear(hidden[-1], outputs * size)
        )

    def messages(self, x: Tensor) -> list[Gaussian]:
        """The upward pass (eq. 24-25), from the finest code to the top."""
        h, found = x.flatten(1), []
        for i in reversed(range(len(self.code_shapes))):
            h = self.up[i](h)
            mean, raw = self.up_head[i](h).float().chunk(2, -1)
            found.append(Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS)))
            if self.config.only_mean_up:
                h = mean
        return found[::-1]

    def prior(
        self,
        layer: int,
        above: list[Tensor],
        *,
        inference: bool = False,
        seen: list[Tensor] | None = None,
    ) -> Gaussian:
        """p(z_i | z_{i+1}) (eq. 13-14); inference has nets of its own when they are not shared."""
        del seen
        nets = self.down_inference if inference and self.down_inference is not None else self.down
        mean, raw = nets[layer - 1](above[-1]).float().chunk(2, -1)
        return Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS))

    def decode(self, codes: list[Tensor], seen: list[Tensor] | None = None) -> tuple[Tensor, Tensor | None]:
        """Pixels depend on z_1 alone (eq. 12)."""
        del seen
        out = self.out(codes[-1]).float()
        if self.config.likelihood == "pixel":
            mean, raw = out.chunk(2, -1)
            return mean.view(-1, *self.shape), raw.view(-1, *self.shape)
        return out.view(-1, *self.shape), None


class LinearTower(nn.Module):
    """Whitened principal components as codes: layer 0 holds the leading ones, the last layer the finest.

    The decoder is ``mean + basis (scale x code)``, so the exact posterior of a code is a Gaussian whose message
    is the projection of the data: the upward pass. ``start`` sets all of it in closed form from data.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__()
        if config.likelihood == "pixel":
            raise ConfigError("likelihood: a linear tower has no network for 'pixel'; use 'channel' or 'fixed'")
        self.config, self.shape = config, shape
        size, rank = math.prod(shape), sum(config.codes)
        if rank > size:
            raise ConfigError(f"codes: got {rank} dimensions in all, expected at most {size}, the data's size")
        self.code_shapes: list[tuple[int, ...]] = [(c,) for c in config.codes]
        self.basis = nn.Parameter(torch.linalg.qr(torch.randn(size, rank))[0])
        self.offset = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(rank))
        self.message_log_var = nn.Parameter(torch.full((rank,), 2 * math.log(config.sigma)))

    @torch.no_grad()
    def start(self, x: Tensor, components: tuple[Tensor, Tensor] | None = None) -> float:
        """Probabilistic principal components of x (batch, c, h, w) [Tipping and Bishop 1999].

        Args:
            x: (n, c, h, w).
            components: its ``principal_components``, at least as many as there are codes, if known.

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

    def messages(self, x: Tensor) -> list[Gaussian]:
        """Projections on the components, in units of their standard deviations."""
        with full_precision(x):
            mean = ((x.flatten(1) - self.offset) @ self.basis) * torch.exp(-self.log_scale)
        log_var = self.message_log_var.expand_as(mean)
        parts = zip(mean.split(self.config.codes, -1), log_var.split(self.config.codes, -1), strict=True)
        return [Gaussian(m, v) for m, v in parts]

    def project(self, image: Tensor, layer: int) -> Tensor:
        """The code of one layer whose decoding is nearest to ``image`` (batch, c, h, w), the offset aside."""
        start = sum(self.config.codes[:layer])
        part = slice(start, start + self.config.codes[layer])
        with full_precision(image):
            return (image.flatten(1) @ self.basis[:, part]) * torch.exp(-self.log_scale[part])

    def prior(
        self,
        layer: int,
        above: list[Tensor],
        *,
        inference: bool = False,
        seen: list[Tensor] | None = None,
    ) -> Gaussian:
        """N(0, I): principal components are uncorrelated. What depends on what is the tie's to learn."""
        del inference, seen
        return Gaussian.standard(above[0].new_zeros(len(above[0]), self.config.codes[layer]))

    def decode(self, codes: list[Tensor], seen: list[Tensor] | None = None) -> tuple[Tensor, Tensor | None]:
        """Mean of the pixels from every code."""
        del seen
        flat = torch.cat(codes, -1) * torch.exp(self.log_scale)
        with full_precision(flat):
            return (self.offset + flat @ self.basis.T).view(-1, *self.shape), None


def principal_components(x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Variances (rank,) and directions (size, rank) of centred rows x (n, size), largest first.

    Exact up to 4,096 dimensions, randomised (with 16 extra directions and 4 power iterations) above, where
    directions that fewer rows than ``rank`` can't give are zero.
    """
    size = x.shape[1]
    if size <= 4096:
        values, vectors = torch.linalg.eigh(x.T.double() @ x.double() / len(x))
        return values.flip(0)[:rank].clamp(min=0).float(), vectors.flip(1)[:, :rank].float()
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    _, values, vectors = torch.svd_lowrank(x, q=min(rank + 16, *x.shape), niter=4)
    torch.set_rng_state(generator_state)
    short = max(0, rank - len(values))  # fewer rows than directions asked for
    variances, directions = values[:rank].square() / len(x), vectors[:, :rank]
    return F.pad(variances, (0, short)), F.pad(directions, (0, short))


def _mlp(inputs: int, hidden: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), _vector_norm(norm, hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


def _top_down(above: int, hidden: int, code: int, config: LadderConfig) -> nn.Sequential:
    return nn.Sequential(_mlp(above, hidden, config.norm), nn.Linear(hidden, 2 * code))


def _vector_norm(norm: str, width: int) -> nn.Module:
    return {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": lambda _: nn.Identity()}[norm](width)
