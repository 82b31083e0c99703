"""The paper's Gaussian tie (sec. 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import GaussianTieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.inference import Inference, TopDownState, total
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import Tie
from coembed.numerics.distributions import LOG_2PI, Gaussian

MIN_LOG_S = -12.0


class GaussianTie(Tie):
    r"""Tied dimensions of both codes differ by N(0, s), s = sigma_t^2 (eq. 3, 4), one number or learned.

    With unit priors on both sides the joint is Gaussian: marginals N(0, (1+s)/(2+s)), conditional
    N(zc/(1+s), s/(1+s)). At ``hier`` layers the field's prior given the code above takes the place of N(0, 1):
    p(zg_i | zg_{i+1}, zc_i) is the normalised product of that prior and N(zc_i, s).
    """

    def __init__(self, config: GaussianTieConfig, condition: LadderVAE, field: LadderVAE):
        super().__init__(config, condition, field)
        pairs = zip(self.condition_sizes, self.sizes, strict=False)
        self.tied = [max(1, math.ceil(config.fraction * min(a, b))) for a, b in pairs]
        self.leaves_lower_layers = config.layers == "top"
        if self.leaves_lower_layers:
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
        return torch.exp(MIN_LOG_S + nn.functional.softplus(log_s - MIN_LOG_S))

    def lower_conditional(self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition) -> Gaussian:
        """The prior and the tie's message on tied dimensions (``exact``: the product), the prior elsewhere."""
        prior = ladder.tower.prior(state)
        return self._tie_layer(state.layer, prior, enc, exact=self.config.conditional == "exact")

    top_conditional = lower_conditional

    def _tie_layer(self, layer: int, prior: Gaussian, enc: EncodedCondition, *, exact: bool) -> Gaussian:
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
        self, ladder: LadderVAE, field: Inference, condition: Inference, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """KL to the ladder's priors, and the expected tie energy with its normaliser (eq. 4).

        ``hier``: the KL to the product of prior and tie, which is both at once.
        """
        if self.config.layers == "hier":
            # Also when samples follow the paper's rule, the loss is the bound of the exact joint.
            layers = enumerate(zip(field.posteriors, field.priors, strict=True))
            rate = total(q.kl(self._tie_layer(i, p, enc, exact=True)) for i, (q, p) in layers)
            return rate, torch.zeros_like(rate)
        rate = total(field.kl())
        tie = torch.zeros_like(rate)
        for i, tied in enumerate(self.tied):
            qc, qg = condition.posteriors[i], field.posteriors[i]
            s = self.s(i)
            distance = qc.mean.flatten(1)[:, :tied] - qg.mean.flatten(1)[:, :tied]
            spread = torch.exp(qc.log_var).flatten(1)[:, :tied] + torch.exp(qg.log_var).flatten(1)[:, :tied]
            energy = ((distance.square() + spread) / (2 * s)).sum(-1)
            tie = tie + energy - 0.5 * torch.log1p(2 / s).sum()
        return rate, tie

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """The joint's own marginal, N(0, (1+s)/(2+s)), on tied top dimensions; ``hier`` keeps the ladder's."""
        log_prior = condition.log_prior()
        if self.config.layers == "hier":
            return log_prior
        variance = self._marginal_variance(0)
        z = condition.latents[0].flatten(1)[:, : self.tied[0]]
        own = -0.5 * (LOG_2PI + z.square()).sum(-1)
        return log_prior - own - 0.5 * (LOG_2PI + variance.log() + z.square() / variance).sum(-1)

    def latent_scales(self) -> tuple[list[Tensor], list[Tensor]]:
        """Standard deviations of the joint's prior, of both sides: less than 1 where tied."""
        scales = super().latent_scales()
        for layer, tied in enumerate(self.tied):
            for side in scales:
                side[layer][:tied] = torch.sqrt(self._marginal_variance(layer).detach().cpu())
        return scales

    def _marginal_variance(self, layer: int) -> Tensor:
        s = self.s(layer)
        return (1 + s) / (2 + s)
