"""What ``--preset`` may name: co-embedding models and baselines, in one list."""

from __future__ import annotations

from typing import Any

from coembed.errors import ConfigError

Shape = tuple[int, int, int]


def known_presets() -> list[str]:
    """Names for ``--preset``: the co-embedding models, then the baselines."""
    from coembed.models.baselines.presets import BASELINES
    from coembed.models.cdvae.presets import PRESETS

    return [*PRESETS, *BASELINES]


def preset_config(name: str, condition_shape: Shape, field_shape: Shape) -> Any:
    """The frozen config of a named model, of whatever kind, for data of these shapes.

    Raises:
        ConfigError: an unknown name; the message lists the known ones.
    """
    from coembed.models.baselines.presets import BASELINES
    from coembed.models.cdvae.presets import PRESETS, preset

    if name in PRESETS:
        return preset(name, condition_shape, field_shape)
    if name not in BASELINES:
        raise ConfigError(f"preset: got {name!r}, expected one of {', '.join(known_presets())}")
    return BASELINES[name](condition_shape, field_shape)
