"""What a baseline is fitted on: anything that hands out conditions and fields by row, in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from coembed.errors import DataError

Rows = slice | Sequence[int] | Tensor

_CHUNK_VALUES = 4 << 20  # values of one layer in memory at a time: 32 MiB in float64


class Pairs(Protocol):
    """Pairs of (condition, field) by row; ``coembed.data.store.store.PairStore`` is one."""

    def __len__(self) -> int: ...

    def condition(self, rows: Rows) -> Tensor:
        """Conditions (batch, c, h, w) in natural units."""
        ...

    def field(self, rows: Rows) -> Tensor:
        """Fields (batch, c, h, w) in natural units."""
        ...


class TensorPairs:
    """Pairs held in memory.

    Args:
        condition: (count, c, h, w).
        field: (count, c, h, w), of its own channels and size.

    Raises:
        DataError: tensors that are not four-dimensional or not of one length.
    """

    def __init__(self, condition: Tensor, field: Tensor):
        for name, layer in (("condition", condition), ("field", field)):
            if layer.ndim != 4:
                raise DataError(f"{name}: got shape {tuple(layer.shape)}, expected (count, c, h, w)")
        if len(condition) != len(field):
            raise DataError(f"field: got {len(field)} fields, expected {len(condition)}, one per condition")
        self._condition, self._field = condition, field

    def __len__(self) -> int:
        return len(self._condition)

    def condition(self, rows: Rows) -> Tensor:
        """Conditions (batch, c, h, w), float32."""
        return self._condition[rows].float()

    def field(self, rows: Rows) -> Tensor:
        """Fields (batch, c, h, w), float32."""
        return self._field[rows].float()


def as_pairs(pairs: Pairs | tuple[Tensor, Tensor], *, least: int = 1) -> Pairs:
    """A store as it is, or a tuple of tensors as pairs.

    Raises:
        DataError: fewer than ``least`` pairs, or tensors that do not fit.
    """
    found = TensorPairs(*pairs) if isinstance(pairs, tuple) else pairs
    if len(found) < least:
        raise DataError(f"pairs: got {len(found)}, expected at least {least} to fit on")
    return found


def chunks(pairs: Pairs) -> Iterator[slice]:
    """Slices that cover all rows in order, each small enough to hold as float64 beside its work."""
    values = max(pairs.condition(slice(0, 1)).numel(), pairs.field(slice(0, 1)).numel())
    step = max(1, _CHUNK_VALUES // values)
    for start in range(0, len(pairs), step):
        yield slice(start, min(start + step, len(pairs)))


def check_condition(condition: Tensor, pairs: Pairs) -> None:
    """Check a batch of conditions against those fitted on.

    Raises:
        DataError: another shape.
    """
    wanted = tuple(pairs.condition(slice(0, 1)).shape[1:])
    if condition.ndim != 4 or tuple(condition.shape[1:]) != wanted:
        raise DataError(f"condition: got shape {tuple(condition.shape)}, expected (batch, {str(wanted)[1:]}")


def mean_of(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Mean condition and mean field over all pairs, flattened, float64."""
    condition = torch.zeros(pairs.condition(slice(0, 1)).numel(), dtype=torch.float64)
    field = torch.zeros(pairs.field(slice(0, 1)).numel(), dtype=torch.float64)
    for rows in chunks(pairs):
        condition += pairs.condition(rows).double().flatten(1).sum(0)
        field += pairs.field(rows).double().flatten(1).sum(0)
    return condition / len(pairs), field / len(pairs)
