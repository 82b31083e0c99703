"""Turn items into arrays, in this process or in worker processes of one thread each, always in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from coembed.data.sources.items import Item
from coembed.data.store.index import Dtype, PairIndex, Skipped, as_stored
from coembed.errors import DataError, PhotoError
from coembed.tasks.task import Layer


class Pair(NamedTuple):
    """A pair's name, and both layers, (h, w, c) float32."""

    name: str
    condition: np.ndarray
    field: np.ndarray


class Recipe(Protocol):
    """Make pairs from items. Travels to worker processes, so it is small and can be pickled."""

    @property
    def task(self) -> str:
        """Recorded in the index."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of both layers."""
        ...

    @property
    def condition(self) -> Layer:
        """The layer that is given."""
        ...

    @property
    def field(self) -> Layer:
        """The layer that is generated."""
        ...

    def options(self) -> dict[str, Any]:
        """All, beyond task, size and layers, that decides the numbers; JSON values."""
        ...

    @property
    def pairs_per_item(self) -> int:
        """At most so many."""
        ...

    @property
    def unit(self) -> str:
        """Plural noun of the items, for the progress shown."""
        ...

    def pairs_of(self, item: Item) -> tuple[list[Pair], dict[str, int]]:
        """The pairs of an item in order, and what was left out on purpose: counts by reason.

        Raises:
            PhotoError: the item cannot be used; it is skipped.
            DataError: the user's data is wrong; preparation stops.
        """
        ...

    def finished(self, index: PairIndex, folder: Path) -> PairIndex:
        """The index as it is written, e.g. with ranges measured over the finished shards."""
        ...


class OnePairPerItem:
    """Common part of the recipes of photos: an item, which may be a view of a photo, gives one pair."""

    @property
    def pairs_per_item(self) -> int:
        """One."""
        return 1

    @property
    def unit(self) -> str:
        """Of the progress shown."""
        return "photos"

    def make(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Condition and field, each (h, w, c) float32 at the recipe's size."""
        raise NotImplementedError

    def pairs_of(self, item: Item) -> tuple[list[Pair], dict[str, int]]:
        """The one pair."""
        return [Pair(item.name, *self.make(item))], {}


class Made(NamedTuple):
    """The pairs of a few items.

    Attributes:
        condition, field: (n, c, h, w).
        names: one per pair.
        skipped: items that cannot be used.
        left_out: how many pairs were left out on purpose, by reason.
    """

    condition: np.ndarray
    field: np.ndarray
    names: list[str]
    skipped: list[Skipped]
    left_out: dict[str, int]


def make_chunks(
    recipe: Recipe, chunks: Sequence[Sequence[Item]], dtype: Dtype, workers: int
) -> Generator[Made, None, None]:
    """Results of ``make_chunk`` for each chunk, in order; a bounded number are under way at once."""
    if workers == 1 or len(chunks) <= 1:
        with _one_thread():
            for chunk in chunks:
                yield make_chunk(recipe, chunk, dtype)
        return
    # Spawned, not forked: a fork copies locks of OpenCV's and torch's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=_start_worker)
    waiting: deque[Future] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(make_chunk, recipe, chunk, dtype))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "a worker process died (out of memory, or killed); finished shards are kept: run the same command "
            "again, with fewer --workers if memory was short"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """One thread per worker; Ctrl-C is the parent's to handle; a worker whose parent was killed ends."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def make_chunk(recipe: Recipe, items: Sequence[Item], dtype: Dtype) -> Made:
    """The pairs of a few items; photos that cannot be read are skipped and listed."""
    conditions, fields, names, skipped = [], [], [], []
    left_out: Counter[str] = Counter()
    for item in items:
        try:
            pairs, lacking = recipe.pairs_of(item)
            left_out.update(lacking)
        except PhotoError as error:
            if item.view:  # listed with the whole photo
                continue
            skipped.append(Skipped(item.name, _without_paths(str(error), item)))
            continue
        for name, condition, field in pairs:
            conditions.append(as_stored(condition, dtype, f"{name}: condition").transpose(2, 0, 1))
            fields.append(as_stored(field, dtype, f"{name}: field").transpose(2, 0, 1))
            names.append(name)
    return Made(
        _stack(conditions, recipe.condition, recipe.size, dtype),
        _stack(fields, recipe.field, recipe.size, dtype),
        names,
        skipped,
        dict(left_out),
    )


def _stack(rows: list[np.ndarray], layer: Layer, size: tuple[int, int], dtype: Dtype) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, layer.channels, *size), dtype)


def _without_paths(message: str, item: Item) -> str:
    """The reason alone: the name stands beside it, and the index must not hold this machine's paths."""
    for path in item.paths:
        message = message.removeprefix(f"{path}: ").replace(path, item.name)
    return message
