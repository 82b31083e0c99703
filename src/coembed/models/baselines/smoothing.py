"""Smoothing of neighbours' fields, and the choice of how much where nobody says: as training photos like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from coembed.data.names import number_by, scene_of
from coembed.models.baselines.search import ExactSearch
from coembed.numerics.scoring_rules import squared_errors

CANDIDATES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Standard deviations in pixels; none above an eighth of the field's smaller side is tried."""
_FALLBACK = 1.0  # where all pairs are of one photo or video, nothing can be told
_QUERIES, _BEST_OF = 256, 100


def smooth(fields: Tensor, pixels: float) -> Tensor:
    """Gaussian smoothing of (..., h, w) with mirrored borders, as ``scipy.ndimage.gaussian_filter`` does it."""
    if pixels == 0:
        return fields
    rows, columns = (_smoothing_matrix(size, pixels).to(fields) for size in fields.shape[-2:])
    return rows @ fields @ columns.T


def _smoothing_matrix(size: int, pixels: float) -> Tensor:
    return torch.from_numpy(gaussian_filter1d(np.eye(size), pixels, axis=0, mode="reflect"))


def choose_smoothing(keys: Tensor, field: Tensor, names: Sequence[str] | None = None) -> float:
    """The candidate under which the best of 100 neighbours has the least squared error, over 256 pairs.

    It is the paper's own measure (sec. 6.3); the paper smooths, too, and does not say how much. A pair's own
    photo lends it no neighbour, nor does a clip of the same scene: ``names`` tell.

    Args:
        keys: (count, ...), of training pairs, in any space.
        field: (count, c, h, w), their fields.
        names: of the pairs, as ``coembed prepare`` gives them; None takes every pair for a photo of its own.

    Returns:
        Pixels.
    """
    count = len(keys)
    sources = np.arange(count) if names is None else np.array(number_by(scene_of, names))
    rows = torch.arange(min(_QUERIES, count)) * count // min(_QUERIES, count)
    own = int(np.bincount(sources)[sources[rows.numpy()]].max())
    taken = min(_BEST_OF, count - own)
    truth = field[rows].float()
    side = min(truth.shape[-2:])
    candidates = [pixels for pixels in CANDIDATES if pixels <= side / 8]
    if taken < 1 or not candidates:
        return min(_FALLBACK, side / 8)
    found = ExactSearch(keys).nearest(keys[rows], taken + own).numpy()
    errors = np.zeros(len(candidates))
    for i, neighbours in enumerate(found):
        others = neighbours[sources[neighbours] != sources[int(rows[i])]][:taken]
        fields = field[torch.from_numpy(others)].float()[:, None]
        for j, pixels in enumerate(candidates):
            errors[j] += float(squared_errors(smooth(fields, pixels), truth[i : i + 1]).min())
    return candidates[int(errors.argmin())]
