"""Changes that samples make to a photo's own field (eq. 10): what they have in common, and what they leave."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.models.base import CounterpartSampler, Sampler, own_field
from coembed.numerics.random import Streams


def sample_with_own(
    sampler: Sampler, condition: Tensor, field: Tensor, n: int, streams: Streams
) -> tuple[Tensor, Tensor]:
    """Samples, and the own fields that they are compared with in an edit.

    Args:
        sampler: what draws.
        condition: (batch, c, h, w), natural units.
        field: (batch, c', h', w'), true fields.
        n: samples per condition.
        streams: one per condition.

    Returns:
        (n, batch, c', h', w') and (n or 1, batch, c', h', w'): of a model that says what its samples vary the
        counterparts, of one that reconstructs the reconstruction, else the true fields.
    """
    if isinstance(sampler, CounterpartSampler):
        return sampler.sample_beside(condition, field, n, generator=streams)
    return sampler.sample(condition, n, generator=streams), own_field(sampler, condition, field)[None]


def scores(sampled: Tensor, own: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Columns of the changes, (batch,) each.

    ``change_all`` is the mean energy of a change, ``change_common`` that of the changes' mean (without bias by
    their number). ``version_along`` over ``own_along`` is the slope of the versions' mean field on the photo's
    own, each without its mean over the frame.

    Args:
        sampled: (n, batch, c, h, w), n >= 2.
        own: (n or 1, batch, c, h, w), what samples are compared with.
        truth: (batch, c, h, w).
    """
    n, changes = len(sampled), sampled - own
    energy = changes.square().sum((2, 3, 4)).mean(0)
    mean = changes.mean(0)
    common = (mean.square().sum((1, 2, 3)) * n - energy) / (n - 1)
    pattern = truth - truth.mean((2, 3), keepdim=True)
    version = truth + mean
    return {
        "change_all": energy,
        "change_common": common,
        "version_along": (version * pattern).sum((1, 2, 3)),
        "own_along": pattern.square().sum((1, 2, 3)),
    }


def same_noise_correlation(
    sampler: Sampler, condition: Tensor, *, draws: int = 16, seed: int = 0, batch: int = 50
) -> dict[str, Tensor]:
    """Correlation of draw k of one photo with draw k of the next, by the same noise: 1 if photos do not matter.

    Each photo's draws are taken about their own mean. A sampler whose spread the photo shapes gives the same
    noise another meaning in every photo.

    Args:
        sampler: what draws.
        condition: (photos, c, h, w), at least 2, natural units; each is compared with the next, cyclically.
        draws: per photo.
        seed: of the one stream that all photos draw from.
        batch: photos sampled together.

    Returns:
        ``same_noise`` and ``same_noise_rough`` (level and plane removed), (photos,) each in [-1, 1].
    """
    parts = []
    for start in range(0, len(condition), batch):
        rows = condition[start : start + batch]
        with torch.no_grad():
            samples = sampler.sample(rows, draws, generator=Streams(seed, [0] * len(rows))).double()
        parts.append(samples - samples.mean(0))
    deviations = torch.cat(parts, 1)
    return {
        "same_noise": _correlations(deviations),
        "same_noise_rough": _correlations(_without_plane(deviations)),
    }


def _correlations(deviations: Tensor) -> Tensor:
    after = deviations.roll(-1, 1)
    inner = (deviations * after).sum((0, 2, 3, 4))
    lengths = [part.square().sum((0, 2, 3, 4)).sqrt() for part in (deviations, after)]
    return inner / (lengths[0] * lengths[1]).clamp(min=1e-300)


def _without_plane(deviations: Tensor) -> Tensor:
    rows, columns = (torch.linspace(-1, 1, side, dtype=deviations.dtype) for side in deviations.shape[-2:])
    rest = deviations - deviations.mean((3, 4), keepdim=True)
    for slope in (rows[:, None].expand(deviations.shape[-2:]), columns.expand(deviations.shape[-2:])):
        if bool(slope.any()):
            rest = rest - (rest * slope).sum((3, 4), keepdim=True) / slope.square().sum() * slope
    return rest
