"""Features that make two photos similar: blocks of numbers per photo (paper sec. 4.1).

``label``: how much of each category there is, summing to 1. ``layout``: the share of each of 5 x 5 cells that
the boxes of a category cover. ``pixels``: condition and field themselves, small. ``own``: a user's own numbers.
``files`` keeps label and layout beside a store's shards; pixels are taken from the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse

from coembed.data.names import action_of, crop_of, is_whole, whole_of
from coembed.data.similarity.annotations import Annotations
from coembed.data.similarity.layout import coverage
from coembed.errors import ConfigError, DataError

GRID = 5

Matrix = Any
"""(n, d) float32, a numpy array or a ``csr_array``; scipy does not say enough of these for a union."""


@dataclass(frozen=True)
class Block:
    """One kind of feature: (n, d) float32, dense or sparse, and the names of its columns, if any."""

    values: Matrix
    columns: tuple[str, ...] = ()

    def rows(self, rows: np.ndarray) -> Block:
        """The same for some rows."""
        return Block(self.values[rows], self.columns)


def annotation_blocks(
    annotations: Annotations,
    names: Sequence[str],
    *,
    grid: int = GRID,
    label: Literal["area", "count"] = "area",
    crowds: bool = True,
    crop_seed: int = 0,
) -> dict[str, Block]:
    """Label and layout of photos; rows of photos without annotations are zero.

    Layout's columns run over cells within rows of the grid within categories.

    A crop (``photo.jpg#1``) has its photo's label, and a layout of its own.

    Args:
        annotations: see ``read_annotations``.
        names: pair names, as a store has them.
        grid: cells per side of the layout.
        label: objects count by their ``area`` or one each.
        crowds: whether boxes of crowds count.

    Raises:
        DataError: not one photo is known to the annotations.
    """
    categories = len(annotations.categories)
    labels, layouts = _Sparse(categories), _Sparse(categories * grid * grid)
    known = 0
    for name in names:
        number = annotations.photos.get(whole_of(name))
        if number is None:
            labels.add([], [])
            layouts.add([], [])
            continue
        known += 1
        rows = slice(annotations.starts[number], annotations.starts[number + 1])
        kept = annotations.crowds[rows] <= crowds
        category = annotations.category[rows][kept]
        present = np.unique(category)
        amount = annotations.areas[rows][kept] if label == "area" else np.ones(len(category))
        share = np.array([amount[category == c].sum() for c in present])
        labels.add(present, share / share.sum() if share.sum() > 0 else np.zeros(len(present)))
        boxes = _in_view(annotations.boxes[rows][kept], annotations.sizes[number], name, crop_seed)
        cells = [coverage(boxes[category == c], grid).ravel() for c in present]
        columns = present[:, None] * grid * grid + np.arange(grid * grid)
        layouts.add(columns.ravel(), np.concatenate(cells) if cells else [])
    if known == 0 and names:
        example = next(iter(annotations.photos), "none")
        raise DataError(f"annotations name no photo of the pairs: {names[0]!r} is not there, {example!r} is")

    return {"label": Block(labels.done(), annotations.categories), "layout": Block(layouts.done())}


def action_block(names: Sequence[str]) -> Block | None:
    """The action of clips named as UCF101's (``v_Dive_g01_c02.avi@3``), one column each; None for others."""
    found = [action for action in map(action_of, names) if action is not None]
    if not found or len(found) < len(names):
        return None
    actions, codes = np.unique(found, return_inverse=True)
    count = len(names)
    ones = np.ones(count, dtype=np.float32)
    return Block(
        smaller(sparse.csr_array((ones, codes, np.arange(count + 1)), shape=(count, len(actions)))),
        tuple(actions.tolist()),
    )


def pixel_block(read: Callable[[slice], object], count: int, size: int = 32, chunk: int = 2048) -> Block:
    """Layers of pairs as rows of numbers, reduced by area means to at most ``size`` cells per side.

    Args:
        read: gives layers (b, c, h, w) of a slice of rows, as ``PairStore.condition`` does.
        count: rows in all.
        size: cells per side.
        chunk: rows at a time.
    """
    from torch import Tensor
    from torch.nn.functional import interpolate

    parts = []
    for start in range(0, count, chunk):
        layer = read(slice(start, min(start + chunk, count)))
        if not isinstance(layer, Tensor):
            raise TypeError(f"read: got {type(layer).__name__}, expected a tensor")
        cells = (min(size, layer.shape[2]), min(size, layer.shape[3]))
        if cells != tuple(layer.shape[2:]):
            layer = interpolate(layer, size=cells, mode="area")
        parts.append(layer.flatten(1).numpy())
    return Block(np.concatenate(parts))


def own_block(path: Path | str, count: int) -> Block:
    """A user's own features: ``.npy``, (n, d) real numbers, a row per pair in the order of the store's names.

    Raises:
        DataError: no such file, no array of numbers, another number of rows, or values that are not finite.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not an array of numbers ({error})") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "buif":
        found = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(f"{path}: got {found}, expected real numbers (n, d)")
    if len(values) != count:
        raise DataError(f"{path}: has {len(values)} rows, expected one per pair: {count}")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values).all(1)))
        raise DataError(f"{path}: row {row} holds NaN or infinite values, expected finite ones")
    return Block(values)


@dataclass(frozen=True)
class Scaling:
    """Factor of each block: its weight over the root of its total variance."""

    factors: dict[str, float]

    @classmethod
    def of(cls, blocks: Mapping[str, Block], weights: Mapping[str, float]) -> Scaling:
        """Measured on these blocks: 0 for one that is constant; a block without a weight has weight 1.

        Raises:
            ConfigError: a weight below 0, or for a block that is not there while none is.
        """
        factors = {}
        for name, block in blocks.items():
            weight = weights.get(name, 1.0)
            if not weight >= 0:
                raise ConfigError(f"weight of {name}: got {weight}, expected at least 0")
            spread = _total_variance(block.values)
            factors[name] = weight / spread**0.5 if spread > 0 else 0.0
        return cls(factors)

    def join(self, blocks: Mapping[str, Block]) -> Matrix:
        """All blocks side by side, (n, d) float32: sparse (CSR) where that is smaller.

        Raises:
            DataError: no block at all, or blocks of different numbers of rows.
        """
        if not blocks:
            raise DataError("features: there is no block to join")
        heights = {name: block.values.shape[0] for name, block in blocks.items()}
        if len(set(heights.values())) > 1:
            raise DataError(f"features: blocks have different numbers of rows: {heights}")
        parts = [block.values * np.float32(self.factors[name]) for name, block in blocks.items()]
        if len(parts) == 1:
            return parts[0]
        size = sum(p.shape[1] for p in parts)
        filled = sum(p.nnz if sparse.issparse(p) else p.size for p in parts)
        if 2 * filled < size * parts[0].shape[0]:
            return sparse.csr_array(sparse.hstack([sparse.csr_array(p) for p in parts], format="csr"))
        out = np.empty((parts[0].shape[0], size), dtype=np.float32)
        at = 0
        for part in parts:
            out[:, at : at + part.shape[1]] = part.toarray() if sparse.issparse(part) else part
            at += part.shape[1]
        return out


def mirrored_layout(block: Block, grid: int = GRID) -> Block:
    """The layout of the photos in a mirror."""
    size = block.values.shape[1]
    order = np.arange(size).reshape(-1, grid, grid)[:, :, ::-1].ravel()
    if sparse.issparse(block.values):
        return Block(sparse.csr_array(block.values.tocsc()[:, order]), block.columns)
    return Block(block.values[:, order], block.columns)


class _Sparse:
    """A sparse matrix, row by row."""

    def __init__(self, width: int):
        self._width = width
        self._columns: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._ends = [0]

    def add(self, columns: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray) -> None:
        columns, values = np.asarray(columns, dtype=np.int32), np.asarray(values, dtype=np.float32)
        kept = values != 0
        self._columns.append(columns[kept])
        self._values.append(values[kept])
        self._ends.append(self._ends[-1] + int(kept.sum()))

    def done(self) -> Matrix:
        columns = np.concatenate([*self._columns, np.zeros(0, np.int32)])
        values = np.concatenate([*self._values, np.zeros(0, np.float32)])
        shape = (len(self._ends) - 1, self._width)
        return smaller(sparse.csr_array((values, columns, np.array(self._ends)), shape=shape))


def smaller(values: Matrix) -> Matrix:
    """Sparse where that takes less memory (4 bytes per value and 4 per column number), else dense."""
    filled = values.nnz if sparse.issparse(values) else int(np.count_nonzero(values))
    if 2 * filled + values.shape[0] < values.shape[0] * values.shape[1]:
        return sparse.csr_array(values)
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _in_view(boxes: np.ndarray, size: np.ndarray, name: str, crop_seed: int) -> np.ndarray:
    """Boxes x, y, width, height in pixels as left, top, right, bottom in fractions of what the pair shows."""
    width, height = (int(s) for s in size)
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    left, top, right, bottom = 0, 0, width, height
    if not is_whole(name):
        rows, columns = crop_of(name, (height, width), crop_seed)
        left, top, right, bottom = columns.start, rows.start, columns.stop, rows.stop
    origin = np.array([left, top, left, top])
    return (corners - origin) / np.array([right - left, bottom - top] * 2)


def _total_variance(values: Matrix) -> float:
    count = values.shape[0]
    mean = np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / count
    if sparse.issparse(values):
        squares = float((values.data.astype(np.float64) ** 2).sum())
    else:
        squares = sum(
            float((part.astype(np.float64) ** 2).sum())
            for part in np.array_split(values, max(1, count // 4096))
        )
    variance = squares / count - float(mean @ mean)
    return variance if variance > 1e-12 * squares / count else 0.0
