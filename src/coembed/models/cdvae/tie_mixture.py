"""Ties by a mixture density network: what several kinds of field may follow one condition (paper sec. 3.3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.ladder import Inference, LadderVAE
from coembed.models.cdvae.tie import Tie
from coembed.models.nn import UNet
from coembed.numerics.distributions import Gaussian, Mixture, bounded_log_var
from coembed.numerics.mixture_of_regressions import fit_experts, grouped


class MixtureTie(Tie):
    r"""A mixture density network from the condition's codes to the field's (eq. 6, 7).

    ``top``: over the top code; ``all``: over every code at once; ``hier``: a mixture over the top code, then
    every lower code is Gaussian given the codes above and the condition. Components are diagonal Gaussians;
    their scales are fixed, or free a band of neighbouring dimensions.
    """

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        self.dim = sum(self.sizes) if config.layers == "all" else self.sizes[0]
        codes = (
            self.condition_sizes[:1] if config.layers == "top" and not feature_size else self.condition_sizes
        )
        inputs, k, hidden = sum(codes) + feature_size, config.components, config.hidden
        self.inputs = len(codes)
        self.trunk = _trunk(inputs, hidden, config.dropout)
        self.logits = nn.Linear(hidden, k)
        self.mean = nn.Linear(hidden, k * self.dim)
        for layer in (self.logits, self.mean):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.logits.bias)
        # Components begin apart, half a prior deviation around zero, so that each finds examples of its own.
        nn.init.normal_(self.mean.bias, std=0.5)
        self.experts = nn.Linear(sum(codes), k * self.dim) if config.experts else None
        if self.experts is not None:
            nn.init.zeros_(self.experts.weight)
            nn.init.zeros_(self.experts.bias)
        self.bands = _bands(self.dim)
        if config.learn_sigma:
            self.band_scale = nn.Linear(hidden, k * (len(self.bands)))
            nn.init.zeros_(self.band_scale.weight)
            nn.init.zeros_(self.band_scale.bias)
            self.log_scale = nn.Parameter(torch.zeros(self.dim))
        self.lower, self.refine, seen = nn.ModuleList(), None, inputs
        if config.layers == "hier":
            if config.refine and len(self.sizes) > 1:
                channels = condition.shape[0] + 2 * field.shape[0]
                shape = (channels, *field.shape[1:])
                self.refine, seen = (
                    UNet(shape, field.shape, config.refine, hidden // 2, config.dropout),
                    inputs + hidden // 2,
                )
            for i in range(1, len(self.sizes)):
                self.lower.append(_LowerTie(seen + sum(self.sizes[:i]), self.sizes[i], config))

    @property
    def is_joint(self) -> bool:
        """One mixture holds the latents of every layer."""
        return self.config.layers == "all"

    def mixture(self, enc: EncodedCondition) -> Mixture:
        """p(zg | zc) over the tied codes, flat (eq. 6)."""
        h = self.trunk(enc.vector(self.inputs))
        return self._mixture(h, enc)

    def _mixture(self, h: Tensor, enc: EncodedCondition) -> Mixture:
        shape = (len(h), self.config.components, -1)
        mean = self.mean(h).view(shape).float()
        if self.experts is not None:
            mean = mean + self.experts(enc.vector(self.inputs, features=False)).view(shape).float()
        if not self.config.learn_sigma:
            return Mixture(
                self.logits(h).float(), mean, mean.new_full((1, 1, 1), 2 * math.log(self.config.sigma))
            )
        log_var = bounded_log_var(self.band_scale(h).view(shape).float(), self.config.least_log_var, 4.0)
        log_var = torch.repeat_interleave(log_var, _sizes(self.bands, log_var.device), -1, output_size=self.dim)
        return Mixture(self.logits(h).float(), mean, log_var + 2 * self.log_scale)

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], enc: EncodedCondition
    ) -> Gaussian | Mixture:
        """The mixture at the top; below it the ladder's prior (``top``) or a Gaussian of its own (``hier``)."""
        if layer == 0:
            return self.mixture(enc)
        prior = self._own(layer, ladder, above, enc)
        if self.config.layers == "top":
            return prior
        seen = [enc.vector(), *(c.flatten(1) for c in above)]
        if self.refine is None:
            return self.lower[layer - 1](torch.cat(seen, -1), prior)
        missing = [prior.mean.new_zeros(len(prior.mean), *shape) for shape in self.shapes[len(above) :]]
        so_far = ladder.decode([*above, *missing]).mean
        detail, features = self.refine(torch.cat([enc.condition, enc.mean, so_far], 1))  # type: ignore[list-item]
        moved = Gaussian(prior.mean + ladder.tower.project(detail, layer), prior.log_var)  # type: ignore[operator]
        return self.lower[layer - 1](torch.cat([*seen, features], -1), moved)

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """``replace``: the mixture is the prior of the field's code; ``add``: the paper's sum (eq. 7)."""
        del condition
        mixture = self.mixture(enc)
        if self.config.layers == "all":
            flat = torch.cat([c.flatten(1) for c in field.codes], -1)
            tie = -mixture.log_prob(flat)
            rate = sum(field.kl()) if self.config.prior == "add" else -_entropies(field.posteriors)
            return rate, tie  # type: ignore[return-value]
        tie = -mixture.log_prob(field.codes[0].flatten(1))
        kl = field.kl()
        rate = kl[0] if self.config.prior == "add" else -field.posteriors[0].entropy()
        for i in range(1, len(kl)):
            if self.config.layers == "top":
                rate = rate + kl[i]
            else:
                conditional = self.conditional(i, ladder, field.codes[:i], enc)
                rate = rate + field.posteriors[i].kl(conditional)  # type: ignore[arg-type]
        return rate, tie

    def log_prob(self, codes: list[Tensor], ladder: LadderVAE, enc: EncodedCondition) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        if self.config.layers == "all":
            return self.mixture(enc).log_prob(torch.cat([c.flatten(1) for c in codes], -1))
        return super().log_prob(codes, ladder, enc)

    def top(self, ladder: LadderVAE, enc: EncodedCondition) -> Gaussian | Mixture:
        """The mixture, over the top latent or all of them (``all``)."""
        return self.mixture(enc)

    def sample(
        self,
        ladder: LadderVAE,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
        top: Gaussian | Mixture | None = None,
    ) -> list[Tensor]:
        """Latents; ``all`` samples every layer from one component, at the top's temperature."""
        if self.config.layers != "all":
            return super().sample(ladder, enc, noise, temperatures, top)
        mixture = self.mixture(enc) if not isinstance(top, Mixture) else top
        flat = mixture.sample(torch.special.ndtr(noise[:, 0]), noise[:, 1:], temperatures[0])
        return [c.view(-1, *s) for c, s in zip(flat.split(self.sizes, -1), self.shapes, strict=True)]

    @torch.no_grad()
    def start(self, codes: Tensor, generator: torch.Generator, condition: Tensor | None = None) -> None:
        """Component means from k-means centres of field codes (n, dim): every component starts with data.

        With ``experts``, regressions on the codes of the ``condition`` (n, size) begin at the centres.
        """
        centres, nearest = grouped(codes, self.config.components, generator)
        self.mean.bias[: centres.numel()].copy_(centres.flatten())
        share = torch.bincount(nearest, minlength=len(centres)).clamp(min=1) / len(codes)
        self.logits.bias[: len(share)].copy_(share.log())
        if self.experts is not None and condition is not None:
            found = fit_experts(condition, codes, nearest)
            number = found.bias.numel()
            self.experts.weight[:number].copy_(found.weight.transpose(1, 2).reshape(number, -1))
            self.experts.bias[:number].copy_(found.bias.flatten())
            self.mean.bias.zero_()
            self.logits.bias[: len(found.share)].copy_(found.share.clamp(min=1e-4).log())
            if self.config.learn_sigma:
                self.log_scale.copy_(0.5 * (found.share @ found.variance).log())


