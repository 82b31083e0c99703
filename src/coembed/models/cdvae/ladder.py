r"""A variational auto-encoder with ladder inference [Sonderby 2016], paper sec. 3.1 and eq. 11-27."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.towers import FullyConnectedTower, LinearTower
from coembed.models.cdvae.towers_conv import ConvolutionalTower, Path
from coembed.numerics.distributions import Gaussian, bounded_log_var
from coembed.numerics.random import Streams

NoiseSource = Callable[[tuple[int, ...]], Tensor]
"""Gives standard normals of a shape (batch, ...)."""


@dataclass(frozen=True)
class Inference:
    """What q(z | x) gave: lists run coarse to fine, one entry per layer."""

    posteriors: list[Gaussian]
    priors: list[Gaussian]
    codes: list[Tensor]

    def kl(self) -> list[Tensor]:
        """KL(q || p) a layer given the sampled codes above, nats, each (batch,)."""
        return [q.kl(p) for q, p in zip(self.posteriors, self.priors, strict=True)]

    def log_posterior(self) -> Tensor:
        """log q(codes | x), (batch,)."""
        return _total(q.log_prob(z) for q, z in zip(self.posteriors, self.codes, strict=True))

    def log_prior(self) -> Tensor:
        """log p(codes), (batch,)."""
        return _total(p.log_prob(z) for p, z in zip(self.priors, self.codes, strict=True))


class LadderVAE(nn.Module):
    """Any number of Gaussian layers; data are standardised arrays (batch, c, h, w).

    Args:
        config: which tower, how many codes, which pixel likelihood.
        shape: (channels, height, width) of the data.
        sight: the same of the condition that the tower sees, if ``config.sees``.
        kinds: number of fields that it is then shown.
    """

    def __init__(
        self,
        config: LadderConfig,
        shape: tuple[int, int, int],
        sight: tuple[int, int, int] | None = None,
        kinds: int = 0,
    ):
        super().__init__()
        self.config, self.shape = config, shape
        self.tower = build_tower(config, shape, sight, kinds)
        self.code_shapes: list[tuple[int, ...]] = self.tower.code_shapes  # type: ignore[assignment]
        start = torch.full((shape[0], 1, 1), math.log(config.sigma) * 2)
        if config.likelihood == "fixed":
            self.register_buffer("pixel_log_var", start)
        elif config.likelihood == "channel":
            self.pixel_log_var = nn.Parameter(start)

    @property
    def layers(self) -> int:
        """Number of stochastic layers."""
        return len(self.code_shapes)

    @property
    def code_sizes(self) -> list[int]:
        """Dimensions of every code, flattened, coarse to fine."""
        return [math.prod(s) for s in self.code_shapes]

    @torch.no_grad()
    def start(self, x: Tensor, components: tuple[Tensor, Tensor] | None = None) -> None:
        """Closed-form starting values from standardised data, for towers that have them.

        Args:
            x: (n, c, h, w).
            components: its ``principal_components``, at least as many as there are codes, if known.
        """
        if isinstance(self.tower, LinearTower):
            noise = self.tower.start(x, components)
            if self.config.likelihood == "channel":
                self.pixel_log_var.fill_(math.log(noise))

    def infer(
        self,
        x: Tensor,
        noise: NoiseSource | None,
        *,
        at: list[Tensor] | None = None,
        seen: list[Tensor] | None = None,
    ) -> Inference:
        """q(z | x): upward messages merged, top down, with the prior given the code sampled above (eq. 24-27).

        Args:
            x: (batch, c, h, w), standardised.
            noise: gives standard normals; None takes the means.
            at: codes from elsewhere, to be judged in place of codes drawn here.
            seen: what the tower sees of the condition of x (``EncodedCondition.context_maps``).
        """
        if isinstance(self.tower, ConvolutionalTower):
            return self._descend(self.tower, x, noise, at, seen)
        messages = self.messages(x)
        posteriors: list[Gaussian] = []
        priors: list[Gaussian] = []
        codes: list[Tensor] = []
        for i, message in enumerate(messages):
            prior = self.prior(i, codes, like=message.mean)
            if i == 0:
                # The linear tower's upward pass is a likelihood, so it merges at the top too.
                posterior = message.merge(prior) if isinstance(self.tower, LinearTower) else message
            else:
                merging = prior if self.config.shared else self.tower.prior(i, codes, inference=True)  # type: ignore[operator]
                posterior = merging.merge(message)
            if at is not None:
                codes.append(at[i])
            else:
                codes.append(posterior.mean if noise is None else posterior.sample(noise(posterior.mean.shape)))
            posteriors.append(posterior)
            priors.append(prior)
        return Inference(posteriors, priors, codes)

    def _descend(
        self,
        tower: ConvolutionalTower,
        x: Tensor,
        noise: NoiseSource | None,
        at: list[Tensor] | None,
        seen: list[Tensor] | None,
    ) -> Inference:
        """As ``infer``; what the upward pass says is read beside the hidden map that the codes above gave."""
        posteriors: list[Gaussian] = []
        priors: list[Gaussian] = []
        codes = Path()
        for i, message in enumerate(tower.messages(x, seen)):
            h = tower.begin_at(i, codes.state, seen)
            posterior = tower.posterior(i, h, message)
            priors.append(tower.prior_at(i, h) if i else Gaussian.standard(posterior.mean))
            if at is not None:
                codes.append(at[i])
            else:
                codes.append(posterior.mean if noise is None else posterior.sample(noise(posterior.mean.shape)))
            posteriors.append(posterior)
            codes.go(tower.go_on(i, h, codes[-1]))
        return Inference(posteriors, priors, codes)

    def messages(self, x: Tensor) -> list[Gaussian]:
        """What the upward pass says of every code, coarse to fine (eq. 24-25)."""
        return self.tower.messages(x)  # type: ignore[operator]

    def prior(
        self, layer: int, above: list[Tensor], *, like: Tensor, seen: list[Tensor] | None = None
    ) -> Gaussian:
        """p(z_layer | codes above): N(0, I) at the top; ``like`` gives its shape."""
        if layer == 0:
            return Gaussian.standard(like)
        return self.tower.prior(layer, above, seen=seen)  # type: ignore[operator]

    def decode(self, codes: list[Tensor], seen: list[Tensor] | None = None) -> Gaussian:
        """p(x | codes) over pixels, variances bounded below by the config's floor (eq. 12)."""
        mean, raw = self.tower.decode(codes, seen)  # type: ignore[operator]
        low = 2 * math.log(self.config.sigma_floor)
        if raw is not None:
            return Gaussian(mean, bounded_log_var(raw, low, 4.0))
        log_var = self.pixel_log_var
        if self.config.likelihood == "channel":
            log_var = low + torch.nn.functional.softplus(log_var - low)
        return Gaussian(mean, log_var.expand_as(mean))


def build_tower(
    config: LadderConfig,
    shape: tuple[int, int, int],
    sight: tuple[int, int, int] | None = None,
    kinds: int = 0,
) -> nn.Module:
    """The tower that ``config.tower`` names, for data of ``shape``; arguments are those of the ladder."""
    if config.tower == "conv":
        return ConvolutionalTower(config, shape, sight if config.sees else None, kinds)
    return {"fc": FullyConnectedTower, "linear": LinearTower}[config.tower](config, shape)


def noise_source(generator: torch.Generator | Streams, device: torch.device) -> NoiseSource:
    """Standard normals of any shape (batch, ...); from ``Streams``, row i is from stream i."""

    def normal(shape: tuple[int, ...]) -> Tensor:
        if isinstance(generator, Streams):
            return generator.normal(1, math.prod(shape[1:]))[0].view(shape).to(device)
        return torch.randn(*shape, generator=generator, device=generator.device).to(device)

    return normal


def _total(terms: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, terms)
