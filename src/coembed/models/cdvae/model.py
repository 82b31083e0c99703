r"""The co-embedding model: two ladders tied in code space (paper sec. 3.2, eq. 1-7).

As it is sampled the model is directed and normalised:
``p(xc, xg) = E[p(zc) p(xc | zc) p(zg | zc) p(xg | zg)]``, and every likelihood here is a bound of that.
Public tensors are in natural units; inside, data are standardised with statistics that travel with the weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from coembed.data.rows import spread
from coembed.errors import ModelError
from coembed.models.base import Trainable
from coembed.models.cdvae.conditional import ConditionalField
from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.draws import drawn, hold, scored_draws
from coembed.models.cdvae.importance import log_weights, noise_from
from coembed.models.cdvae.ladder import Inference, LadderVAE
from coembed.models.cdvae.mode_proposals import Kinds
from coembed.models.cdvae.regression import Regression
from coembed.models.cdvae.tie_gaussian import GaussianTie, MixtureTie, TieContext, build_tie
from coembed.models.cdvae.towers import principal_components
from coembed.models.cdvae.towers_conv import ConvolutionalTower
from coembed.models.normalization import Scaled
from coembed.numerics.random import Streams

_CHUNK_VALUES = 2**18  # field values drawn at a time: bounds memory, stays near the caches, changes no sample
START_ROWS = 40_000  # pairs that starting values are computed from, at most


class CDVAE(Scaled, Trainable):
    """P(field | condition) from scattered pairs.

    Args:
        config: what the model is made of; ``coembed.models.cdvae.presets.preset`` gives the named ones.

    >>> from coembed.models.cdvae.presets import preset
    >>> model = CDVAE(preset("paper-gauss", (1, 8, 8), (1, 8, 8)))
    >>> model(torch.rand(2, 1, 8, 8)).sample((5,)).shape
    torch.Size([5, 2, 1, 8, 8])
    """

    def __init__(self, config: CDVAEConfig):
        super().__init__(config)
        self.condition_ladder = LadderVAE(config.condition, config.condition_shape)
        self.field_ladder = LadderVAE(config.field, config.field_shape, config.condition_shape, config.kinds)
        self.regression, self.kinds, features = None, None, 0
        if config.regression is not None:
            self.regression = Regression(config.regression, config.condition_shape, config.field_shape)
            features = self.regression.feature_size
            if config.kinds:
                self.kinds = Kinds(config.kinds, self.regression.rank, config.field_shape)
        self.tie = build_tie(config.tie, self.condition_ladder, self.field_ladder, features)

    # ---- use -------------------------------------------------------------------------------------------------

    def forward(self, condition: Tensor) -> ConditionalField:
        """P(field | condition) as a distribution: ``.sample((n,))``, ``.log_prob(field, particles)``."""
        return ConditionalField(self, condition)

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
        leading: int | None = None,
    ) -> Tensor:
        """Draw n fields per condition in one pass.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition, at least 1.
            generator: sample k of condition i depends on (seed, i, k) alone (see ``Streams``).
            temperature: scales the standard deviation of every field code; or one number per layer, top first.
                It multiplies the config's own ``layer_temperatures``.
            leading: draws vary in so many leading dimensions of the top code, 0 for all; None for the config's.

        Returns:
            (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape, n below 1, ``leading`` below 0, or temperatures of the
                wrong number or sign.
        """
        self._check(condition, self.config.condition_shape, "condition")
        if n < 1:
            raise ModelError(f"n: got {n}, expected at least 1")
        leading = self.config.leading if leading is None else leading
        if leading < 0:
            raise ModelError(f"leading: got {leading}, expected 0 or more")
        temperatures = self._temperatures(temperature)
        was_training = self.training
        self.eval()
        try:
            streams, batch = Streams.of(generator, len(condition)), len(condition)
            xc = self._standardise(condition, "condition")
            mean, features = self._regress(xc)
            fixed = None if self._sampled_condition else self.condition_ladder.infer(xc, None).codes
            seen = self._look(xc, mean)
            rows = max(1, _CHUNK_VALUES // (max(1, batch) * self.config.field_size))
            parts = []
            for start in range(0, n, rows):
                count = min(rows, n - start)
                noise = streams.normal(count, self._noise_size).flatten(0, 1).to(xc.device)
                index = torch.arange(batch, device=xc.device).repeat(count)
                noise = hold(self, noise, leading)
                fields = drawn(self, xc, mean, features, fixed, seen, noise, index, temperatures)
                parts.append(self._finish(fields).view(count, batch, *self.config.field_shape))
            return torch.cat(parts)
        finally:
            self.train(was_training)

    @property
    def temperature_layers(self) -> int:
        """Layers of field latents, each of which has a temperature of its own."""
        return self.field_ladder.layers

    @torch.no_grad()
    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """The decoder's mean at the code of a true field (D(zo) of eq. 10), natural units, not clipped."""
        was_training = self.training
        self.eval()
        try:
            xc, xg, mean, _ = self._inputs(condition, field)
            seen = self._look(xc, mean)
            inference = self.field_ladder.infer(xg - mean, None, seen=seen)
            return self._natural(self.field_ladder.decode(inference.codes, seen).mean + mean)
        finally:
            self.train(was_training)

    # ---- training --------------------------------------------------------------------------------------------

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
        self._check(condition, self.config.condition_shape, "condition")
        self._check(field, self.config.field_shape, "field")
        if len(condition) != len(field):
            raise ModelError(
                f"field: got {len(field)} rows, expected one for each of {len(condition)} conditions"
            )
        rows = spread(len(condition), START_ROWS)  # of all photos
        condition, field = condition[rows].float(), field[rows].float()
        self._measure(condition, field)
        xc, xg = self._standardise(condition, "condition"), self._standardise(field, "field")
        components = None
        if self.regression is not None and self.config.condition.tower == "linear":  # both read the same
            rank = max(self.regression.rank, sum(self.config.condition.codes))
            flat = xc.flatten(1)
            components = principal_components(flat - flat.mean(0), rank)
        self.condition_ladder.start(xc, components)
        if self.regression is not None:
            # Without the U-Net, which starts at zero: its pass over all pairs would be minutes for nothing.
            xg = xg - self.regression.start(xc, xg, components)
        self.field_ladder.start(xg)
        if self.kinds is not None and self.regression is not None:
            self.kinds.start(self.regression.ridge(xc)[0], xg)
        if isinstance(self.tie, MixtureTie) and self.config.field.tower == "linear":
            codes = torch.cat([m[0].mean for m in map(self.field_ladder.messages, xg.split(4096))])
            inputs = None
            if self.config.tie.experts:
                known = (self.condition_ladder.infer(part, None).codes for part in xc.split(4096))
                inputs = torch.cat([TieContext(found[: self.tie.inputs]).flat() for found in known])
            self.tie.start(codes, torch.Generator().manual_seed(0), inputs)

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Parts of the negative bound on log p(xc, xg) of standardised data, nats, each (batch,).

        ``total`` is minimised: distortions + ``warmup`` x (rates + tie) (eq. 2, 4, 7).
        """
        return self.loss_and_codes(condition, field, generator=generator, warmup=warmup)[0]

    def loss_and_codes(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> tuple[dict[str, Tensor], tuple[list[Tensor], list[Tensor]]]:
        """As ``loss``, with the posterior means of both sides' codes, coarse to fine, for guidance (eq. 8)."""
        # Dropout draws from torch's global generator; seeded here, it too depends on ``generator`` alone.
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device).item())
        with torch.random.fork_rng([condition.device] if condition.is_cuda else []):
            torch.manual_seed(seed)
            return self._loss(condition, field, generator, warmup)

    def scored_draws(
        self, condition: Tensor, field: Tensor, n: int, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """n differentiable draws per condition, as ``sample`` draws, and the truths (see ``model.draws``)."""
        return scored_draws(self, condition, field, n, generator=generator)

    @torch.no_grad()
    def codes(self, condition: Tensor, field: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Posterior means of both sides' codes, coarse to fine, without any noise."""
        was_training = self.training
        self.eval()
        try:
            xc, xg, mean, _ = self._inputs(condition, field)
            qc = self.condition_ladder.infer(xc, None)
            qg = self.field_ladder.infer(xg - mean, None, seen=self._look(xc, mean))
            return [q.mean for q in qc.posteriors], [q.mean for q in qg.posteriors]
        finally:
            self.train(was_training)

    def code_scales(self) -> tuple[list[Tensor], list[Tensor]]:
        """The prior's standard deviation of every code dimension, (size,) a layer: less than 1 where tied."""
        ladders = (self.condition_ladder, self.field_ladder)
        scales = tuple([torch.ones(size) for size in ladder.code_sizes] for ladder in ladders)
        if isinstance(self.tie, GaussianTie):
            for side in scales:
                for layer, (scale, tied) in enumerate(zip(side, self.tie.tied, strict=False)):
                    s = self.tie.s(layer).detach().cpu()
                    scale[:tied] = torch.sqrt((1 + s) / (2 + s))
        return scales[0], scales[1]

    def _loss(
        self, condition: Tensor, field: Tensor, generator: torch.Generator, warmup: float
    ) -> tuple[dict[str, Tensor], tuple[list[Tensor], list[Tensor]]]:
        xc, xg, mean, features = self._inputs(condition, field)
        noise = noise_from(generator, xc.device)
        qc = self.condition_ladder.infer(xc, noise)
        seen = self._look(xc, mean)
        qg = self.field_ladder.infer(xg - mean, noise, seen=seen)
        context = self._context(qc, features, xc, mean, seen)
        rate_field, tie = self.tie.rate(qg, qc, self.field_ladder, context)
        rate_condition = torch.stack([kl + self._spared(kl) for kl in qc.kl()]).sum(0)
        if self.tie.leaves_lower_layers and self.config.free_bits:
            below = qg.kl()[1:]
            top = rate_field + tie - sum(below)
            rate_field = rate_field + sum(self._spared(kl) for kl in (top, *below))
        distortion_condition = -self.condition_ladder.decode(qc.codes).log_prob(xc)
        distortion_field = -self.field_ladder.decode(qg.codes, seen).log_prob(xg - mean)
        weight, warmup = self.config.condition_weight, warmup if self.config.warmup else 1.0
        total = weight * distortion_condition + distortion_field
        total = total + warmup * (weight * rate_condition + rate_field + tie)
        parts = {
            "total": total,
            "distortion_condition": distortion_condition,
            "distortion_field": distortion_field,
            "rate_condition": rate_condition,
            "rate_field": rate_field,
            "tie": tie,
        }
        return parts, ([q.mean for q in qc.posteriors], [q.mean for q in qg.posteriors])

    @torch.no_grad()
    def diagnostics(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator
    ) -> dict[str, float | list[float]]:
        """What the codes carry: KL and active units per layer, effective mixture components.

        A unit is active if the variance of its posterior mean over the examples exceeds 0.01. ``kl_field`` is
        against the ladder's own prior. ``components_effective``: exponential of the mean
        responsibility's entropy.
        """
        xc, xg, mean, features = self._inputs(condition, field)
        noise = noise_from(generator, xc.device)
        seen = self._look(xc, mean)
        qc = self.condition_ladder.infer(xc, noise)
        qg = self.field_ladder.infer(xg - mean, noise, seen=seen)
        found: dict[str, float | list[float]] = {}
        for name, q in (("condition", qc), ("field", qg)):
            found[f"kl_{name}"] = [kl.mean().item() for kl in q.kl()]
            found[f"active_{name}"] = [float((p.mean.float().var(0) > 0.01).sum()) for p in q.posteriors]
        if isinstance(self.tie, MixtureTie):
            mixture = self.tie.mixture(self._context(qc, features, xc, mean, seen))
            used = mixture.responsibilities(self._tied_codes(qg)).mean(0)
            found["components_effective"] = math.exp(-(used * used.clamp(min=1e-12).log()).sum().item())
            found["components"] = float(self.config.tie.components)
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

    def save_pretrained(self, folder: Path | str, *, task: str = "custom", card: str | None = None) -> None:
        """Write the model to a folder (see ``coembed.models.pretrained.save_pretrained``)."""
        from coembed.models.pretrained import save_pretrained

        save_pretrained(self, folder, task=task, card=card)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _inputs(self, condition: Tensor, field: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        self._check(condition, self.config.condition_shape, "condition")
        self._check(field, self.config.field_shape, "field")
        xc, xg = self._standardise(condition, "condition"), self._standardise(field, "field")
        return xc, xg, *self._regress(xc)

    def _look(self, xc: Tensor, mean: Tensor) -> list[Tensor] | None:
        """What the field's ladder sees of standardised conditions and of the regression's fields for them."""
        tower = self.field_ladder.tower
        if not isinstance(tower, ConvolutionalTower):
            return None
        if self.kinds is None or self.regression is None:
            return tower.seen(xc, mean)
        return tower.seen(xc, mean, self.kinds(self.regression.ridge(xc)[0]))

    def _regress(self, xc: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.regression is None:
            return xc.new_zeros(len(xc), *self.config.field_shape), None
        mean, features = self.regression(xc)
        return mean, features if self.config.tie.features else None

    @property
    def _sampled_condition(self) -> bool:
        return self.config.condition_code == "sample"

    @property
    def _noise_size(self) -> int:
        size = self.tie.noise_size + self._noise_size_condition
        return size + (self.config.field_size if self.config.decode == "draw" else 0)

    @property
    def _noise_size_condition(self) -> int:
        return sum(self.condition_ladder.code_sizes) if self._sampled_condition else 0

    def _context(
        self,
        qc: Inference,
        features: Tensor | None,
        xc: Tensor,
        mean: Tensor,
        seen: list[Tensor] | None,
    ) -> TieContext:
        codes = qc.codes if self._sampled_condition else [q.mean for q in qc.posteriors]
        return TieContext(codes, features, xc, mean, seen)

    def _tied_codes(self, qg: Inference) -> Tensor:
        if self.config.tie.layers == "all":
            return torch.cat([c.flatten(1) for c in qg.codes], -1)
        return qg.codes[0].flatten(1)

    def _finish(self, fields: Tensor) -> Tensor:
        """Drawn fields in natural units, within the range of samples."""
        fields = self._natural(fields)
        return fields.clamp(*self.config.clip) if self.config.clip else fields

    def _spared(self, kl: Tensor) -> Tensor:
        """What makes a layer's divergence the constant ``free_bits`` where its mean is below that, else 0."""
        short = kl.detach().mean() < self.config.free_bits
        return torch.where(short, self.config.free_bits - kl, 0.0)

    def _temperatures(self, temperature: float | list[float]) -> list[float]:
        layers = self.field_ladder.layers
        wanted = list(temperature) if isinstance(temperature, list | tuple) else [float(temperature)] * layers
        if len(wanted) != layers or min(wanted) < 0:
            raise ModelError(
                f"temperature: got {temperature}, expected a number >= 0 or {layers} of them, one per layer"
            )
        own = self.config.layer_temperatures or (1.0,) * layers
        return [a * b for a, b in zip(wanted, own, strict=True)]
