"""How much the fields of neighbours are smoothed where nobody says: what serves training photos best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from coembed.data.names import number_by, scene_of

if TYPE_CHECKING:
    from coembed.models.baselines.nearest import NearestNeighbours

CANDIDATES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Standard deviations in pixels; none above an eighth of the field's smaller side is tried."""
_FALLBACK = 1.0  # where all pairs are of one photo or video, nothing can be told
_QUERIES, _BEST_OF = 256, 100


def choose_smoothing(search: NearestNeighbours, names: Sequence[str] | None = None) -> float:
    """The candidate under which the best of 100 neighbours has the least squared error, over 256 pairs.

    It is the paper's own measure (sec. 6.3); the paper smooths, too, and does not say how much. A pair's own
    photo lends it no neighbour, nor does a clip of the same scene: ``names`` tell.

    Args:
        search: neighbours among training pairs, in any space; its own smoothing does not matter.
        names: of the pairs, as ``coembed prepare`` gives them; None takes every pair for a photo of its own.

    Returns:
        Pixels.
    """
    from coembed.models.baselines.nearest import smooth
    from coembed.numerics.scoring_rules import squared_errors

    count = len(search.pairs)
    sources = np.arange(count) if names is None else np.array(number_by(scene_of, names))
    rows = torch.arange(min(_QUERIES, count)) * count // min(_QUERIES, count)
    own = int(np.bincount(sources)[sources[rows.numpy()]].max())
    taken = min(_BEST_OF, count - own)
    truth = search.pairs.field(rows)
    side = min(truth.shape[-2:])
    candidates = [pixels for pixels in CANDIDATES if pixels <= side / 8]
    if taken < 1 or not candidates:
        return min(_FALLBACK, side / 8)
    found = search.neighbours(search.pairs.condition(rows), taken + own).numpy()
    errors = np.zeros(len(candidates))
    for i, neighbours in enumerate(found):
        others = neighbours[sources[neighbours] != sources[int(rows[i])]][:taken]
        fields = search.pairs.field(torch.from_numpy(others))[:, None]
        for j, pixels in enumerate(candidates):
            errors[j] += float(squared_errors(smooth(fields, pixels), truth[i : i + 1]).min())
    return candidates[int(errors.argmin())]
