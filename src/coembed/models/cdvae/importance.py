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
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.cdvae.inference import noise_source
from coembed.models.cdvae.network import CoEmbedding
from coembed.numerics.random import Streams


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
    model: CoEmbedding,
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
    enc, standardised = model.encode(condition), model.standardise_field(field)
    noise, ladder = noise_source(generator, standardised.device), model.field_ladder
    from_tie = int(tie_share * particles)
    for_field: list[Tensor] = []
    for_condition: list[Tensor] = []
    elbo: list[Tensor] = []
    for k in range(particles):
        qc, enc = model.infer_condition(enc, noise)
        sampled = None
        if k >= particles - from_tie:
            sampled = model.sample_latents(enc, noise((len(enc), model.tie.noise_size)), [1.0] * ladder.layers)
        qg = ladder.tower.infer(standardised, noise, at=sampled)
        log_q = qg.log_posterior()
        log_tie = model.tie.log_prob(ladder, qg.latents, enc)
        target = ladder.decode(qg.state).log_prob(standardised) + log_tie
        if sampled is None:
            elbo.append(target - log_q)
        if from_tie:
            share = from_tie / particles
            log_q = torch.logaddexp(math.log1p(-share) + log_q, math.log(share) + log_tie)
        for_field.append(target - log_q)
        own = model.condition_ladder.decode(qc.state).log_prob(enc.condition)
        for_condition.append(own + model.tie.condition_log_prior(qc) - qc.log_posterior())
    volume = model.field_log_volume(field)
    return LogWeights(
        field=torch.stack(for_field) - volume,
        condition=torch.stack(for_condition) - model.condition_log_volume(),
        elbo_field=torch.stack(elbo) - volume,
        coupled=model.samples_latents,
    )


def _log_mean(values: Tensor) -> Tensor:
    return torch.logsumexp(values.double(), 0).float() - math.log(len(values))
