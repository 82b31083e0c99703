"""The preset ``default`` fits itself to the pairs: what they can't support is left out before training.

The preset was made for tens of thousands of photos. Fewer pairs, pairs of few scenes, heavy tails and
conditions that say little each ask for something else, and a user can't know what. The numbers below were found
by experiments, which ``benchmarks/results/search.md`` of the source lists with their losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from coembed.data.names import groups_of
from coembed.data.pairs import Pairs
from coembed.errors import ConfigError
from coembed.models.cdvae.config import CDVAEConfig, LadderConfig, MixtureTieConfig, RegressionConfig
from coembed.models.cdvae.dataset_stats import HEAVY, DatasetStats, gather

MANY = 5_000  # scenes from which the preset is as it is
_FEW = 200  # scenes below which no U-Net is worth its weights
_A_CODE = 4  # scenes that it takes to set one code
_A_PATCH_CODE = 60  # scenes a component of patches that the tie may read


@dataclass(frozen=True)
class AutoConfig:
    """A config, and why it is as it is.

    Attributes:
        config: the preset's, changed.
        stats: what it was chosen by; None for fewer than ten pairs.
        reasons: one short sentence a change, or that none was needed.
    """

    config: CDVAEConfig
    stats: DatasetStats | None
    reasons: tuple[str, ...]


def autoconfigure(
    config: CDVAEConfig, pairs: Pairs, *, seed: int = 0, names: Sequence[str] | None = None
) -> AutoConfig:
    """The preset ``default`` for these training pairs; takes seconds, and is the same for the same seed.

    Args:
        config: the preset for the pairs' shapes; its towers are linear.
        pairs: training pairs.
        seed: of the pairs looked at and of the draws they are judged by.
        names: of the pairs, which tell views and frames of one scene.
    """
    names = [str(row) for row in range(len(pairs))] if names is None else names
    scenes = len(set(groups_of(names)))
    rank = min(config.regression.rank if config.regression else 1, _read(scenes))
    stats = gather(pairs, rank=rank, seed=seed, names=names)
    if stats is None:  # so few that nothing can be held out
        stats = DatasetStats(len(pairs), len(pairs), scenes, 0.0, 1e4, 3.0, 0.0, 1.0)
    changed, reasons = adapt(config, stats)
    return AutoConfig(changed, stats, tuple(reasons))


def adapt(config: CDVAEConfig, stats: DatasetStats) -> tuple[CDVAEConfig, list[str]]:
    """The config that suits these statistics, as a function of both alone."""
    reasons = [
        f"{stats.pairs} pairs of {stats.groups} scenes; ridge regression explains "
        f"{100 * stats.explained:.1f}% of scenes held out: ridge {stats.ridge:.3g}"
    ]
    regression, tie = config.regression or RegressionConfig(channels=0), config.tie
    if not isinstance(tie, MixtureTieConfig):
        raise ConfigError(f"tie: got family {tie.family!r}, expected a mixture, which is what can be fitted")
    regression = dataclasses.replace(regression, ridge=stats.ridge)
    if stats.groups < MANY:
        channels, why = regression.channels, "a small U-Net for the mean"
        if stats.groups < _FEW:
            channels, why = 0, "no U-Net"
        elif channels:
            channels = min(16, channels)
        regression = dataclasses.replace(
            regression,
            channels=channels,
            dropout=0.3,
            rank=min(regression.rank, _read(stats.groups)),
            patch_rank=min(regression.patch_rank, max(4, stats.groups // _A_PATCH_CODE)),
        )
        tie = dataclasses.replace(tie, refine=0, detail=0, dropout=0.2)
        reasons.append(f"few scenes: {why}, none for details, more dropout")
    if stats.kurtosis > HEAVY:
        tie = dataclasses.replace(tie, components=32, least_log_var=-8.0)
        reasons.append(f"heavy tails (kurtosis {stats.kurtosis:.0f}): 32 components down to tiny scales")
    tie = dataclasses.replace(tie, components=max(1, min(tie.components, stats.groups // 12)))
    if stats.field_scale:
        reasons.append(
            f"fields beyond {stats.field_scale:.3g} count as their logarithm (energy score of a linear "
            f"model x {stats.gain:.3f})"
        )
    settable = max(1, stats.scenes // _A_CODE)
    field = _narrowed(config.field, settable)
    condition = _narrowed(config.condition, max(1, stats.groups // _A_CODE))
    if field != config.field:
        reasons.append(f"{sum(field.codes)} codes of the field, of the condition {sum(condition.codes)}")
    changed = dataclasses.replace(
        config,
        condition=condition,
        field=field,
        tie=tie,
        regression=regression,
        field_scale=stats.field_scale,
    )
    return changed, reasons


def _read(scenes: int) -> int:
    """Components of the condition that so many scenes can set the slopes of, with a ridge."""
    return max(4, scenes // 2)


def _narrowed(ladder: LadderConfig, most: int) -> LadderConfig:
    """At most so many codes in all, the top layer first, at least half of them in it where it is cut."""
    total = sum(ladder.codes)
    if total <= most:
        return ladder
    lead = max(1, min(ladder.codes[0], most // 2))
    codes = (lead, most - lead) if most > lead else (lead,)
    return dataclasses.replace(ladder, codes=codes)
