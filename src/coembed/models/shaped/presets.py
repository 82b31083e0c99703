"""The photo-shaped model for data of given shapes, and what too few pairs or heavy tails change of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from coembed.data.names import groups_of
from coembed.data.pairs import Pairs, evenly_spaced
from coembed.models.shaped.config import Shape, ShapedConfig
from coembed.numerics.pca import principal_components

_CHANNELS = (32, 64, 96, 128)
_GRID = 32  # cells a side of the network's finest scale, at most
_COARSEST = 4  # cells a side of its coarsest, at least, and of the wavelets' averages
_LOOKED_AT = 2_000  # pairs
_MANY = 2_000  # scenes from which the preset is as it is
_A_COMPONENT, _A_FACTOR = 12, 4  # scenes that it takes to set one
_HEAVY = 10.0  # kurtosis of leading components; a Gaussian's is 3
_SCALE = 2.0  # deviations of the field up to which it stays straight where tails are compressed


def shaped(condition: Shape, field: Shape) -> ShapedConfig:
    """The preset for these shapes, (channels, height, width) each.

    The network's sides halve down to 4 cells, if they halve so often, from the field's own or 32 cells.
    """
    halvings = 0
    while (
        not any(side % 2 ** (halvings + 1) for side in field[1:])
        and max(field[1:]) >> (halvings + 1) >= _COARSEST
    ):
        halvings += 1
    skipped = 0  # halvings that the network makes at once, at its entrance
    while skipped < halvings and max(field[1:]) >> skipped > _GRID:
        skipped += 1
    scales = min(len(_CHANNELS), halvings - skipped + 1)
    return ShapedConfig(condition, field, channels=_CHANNELS[-scales:], stride=2**skipped, levels=halvings)


def adapt(config: ShapedConfig, pairs: Pairs, names: Sequence[str]) -> tuple[ShapedConfig, list[str]]:
    """The config that suits training pairs, and one short sentence a change.

    Args:
        config: the preset for their shapes.
        pairs: at least one.
        names: of the pairs, which tell views and frames of one scene.
    """
    scenes, reasons = max(groups_of(list(names)), default=0) + 1, []
    if scenes < _MANY:
        config = dataclasses.replace(
            config,
            components=max(1, min(config.components, scenes // _A_COMPONENT)),
            factors=max(1, min(config.factors, scenes // _A_FACTOR)),
            dropout=0.2,
        )
        reasons.append(
            f"{scenes} scenes: {config.factors} factors, {config.components} components, more dropout"
        )
    kurtosis, deviation = _tails(pairs)
    if kurtosis > _HEAVY:
        config = dataclasses.replace(config, field_scale=_SCALE * deviation)
        reasons.append(
            f"heavy tails (kurtosis {kurtosis:.0f}): beyond {config.field_scale:.3g} values count as logarithms"
        )
    return config, reasons


def _tails(pairs: Pairs) -> tuple[float, float]:
    """Kurtosis of the leading components of fields, and the fields' deviation."""
    field = pairs.field(evenly_spaced(len(pairs), _LOOKED_AT)).float()
    flat = (field - field.mean(0)).flatten(1)
    deviation = float(flat.square().mean().sqrt())
    if len(flat) < 3 or not deviation > 0:
        return 3.0, deviation
    variances, axes = principal_components(flat, min(16, len(flat) - 1, flat.shape[1]))
    codes = flat @ axes[:, variances > 1e-6 * variances[0]]
    codes = codes / codes.std(0)
    return float(codes.pow(4).mean() / codes.square().mean().square()), deviation
