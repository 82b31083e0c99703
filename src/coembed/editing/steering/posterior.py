"""The codes of one condition's field given a part of that field, for linear towers: weights, moves, draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.distributions import Mixture
from coembed.numerics.gaussian_conditioning import CovarianceFactor, Observation
from coembed.numerics.latent_target import LatentTarget

_ROUNDS = 4  # evaluations of the lower layers at the moved code, where they depend on it


def is_linear(model: CDVAE) -> bool:
    """True if what is held of a field is a linear observation of its codes, the condition's codes being
    known."""
    return model.field_ladder.tower.linear_map() is not None and not model.samples_latents


@dataclass(frozen=True)
class Posterior:
    """p(codes | condition, what is held), ready to be drawn from.

    Attributes:
        mixture: the prior's components (1, K, dim) with the posterior's weights.
        covariance: of what is held, under every component, K rows.
    """

    model: CDVAE
    enc: EncodedCondition
    row: int
    covered: Tensor
    observation: Observation
    mixture: Mixture
    covariance: CovarianceFactor

    @classmethod
    def of(
        cls,
        model: CDVAE,
        enc: EncodedCondition,
        row: int,
        values: Tensor,
        covered: Tensor,
        noise: Tensor,
        latent_target: LatentTarget | None,
    ) -> Posterior | None:
        """Conditions one of the given conditions' codes.

        Args:
            model: one that ``is_linear``.
            enc: the conditions.
            row: which condition.
            values: (c, h, w), standardised.
            covered: (c, h, w) bool, which of them are held.
            noise: (c, h, w), variance of what is held about the decoder's mean.
            latent_target: on the top code besides, for all conditions.

        Returns:
            None where nothing is covered.
        """
        if not bool(covered.any()):
            return None
        index = torch.tensor([row], device=enc.condition.device)
        found = model.top(enc[index])
        if latent_target is not None:
            found = latent_target.rows(index).on(found)
        if not isinstance(found, Mixture):
            shape = found.mean.shape
            parts = [t.expand(shape).flatten(1)[:, None] for t in (found.mean, found.log_var)]
            found = Mixture(parts[0].new_zeros(1, 1), *parts)
        observation = _observe(model, enc, row, values, covered, noise)
        mean, variance = found.mean[0], torch.exp(found.log_var.expand_as(found.mean)[0])
        repeated = enc[index.repeat(len(mean))]

        def errors_at(top: Tensor) -> tuple[CovarianceFactor, Tensor]:
            lower, variances = _below(model, repeated, [top])
            missed = observation.values - observation.decoded([mean, *lower])
            return observation.covariance([variance, *variances]), missed

        factor, missed = errors_at(mean)
        for _ in range(_rounds(model) - 1):
            gain = (variance * (factor.solve(missed) @ observation.maps[0])).to(mean.dtype)
            factor, missed = errors_at(mean + gain)
        logits = torch.log_softmax(found.logits.double(), -1) + factor.log_prob(missed)
        mixture = Mixture(logits, found.mean, found.log_var.expand_as(found.mean))
        return cls(model, enc, row, covered, observation, mixture, factor)

    def draw(self, noise: Tensor, errors: Tensor, temperatures: list[float]) -> list[Tensor]:
        """Codes, coarse to fine, from the noise of a plain draw: that draw, moved.

        The lower layers are drawn anew, from the same noise, at every move of the top code. Given the last,
        each is moved in turn by the gain that is left; where nothing depends on the top, all of it together is
        the one joint move of the linear model.

        Args:
            noise: (rows, tie.noise_size).
            errors: (rows, c, h, w), noise of what is held, standard normals.
            temperatures: one per layer.
        """
        model, observed = self.model, self.observation
        pick = self.mixture.pick(torch.special.ndtr(noise[:, 0]).expand(1, -1).flatten())
        parts = [noise[:, 1:]] if model.tie.is_joint else list(noise[:, 1:].split(model.tie.sizes, -1))
        scaled = [t * part for t, part in zip(temperatures, parts, strict=False)]
        variance = torch.exp(self.mixture.log_var[0, pick])
        top_latent = self.mixture.mean[0, pick] + variance.sqrt() * scaled[0]
        factor, enc = self.covariance.rows(pick), self.enc[torch.full_like(pick, self.row)]
        errors = errors.flatten(1)[:, self.covered.flatten()].double() * observed.noise.sqrt()
        wanted = observed.values - errors
        top_code = top_latent
        for _ in range(_rounds(model)):
            lower, _ = _below(model, enc, [top_code], scaled)
            missed = wanted - observed.decoded([top_latent, *lower])
            top_code = top_latent + (variance * (factor.solve(missed) @ observed.maps[0])).to(top_latent.dtype)
        codes = [top_code]
        while len(codes) < len(observed.maps):
            layer = len(codes)
            lower, variances = _below(model, enc, codes, scaled)
            missed = wanted - observed.decoded([*codes, *lower])
            left = observed.covariance(variances, start=layer)
            move = variances[0] * (left.solve(missed) @ observed.maps[layer])
            codes.append(lower[0] + move.to(top_latent.dtype))
        if model.tie.is_joint:
            codes = list(codes[0].split(model.tie.sizes, -1))
        return [code.view(-1, *shape) for code, shape in zip(codes, model.tie.shapes, strict=True)]


def _below(
    model: CDVAE, enc: EncodedCondition, above: list[Tensor], noise: list[Tensor] | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Codes of the layers below those given, means or draws from noise, and their variances (rows, size)
    each."""
    if model.tie.is_joint:
        return [], []
    codes, variances = list(above), []
    for layer in range(len(above), len(model.tie.sizes)):
        found = model.conditional(codes, enc)
        log_var = found.log_var.expand_as(found.mean)
        variances.append(torch.exp(log_var))
        codes.append(found.mean if noise is None else found.sample(noise[layer]))  # type: ignore[union-attr, arg-type, call-arg]
    return codes[len(above) :], variances


def _observe(
    model: CDVAE, enc: EncodedCondition, row: int, values: Tensor, covered: Tensor, noise: Tensor
) -> Observation:
    found, held = model.field_ladder.tower.linear_map(), covered.flatten()
    assert found is not None
    offset, weights = (part[held] for part in found)
    known, weights = (values - enc.mean[row]).flatten()[held] - offset, weights.double()
    maps = [weights] if model.tie.is_joint else list(weights.split(model.tie.sizes, 1))
    return Observation(known.double(), noise.flatten()[held].double(), maps)


def _rounds(model: CDVAE) -> int:
    """Once is enough unless the lower layers follow the top code."""
    return _ROUNDS if model.tie.moves_lower_latents and len(model.tie.sizes) > 1 else 1
