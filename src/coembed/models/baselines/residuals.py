"""Ridge regression and what it left of the training photos whose predicted fields are most alike: no
network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs, chunks, load_layer
from coembed.errors import ConfigError
from coembed.models.base import Shape
from coembed.models.baselines.search import ExactSearch
from coembed.models.normalization import Scaling, check_layer
from coembed.models.regression import Regression, RegressionConfig
from coembed.numerics.random import Streams


@dataclass(frozen=True)
class ResidualsConfig:
    """A mean in closed form, and residuals of the nearest training pairs around it.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        neighbours: training pairs whose residuals are drawn from.
        count: pairs held; set by fitting.
        clip: samples are clipped to this range (natural units), if any.
    """

    condition_shape: Shape
    field_shape: Shape
    neighbours: int = 100
    count: int = 0
    clip: tuple[float, float] | None = None

    def __post_init__(self):
        if self.neighbours < 1:
            raise ConfigError(f"neighbours: got {self.neighbours}, expected at least 1")


class RidgeResiduals(nn.Module):
    """A sample is the ridge regression's field for the condition, and the residual of one of the training pairs
    whose predicted fields are nearest to it (in L2), all of these alike likely.

    Spread that follows the condition as far as a linear model sees it; a residual keeps the look of real
    fields.
    """

    kind: ClassVar[str] = "residuals"

    predicted: Tensor
    residual: Tensor

    def __init__(self, config: ResidualsConfig):
        super().__init__()
        self.config = config
        self.scaling = Scaling(config.condition_shape, "condition")
        options = RegressionConfig(channels=0, features=1)
        self.regression = Regression(options, config.condition_shape, config.field_shape)
        for name in ("predicted", "residual"):
            self.register_buffer(name, torch.zeros(config.count, *config.field_shape, dtype=torch.float16))
        self._search: ExactSearch | None = None

    @classmethod
    @torch.no_grad()
    def fit(cls, config: ResidualsConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> Self:
        """Fit the regression to all pairs and keep what it leaves.

        Raises:
            DataError: no pairs.
            ModelError: a condition that is the same everywhere.
        """
        found = as_pairs(pairs)
        condition, field = (load_layer(layer, len(found)) for layer in (found.condition, found.field))
        model = cls(dataclasses.replace(config, count=len(found)))
        model.scaling.start(condition.float())
        model.regression.initialize_from_data(model.scaling(condition.float()), field.float())
        for rows in chunks(found):
            mean = model._mean(condition[rows].float())
            model.predicted[rows] = mean.half()
            model.residual[rows] = (field[rows].float() - mean).half()
        return model.eval()

    @torch.no_grad()
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); sample k of photo i depends on (seed, i, k) alone."""
        check_layer(condition, self.config.condition_shape, "condition")
        streams = Streams.of(generator, len(condition))
        if not len(condition):
            return condition.new_zeros(n, 0, *self.config.field_shape)
        if self._search is None:
            self._search = ExactSearch(self.predicted)
        mean = self._mean(condition)
        nearest = self._search.nearest(mean, min(self.config.neighbours, len(self.predicted)))
        rows = nearest[torch.arange(len(condition)), streams.pick(n, nearest.shape[1])]
        fields = mean + self.residual[rows].float()
        return fields.clamp(*self.config.clip) if self.config.clip else fields

    def _mean(self, condition: Tensor) -> Tensor:
        return self.regression(self.scaling(condition))
