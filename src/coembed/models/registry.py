"""Every kind of model and every named one: which class it is, and the config that a name stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs
from coembed.errors import ConfigError, ModelError
from coembed.models.base import ClosedForm, Sampler, Shape
from coembed.models.cdvae.presets import PAPER_PRESETS
from coembed.models.nn import unet_fits
from coembed.models.regression import RegressionConfig
from coembed.models.shaped.presets import shaped

# Models with latents that ``--preset`` may name: the photo-shaped one, and the paper's.
PRESETS: dict[str, Callable[[Shape, Shape], Any]] = {"default": shaped, **PAPER_PRESETS}

# Kind, as a model's folder names it: home of the class, the class and its config. Imported when first met.
MODEL_CLASSES: dict[str, tuple[str, str, str]] = {
    "cdvae": ("coembed.models.cdvae.model", "CDVAE", "CDVAEConfig"),
    "shaped": ("coembed.models.shaped.model", "PhotoShaped", "ShapedConfig"),
    "cvae": ("coembed.models.baselines.cvae", "CVAE", "CVAEConfig"),
    "regression": ("coembed.models.baselines.mean_regression", "MeanRegression", "MeanConfig"),
    "nearest": ("coembed.models.baselines.nearest", "NearestNeighbours", "NearestConfig"),
    "random": ("coembed.models.baselines.random_fields", "RandomFields", "RandomConfig"),
    "linear-gaussian": ("coembed.models.baselines.linear_gaussian", "LinearGaussian", "LinearGaussianConfig"),
    "residuals": ("coembed.models.baselines.residuals", "RidgeResiduals", "ResidualsConfig"),
}

# Baselines that ``--preset`` may name: kind, and what differs from the kind's own options.
BASELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "cvae": ("cvae", {}),  # the paper's: pixel L2, N(0, I) as prior
    "cvae-plus": (
        "cvae",
        {
            "prior": "learned",
            "learn_sigma": True,
            "sigma": 0.5,
            "skips": True,
            "warmup": True,
            "free_bits": 0.02,
        },
    ),
    "regression": ("regression", {}),
    "nearest": ("nearest", {}),
    "nearest-codes": ("nearest", {"space": "codes"}),
    "nearest-features": ("nearest", {"space": "features"}),
    "random": ("random", {}),
    "linear-gaussian": ("linear-gaussian", {}),
    "residuals": ("residuals", {}),
}

NEAREST = "nearest neighbours"
# Closed forms that a model is compared with: a row's name in tables, the preset, and its options.
SIMPLE: dict[str, tuple[str, dict[str, Any]]] = {
    "random fields": ("random", {}),
    NEAREST: ("nearest", {"smoothing": 0.0}),
    "nearest, smoothed 1 px": ("nearest", {"smoothing": 1.0}),
    "nearest, smoothed 2 px": ("nearest", {"smoothing": 2.0}),
    "linear-Gaussian": ("linear-gaussian", {}),
    "ridge and residuals": ("residuals", {}),
}


def known_presets() -> list[str]:
    """Names for ``--preset``: the co-embedding models, then the baselines."""
    return [*PRESETS, *BASELINES]


def preset_config(name: str, condition_shape: Shape, field_shape: Shape, **options: Any) -> Any:
    """The frozen config of a named model, of whatever kind, for data of these shapes.

    Args:
        name: one of ``known_presets``.
        condition_shape: (channels, height, width).
        field_shape: the same.
        options: of a baseline's config, in place of the preset's own.

    Raises:
        ConfigError: an unknown name; the message lists the known ones.
    """
    if name in PRESETS:
        return PRESETS[name](condition_shape, field_shape)
    if name not in BASELINES:
        raise ConfigError(f"preset: got {name!r}, expected one of {', '.join(known_presets())}")
    kind, own = BASELINES[name]
    if kind == "regression" and not unet_fits(condition_shape, field_shape):
        own = {"regression": RegressionConfig(channels=0, features=8, dropout=0.1)}
    return classes(kind)[1](condition_shape, field_shape, **own, **options)


def classes(kind: str) -> tuple[Callable[[Any], nn.Module], type]:
    """The model class and the config class of a registered kind."""
    module, model, config = MODEL_CLASSES[kind]
    home = import_module(module)
    return getattr(home, model), getattr(home, config)


def class_for(config: Any) -> Any:
    """The model class that a frozen config of a registered kind belongs to.

    Raises:
        ModelError: a config of no registered kind.
    """
    for kind in MODEL_CLASSES:
        model_class, config_class = classes(kind)
        if type(config) is config_class:
            return model_class
    known = ", ".join(MODEL_CLASSES)
    raise ModelError(f"{type(config).__name__} is the config of no kind of model; kinds: {known}")


def fit_closed_form(preset: str, pairs: Pairs | tuple[Tensor, Tensor], **options: Any) -> Any:
    """Fit a baseline that needs no training steps.

    Args:
        preset: its name.
        pairs: training pairs.
        options: of its config, in place of the preset's own.

    Raises:
        ConfigError: an unknown name, a model that is trained step by step, or an option out of range.
        DataError: pairs that cannot be fitted.
    """
    found = as_pairs(pairs)
    shapes: Any = (tuple(layer([0]).shape[1:]) for layer in (found.condition, found.field))
    config = preset_config(preset, *shapes, **options)
    model_class = class_for(config)
    if not issubclass(model_class, ClosedForm):
        raise ConfigError(f"preset: {preset!r} is trained step by step, expected one that is fitted at once")
    return model_class.fit(config, found)


def fit_simple(pairs: Pairs | tuple[Tensor, Tensor]) -> Iterator[tuple[str, Sampler]]:
    """Fit the simple samplers one after the other; hold one at a time to keep memory low."""
    for name, (preset, options) in SIMPLE.items():
        yield name, fit_closed_form(preset, pairs, **options)
