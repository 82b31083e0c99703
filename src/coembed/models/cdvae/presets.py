"""The paper's four models."""

from __future__ import annotations

from collections.abc import Callable

from coembed.errors import ConfigError
from coembed.models.cdvae.config import (
    CDVAEConfig,
    GaussianTieConfig,
    LadderConfig,
    MixtureTieConfig,
)

Shape = tuple[int, int, int]

# The paper gives no widths, rates or floors: these are of the ladder network it builds on [Sonderby 2016]. The
# floor is higher: it keeps a learned variance per pixel finite where saturation is 0 everywhere.
_PAPER = LadderConfig(
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
    if name not in PAPER_PRESETS:
        raise ConfigError(f"preset: got {name!r}, expected one of {', '.join(PAPER_PRESETS)}")
    return PAPER_PRESETS[name](condition_shape, field_shape)


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
        tie = MixtureTieConfig(layers="all", components=components, sigma=0.3, prior="add", hidden=256)
        return CDVAEConfig(condition, field, _PAPER, _PAPER, tie)

    return build


PAPER_PRESETS: dict[str, Callable[[Shape, Shape], CDVAEConfig]] = {
    "paper-shallow": _paper_shallow,
    "paper-gauss": _paper_gauss,
    "paper-mdn4": _paper_mdn(4),
    "paper-mdn12": _paper_mdn(12),
}
