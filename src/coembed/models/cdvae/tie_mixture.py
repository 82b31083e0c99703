"""Ties by a mixture density network: several modes of fields for one condition (paper sec. 3.3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.models.cdvae.config import MixtureTieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.inference import Inference, TopDownState, total
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import Tie, top_down
from coembed.models.nn import UNet, zero_init
from coembed.numerics.distributions import Gaussian, Mixture, bounded_log_var
from coembed.numerics.mixture_of_regressions import fit_experts, kmeans

ROWS = 4096  # examples at a time


class MixtureTie(Tie):
    r"""A mixture density network from the condition's latents to the field's (eq. 6, 7); base of those below.

    Components are diagonal Gaussians; their scales are fixed, or free per band of neighbouring dimensions.

    Attributes:
        dim: size of what the mixture is over.
        inputs: layers of the condition's latents that it reads, from the top.
    """

    leaves_lower_layers = False

    def __init__(self, config: MixtureTieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        known, k, hidden = sum(self.condition_sizes[: self.inputs]), config.components, config.hidden
        self.trunk = _trunk(known + feature_size, hidden, config.dropout)
        self.logits = nn.Linear(hidden, k)
        self.mean = nn.Linear(hidden, k * self.dim)
        for layer in (self.logits, self.mean):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.logits.bias)
        # Components begin apart, half a prior deviation around zero, so that each finds examples of its own.
        nn.init.normal_(self.mean.bias, std=0.5)
        self.experts = zero_init(nn.Linear(known, k * self.dim)) if config.experts else None
        self.bands = _bands(self.dim)
        if config.learn_sigma:
            self.band_scale = zero_init(nn.Linear(hidden, k * len(self.bands)))
            self.log_scale = nn.Parameter(torch.zeros(self.dim))

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
        return self.density(self.trunk(enc.vector(self.inputs)), enc)

    def density(self, h: Tensor, enc: EncodedCondition) -> Mixture:
        """The mixture from the trunk's hidden vector h (batch, hidden)."""
        shape = (len(h), self.config.components, -1)
        mean = self.mean(h).view(shape).float()
        if self.experts is not None:
            mean = mean + self.experts(enc.vector(self.inputs, features=False)).view(shape).float()
        if not self.config.learn_sigma:
            log_var = mean.new_full((1, 1, 1), 2 * math.log(self.config.sigma))
            return Mixture(self.logits(h).float(), mean, log_var)
        log_var = bounded_log_var(self.band_scale(h).view(shape).float(), self.config.least_log_var, 4.0)
        log_var = _over_bands(log_var, self.bands)
        return Mixture(self.logits(h).float(), mean, log_var + 2 * self.log_scale)

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
        return total([top, *self.lower_rates(ladder, field, enc)]), tie

    def lower_rates(self, ladder: LadderVAE, field: Inference, enc: EncodedCondition) -> list[Tensor]:
        """Rates of the latents below the top one, nats, each (batch,)."""
        return field.kl()[1:]

    @torch.no_grad()
    def initialize_from_data(
        self, condition: LadderVAE, field: LadderVAE, xc: Tensor, residual: Tensor
    ) -> None:
        """Components from the latents of fields that a linear tower gives, see ``place_components``."""
        if field.tower.linear_map() is None:
            return
        latents = torch.cat([field.tower.messages(x)[0].mean for x in residual.split(ROWS)])
        inputs = None
        if self.experts is not None:
            parts = (condition.tower.infer(x, None).latents[: self.inputs] for x in xc.split(ROWS))
            inputs = torch.cat([torch.cat([z.flatten(1) for z in part], -1) for part in parts])
        self.place_components(latents, torch.Generator().manual_seed(0), inputs)

    @torch.no_grad()
    def place_components(
        self, latents: Tensor, generator: torch.Generator, condition: Tensor | None = None
    ) -> None:
        """Component means from k-means centres of latents (n, dim): every component starts with data.

        With ``experts``, regressions on the latents of the ``condition`` (n, size) begin at the centres.
        """
        centres, nearest = kmeans(latents, self.config.components, generator)
        self.mean.bias[: centres.numel()].copy_(centres.flatten())
        share = torch.bincount(nearest, minlength=len(centres)).clamp(min=1) / len(latents)
        self.logits.bias[: len(share)].copy_(share.log())
        if self.experts is not None and condition is not None:
            found = fit_experts(condition, latents, nearest)
            number = found.bias.numel()
            self.experts.weight[:number].copy_(found.weight.transpose(1, 2).reshape(number, -1))
            self.experts.bias[:number].copy_(found.bias.flatten())
            self.mean.bias.zero_()
            self.logits.bias[: len(found.share)].copy_(found.share.clamp(min=1e-4).log())
            if self.config.learn_sigma:
                self.log_scale.copy_(0.5 * (found.share @ found.variance).log())

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
        """The condition's top latent alone, or all of them beside features."""
        return len(self.condition_sizes) if self.feature_size else 1


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
        top: Gaussian | Mixture | None = None,
    ) -> TopDownState:
        """Latents of every layer from one component, at the top's temperature."""
        mixture = top if isinstance(top, Mixture) else self.mixture(enc)
        flat = mixture.sample(torch.special.ndtr(noise[:, 0]), noise[:, 1:], temperatures[0])
        parts = zip(flat.split(self.sizes, -1), self.shapes, strict=True)
        return ladder.through([z.view(-1, *shape) for z, shape in parts], top_down(ladder, enc))