class _LowerTie(nn.Module):
    """p(zg_i | everything above, zc): the prior, moved and scaled by a network that starts at zero."""

    def __init__(self, inputs: int, size: int, config: TieConfig):
        super().__init__()
        hidden = 2 * config.hidden
        self.size, self.detail, self.least_log_var = size, min(size, config.detail), config.least_log_var
        self.net = _trunk(inputs, hidden, config.dropout)
        self.bands = _bands(size, first=8)
        self.mean = nn.Linear(hidden, self.detail) if self.detail else None
        self.band_scale = nn.Linear(hidden, len(self.bands))
        self.log_scale = nn.Parameter(torch.zeros(size))
        for layer in (self.mean, self.band_scale):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, seen: Tensor, prior: Gaussian) -> Gaussian:
        h = self.net(seen)
        log_var = bounded_log_var(self.band_scale(h).float(), self.least_log_var, 4.0)
        log_var = torch.repeat_interleave(
            log_var, _sizes(self.bands, log_var.device), -1, output_size=self.size
        )
        log_var = log_var + 2 * self.log_scale
        shape, moved = prior.mean.shape, prior.mean
        if self.mean is not None:
            moved = moved + F.pad(self.mean(h).float(), (0, self.size - self.detail)).view(shape)
        return Gaussian(moved, prior.log_var + log_var.view(shape))


def _entropies(posteriors: list[Gaussian]) -> Tensor:
    total = posteriors[0].entropy()
    for q in posteriors[1:]:
        total = total + q.entropy()
    return total


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


def _sizes(bands: list[int], device: torch.device) -> Tensor:
    return torch.tensor(bands, device=device)
