"""Configs as they were written before: format 1 of a model's files, old runs and old spellings of options."""

from __future__ import annotations

import dataclasses
from typing import Any

from coembed.errors import ConfigError
from coembed.models.cdvae.config import TIE_CONFIGS
from coembed.models.sampling_config import CALIBRATED, DEFAULT, SamplingConfig

FORMAT_1 = {"layer_temperatures": "temperatures", "leading": "n_active_dims", "calibrated": "temperatures"}
"""Keys of a co-embedding model's config in format 1, and of a run's options, that say how it is sampled."""


RENAMED = {"kinds": "n_proposals"}
OLD_SPELLINGS = RENAMED | {"field.sees": "field.conditional", "tie.kind": "tie.family"}
"""Names of options of a model as they were, and as they are."""


def from_format_1(values: dict[str, Any]) -> tuple[dict[str, Any], SamplingConfig]:
    """A model's config of format 1 as one of format 2, and its ways to sample.

    Raises:
        ConfigError: a value of the wrong type or out of range.
    """
    sampling = SamplingConfig()
    for key, name in FORMAT_1.items():
        value = values.get(key)
        if not value:
            continue
        wanted = int if name == "n_active_dims" else list | tuple
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise ConfigError(f"{key}: got {value!r}, expected {'a number' if wanted is int else 'a list'}")
        profile = CALIBRATED if key == CALIBRATED else DEFAULT
        change = value if isinstance(value, int) else tuple(float(part) for part in value)
        sampling = sampling.with_profile(profile, **{name: change})
    gone = {*FORMAT_1, "condition_weight"}  # the last of training alone, and always 1
    kept = {RENAMED.get(key, key): value for key, value in values.items() if key not in gone}
    if isinstance(kept.get("tie"), dict):
        kept["tie"] = with_family(kept["tie"], kept["tie"].get("family", kept["tie"].get("kind")))
    for side in ("condition", "field"):
        if isinstance(kept.get(side), dict):
            kept[side] = {"conditional" if k == "sees" else k: value for k, value in kept[side].items()}
    return kept, sampling


def with_family(tie: dict[str, Any], family: Any) -> dict[str, Any]:
    """A tie's config with the options that a family has; those of another are let go.

    Raises:
        ConfigError: no such family.
    """
    if family not in TIE_CONFIGS:
        raise ConfigError(f"tie.family: got {family!r}, expected one of {', '.join(TIE_CONFIGS)}")
    names = {field.name for field in dataclasses.fields(TIE_CONFIGS[family])}
    return {name: value for name, value in tie.items() if name in names} | {"family": family}
