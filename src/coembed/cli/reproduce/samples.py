"""Figures made of pictures: methods side by side, a photo's samples, and what each layer of codes holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from coembed.cli.reproduce.options import METHODS
from coembed.cli.reproduce.originals import edited, find_originals, framed
from coembed.cli.reproduce.pictures import (
    SIDE,
    bare_picture,
    condition_picture,
    display_range,
    enlarged,
    field_picture,
    sheet,
)
from coembed.cli.reproduce.plots import picture_grid
from coembed.data.pairs import evenly_spaced
from coembed.editing.selection import distances_between, representatives
from coembed.models.base import own_field
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams

if TYPE_CHECKING:
    from coembed.cli.reproduce.models import Corpus
    from coembed.cli.reproduce.work import Found

SHOWN = 4  # samples per photo, as in the paper's figures
_SIDE_BY_SIDE = 4  # photos in the figure of methods
_LAYER_PHOTOS = 3
_DRAWS = 32  # behind a map of deviations
_COLORS = "magma"


class Gallery:
    """The held-out photos that figures show: evenly spread, whatever the results, the same for all methods.

    Args:
        corpus: whose.
        photos: how many.
        originals: folders of the photos themselves, if there are any.
        seed: of the draws.
    """

    def __init__(self, corpus: Corpus, photos: int, originals: Sequence[str], seed: int):
        self.corpus, self.seed = corpus, seed
        self.rows = evenly_spaced(len(corpus.val), photos).tolist()
        self.condition = corpus.val.condition(self.rows)
        self.truth = corpus.val.field(self.rows)
        layer, given = corpus.val.index.field, corpus.val.index.condition
        self.limits = display_range(self.truth.numpy(), layer.low, layer.high)
        finite = np.isfinite([given.low, given.high]).all()
        self.given_range = (given.low, given.high) if finite else (0.0, 1.0)
        self.photos = find_originals(originals, corpus, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def given(self, i: int) -> np.ndarray:
        """Picture of the i-th photo's condition."""
        picture = condition_picture(self.condition[i].numpy(), self.given_range)
        return framed(picture, SIDE) if self.photos else picture

    def true(self, i: int) -> np.ndarray:
        """The i-th photo with its own field; the photo itself, where there is one."""
        photo = self.photos.get(self.rows[i])
        if photo is not None:
            return framed(photo.pixels, SIDE)
        return self._field(i, self.truth[i].numpy())

    def pictures(self, one: Found, i: int, fields: np.ndarray) -> list[np.ndarray]:
        """The i-th photo under other fields (n, c, h, w), drawn by a method."""
        photo = self.photos.get(self.rows[i])
        if photo is None:
            return [self._field(i, field) for field in fields]
        layer = self.corpus.val.index.field
        own = own_field(one.model(), self.condition[i : i + 1], self.truth[i : i + 1])
        own = own.clamp(layer.low, layer.high)
        return edited(photo, self.corpus.task, fields, own[0].numpy(), SIDE)

    def draw(self, one: Found, n: int, photos: int | None = None) -> np.ndarray:
        """n fields of each of the first photos, (n, photos, c, h, w), within the field's range."""
        rows, layer = self.rows[:photos], self.corpus.val.index.field
        with torch.no_grad():
            sampled = one.model().sample(self.condition[: len(rows)], n, generator=Streams(self.seed, rows))
        return sampled.clamp(layer.low, layer.high).numpy()

    def _field(self, i: int, field: np.ndarray) -> np.ndarray:
        picture = field_picture(self.corpus.task, self.condition[i].numpy(), field, self.limits)
        return framed(picture, SIDE) if self.photos else picture


def side_by_side(gallery: Gallery, found: Sequence[Found], note: str) -> bytes:
    """Figure 5: a row per method, its first two draws for every photo, unselected. PNG bytes."""
    count = min(len(gallery), _SIDE_BY_SIDE)
    lines = [[picture for i in range(count) for picture in (gallery.given(i), gallery.true(i))]]
    for one in found:
        sampled = gallery.draw(one, 2, count)
        lines.append([p for i in range(count) for p in gallery.pictures(one, i, sampled[:, i])])
    labels = ["given, true", *[METHODS[one.method].label for one in found]]
    return picture_grid(sheet(lines), [""] * (2 * count), labels, note)


def four_samples(gallery: Gallery, one: Found, samples: int, note: str) -> bytes:
    """Figures 6-8 and 9-16: for every photo the 4 medoids of many draws, most common kind first. PNG bytes."""
    sampled = gallery.draw(one, samples)
    lines = []
    for i in range(len(gallery)):
        chosen = representatives(distances_between(sampled[:, i]), min(SHOWN, samples))
        lines.append(
            [gallery.given(i), gallery.true(i), *gallery.pictures(one, i, sampled[list(chosen.draws), i])]
        )
    heads = ["given", "true", *[f"sample {k + 1}" for k in range(SHOWN)]]
    return picture_grid(sheet(lines), heads[: len(lines[0])], [""] * len(lines), note)


@torch.no_grad()
def layers(gallery: Gallery, one: Found, note: str) -> bytes | None:
    """Content of each layer of field codes: draws in which that layer alone is random; None but for a CDVAE.

    For every photo and layer: three draws with the other layers at their most likely value, and the deviation
    of 32 draws, bright where the layer decides. PNG bytes.
    """
    model = one.model()
    if not isinstance(model, CDVAE):
        return None
    count, photos = model.field_ladder.layers, min(len(gallery), _LAYER_PHOTOS)
    rows, condition = gallery.rows[:photos], gallery.condition[:photos]
    sampled = [
        model.sample(
            condition, _DRAWS, generator=Streams(gallery.seed, rows), temperature=_alone(layer, count)
        ).numpy()
        for layer in range(count)
    ]
    lines, labels = [], []
    for i in range(photos):
        given = condition_picture(condition[i].numpy(), gallery.given_range)
        deviations = [fields[:, i].std(0).mean(0) for fields in sampled]
        brightest = max(float(d.max()) for d in deviations) or 1.0
        for layer in range(count):
            pictures = [bare_picture(sampled[layer][k, i], gallery.limits) for k in range(3)]
            lines.append([given, *pictures, _heat(deviations[layer] / brightest)])
            labels.append(f"layer {layer + 1}\n({layer_name(layer, count)})")
    heads = ["given", "draw 1", "draw 2", "draw 3", "deviation"]
    return picture_grid(sheet(lines), heads, labels, note)


def layer_name(layer: int, count: int) -> str:
    """Name of a layer of codes, coarse to fine."""
    if count == 1:
        return "the only one"
    return "top" if layer == 0 else "finest" if layer == count - 1 else "middle"


def _alone(layer: int, count: int) -> list[float]:
    return [1.0 if i == layer else 0.0 for i in range(count)]


def _heat(values: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    return enlarged(np.rint(colormaps[_COLORS](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8))
