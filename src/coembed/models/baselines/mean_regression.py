"""Regression to the mean: the one field that minimises squared error, n times. What averaging looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from coembed.data.pairs import evenly_spaced
from coembed.errors import ModelError
from coembed.models.base import Trainable
from coembed.models.nn import seeded_dropout
from coembed.models.normalization import Scaling, check_layer
from coembed.models.regression import Regression, RegressionConfig
from coembed.numerics.distributions import Gaussian
from coembed.numerics.random import Streams

START_ROWS = 40_000  # pairs that the ridge regression is fitted to, at most


@dataclass(frozen=True)
class MeanConfig:
    """A ridge regression and a U-Net on top of it, under a Gaussian likelihood with one deviation per channel.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        regression: the ridge regression and the U-Net; ``channels`` 0 leaves the U-Net out.
        sigma_floor: lower bound of the pixel deviation, in standard deviations of the field.
        clip: samples are clipped to this range (natural units), if any.
    """

    condition_shape: tuple[int, int, int]
    field_shape: tuple[int, int, int]
    regression: RegressionConfig = field(default_factory=lambda: RegressionConfig(features=8, dropout=0.1))
    sigma_floor: float = 0.02
    clip: tuple[float, float] | None = None


class MeanRegression(Trainable):
    """A deterministic sampler: all n samples are the predicted mean."""

    kind: ClassVar[str] = "regression"

    def __init__(self, config: MeanConfig):
        super().__init__()
        self.config = config
        self.condition_scaling = Scaling(config.condition_shape, "condition")
        self.field_scaling = Scaling(config.field_shape, "field")
        self.regression = Regression(config.regression, config.condition_shape, config.field_shape)
        self.pixel_log_var = nn.Parameter(torch.zeros(config.field_shape[0], 1, 1))

    @torch.no_grad()
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Statistics, the ridge regression in closed form and what it leaves; call once, at first."""
        rows = evenly_spaced(min(len(condition), len(field)), START_ROWS)  # of all photos
        condition, field = condition[rows].float(), field[rows].float()
        self.condition_scaling.start(condition)
        self.field_scaling.start(field)
        xc, xg = self.condition_scaling(condition), self.field_scaling(field)
        self.regression.initialize_from_data(xc, xg)
        parts = zip(xc.split(4096), xg.split(4096), strict=True)
        left = torch.cat([(g - self.regression.ridge(c)[1]).square().mean((2, 3)) for c, g in parts]).mean(0)
        self.pixel_log_var.copy_(left.clamp(min=self.config.sigma_floor**2).log().view(-1, 1, 1))

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Negative log likelihood of the standardised field, nats, (batch,)."""
        del warmup  # there is no rate
        with seeded_dropout(generator, condition):
            distortion = -self._pixels(condition).log_prob(self.field_scaling(field))
        return {"total": distortion, "distortion_field": distortion}

    @torch.no_grad()
    def diagnostics(self, condition: Tensor, field: Tensor, *, generator: torch.Generator) -> dict[str, float]:
        """Share of the field's variance that the mean explains."""
        del generator
        xg = self.field_scaling(field)
        left = (xg - self._pixels(condition).mean).square().mean()
        return {"explained": float(1 - left / xg.square().mean())}

    @torch.no_grad()
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """The mean field of every condition n times, (n, batch, c, h, w), whatever the seed."""
        check_layer(condition, self.config.condition_shape, "condition")
        if n < 1:
            raise ModelError(f"n: got {n}, expected at least 1")
        Streams.of(generator, len(condition))  # refuses a wrong number of streams, as every sampler does
        was_training = self.training
        self.eval()
        try:
            shape = self.config.field_shape
            fields = condition.new_zeros(0, *shape)
            if len(condition):
                parts = [self._pixels(part).mean for part in condition.split(256)]
                fields = self.field_scaling.natural(torch.cat(parts))
            fields = fields.clamp(*self.config.clip) if self.config.clip else fields
            return fields.expand(n, *fields.shape).clone()
        finally:
            self.train(was_training)

    @torch.no_grad()
    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Log p(field | condition) of the Gaussian around the mean, exact, natural units, nats, (batch,)."""
        return self._pixels(condition).log_prob(self.field_scaling(field)) - self.field_scaling.log_volume()

    def _pixels(self, condition: Tensor) -> Gaussian:
        mean = self.regression(self.condition_scaling(condition)).float()
        low = 2 * math.log(self.config.sigma_floor)
        log_var = low + nn.functional.softplus(self.pixel_log_var - low)
        return Gaussian(mean, log_var.expand_as(mean))
