"""Known-truth worlds as pairs with labels and layout: which mode every part of a field is in, and where."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from coembed.data.similarity.features import GRID, Block
from coembed.data.store.store import PairStore
from coembed.evaluation.synthetic.scores import nearest_modes
from coembed.evaluation.synthetic.worlds import WORLDS

SIZE = 16


def world_store(name: str, count: int, seed: int) -> PairStore:
    """One field each for ``count`` conditions."""
    return PairStore.from_arrays(*WORLDS[name](SIZE).pairs(count, seed=seed))


def world_blocks(name: str, store: PairStore) -> dict[str, Block]:
    """``label``: the share of pixels in each mode; ``layout``: where these are, on 5 x 5 cells."""
    world, labels, layouts = WORLDS[name](SIZE), [], []
    for start in range(0, len(store), 2_000):
        rows = np.arange(start, min(start + 2_000, len(store)))
        condition, field = store.condition(rows), store.field(rows)
        nearest = nearest_modes(world, condition, field[None])[0][0]
        modes = world.modes(condition)
        here = nearest.gather(1, modes.parts.flatten(1))
        inside = F.one_hot(here, modes.weights.shape[2]).float().transpose(1, 2)
        inside = inside.reshape(len(rows), -1, SIZE, SIZE)
        labels.append(inside.mean((2, 3)))
        layouts.append(F.adaptive_avg_pool2d(inside, GRID).flatten(1))
    label, layout = torch.cat(labels).numpy(), torch.cat(layouts).numpy()
    return {"label": Block(label, tuple(f"mode {i}" for i in range(label.shape[1]))), "layout": Block(layout)}
