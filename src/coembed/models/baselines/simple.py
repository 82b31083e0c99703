"""The simple samplers by name, each fitted when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from coembed.data.pairs import Pairs
from coembed.models.base import Sampler
from coembed.models.baselines.linear_gaussian import LinearGaussian
from coembed.models.baselines.nearest import NearestNeighbours
from coembed.models.baselines.random_fields import RandomFields

NEAREST = "nearest neighbours"
SIMPLE: dict[str, Callable[[Pairs | tuple[Tensor, Tensor]], Sampler]] = {
    "random fields": RandomFields.fit,
    NEAREST: NearestNeighbours.fit,
    "nearest, smoothed 1 px": lambda pairs: NearestNeighbours.fit(pairs, smoothing=1.0),
    "nearest, smoothed 2 px": lambda pairs: NearestNeighbours.fit(pairs, smoothing=2.0),
    "linear-Gaussian": LinearGaussian.fit,
}


def fit_simple(pairs: Pairs | tuple[Tensor, Tensor]) -> Iterator[tuple[str, Sampler]]:
    """Fit the simple samplers one after the other; hold one at a time to keep memory low."""
    for name, fit in SIMPLE.items():
        yield name, fit(pairs)
