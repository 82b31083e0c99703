"""Ties by a mixture density network: several modes of fields for one condition (paper sec. 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import MixtureTieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.inference import Inference, TopDownState, total
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import Tie, top_down
from coembed.numerics.distributions import Mixture


class MixtureTie(Tie):
    r"""A mixture density network from the condition's latents to the field's (eq. 6, 7); base of those below.

    Components are Gaussians of one width, each beginning apart from the others.

    Attributes:
        dim: size of what the mixture is over.
        inputs: layers of the condition's latents that it reads, from the top.
    """

    leaves_lower_layers = False

    def __init__(self, config: MixtureTieConfig, condition: LadderVAE, field: LadderVAE):
        super().__init__(config, condition, field)
        known, k, hidden = sum(self.condition_sizes[: self.inputs]), config.components, config.hidden
        self.trunk = nn.Sequential(
            nn.Linear(known, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, hidden), nn.LeakyReLU(0.01)
        )
        self.logits = nn.Linear(hidden, k)
        self.mean = nn.Linear(hidden, k * self.dim)
        for layer in (self.logits, self.mean):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.logits.bias)
        # Components begin apart, half a prior deviation around zero, so that each finds examples of its own.
        nn.init.normal_(self.mean.bias, std=0.5)

    @property
    def dim(self) -> int:
        """Size of what the mixture is over: the top latent."""
        return self.sizes[0]

    @property
    def inputs(self) -> int:
        """Layers of the condition's latents that the mixture reads, from the top: all."""
        return len(self.condition_sizes)

    def mixture(self, enc: EncodedCondition) -> Mixture:
        """p(zg | zc) over the tied latents, flat (eq. 6)."""
        h = self.trunk(enc.vector(self.inputs))
        mean = self.mean(h).view(len(h), self.config.components, -1).float()
        log_var = mean.new_full((1, 1, 1), 2 * math.log(self.config.sigma))
        return Mixture(self.logits(h).float(), mean, log_var)

    def top_conditional(self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition) -> Mixture:
        """The mixture."""
        return self.mixture(enc)

    def tied_latents(self, field: Inference) -> Tensor:
        """Sampled latents that the mixture is over, (batch, dim)."""
        return field.latents[0].flatten(1)

    def rate(
        self, ladder: LadderVAE, field: Inference, condition: Inference, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """``replace``: the mixture is the prior of the tied latents; ``add``: the paper's sum (eq. 7)."""
        tie = -self.mixture(enc).log_prob(self.tied_latents(field))
        top = field.kl()[0] if self.config.prior == "add" else -field.posteriors[0].entropy()
        return total([top, *field.kl()[1:]]), tie

    def diagnostics(self, field: Inference, enc: EncodedCondition) -> dict[str, float]:
        """``components``, and ``components_effective``: exponential of the mean responsibility's entropy."""
        used = self.mixture(enc).responsibilities(self.tied_latents(field)).mean(0)
        effective = math.exp(-(used * used.clamp(min=1e-12).log()).sum().item())
        return {"components_effective": effective, "components": float(self.config.components)}


class TopMixture(MixtureTie):
    """A mixture over the top latent; the ladder's own prior tells those below."""

    leaves_lower_layers = True

    @property
    def inputs(self) -> int:
        """The condition's top latent alone."""
        return 1


class JointMixture(MixtureTie):
    """A mixture over all latents at once: every layer is sampled from one component."""

    is_joint = True

    @property
    def dim(self) -> int:
        """Size of all latents together."""
        return sum(self.sizes)

    def tied_latents(self, field: Inference) -> Tensor:
        """All sampled latents, (batch, dim)."""
        return torch.cat([z.flatten(1) for z in field.latents], -1)

    def rate(
        self, ladder: LadderVAE, field: Inference, condition: Inference, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """``replace``: the mixture is the prior of the latents; ``add``: the paper's sum (eq. 7)."""
        tie = -self.mixture(enc).log_prob(self.tied_latents(field))
        if self.config.prior == "add":
            return total(field.kl()), tie
        return -total(q.entropy() for q in field.posteriors), tie

    def log_prob(self, ladder: LadderVAE, latents: list[Tensor], enc: EncodedCondition) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        return self.mixture(enc).log_prob(torch.cat([z.flatten(1) for z in latents], -1))

    def sample(
        self,
        ladder: LadderVAE,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
    ) -> TopDownState:
        """Latents of every layer from one component, at the top's temperature."""
        flat = self.mixture(enc).sample(torch.special.ndtr(noise[:, 0]), noise[:, 1:], temperatures[0])
        parts = zip(flat.split(self.sizes, -1), self.shapes, strict=True)
        return ladder.through([z.view(-1, *shape) for z, shape in parts], top_down(ladder, enc))
