r"""Ties: p(zg | zc), what a condition's codes say of a field's codes (paper sec. 3.2 and 3.3).

Every tie answers the same four questions, whatever its family:

* ``rate``: E_q[log q(zg) - log p(zg | zc)] (and what the tie adds to the rate of zc), one value an example;
* ``log_prob``: log p(zg | zc), normalised, of given codes: the model as it is sampled;
* ``draw``: codes of the field, from noise handed in;
* ``noise_size``: how many numbers a draw uses.

Codes are lists, coarse to fine; each is flattened where a tie needs vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.model.config import TieConfig
from coembed.model.gaussians import LOG_2PI, Gaussian, Mixture, bounded_log_var
from coembed.model.ladder import Inference, LadderVAE
from coembed.model.unet import UNet


@dataclass(frozen=True)
class TieContext:
    """What a tie may read of the condition: codes coarse to fine, and the regression's features and mean.

    ``condition`` and ``mean`` are standardised maps (batch, c, h, w).
    """

    codes: list[Tensor]
    features: Tensor | None = None
    condition: Tensor | None = None
    mean: Tensor | None = None

    def flat(self) -> Tensor:
        """Everything in one vector, (batch, size)."""
        parts = [c.flatten(1) for c in self.codes]
        return torch.cat(parts if self.features is None else [*parts, self.features], -1)

    def rows(self, index: Tensor) -> TieContext:
        """The context of other examples, chosen and repeated by ``index``."""
        pick = lambda t: None if t is None else t[index]  # noqa: E731
        codes = [c[index] for c in self.codes]
        return TieContext(codes, pick(self.features), pick(self.condition), pick(self.mean))


class Tie(nn.Module):
    """No tie: the field's codes come from the field ladder's own prior. The base of every other tie."""

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__()
        del feature_size
        self.config = config
        self.condition_sizes, self.sizes = condition.code_sizes, field.code_sizes
        self.shapes = field.code_shapes

    @property
    def noise_size(self) -> int:
        """Standard normals a draw uses: one a code dimension, and one that picks a mixture component."""
        return sum(self.sizes) + 1

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext
    ) -> Gaussian | Mixture:
        """p(zg_layer | zg above, zc); ``ladder`` is the field's, whose own prior it may start from."""
        return self._own(layer, ladder, above, context)

    def _own(self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext) -> Gaussian:
        like = context.codes[0].new_zeros(len(context.codes[0]), *self.shapes[layer])
        return ladder.prior(layer, above, like=like)

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, context: TieContext
    ) -> tuple[Tensor, Tensor]:
        """``(rate, tie)`` in nats, each (batch,): their sum is E_q[log q(zg) - log p(zg | zc)]."""
        del condition, ladder, context
        total = sum(field.kl())
        return total, torch.zeros_like(total)  # type: ignore[return-value, arg-type]

    def log_prob(self, codes: list[Tensor], ladder: LadderVAE, context: TieContext) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        total = torch.zeros(len(codes[0]), device=codes[0].device)
        for i, code in enumerate(codes):
            found = self.conditional(i, ladder, codes[:i], context)
            total = total + found.log_prob(code.flatten(1) if isinstance(found, Mixture) else code)
        return total

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """log p(zc) of the joint, (batch,)."""
        return condition.log_prior()

    def draw(
        self, ladder: LadderVAE, context: TieContext, noise: Tensor, temperatures: list[float]
    ) -> list[Tensor]:
        """Field codes, coarse to fine, from ``noise`` (batch, noise_size)."""
        uniform = torch.special.ndtr(noise[:, 0])
        parts = noise[:, 1:].split(self.sizes, -1)
        codes: list[Tensor] = []
        for i, part in enumerate(parts):
            part = part.view(-1, *self.shapes[i])
            found = self.conditional(i, ladder, codes, context)
            if isinstance(found, Mixture):
                code = found.sample(uniform, part.flatten(1), temperatures[i]).view_as(part)
            else:
                code = found.sample(part * temperatures[i])
            codes.append(code)
        return codes


