"""The space in which embedding guidance calls photos similar, as features for a nearest neighbour search."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coembed.data.names import clip_of
from coembed.data.pairs import evenly_spaced
from coembed.data.similarity.config import SimilarityConfig
from coembed.data.similarity.features import Block, Scaling, pixel_block
from coembed.data.similarity.files import known_blocks
from coembed.numerics.lpp.lpp import LocalityPreservingProjection

if TYPE_CHECKING:
    from coembed.data.store.store import PairStore

_COMPONENTS, _MAX_FITTED, _CHUNK = 32, 3_000, 4096


def guidance_features(store: PairStore, rows: np.ndarray | None = None) -> Tensor:
    """Every pair's place in the embedding of what is known of its condition (fc of paper sec. 4.1).

    Labels and layout, where the store has them, and the condition's pixels, weighted as guidance does by
    default; a locality preserving projection to 32 dimensions, fitted to 3,000 pairs at most, evenly spread.

    Args:
        store: the pairs.
        rows: of them that are wanted; all by default.

    Returns:
        (rows, 32 or fewer) float32.

    Raises:
        DataError: damaged features beside the store, or pairs that are all the same.
    """
    names = store.names
    known = known_blocks(store)
    rows = np.arange(len(store)) if rows is None else rows
    count = len(rows)

    def features(rows: np.ndarray) -> dict[str, Block]:
        pixels = pixel_block(lambda part: store.condition(rows[part].tolist()), len(rows))
        return {**{name: block.rows(rows) for name, block in known.items()}, "pixels": pixels}

    fitted = rows[evenly_spaced(count, _MAX_FITTED).numpy()]
    blocks = features(fitted)
    scaling = Scaling.of(blocks, SimilarityConfig().weights)
    projection = LocalityPreservingProjection(_COMPONENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer dimensions than wanted are as good
        projection.fit(scaling.join(blocks), groups=[clip_of(names[i]) for i in fitted])
    parts = [
        projection.transform(scaling.join(features(rows[start : start + _CHUNK])))
        for start in range(0, count, _CHUNK)
    ]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))
