"""Pairs that are nearly the same as pairs that were trained on: copies of one photo on both sides of a
split."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from coembed.data.names import is_whole
from coembed.data.pairs import Pairs, evenly_spaced

SAME = 0.97, 0.8
"""Correlations of conditions and of fields from which on two pairs count as of one photo. Of 1,232 photos of
seven collections that copy from each other 29 have a condition (value) that correlates by more than 0.98 with
one of 5,404 others, two more by 0.97, and then it is other photos of like things. Fields survive a copy's own
compression less well."""

_CELLS = 16  # per side, that layers are compared in
_MIN_CELLS = 4  # with fewer per side everything is alike
_AT_ONCE = 1024
_FLAT = 1e-4  # deviation, relative to the layer's own over known pairs, below which a layer says nothing
_ROUNDING = 1e-5  # the same, relative to its values


def near_duplicates(
    pairs: Pairs, known: Pairs, thresholds: tuple[float, float] = SAME, *, vector: bool = False
) -> list[int]:
    """Numbers of the pairs that are nearly the same as one of those known, as it is or mirrored.

    Condition and field must both agree: each is averaged to 16 x 16 cells, its mean removed, and correlated.
    Of known pairs those are looked at that show whole photos or frames, not the crops of them.

    Args:
        pairs: those in doubt.
        known: those trained on, with layers of as many channels.
        thresholds: of the correlations of conditions and of fields, up to 1.
        vector: fields are displacements: in a mirror the first channel's sign turns.

    Returns:
        Their numbers; none where layers have so few cells that all pairs would be alike.
    """
    whole = [i for i, name in enumerate(known.names) if is_whole(name)]
    copies = torch.zeros(len(pairs), dtype=torch.bool)
    if (
        not whole
        or not len(pairs)
        or min(*pairs.condition([0]).shape[-2:], *pairs.field([0]).shape[-2:]) < _MIN_CELLS
    ):
        return []
    flat = _flat_below(known, [whole[i] for i in evenly_spaced(len(whole), _AT_ONCE).tolist()])
    starts = range(0, len(pairs), _AT_ONCE)
    asked = [_signatures(pairs, range(start, min(start + _AT_ONCE, len(pairs))), flat) for start in starts]
    for start in range(0, len(whole), _AT_ONCE):
        there = _signatures(known, whole[start : start + _AT_ONCE], flat)
        for number, here in enumerate(asked):
            rows = slice(number * _AT_ONCE, number * _AT_ONCE + len(here[0]))
            for layers in (here, _mirrored(here, vector)):
                alike = torch.ones(len(here[0]), len(there[0]), dtype=torch.bool)
                for one, other, least in zip(layers, there, thresholds, strict=True):
                    alike &= _correlation(one, other) >= least
                copies[rows] |= alike.any(1)
    return copies.nonzero()[:, 0].tolist()


def _cells_of(layer: Tensor) -> Tensor:
    height, width = (min(side, _CELLS) for side in layer.shape[-2:])
    return adaptive_avg_pool2d(layer, (height, width)).double()


def _flat_below(known: Pairs, rows: list[int]) -> list[float]:
    """Deviation within a pair below which a layer says nothing, for condition and field: one for all pairs."""
    found = []
    for layer in known.batch(rows):
        cells = _cells_of(layer)
        found.append(max(_FLAT * float(cells.std()), _ROUNDING * float(cells.abs().max()), 1e-12))
    return found


def _signatures(pairs: Pairs, rows: range | list[int], flat_below: list[float]) -> list[Tensor]:
    """Both layers in few cells, centred and of length 1, or 0 where they are flat: (rows, c, h, w)."""
    found = []
    for layer, least in zip(pairs.batch(list(rows)), flat_below, strict=True):
        cells = _cells_of(layer)
        cells = cells - cells.mean((2, 3), keepdim=True)
        length = cells.flatten(1).norm(dim=1)
        flat = length < least * cells[0].numel() ** 0.5
        found.append(torch.where(flat, 0.0, 1 / length.clamp(min=1e-300)).view(-1, 1, 1, 1) * cells)
    return found


def _mirrored(layers: list[Tensor], vector: bool) -> list[Tensor]:
    """Condition and field in a mirror."""
    condition, field = (layer.flip(3) for layer in layers)
    if vector:
        field = torch.cat([-field[:, :1], field[:, 1:]], 1)
    return [condition, field]


def _correlation(here: Tensor, there: Tensor) -> Tensor:
    """Of every row with every other, (rows, others); flat layers agree with flat ones alone."""
    found = here.flatten(1) @ there.flatten(1).T
    flat = [layer.flatten(1).norm(dim=1) == 0 for layer in (here, there)]
    return (found + (flat[0][:, None] & flat[1]).double()).float()
