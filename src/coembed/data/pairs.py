"""Pairs of condition and field as a sequence, read in bounded pieces."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from coembed.errors import DataError

Indices = slice | Sequence[int] | np.ndarray | Tensor
"""A slice, a mask, or numbers of pairs in any order: repeats allowed, negative ones counted from the end."""

_CHUNK_VALUES = 4 << 20  # values of one layer in memory at a time: 32 MiB in float64
_CHUNK_PAIRS = 4096


class Pairs(Dataset[tuple[Tensor, Tensor]], ABC):
    """Scattered pairs: ``pairs[i]`` is one condition and its field, in natural units.

    A torch ``DataLoader`` takes pairs as they are. A subclass gives their number, conditions and fields.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def condition(self, indices: Indices) -> Tensor:
        """Conditions (batch, c, h, w), float32, natural units."""

    @abstractmethod
    def field(self, indices: Indices) -> Tensor:
        """Fields (batch, c, h, w), float32, natural units."""

    @property
    def names(self) -> list[str]:
        """One name per pair, in their order; numbers, where pairs have no names."""
        return [str(number) for number in range(len(self))]

    def batch(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Conditions and fields, (batch, c, h, w) each."""
        return self.condition(indices), self.field(indices)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def __getitem__(self, index: Indices) -> Subset: ...
    def __getitem__(self, index: int | Indices) -> tuple[Tensor, Tensor] | Subset:
        """One pair, (c, h, w) each; or some of the pairs, as pairs again.

        Raises:
            IndexError: a number outside the pairs.
        """
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"pair {index}, expected {-len(self)} to {len(self) - 1}")
            place = int(index) % len(self)
            condition, field = self.batch(slice(place, place + 1))
            return condition[0], field[0]
        return Subset(self, as_numbers(index, len(self)))

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Pairs as a ``DataLoader`` asks for a batch of them, read at once."""
        return list(zip(*self.batch(indices), strict=True))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self[index] for index in range(len(self)))


class TensorPairs(Pairs):
    """Pairs held in memory.

    Args:
        condition: (count, c, h, w).
        field: (count, c, h, w), of its own channels and size.
        names: one per pair; numbers by default.

    Raises:
        DataError: tensors that are not four-dimensional or not of one length.
    """

    def __init__(self, condition: Tensor, field: Tensor, names: Sequence[str] | None = None):
        for name, layer in (("condition", condition), ("field", field)):
            if layer.ndim != 4:
                raise DataError(f"{name}: got shape {tuple(layer.shape)}, expected (count, c, h, w)")
        if len(condition) != len(field):
            raise DataError(f"field: got {len(field)} fields, expected {len(condition)}, one per condition")
        self._condition, self._field, self._names = condition, field, names

    def __len__(self) -> int:
        return len(self._condition)

    def condition(self, indices: Indices) -> Tensor:
        """Conditions (batch, c, h, w), float32."""
        return self._select(self._condition, indices)

    def field(self, indices: Indices) -> Tensor:
        """Fields (batch, c, h, w), float32."""
        return self._select(self._field, indices)

    @property
    def names(self) -> list[str]:
        """One name per pair, in their order."""
        return super().names if self._names is None else list(self._names)

    def _select(self, layer: Tensor, indices: Indices) -> Tensor:
        view = isinstance(indices, slice) and (indices.step or 1) > 0  # nothing is copied then
        return layer[indices if view else as_numbers(indices, len(layer))].float()


