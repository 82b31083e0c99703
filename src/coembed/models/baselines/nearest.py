"""Nearest neighbours: the fields of the training photos whose conditions look most alike (paper sec. 6.2).

Likeness is measured on conditions, in guidance space or on latents. A model holds the fields of the training
pairs and one key per pair (the condition itself, or its place in the other space), so it needs nothing but
itself: 4 MB per thousand pairs of 32 x 32 with one channel each.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs, chunks, load_layer
from coembed.data.similarity.condition_features import guidance_features
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, DataError
from coembed.models.base import Shape
from coembed.models.baselines.random_fields import Dtype, dtype_name
from coembed.models.baselines.search import ExactSearch
from coembed.models.baselines.smoothing import choose_smoothing, smooth
from coembed.models.cdvae.config import CDVAEConfig
from coembed.models.cdvae.model import CDVAE
from coembed.models.normalization import Scaling, check_layer
from coembed.models.regression import Regression, RegressionConfig
from coembed.numerics.random import Streams

_BATCH = 1024  # conditions embedded together


@dataclass(frozen=True)
class NearestConfig:
    """The fields of the most alike training pairs, smoothed (paper sec. 6.2).

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        space: likeness is the distance of the ``condition``s, of guidance ``features`` predicted from them, or
            of a co-embedding model's latents of the condition, its ``codes``.
        smoothing: standard deviation in pixels of the Gaussian that smooths every field; None, which the paper
            leaves open, too: chosen by fitting (see ``choose_smoothing``).
        source: for fitting only: the feature matrix (.npy, one row per training pair; without, guidance's own
            features of prepared pairs) or the model's folder.
        count: pairs held; set by fitting.
        width: length of a feature or latent vector; set by fitting.
        key_dtype: in which keys are held; set by fitting.
        field_dtype: in which fields are held; set by fitting.
        encoder: of the model whose latents are used; set by fitting.
    """

    condition_shape: Shape
    field_shape: Shape
    space: Literal["condition", "features", "codes"] = "condition"
    smoothing: float | None = None
    source: str = ""
    count: int = 0
    width: int = 0
    key_dtype: Dtype = "float32"
    field_dtype: Dtype = "float32"
    encoder: CDVAEConfig | None = None

    def __post_init__(self):
        if self.smoothing is not None and not 0 <= self.smoothing < math.inf:
            raise ConfigError(f"smoothing: got {self.smoothing} px, expected 0 or more")

    @property
    def key_shape(self) -> Shape:
        """(channels, height, width) of a key."""
        return self.condition_shape if self.space == "condition" else (self.width, 1, 1)


class NearestNeighbours(nn.Module):
    """Sample k is the field of the k-th nearest training condition in L2, whatever the seed.

    Samples come nearest first, so they are not exchangeable: averaged over subsets, best-of-3 of 100
    neighbours is best-of-3 among the 100 nearest, not the best of the 3 nearest.
    """

    kind: ClassVar[str] = "nearest"

    keys: Tensor
    field: Tensor

    def __init__(self, config: NearestConfig):
        super().__init__()
        self.config = config
        self.encoder = None if config.encoder is None else CDVAE(config.encoder)
        self.projection = None
        if config.space == "features":
            self.projection = Projection(config.condition_shape, config.width)
        for name, shape, dtype in (
            ("keys", config.key_shape, config.key_dtype),
            ("field", config.field_shape, config.field_dtype),
        ):
            self.register_buffer(name, torch.zeros(config.count, *shape, dtype=getattr(torch, dtype)))
        self._search: ExactSearch | None = None

    @classmethod
    def fit(cls, config: NearestConfig, pairs: Pairs | tuple[Tensor, Tensor]) -> Self:
        """Take all pairs, and for another space what places conditions in it.

        Raises:
            ConfigError: no source for a space that needs one.
            DataError: no pairs, or a feature matrix that does not fit them.
            ModelError: no such model, or one of other conditions.
        """
        found = as_pairs(pairs)
        if config.space == "codes":
            return cls.with_codes(config, found, _load_model(config.source))
        if config.space == "features":
            return cls.with_features(config, found, _features(config.source, found))
        return cls._filled(config, found, load_layer(found.condition, len(found)), {})

    @classmethod
    def with_codes(cls, config: NearestConfig, pairs: Pairs, model: CDVAE) -> Self:
        """Likeness on the posterior means of a model's condition latents, all layers together."""
        wanted, got = tuple(config.condition_shape), tuple(model.config.condition_shape)
        if got != wanted:
            raise ConfigError(f"source: a model of conditions {got}, expected {wanted} as in the pairs")
        keys = torch.cat([_latents(model, pairs.condition(rows)) for rows in chunks(pairs)])
        state = {f"encoder.{name}": value for name, value in model.state_dict().items()}
        return cls._filled(dataclasses.replace(config, encoder=model.config), pairs, keys, state)

    @classmethod
    def with_features(cls, config: NearestConfig, pairs: Pairs, features: Tensor) -> Self:
        """Likeness on features predicted from the condition, so that a new photo needs none (paper sec. 4.1).

        A ridge regression on the condition's principal components predicts them for training pairs and new
        conditions alike.

        Args:
            config: with space ``features``.
            pairs: training pairs.
            features: (pairs, d), any feature matrix: guidance embeddings, label vectors, descriptors.

        Raises:
            DataError: not one finite row per pair.
        """
        if features.ndim != 2 or len(features) != len(pairs):
            got = tuple(features.shape)
            raise DataError(f"features: got shape {got}, expected ({len(pairs)}, d), a row a training pair")
        if not bool(features.isfinite().all()):
            raise DataError("features: values that are not finite, expected numbers only")
        projection = Projection(config.condition_shape, features.shape[1])
        projection.start(torch.cat([pairs.condition(rows) for rows in chunks(pairs)]), features.float())
        keys = torch.cat([projection(pairs.condition(rows)) for rows in chunks(pairs)])
        state = {f"projection.{name}": value for name, value in projection.state_dict().items()}
        return cls._filled(config, pairs, keys, state)

    def neighbours(self, condition: Tensor, n: int) -> Tensor:
        """Rows of the n nearest training pairs, nearest first, (batch, n) int64.

        Raises:
            ConfigError: n above the number of training pairs.
            ModelError: conditions of another shape.
        """
        check_layer(condition, self.config.condition_shape, "condition")
        if self._search is None:  # its norms are quicker to compute than to read
            self._search = ExactSearch(self.keys)
        return self._search.nearest(self._embed(condition), n)

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """The fields of the n nearest training pairs, nearest first, (n, batch, c, h, w).

        Raises:
            ConfigError: n above the number of training pairs.
            ModelError: conditions of another shape.
        """
        Streams.of(generator, len(condition))  # refuses a wrong number of streams, as every sampler does
        return smooth(self.field[self.neighbours(condition, n).T].float(), self.config.smoothing or 0.0)

    @torch.no_grad()
    def _embed(self, condition: Tensor) -> Tensor:
        if self.encoder is not None:
            return _latents(self.encoder, condition)
        return condition if self.projection is None else self.projection(condition)

    @classmethod
    def _filled(cls, config: NearestConfig, pairs: Pairs, keys: Tensor, state: dict[str, Tensor]) -> Self:
        field = load_layer(pairs.field, len(pairs))
        config = dataclasses.replace(
            config,
            source="",  # what it named is inside from here on
            count=len(pairs),
            width=0 if config.space == "condition" else keys.shape[1],
            key_dtype=dtype_name(keys),
            field_dtype=dtype_name(field),
        )
        if config.smoothing is None:
            chosen = choose_smoothing(keys, field, getattr(pairs, "names", None))
            config = dataclasses.replace(config, smoothing=chosen)
        model = cls(config)
        model.load_state_dict({**state, "keys": keys.view(len(pairs), *config.key_shape), "field": field})
        return model.eval()


