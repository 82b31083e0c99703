"""Named baselines, for ``coembed train --preset``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coembed.models.baselines.cvae import CVAEConfig
from coembed.models.baselines.mean_regression import MeanConfig
from coembed.models.baselines.stored import LinearGaussianConfig, RandomConfig
from coembed.models.baselines.stored_nearest import NearestConfig
from coembed.models.cdvae.config import RegressionConfig

Shape = tuple[int, int, int]


def _cvae(condition: Shape, field: Shape) -> CVAEConfig:
    """The paper's: pixel L2, N(0, I) as prior."""
    return CVAEConfig(condition, field)


def _cvae_plus(condition: Shape, field: Shape) -> CVAEConfig:
    """Learned conditional prior, learned deviation, warm-up, free bits, skip connections."""
    return CVAEConfig(
        condition,
        field,
        prior="learned",
        learn_sigma=True,
        sigma=0.5,
        skips=True,
        warmup=True,
        free_bits=0.02,
    )


def _regression(condition: Shape, field: Shape) -> MeanConfig:
    unet = condition[1:] == field[1:] and field[1] % 8 == 0 and field[2] % 8 == 0
    return MeanConfig(condition, field, RegressionConfig(channels=32 if unet else 0, features=8, dropout=0.1))


BASELINES: dict[str, Callable[[Shape, Shape], Any]] = {
    "cvae": _cvae,
    "cvae-plus": _cvae_plus,
    "regression": _regression,
    "nearest": NearestConfig,
    "nearest-codes": lambda condition, field: NearestConfig(condition, field, space="codes"),
    "nearest-features": lambda condition, field: NearestConfig(condition, field, space="features"),
    "random": RandomConfig,
    "linear-gaussian": LinearGaussianConfig,
}