class Subset(Pairs):
    """Some of other pairs, in a given order.

    Args:
        pairs: the others.
        indices: which of them, (count,) int64.
    """

    def __init__(self, pairs: Pairs, indices: Tensor):
        self.pairs, self.indices = pairs, indices

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Names of these pairs."""
        names = self.pairs.names
        return [names[index] for index in self.indices.tolist()]

    def condition(self, indices: Indices) -> Tensor:
        """Conditions (batch, c, h, w) of some of the subset."""
        return self.pairs.condition(self.indices[as_numbers(indices, len(self))])

    def field(self, indices: Indices) -> Tensor:
        """Fields (batch, c, h, w) of some of the subset."""
        return self.pairs.field(self.indices[as_numbers(indices, len(self))])


def load_all(pairs: Pairs, device: torch.device | str = "cpu") -> TensorPairs:
    """All pairs on a device, in float16 where that loses nothing (prepared pairs are float16), else float32."""
    layers = (load_layer(read, len(pairs), device) for read in (pairs.condition, pairs.field))
    return TensorPairs(*layers, names=pairs.names)


def load_layer(read: Callable[[slice], Tensor], count: int, device: torch.device | str = "cpu") -> Tensor:
    """All of a layer on a device, (count, c, h, w): float16 where that loses nothing, else float32.

    Args:
        read: conditions or fields of a slice of the pairs.
        count: pairs.
        device: where to.
    """
    held = torch.empty(0)
    for start in range(0, count, _CHUNK_PAIRS):
        chunk = read(slice(start, min(start + _CHUNK_PAIRS, count)))
        if start == 0:
            held = torch.empty((count, *chunk.shape[1:]), dtype=torch.float16)
        if held.dtype == torch.float16 and not torch.equal(chunk.half().float(), chunk.float()):
            held = held.float()
        held[start : start + len(chunk)] = chunk
    return held.to(device)


def as_pairs(pairs: Pairs | tuple[Tensor, Tensor], *, minimum: int = 1) -> Pairs:
    """Pairs as they are, or a tuple of tensors as pairs.

    Raises:
        DataError: fewer than ``minimum`` pairs, or tensors that do not fit.
    """
    found = TensorPairs(*pairs) if isinstance(pairs, tuple) else pairs
    if len(found) < minimum:
        raise DataError(f"pairs: got {len(found)}, expected at least {minimum} to fit on")
    return found


def as_numbers(indices: Indices, count: int) -> Tensor:
    """Numbers of the pairs, (batch,) int64 from 0 on.

    Args:
        indices: a slice, a mask, or numbers; negative ones are counted from the end.
        count: how many pairs there are.

    Raises:
        IndexError: a number outside the pairs, or neither numbers nor a mask.
    """
    if isinstance(indices, slice):
        forward = (indices.step or 1) > 0
        return torch.arange(*indices.indices(count)) if forward else torch.tensor(range(count)[indices])
    numbers = torch.as_tensor(indices)
    if numbers.dtype == torch.bool:
        numbers = numbers.nonzero()[:, 0]
    if numbers.ndim != 1 or (numbers.is_floating_point() and numbers.numel()):
        raise IndexError(
            f"indices are {numbers.dtype} of shape {tuple(numbers.shape)}, expected a list of numbers"
        )
    numbers = numbers.long()
    if numbers.numel() and (int(numbers.min()) < -count or int(numbers.max()) >= count):
        raise IndexError(
            f"indices reach from {int(numbers.min())} to {int(numbers.max())}, there are {count} pairs"
        )
    return torch.where(numbers < 0, numbers + count, numbers)


def evenly_spaced(count: int, limit: int) -> Tensor:
    """At most ``limit`` numbers below ``count``, evenly spaced, ascending, the same every time.

    >>> evenly_spaced(10, 4)
    tensor([0, 2, 5, 7])
    """
    return torch.arange(min(count, limit)) * count // max(min(count, limit), 1)


def chunks(pairs: Pairs) -> Iterator[slice]:
    """Slices that cover all pairs in order, each small enough to be held as float64 beside its work."""
    values = max(pairs.condition(slice(0, 1)).numel(), pairs.field(slice(0, 1)).numel())
    step = max(1, _CHUNK_VALUES // values)
    for start in range(0, len(pairs), step):
        yield slice(start, min(start + step, len(pairs)))


def mean_of(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Mean condition and mean field over all pairs, flattened, float64."""
    condition = torch.zeros(pairs.condition(slice(0, 1)).numel(), dtype=torch.float64)
    field = torch.zeros(pairs.field(slice(0, 1)).numel(), dtype=torch.float64)
    for part in chunks(pairs):
        condition += pairs.condition(part).double().flatten(1).sum(0)
        field += pairs.field(part).double().flatten(1).sum(0)
    return condition / len(pairs), field / len(pairs)


def fingerprint(pairs: Pairs) -> str:
    """A digest of the number of pairs and of 64 of them: tells other pairs from the ones a run began with."""
    digest = hashlib.blake2b(str(len(pairs)).encode(), digest_size=16)
    for layer in pairs.batch(evenly_spaced(len(pairs), 64)):
        digest.update(str(tuple(layer.shape)).encode() + layer.float().contiguous().numpy().tobytes())
    return digest.hexdigest()