class Projection(nn.Module):
    """Ridge regression from conditions to vectors, on up to 256 principal components of the condition."""

    def __init__(self, condition_shape: Shape, width: int):
        super().__init__()
        self.scaling = Scaling(condition_shape, "condition")
        self.regression = Regression(RegressionConfig(channels=0, features=1), condition_shape, (width, 1, 1))

    @torch.no_grad()
    def start(self, condition: Tensor, features: Tensor) -> None:
        """Fit in closed form to conditions (n, c, h, w) and vectors (n, width)."""
        self.scaling.start(condition)
        self.regression.initialize_from_data(self.scaling(condition), features[:, :, None, None])

    @torch.no_grad()
    def forward(self, condition: Tensor) -> Tensor:
        """(batch, c, h, w) to (batch, width)."""
        return self.regression.ridge(self.scaling(condition))[1].flatten(1)


@torch.no_grad()
def _latents(model: CDVAE, condition: Tensor) -> Tensor:
    """Posterior means of all condition latents, (batch, d)."""
    model.eval()
    found = [condition.new_zeros(0, sum(model.condition_ladder.code_sizes))]
    for part in condition.split(_BATCH):
        scaled = (part - model.condition_mean) / model.condition_std
        latents = model.condition_ladder.tower.infer(scaled, None).latents
        found.append(torch.cat([z.flatten(1) for z in latents], 1))
    return torch.cat(found)


def _load_model(source: str) -> CDVAE:
    from coembed.models.pretrained import from_pretrained  # which names this module

    if not source:
        raise ConfigError("source: got none, expected the model whose codes are compared: --model source=RUN")
    model = from_pretrained(source)
    if not isinstance(model, CDVAE):
        raise ConfigError(f"source: {source} is a {type(model).__name__}, expected a co-embedding model")
    return model


def _features(source: str, pairs: Pairs) -> Tensor:
    if not source:
        if not isinstance(pairs, PairStore):
            raise ConfigError("source: got none, expected a feature matrix: --model source=FEATURES.npy")
        return guidance_features(pairs)
    try:
        found = np.load(Path(source), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: no feature matrix can be read from it ({error})") from None
    return torch.from_numpy(np.asarray(found, dtype=np.float32))
