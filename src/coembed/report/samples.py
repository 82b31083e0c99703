"""Figures made of pictures: methods side by side, a photo's samples, and what each layer of codes holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from coembed.distinct import representatives
from coembed.model.cdvae import CDVAE
from coembed.report.options import METHODS
from coembed.report.pictures import (
    bare_picture,
    condition_picture,
    display_range,
    enlarged,
    field_picture,
    sheet,
)
from coembed.report.plots import picture_grid
from coembed.sampling import Streams
from coembed.training.batches import spread

if TYPE_CHECKING:
    from coembed.report.work import Corpus, Found

SHOWN = 4  # samples a photo, as in the paper's figures
_LAYER_PHOTOS = 3
_DRAWS = 32  # behind a map of deviations
_COLORS = "magma"


def shown_rows(corpus: Corpus, photos: int) -> list[int]:
    """Validation photos for the figures: evenly spread, whatever the results."""
    return spread(len(corpus.val), photos).tolist()


def side_by_side(corpus: Corpus, found: Sequence[Found], photos: int, seed: int, note: str) -> bytes:
    """Figure 5: two of a method's first draws for every photo, unselected. PNG bytes."""
    rows = shown_rows(corpus, min(photos, 4))
    condition, truth, limits = _layers(corpus, rows)
    drawn = {one.method: _draw(one, corpus, rows, 2, seed) for one in found}
    lines, heads = [], ["given", "true", *[METHODS[one.method].label for one in found]]
    for i in range(len(rows)):
        given = condition_picture(condition[i], _condition_range(corpus))
        for k in range(2):
            first = [given, field_picture(corpus.task, condition[i], truth[i], limits)]
            if k:
                first = [np.full_like(given, 255)] * 2
            pictures = [
                field_picture(corpus.task, condition[i], drawn[one.method][k, i], limits) for one in found
            ]
            lines.append([*first, *pictures])
    return picture_grid(sheet(lines), heads, [""] * len(lines), note)


def four_samples(corpus: Corpus, one: Found, photos: int, samples: int, seed: int, note: str) -> bytes:
    """Figures 6-8 and 9-16: for every photo the 4 medoids of many draws, most common kind first. PNG bytes."""
    rows = shown_rows(corpus, photos)
    condition, truth, limits = _layers(corpus, rows)
    drawn = _draw(one, corpus, rows, samples, seed)
    lines = []
    for i in range(len(rows)):
        kinds = representatives(drawn[:, i], min(SHOWN, samples))
        pictures = [field_picture(corpus.task, condition[i], drawn[k, i], limits) for k in kinds.rows]
        given = condition_picture(condition[i], _condition_range(corpus))
        lines.append([given, field_picture(corpus.task, condition[i], truth[i], limits), *pictures])
    heads = ["given", "true", *[f"sample {k + 1}" for k in range(SHOWN)]]
    return picture_grid(sheet(lines), heads[: len(lines[0])], [""] * len(lines), note)


@torch.no_grad()
def layers(corpus: Corpus, one: Found, seed: int, note: str) -> bytes | None:
    """What each layer of field codes holds: draws in which that layer alone is random; None but for a CDVAE.

    For every photo and layer: three draws with the other layers at their most likely value, and the deviation
    of 32 draws, bright where the layer decides. PNG bytes.
    """
    model = one.model
    if not isinstance(model, CDVAE):
        return None
    count = model.field_ladder.layers
    rows = shown_rows(corpus, _LAYER_PHOTOS)
    condition, _, limits = _layers(corpus, rows)
    lines, labels = [], []
    streams = [
        model.sample(
            torch.from_numpy(condition),
            _DRAWS,
            generator=Streams(seed, rows),
            temperature=[1.0 if i == layer else 0.0 for i in range(count)],
        ).numpy()
        for layer in range(count)
    ]
    for i in range(len(rows)):
        given = condition_picture(condition[i], _condition_range(corpus))
        deviations = [s[:, i].std(0).mean(0) for s in streams]
        brightest = max(float(d.max()) for d in deviations) or 1.0
        for layer in range(count):
            pictures = [bare_picture(streams[layer][k, i], limits) for k in range(3)]
            lines.append([given, *pictures, _heat(deviations[layer] / brightest)])
            what = "top" if layer == 0 else "finest" if layer == count - 1 else "middle"
            labels.append(f"layer {layer + 1}\n({what})")
    heads = ["given", "draw 1", "draw 2", "draw 3", "deviation"]
    return picture_grid(sheet(lines), heads, labels, note)


def _layers(corpus: Corpus, rows: list[int]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    condition, truth = corpus.val.condition(rows).numpy(), corpus.val.field(rows).numpy()
    layer = corpus.val.index.field
    return condition, truth, display_range(truth, layer.low, layer.high)


def _condition_range(corpus: Corpus) -> tuple[float, float]:
    layer = corpus.val.index.condition
    return (layer.low, layer.high) if np.isfinite([layer.low, layer.high]).all() else (0.0, 1.0)


def _draw(one: Found, corpus: Corpus, rows: list[int], n: int, seed: int) -> np.ndarray:
    layer = corpus.val.index.field
    with torch.no_grad():
        drawn = one.model.sample(corpus.val.condition(rows), n, generator=Streams(seed, rows))
    return drawn.clamp(layer.low, layer.high).numpy()


def _heat(values: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    return enlarged(np.rint(colormaps[_COLORS](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8))
