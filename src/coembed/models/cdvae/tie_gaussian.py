"""The ties by name, and the paper's Gaussian one (sec. 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.ladder import Inference, LadderVAE
from coembed.models.cdvae.tie import Tie
from coembed.models.cdvae.tie_flow import FlowTie
from coembed.models.cdvae.tie_mixture import MixtureTie
from coembed.numerics.distributions import LOG_2PI, Gaussian

__all__ = ["FlowTie", "GaussianTie", "MixtureTie", "Tie", "build_tie"]

_LEAST_LOG_S = -12.0


class GaussianTie(Tie):
    r"""Tied dimensions of both codes differ by N(0, s), s = sigma_t^2 (eq. 3, 4), one number or learned.

    With unit priors on both sides the joint is Gaussian: marginals N(0, (1+s)/(2+s)), conditional
    N(zc/(1+s), s/(1+s)). At ``hier`` layers the field's prior given the code above takes the place of N(0, 1):
    p(zg_i | zg_{i+1}, zc_i) is the normalised product of that prior and N(zc_i, s).
    """

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        pairs = zip(self.condition_sizes, self.sizes, strict=False)
        self.tied = [max(1, math.ceil(config.fraction * min(a, b))) for a, b in pairs]
        if config.layers == "top":
            self.tied = self.tied[:1]
        for layer, tied in enumerate(self.tied):
            start = torch.full((tied,), 2 * math.log(config.sigma))
            if config.learn_strength:
                self.register_parameter(f"log_s_{layer}", nn.Parameter(start))
            else:
                self.register_buffer(f"log_s_{layer}", start, persistent=False)

    def s(self, layer: int) -> Tensor:
        """Variance of the codes' difference in every tied dimension of a layer, (tied,)."""
        log_s = getattr(self, f"log_s_{layer}")
        if not self.config.learn_strength:
            return log_s.exp()
        # Bounded below: a tie that has become exact would have no way back.
        return torch.exp(_LEAST_LOG_S + nn.functional.softplus(log_s - _LEAST_LOG_S))

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], enc: EncodedCondition
    ) -> Gaussian:
        """The prior and the tie's message on tied dimensions (``exact``: the product), the prior elsewhere."""
        prior = self._own(layer, ladder, above, enc)
        return self._tied(layer, prior, enc, exact=self.config.conditional == "exact")

    def _tied(self, layer: int, prior: Gaussian, enc: EncodedCondition, *, exact: bool) -> Gaussian:
        if layer >= len(self.tied):
            return prior
        zc, tied, shape = enc.latent(layer), self.tied[layer], prior.mean.shape
        own = Gaussian(prior.mean.flatten(1), prior.log_var.expand_as(prior.mean).flatten(1))
        if self.config.layers == "all":  # the paper's eq. 3 read literally: every layer's prior is N(0, I)
            own = Gaussian.standard(own.mean)
        head = Gaussian(own.mean[:, :tied], own.log_var[:, :tied])
        message = Gaussian(zc[:, :tied], self.s(layer).log().expand_as(head.mean))
        joined = head.merge(message) if exact else message
        mean = torch.cat([joined.mean, own.mean[:, tied:]], -1)
        log_var = torch.cat([joined.log_var, own.log_var[:, tied:]], -1)
        return Gaussian(mean.view(shape), log_var.view(shape))

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """KL to the ladder's priors, and the expected tie energy with its normaliser (eq. 4).

        ``hier``: the KL to the product of prior and tie, which is both at once.
        """
        del ladder
        if self.config.layers == "hier":
            rate = torch.zeros(len(field.codes[0]), device=field.codes[0].device)
            for i, (q, p) in enumerate(zip(field.posteriors, field.priors, strict=True)):
                # Also when samples are drawn by the paper's rule, the loss is the bound of the exact joint.
                rate = rate + q.kl(self._tied(i, p, enc, exact=True))
            return rate, torch.zeros_like(rate)
        rate = sum(field.kl())
        tie = torch.zeros_like(rate)  # type: ignore[arg-type]
        for i, tied in enumerate(self.tied):
            qc, qg = condition.posteriors[i], field.posteriors[i]
            s = self.s(i)
            distance = qc.mean.flatten(1)[:, :tied] - qg.mean.flatten(1)[:, :tied]
            spread = torch.exp(qc.log_var).flatten(1)[:, :tied] + torch.exp(qg.log_var).flatten(1)[:, :tied]
            energy = ((distance.square() + spread) / (2 * s)).sum(-1)
            tie = tie + energy - 0.5 * torch.log1p(2 / s).sum()
        return rate, tie  # type: ignore[return-value]

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """The joint's own marginal, N(0, (1+s)/(2+s)), on tied top dimensions; ``hier`` keeps the ladder's."""
        total = condition.log_prior()
        if self.config.layers == "hier":
            return total
        s = self.s(0)
        variance = (1 + s) / (2 + s)
        z = condition.codes[0].flatten(1)[:, : self.tied[0]]
        own = -0.5 * (LOG_2PI + z.square()).sum(-1)
        return total - own - 0.5 * (LOG_2PI + variance.log() + z.square() / variance).sum(-1)


def build_tie(config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int) -> Tie:
    """The tie that ``config.kind`` names."""
    kinds = {"none": Tie, "gaussian": GaussianTie, "mixture": MixtureTie, "flow": FlowTie}
    return kinds[config.kind](config, condition, field, feature_size if config.features else 0)
