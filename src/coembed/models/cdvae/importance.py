r"""Importance weights of a co-embedding model: what every bound on its likelihood is made of.

With zc ~ q(zc | xc) and zg from a proposal m(zg), the averages of

.. math::
    w_g = p(x_g \mid z_g)\, p(z_g \mid z_c) / m(z_g), \qquad
    w_c = p(x_c \mid z_c)\, p(z_c) / q(z_c \mid x_c)

estimate without bias: w_g the conditional density p(xg | xc) of the model as it is sampled, w_c w_g the joint
density p(xc, xg). The proposal is q(zg | xg), or the mixture of it with the tie p(zg | zc) in fixed shares (the
balance heuristic [Veach and Guibas 1995]), which keeps every weight below p(xg | zg) over the tie's share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.numerics.random import Streams

if TYPE_CHECKING:
    from coembed.models.cdvae.model import CDVAE


@dataclass(frozen=True)
class LogWeights:
    """Log weights of K particles in natural units, nats, each (K, batch) unless said otherwise.

    Attributes:
        field: log w_g under the proposal.
        condition: log w_c.
        elbo_field: log w_g of the particles drawn from q(zg | xg), with q alone as the proposal; their mean is
            the evidence lower bound. (K', batch), K' <= K.
        coupled: the field's weight depends on the sampled zc, so that products must be averaged; where it does
            not, the two averages may be taken apart, which is tighter.
    """

    field: Tensor
    condition: Tensor
    elbo_field: Tensor
    coupled: bool

    def bound(self, *, joint: bool) -> Tensor:
        """Importance-weighted lower bound (in expectation) on log p(xg | xc), or on log p(xc, xg): (batch,)."""
        if not joint:
            return _log_mean(self.field)
        if self.coupled:
            return _log_mean(self.field + self.condition)
        return _log_mean(self.field) + _log_mean(self.condition)

    def elbo(self, *, joint: bool) -> Tensor:
        """The evidence lower bound, the average over particles of one-particle bounds: (batch,)."""
        found = self.elbo_field.mean(0)
        return found + self.condition.mean(0) if joint else found


@torch.no_grad()
def log_weights(
    model: CDVAE,
    condition: Tensor,
    field: Tensor,
    *,
    particles: int,
    generator: torch.Generator | Streams,
    tie_share: float = 0.0,
) -> LogWeights:
    """Importance weights of K particles.

    Args:
        model: in evaluation mode, else dropout and batch statistics blur the densities.
        condition: (batch, c, h, w), natural units.
        field: (batch, c, h, w), natural units.
        particles: K, at least 1.
        generator: with ``Streams``, the weights of an example do not depend on the batch it is in, and the
            first of many particles are those of few.
        tie_share: share of the particles drawn from p(zg | zc), within [0, 1); rounded down.

    Raises:
        ModelError: fewer than one particle, or a share outside [0, 1).
    """
    if particles < 1:
        raise ModelError(f"particles: got {particles}, expected at least 1")
    if not 0 <= tie_share < 1:
        raise ModelError(f"tie_share: got {tie_share}, expected 0 or more and less than 1")
    xc, xg, mean, features = model._inputs(condition, field)
    noise, ladder = noise_from(generator, xc.device), model.field_ladder
    from_tie = int(tie_share * particles)
    temperatures = [1.0] * ladder.layers
    for_field: list[Tensor] = []
    for_condition: list[Tensor] = []
    elbo: list[Tensor] = []
    maps = model._look(xc, mean)
    for k in range(particles):
        qc = model.condition_ladder.infer(xc, noise)
        context = model._context(qc, features, xc, mean, maps)
        drawn = None
        if k >= particles - from_tie:
            drawn = model.tie.draw(ladder, context, noise((len(xc), model.tie.noise_size)), temperatures)
        qg = ladder.infer(xg - mean, noise, at=drawn, seen=context.seen)
        log_q = qg.log_posterior()
        log_tie = model.tie.log_prob(qg.codes, ladder, context)
        target = ladder.decode(qg.codes, context.seen).log_prob(xg - mean) + log_tie
        if drawn is None:
            elbo.append(target - log_q)
        if from_tie:
            share = from_tie / particles
            log_q = torch.logaddexp(math.log1p(-share) + log_q, math.log(share) + log_tie)
        for_field.append(target - log_q)
        own = model.condition_ladder.decode(qc.codes).log_prob(xc)
        for_condition.append(own + model.tie.condition_log_prior(qc) - qc.log_posterior())
    volume = _log_volume(model.field_std, model.config.field_shape) + model._log_volume(field)
    condition_volume = _log_volume(model.condition_std, model.config.condition_shape)
    return LogWeights(
        field=torch.stack(for_field) - volume,
        condition=torch.stack(for_condition) - condition_volume,
        elbo_field=torch.stack(elbo) - volume,
        coupled=model.config.condition_code == "sample",
    )


def noise_from(
    generator: torch.Generator | Streams, device: torch.device
) -> Callable[[tuple[int, ...]], Tensor]:
    """A source of standard normals of any shape (batch, ...); from ``Streams``, row i is from stream i."""

    def draw(shape: tuple[int, ...]) -> Tensor:
        if isinstance(generator, Streams):
            return generator.normal(1, math.prod(shape[1:]))[0].view(shape).to(device)
        return torch.randn(*shape, generator=generator, device=generator.device).to(device)

    return draw


def _log_volume(std: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Log determinant of the standardisation: standardised densities minus this are in natural units."""
    return std.log().sum() * (shape[1] * shape[2])


def _log_mean(values: Tensor) -> Tensor:
    return torch.logsumexp(values.double(), 0).float() - math.log(len(values))