class GaussianTie(Tie):
    r"""Tied dimensions of both codes differ by N(0, s), s = sigma_t^2 (eq. 3, 4).

    With unit priors on both sides the joint is Gaussian: marginals N(0, (1+s)/(2+s)), conditional
    N(zc/(1+s), s/(1+s)). At ``hier`` layers the field's prior given the code above takes the place of N(0, 1):
    p(zg_i | zg_{i+1}, zc_i) is the normalised product of that prior and N(zc_i, s).
    """

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        self.s = config.sigma**2
        pairs = zip(self.condition_sizes, self.sizes, strict=False)
        self.tied = [max(1, math.ceil(config.fraction * min(a, b))) for a, b in pairs]
        if config.layers == "top":
            self.tied = self.tied[:1]

    def conditional(self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext) -> Gaussian:
        """The prior and the tie's message on tied dimensions (``exact``: the product), the prior elsewhere."""
        prior = self._own(layer, ladder, above, context)
        return self._tied(layer, prior, context, exact=self.config.conditional == "exact")

    def _tied(self, layer: int, prior: Gaussian, context: TieContext, *, exact: bool) -> Gaussian:
        if layer >= len(self.tied):
            return prior
        zc, tied, shape = context.codes[layer].flatten(1), self.tied[layer], prior.mean.shape
        own = Gaussian(prior.mean.flatten(1), prior.log_var.expand_as(prior.mean).flatten(1))
        if self.config.layers == "all":  # the paper's eq. 3 read literally: every layer's prior is N(0, I)
            own = Gaussian.standard(own.mean)
        head = Gaussian(own.mean[:, :tied], own.log_var[:, :tied])
        message = Gaussian(zc[:, :tied], torch.full_like(head.mean, math.log(self.s)))
        joined = head.merge(message) if exact else message
        mean = torch.cat([joined.mean, own.mean[:, tied:]], -1)
        log_var = torch.cat([joined.log_var, own.log_var[:, tied:]], -1)
        return Gaussian(mean.view(shape), log_var.view(shape))

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, context: TieContext
    ) -> tuple[Tensor, Tensor]:
        """KL to the ladder's priors, and the expected tie energy with its normaliser (eq. 4).

        ``hier``: the KL to the product of prior and tie, which is both at once.
        """
        del ladder
        if self.config.layers == "hier":
            rate = torch.zeros(len(field.codes[0]), device=field.codes[0].device)
            for i, (q, p) in enumerate(zip(field.posteriors, field.priors, strict=True)):
                # Also when samples are drawn by the paper's rule, the loss is the bound of the exact joint.
                rate = rate + q.kl(self._tied(i, p, context, exact=True))
            return rate, torch.zeros_like(rate)
        rate = sum(field.kl())
        tie = torch.zeros_like(rate)  # type: ignore[arg-type]
        for i, tied in enumerate(self.tied):
            qc, qg = condition.posteriors[i], field.posteriors[i]
            distance = qc.mean.flatten(1)[:, :tied] - qg.mean.flatten(1)[:, :tied]
            spread = torch.exp(qc.log_var).flatten(1)[:, :tied] + torch.exp(qg.log_var).flatten(1)[:, :tied]
            energy = (distance.square() + spread).sum(-1) / (2 * self.s)
            tie = tie + energy - tied / 2 * math.log(1 + 2 / self.s)
        return rate, tie  # type: ignore[return-value]

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """The joint's own marginal, N(0, (1+s)/(2+s)), on tied top dimensions; ``hier`` keeps the ladder's."""
        total = condition.log_prior()
        if self.config.layers == "hier":
            return total
        variance = (1 + self.s) / (2 + self.s)
        z = condition.codes[0].flatten(1)[:, : self.tied[0]]
        own = -0.5 * (LOG_2PI + z.square()).sum(-1)
        return total - own - 0.5 * (LOG_2PI + math.log(variance) + z.square() / variance).sum(-1)


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

    def mixture(self, context: TieContext) -> Mixture:
        """p(zg | zc) over the tied codes, flat (eq. 6)."""
        h = self.trunk(TieContext(context.codes[: self.inputs], context.features).flat())
        shape = (len(h), self.config.components, -1)
        mean = self.mean(h).view(shape).float()
        if not self.config.learn_sigma:
            return Mixture(
                self.logits(h).float(), mean, mean.new_full((1, 1, 1), 2 * math.log(self.config.sigma))
            )
        log_var = bounded_log_var(self.band_scale(h).view(shape).float(), self.config.least_log_var, 4.0)
        log_var = torch.repeat_interleave(log_var, _sizes(self.bands, log_var.device), -1, output_size=self.dim)
        return Mixture(self.logits(h).float(), mean, log_var + 2 * self.log_scale)

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext
    ) -> Gaussian | Mixture:
        """The mixture at the top; below it the ladder's prior (``top``) or a Gaussian of its own (``hier``)."""
        if layer == 0:
            return self.mixture(context)
        prior = self._own(layer, ladder, above, context)
        if self.config.layers == "top":
            return prior
        seen = [context.flat(), *(c.flatten(1) for c in above)]
        if self.refine is None:
            return self.lower[layer - 1](torch.cat(seen, -1), prior)
        missing = [prior.mean.new_zeros(len(prior.mean), *shape) for shape in self.shapes[len(above) :]]
        so_far = ladder.decode([*above, *missing]).mean
        detail, features = self.refine(torch.cat([context.condition, context.mean, so_far], 1))  # type: ignore[list-item]
        moved = Gaussian(prior.mean + ladder.tower.project(detail, layer), prior.log_var)  # type: ignore[operator]
        return self.lower[layer - 1](torch.cat([*seen, features], -1), moved)

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, context: TieContext
    ) -> tuple[Tensor, Tensor]:
        """``replace``: the mixture is the prior of the field's code; ``add``: the paper's sum (eq. 7)."""
        del condition
        mixture = self.mixture(context)
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
                conditional = self.conditional(i, ladder, field.codes[:i], context)
                rate = rate + field.posteriors[i].kl(conditional)  # type: ignore[arg-type]
        return rate, tie

    def log_prob(self, codes: list[Tensor], ladder: LadderVAE, context: TieContext) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        if self.config.layers == "all":
            return self.mixture(context).log_prob(torch.cat([c.flatten(1) for c in codes], -1))
        return super().log_prob(codes, ladder, context)

    def draw(
        self, ladder: LadderVAE, context: TieContext, noise: Tensor, temperatures: list[float]
    ) -> list[Tensor]:
        """Field codes; ``all`` draws every layer from one component, at the top's temperature."""
        if self.config.layers != "all":
            return super().draw(ladder, context, noise, temperatures)
        flat = self.mixture(context).sample(torch.special.ndtr(noise[:, 0]), noise[:, 1:], temperatures[0])
        return [c.view(-1, *s) for c, s in zip(flat.split(self.sizes, -1), self.shapes, strict=True)]

    @torch.no_grad()
    def start(self, codes: Tensor, generator: torch.Generator) -> None:
        """Component means from k-means centres of field codes (n, dim): every component starts with data."""
        picks = torch.randperm(len(codes), generator=generator)[: self.config.components]
        centres = codes[picks].clone()
        lead = min(16, codes.shape[1])  # distances in many white dimensions say nothing
        for _ in range(20):
            nearest = torch.cdist(codes[:, :lead], centres[:, :lead]).argmin(1)
            for k in range(len(centres)):
                members = codes[nearest == k]
                if len(members):
                    centres[k] = members.mean(0)
        self.mean.bias[: centres.numel()].copy_(centres.flatten())
        share = torch.bincount(nearest, minlength=len(centres)).clamp(min=1) / len(codes)
        self.logits.bias[: len(share)].copy_(share.log())


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


def build_tie(config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int) -> Tie:
    """The tie that ``config.kind`` names."""
    kinds = {"none": Tie, "gaussian": GaussianTie, "mixture": MixtureTie}
    return kinds[config.kind](config, condition, field, feature_size if config.features else 0)


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
