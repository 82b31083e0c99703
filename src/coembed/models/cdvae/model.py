r"""The co-embedding model: two ladders tied in code space (paper sec. 3.2, eq. 1-7).

As it is sampled the model is directed and normalised:
``p(xc, xg) = E[p(zc) p(xc | zc) p(zg | zc) p(xg | zg)]``, and every likelihood here is a bound of that.
Public tensors are in natural units; inside, data are standardised with statistics that travel with the weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from coembed.models.base import Trainable
from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.importance import log_weights
from coembed.models.cdvae.inference import Inference, noise_source
from coembed.models.cdvae.sampler import CoEmbeddingSampler
from coembed.models.conditional import ConditionalField
from coembed.models.nn import eval_mode, seeded_dropout
from coembed.numerics.random import Streams

START_ROWS = 40_000  # pairs that statistics are taken of, at most


class CDVAE(CoEmbeddingSampler, Trainable):
    """P(field | condition) from scattered pairs.

    Args:
        config: what the model is made of; ``coembed.models.cdvae.presets.preset`` gives the named ones.

    >>> from coembed.models.cdvae.presets import preset
    >>> model = CDVAE(preset("paper-gauss", (1, 8, 8), (1, 8, 8)))
    >>> model(torch.rand(2, 1, 8, 8)).sample(5).shape
    torch.Size([5, 2, 1, 8, 8])
    """

    kind: ClassVar[str] = "cdvae"

    config: CDVAEConfig

    def forward(self, condition: Tensor) -> ConditionalField:
        """P(field | condition) as a distribution: ``.sample(n)``, ``.log_prob_bound(field, particles)``."""
        return ConditionalField(self, condition)

    # ---- training --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Statistics of the data; call once, before the first step.

        Args:
            condition: (n, c, h, w) training conditions, natural units.
            field: their fields.

        Raises:
            ModelError: shapes that are not the config's, conditions and fields that are not as many, or a
                channel that is constant everywhere.
        """
        self._measure_pairs(condition, field, START_ROWS)

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Parts of the negative bound on log p(xc, xg) of standardised data, nats, each (batch,).

        ``total`` is minimised: distortions + ``warmup`` x (rates + tie) (eq. 2, 4, 7).
        """
        return self.loss_and_latents(condition, field, generator=generator, warmup=warmup)[0]

    def loss_and_latents(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> tuple[dict[str, Tensor], tuple[list[Tensor], list[Tensor]]]:
        """As ``loss``, with posterior means of both sides' latents, coarse to fine, for guidance (eq. 8)."""
        with seeded_dropout(generator, condition):
            return self._loss(condition, field, generator, warmup)

    @torch.no_grad()
    def latents(self, condition: Tensor, field: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Posterior means of both sides' latents, coarse to fine, without any noise."""
        with eval_mode(self):
            enc = self._read(condition)
            of_condition = self.condition_ladder.tower.infer(enc.condition, None)
            return of_condition.means, self.infer_field(field).means

    def latent_scales(self) -> tuple[list[Tensor], list[Tensor]]:
        """The prior's standard deviation of every dimension, (size,) per layer: less than 1 where tied."""
        return self.tie.latent_scales()

    def _loss(
        self, condition: Tensor, field: Tensor, generator: torch.Generator, warmup: float
    ) -> tuple[dict[str, Tensor], tuple[list[Tensor], list[Tensor]]]:
        enc, xg, qc, qg = self._infer(condition, field, generator)
        rate_field, tie = self.tie.rate(self.field_ladder, qg, qc, enc)
        rate_condition = torch.stack([kl + self._free_bits(kl) for kl in qc.kl()]).sum(0)
        if self.tie.leaves_lower_layers and self.config.free_bits:
            below = qg.kl()[1:]
            top = rate_field + tie - sum(below)
            rate_field = rate_field + sum(self._free_bits(kl) for kl in (top, *below))
        distortion_condition = -self.condition_ladder.decode(qc.state).log_prob(enc.condition)
        distortion_field = -self.field_ladder.decode(qg.state).log_prob(xg)
        warmup = warmup if self.config.warmup else 1.0
        total = distortion_condition + distortion_field
        total = total + warmup * (rate_condition + rate_field + tie)
        parts = {
            "total": total,
            "distortion_condition": distortion_condition,
            "distortion_field": distortion_field,
            "rate_condition": rate_condition,
            "rate_field": rate_field,
            "tie": tie,
        }
        return parts, (qc.means, qg.means)

    @torch.no_grad()
    def diagnostics(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator
    ) -> dict[str, float | list[float]]:
        """Information in the latents: KL and active units per layer, effective mixture components.

        A unit is active if the variance of its posterior mean over the examples exceeds 0.01. ``kl_field`` is
        against the ladder's own prior. ``components_effective``: exponential of the mean
        responsibility's entropy.
        """
        enc, _, qc, qg = self._infer(condition, field, generator)
        found: dict[str, float | list[float]] = {}
        for name, q in (("condition", qc), ("field", qg)):
            found[f"kl_{name}"] = [kl.mean().item() for kl in q.kl()]
            found[f"active_{name}"] = [float((p.mean.float().var(0) > 0.01).sum()) for p in q.posteriors]
        found.update(self.tie.diagnostics(qg, enc))
        return found

    @torch.no_grad()
    def log_joint(
        self, condition: Tensor, field: Tensor, *, particles: int = 1, generator: torch.Generator
    ) -> Tensor:
        """Importance-weighted lower bound on log p(xc, xg), natural units, nats, (batch,), normalised."""
        return log_weights(self, condition, field, particles=particles, generator=generator).bound(joint=True)

    @torch.no_grad()
    def log_conditional(
        self, condition: Tensor, field: Tensor, *, particles: int = 1, generator: torch.Generator
    ) -> Tensor:
        """Importance-weighted bound (lower in expectation) on log p(xg | xc) as sampled, nats, (batch,)."""
        return log_weights(self, condition, field, particles=particles, generator=generator).bound(joint=False)

    @torch.no_grad()
    def sample_posterior(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator | Streams
    ) -> list[Tensor]:
        """One sample of q(zg | xg) per pair, flat, coarse to fine: each (batch, size).

        The model should be in evaluation mode.
        """
        self._check(condition, self.config.condition_shape, "condition")
        xg = self.standardise_field(field)
        q = self.field_ladder.tower.infer(xg, noise_source(generator, xg.device))
        return [z.flatten(1) for z in q.latents]

    @torch.no_grad()
    def sample_prior(self, condition: Tensor, *, generator: torch.Generator | Streams) -> list[Tensor]:
        """One sample of p(zg | zc), zc ~ q(zc | xc), per condition, flat, coarse to fine: each (batch, size).

        At temperature 1, whatever the model's own layer temperatures are: this is the distribution that was
        learned. The model should be in evaluation mode.
        """
        enc = self._read(condition)
        noise = noise_source(generator, enc.condition.device)
        enc = self.infer_condition(enc, noise)[1]
        noise_of_tie = noise((len(enc), self.tie.noise_size))
        return [z.flatten(1) for z in self.sample_latents(enc, noise_of_tie, [1.0] * self.field_ladder.layers)]

    def _infer(
        self, condition: Tensor, field: Tensor, generator: torch.Generator
    ) -> tuple[EncodedCondition, Tensor, Inference, Inference]:
        """Conditions with latents, standardised fields, and the posteriors of both sides."""
        enc, xg = self._read(condition), self.standardise_field(field)
        noise = noise_source(generator, xg.device)
        qc, enc = self.infer_condition(enc, noise)
        return enc, xg, qc, self.field_ladder.tower.infer(xg, noise)

    def _free_bits(self, kl: Tensor) -> Tensor:
        """The rest up to the constant ``free_bits`` of a layer whose mean divergence is below that, else 0."""
        short = kl.detach().mean() < self.config.free_bits
        return torch.where(short, self.config.free_bits - kl, 0.0)
