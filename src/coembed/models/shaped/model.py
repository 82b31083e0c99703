r"""The photo-shaped model: a co-embedding whose field decoder is linear in its code, by maps that the photo
draws.

.. math:: y = \mu(x) + \sum_r z_r L_r(x) + W^T \mathrm{diag}(s_k(x))\, e, \quad z \sim p(z \mid k, x), \quad k
\sim \pi(x)

In the paper's words: the tie p(z | x) is a mixture density network (eq. 6), the decoder a linear map that the
condition makes, and inference is in closed form (``density``), so that nothing has to be learned but what
generates. Kin: mixtures of factor analysers (Ghahramani and Hinton 1996), stochastic segmentation networks
(Monteiro et al. 2020).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.base import Latents, ScoredDraws, Trainable
from coembed.models.conditional import ConditionalField
from coembed.models.nn import eval_mode, full_precision, seeded_dropout
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.density import CodePosterior, Modes, log_likelihood
from coembed.models.shaped.network import Drawing
from coembed.models.shaped.sampling import component_draws
from coembed.models.shaped.start import start
from coembed.models.shaped.steered import SteeredSampler
from coembed.numerics.distributions import LOG_2PI

START_ROWS = 20_000  # pairs that starting values are computed from, at most


class PhotoShaped(SteeredSampler, Trainable):
    """P(field | condition) from scattered pairs, with a spread that follows what is in the photo.

    The arguments are those of ``PhotoShapedSampler``.

    >>> model = PhotoShaped(ShapedConfig((3, 16, 16), (1, 16, 16)))
    >>> model(torch.rand(2, 3, 16, 16)).sample(5).shape
    torch.Size([5, 2, 1, 16, 16])
    """

    kind: ClassVar[str] = "shaped"

    config: ShapedConfig

    def forward(self, condition: Tensor) -> ConditionalField:
        """P(field | condition) as a distribution: ``.sample(n)``, ``.log_prob_bound(field, particles)``."""
        return ConditionalField(self, condition)

    @torch.no_grad()
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Statistics of the data and closed-form starting values; call once, before the first step.

        Args:
            condition: (n, c, h, w) training conditions, natural units.
            field: their fields.

        Raises:
            ModelError: shapes that are not the config's, conditions and fields that are not as many, or a
                channel that is constant everywhere.
        """
        rows = self._measure_pairs(condition, field, START_ROWS)
        start(self.network, self.wavelets, self._standardise(field[rows].float(), "field"))

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """-log p(field | condition) of standardised fields, nats, (batch,): its bound with several modes."""
        return self.loss_and_latents(condition, field, generator=generator, warmup=warmup)[0]

    def loss_and_latents(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> tuple[dict[str, Tensor], Latents]:
        """As ``loss``, with codes for guidance: E[z | x] of the condition and E[z | y, x] of the field."""
        del warmup
        return self._told(self._draw_training(condition, generator), self.standardise_field(field))

    def loss_and_draws(
        self, condition: Tensor, field: Tensor, n: int, *, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Latents, ScoredDraws]:
        """As ``loss_and_latents``, with n draws of every component, differentiable, from the same pass."""
        drawing, truth = self._draw_training(condition, generator), self.standardise_field(field)
        parts, latents = self._told(drawing, truth)
        with full_precision(condition):
            samples = component_draws(drawing, self.wavelets, n, generator)
        return parts, latents, ScoredDraws(samples, truth, torch.softmax(drawing.logits, -1))

    @torch.no_grad()
    def latents(self, condition: Tensor, field: Tensor) -> Latents:
        """E[z | x] and E[z | y, x], (batch, R), each as the one layer there is."""
        with eval_mode(self):
            return self._told(self.encode(condition), self.standardise_field(field))[1]

    def latent_scales(self) -> Latents:
        """1 for every number of the code: the deviations that a model starts with."""
        ones = torch.ones(self.config.factors, device=self.field_mean.device)
        return [ones], [ones]

    @torch.no_grad()
    def diagnostics(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator
    ) -> dict[str, float | list[float]]:
        """Nats that fields tell of their code, numbers of the code in use, effective components.

        A number is in use if the posterior's mean departs from the prior's by a variance of 0.01 of the
        prior's. ``components_effective``: exponential of the mean responsibility's entropy.
        """
        drawing, standardised = self.encode(condition), self.standardise_field(field)
        found = self.posterior(drawing, standardised)
        code = (
            found.mean
            + (found.scale @ self._normal(found.mean.shape, generator)[..., None]).squeeze(-1).float()
        )
        weights = found.log_weights.exp()
        gained = log_likelihood(drawing, self.wavelets, standardised, code)
        nats = (weights * (gained - (found.log_joint - torch.log_softmax(drawing.logits, -1)))).sum(-1)
        mean = weights.mean(0)
        return {
            "kl_field": [nats.mean().item()],
            "active_field": [float((self._departure(drawing, found) > 0.01).sum())],
            "components_effective": torch.special.entr(mean).sum().exp().item(),
        }

    @torch.no_grad()
    def log_conditional(
        self, condition: Tensor, field: Tensor, *, particles: int = 1, generator: torch.Generator
    ) -> Tensor:
        """log p(field | condition), natural units, nats, (batch,).

        With one mode per factor it is exact, and ``particles`` say nothing. With more it is a lower bound in
        expectation: in closed form for one particle, else the larger of that and the importance-weighted one.

        Raises:
            ModelError: no particles, or shapes that are not the model's.
        """
        if particles < 1:
            raise ModelError(f"particles: got {particles}, expected at least 1")
        with eval_mode(self):
            drawing, standardised = self.encode(condition), self.standardise_field(field)
            found = self.posterior(drawing, standardised)
            bound = found.log_prob()
            if particles > 1 and self.config.modes > 1:
                weighted = self._importance(drawing, standardised, found, particles, generator)
                bound = torch.maximum(bound, weighted)
            return bound - self.field_log_volume(field)

    def _draw_training(self, condition: Tensor, generator: torch.Generator) -> Drawing:
        with seeded_dropout(generator, condition):
            return self.encode(condition)

    def _told(self, drawing: Drawing, field: Tensor) -> tuple[dict[str, Tensor], Latents]:
        """Parts of the loss of standardised fields, and E[z | x] and E[z | y, x], (batch, R) each."""
        with full_precision(field):
            found = self.posterior(drawing, field)
        loss, expected = -found.log_prob(), Modes.of(drawing).overall(drawing.logits)[0]
        return {"total": loss, "field": loss}, ([expected], [found.expected_code()])

    def _departure(self, drawing: Drawing, found: CodePosterior) -> Tensor:
        """Mean square of what fields move their codes by, in variances of the prior, (R,)."""
        expected, variance = Modes.of(drawing).overall(drawing.logits)
        return ((found.expected_code() - expected).square() / variance).mean(0)

    def _normal(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        noise = torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float64)
        return noise.to(self.field_mean.device)

    def _importance(
        self,
        drawing: Drawing,
        field: Tensor,
        found: CodePosterior,
        particles: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Importance-weighted bound from the posterior's Gaussians, every component with its own particles."""
        modes, rows = Modes.of(drawing), []
        volume = found.scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        for _ in range(particles):
            noise = self._normal(found.mean.shape, generator)
            code = found.mean + (found.scale @ noise[..., None]).squeeze(-1)
            log_q = -0.5 * (noise.square().sum(-1) + noise.shape[-1] * LOG_2PI) - volume
            likelihood = log_likelihood(drawing, self.wavelets, field, code.float())
            rows.append(likelihood.double() + modes.log_prob(code) - log_q)
        weights = torch.logsumexp(torch.stack(rows), 0) - math.log(particles)
        return torch.logsumexp(weights + torch.log_softmax(drawing.logits.double(), -1), -1).float()
