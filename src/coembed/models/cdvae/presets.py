"""Named models: the paper's four, a convolutional one, and the default."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from coembed.errors import ConfigError
from coembed.models.cdvae.config import (
    CDVAEConfig,
    GaussianTieConfig,
    LadderConfig,
    MixtureTieConfig,
    RegressionConfig,
)
from coembed.models.cdvae.patch_features import fit_in

Shape = tuple[int, int, int]

# The paper gives no widths, rates or floors: these are of the ladder network it builds on [Sonderby 2016]. The
# floor is higher: it keeps a learned variance per pixel finite where saturation is 0 everywhere.
_PAPER = LadderConfig(
    tower="fc",
    codes=(16, 32, 64),
    hidden=(128, 256, 512),
    norm="batch",
    shared=False,
    only_mean_up=True,
    likelihood="pixel",
    sigma=0.5,
    sigma_floor=0.05,
)


def preset(name: str, condition_shape: Shape, field_shape: Shape) -> CDVAEConfig:
    """The configuration of a named model for data of these shapes, (channels, height, width) each.

    Raises:
        ConfigError: an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: got {name!r}, expected one of {', '.join(PRESETS)}")
    return PRESETS[name](condition_shape, field_shape)


def _paper_shallow(condition: Shape, field: Shape) -> CDVAEConfig:
    """One latent layer and a Gaussian tie (sec. 6.2)."""
    one = LadderConfig(**{**_PAPER.__dict__, "codes": (64,), "hidden": (512,)})
    return CDVAEConfig(condition, field, one, one, GaussianTieConfig(layers="top", conditional="paper"))


def _paper_gauss(condition: Shape, field: Shape) -> CDVAEConfig:
    """Three layers, 80% of every code tied by a Gaussian (eq. 3, 4)."""
    tie = GaussianTieConfig(layers="hier", conditional="paper")
    return CDVAEConfig(condition, field, _PAPER, _PAPER, tie)


def _paper_mdn(components: int) -> Callable[[Shape, Shape], CDVAEConfig]:
    def build(condition: Shape, field: Shape) -> CDVAEConfig:
        tie = MixtureTieConfig(
            layers="all", components=components, learn_sigma=False, sigma=0.3, prior="add", hidden=256
        )
        return CDVAEConfig(condition, field, _PAPER, _PAPER, tie)

    return build


def _convolutional(condition: Shape, field: Shape) -> CDVAEConfig:
    """Spatial codes from the whole image to half the field's size; the condition is seen at every scale."""
    ladder = LadderConfig(
        tower="conv",
        codes=(16, 8, 4, 2),
        hidden=(96, 96, 64, 32),
        maps=(math.gcd(*field[1:]), 8, 4, 2),
        conditional=True,
        norm="layer",
    )
    return dataclasses.replace(
        _default(condition, field),
        field=ladder,
        tie=MixtureTieConfig(layers="top", components=12, features=True),
        regression=_regression(condition, channels=0),
        n_proposals=12,
        warmup=True,
        free_bits=2.0,
    )


def _default(condition: Shape, field: Shape) -> CDVAEConfig:
    """Linear towers set in closed form, a regression for what the condition decides, a mixture for the rest."""
    size = math.prod(field)
    lead = min(64, max(1, size // 2))
    total = min(size, 1024)
    codes = (lead, total - lead) if total > lead else (lead,)
    condition_total = min(math.prod(condition), 256)
    condition_lead = min(64, max(1, condition_total // 2))
    condition_codes = (
        (condition_lead, condition_total - condition_lead)
        if condition_total > condition_lead
        else (condition_total,)
    )
    unet = unet_fits(condition, field)
    return CDVAEConfig(
        condition,
        field,
        condition=LadderConfig(tower="linear", codes=condition_codes, hidden=(), sigma=0.1, sigma_floor=0.02),
        field=LadderConfig(tower="linear", codes=codes, hidden=(), sigma=0.05, sigma_floor=0.02),
        tie=MixtureTieConfig(
            layers="hier",
            components=12,
            features=True,
            refine=32 if unet else 0,
            detail=0 if unet else 256,
            dropout=0.1,
        ),
        regression=_regression(condition, channels=32 if unet else 0),
        condition_code="mean",
        warmup=False,
    )


def unet_fits(condition: Shape, field: Shape) -> bool:
    """True if a U-Net, which halves its maps three times, can go from this condition to this field."""
    return condition[1:] == field[1:] and field[1] % 8 == 0 and field[2] % 8 == 0


def _regression(condition: Shape, channels: int) -> RegressionConfig:
    return RegressionConfig(channels=channels, dropout=0.1, patches=192 if fit_in(condition) else 0)


PRESETS: dict[str, Callable[[Shape, Shape], CDVAEConfig]] = {
    "default": _default,
    "conv": _convolutional,
    "paper-shallow": _paper_shallow,
    "paper-gauss": _paper_gauss,
    "paper-mdn4": _paper_mdn(4),
    "paper-mdn12": _paper_mdn(12),
}