class HierarchicalMixture(MixtureTie):
    """A mixture over the top latent; every lower one is Gaussian given those above and the condition."""

    moves_lower_latents = True

    def __init__(self, config: MixtureTieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        size, self.lower, self.refine = sum(self.condition_sizes) + feature_size, nn.ModuleList(), None
        if config.refine and len(self.sizes) > 1:
            shape = (condition.shape[0] + 2 * field.shape[0], *field.shape[1:])
            self.refine = UNet(shape, field.shape, config.refine, config.hidden // 2, config.dropout)
            size += config.hidden // 2
        for i in range(1, len(self.sizes)):
            self.lower.append(LowerPrior(size + sum(self.sizes[:i]), self.sizes[i], config))

    def lower_conditional(self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition) -> Gaussian:
        """The ladder's prior, moved by what all above says."""
        prior, above = ladder.tower.prior(state), state.latents
        known, network = [enc.vector(), *(z.flatten(1) for z in above)], self.lower[state.layer - 1]
        if self.refine is None:
            return network(torch.cat(known, -1), prior)
        missing = [prior.mean.new_zeros(len(prior.mean), *shape) for shape in self.shapes[state.layer :]]
        so_far = ladder.decode(ladder.through(missing, state)).mean
        detail, features = self.refine(torch.cat([enc.condition, enc.mean, so_far], 1))
        moved = Gaussian(prior.mean + ladder.tower.project(detail, state.layer), prior.log_var)
        return network(torch.cat([*known, features], -1), moved)

    def lower_rates(self, ladder: LadderVAE, field: Inference, enc: EncodedCondition) -> list[Tensor]:
        """KL to what all above says of every lower latent, nats, each (batch,)."""
        layers = zip(field.posteriors[1:], self.lower_conditionals(ladder, field.latents, enc), strict=True)
        return [q.kl(p) for q, p in layers]


class LowerPrior(nn.Module):
    """p(zg_i | everything above, zc): a prior, moved and scaled by a network that starts at zero.

    Args:
        inputs: length of the vector of everything above.
        size: of the latent.
        config: of the tie.
    """

    def __init__(self, inputs: int, size: int, config: MixtureTieConfig):
        super().__init__()
        hidden = 2 * config.hidden
        self.size, self.detail, self.least_log_var = size, min(size, config.detail), config.least_log_var
        self.net = _trunk(inputs, hidden, config.dropout)
        self.bands = _bands(size, first=8)
        self.mean = zero_init(nn.Linear(hidden, self.detail)) if self.detail else None
        self.band_scale = zero_init(nn.Linear(hidden, len(self.bands)))
        self.log_scale = nn.Parameter(torch.zeros(size))

    def forward(self, known: Tensor, prior: Gaussian) -> Gaussian:
        """From everything above (batch, inputs) and the prior of the latent (batch, ...)."""
        h = self.net(known)
        log_var = bounded_log_var(self.band_scale(h).float(), self.least_log_var, 4.0)
        log_var = _over_bands(log_var, self.bands) + 2 * self.log_scale
        shape, moved = prior.mean.shape, prior.mean
        if self.mean is not None:
            moved = moved + F.pad(self.mean(h).float(), (0, self.size - self.detail)).view(shape)
        return Gaussian(moved, prior.log_var + log_var.view(shape))


def _trunk(inputs: int, hidden: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), nn.LeakyReLU(0.01), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _bands(size: int, first: int = 4, growth: float = 1.3) -> list[int]:
    """Lengths of bands of neighbouring dimensions, growing from ``first``; they sum to ``size``."""
    lengths, width = [], float(first)
    while sum(lengths) < size:
        lengths.append(min(int(width), size - sum(lengths)))
        width *= growth
    return lengths


def _over_bands(values: Tensor, bands: list[int]) -> Tensor:
    """Values (..., bands) for every dimension of their bands, (..., size)."""
    lengths = torch.tensor(bands, device=values.device)
    return torch.repeat_interleave(values, lengths, -1, output_size=sum(bands))
