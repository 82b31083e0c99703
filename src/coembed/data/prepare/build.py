"""Build one store from a list of items: worker processes, whole shards, resumable, the same bytes every time.

Items are cut into consecutive blocks, one shard per block. Workers turn small chunks into arrays; the parent
puts chunks in order and writes a shard when its block is full. So the bytes depend on the items and the options
alone. What is done is noted in ``.preparing/`` beside the shards until the index is written, last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from dataclasses import field as default
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coembed.data.prepare import resume
from coembed.data.prepare.workers import Made, Recipe, make_chunks
from coembed.data.sources.items import Item
from coembed.data.store.index import (
    INDEX,
    Dtype,
    PairIndex,
    Skipped,
    Source,
    shard_pairs,
    write_index,
    write_shard,
)
from coembed.errors import DataError, PhotoError

_CHUNK = 16  # photos per message between processes: small beside a shard, large beside the cost of a message


class Advances(Protocol):
    """Progress under way."""

    def advance(self, n: int) -> None:
        """Count n more."""
        ...


class StartProgress(Protocol):
    """A way to show progress, such as a bar."""

    def __call__(self, label: str, total: int, *, done: int, unit: str) -> AbstractContextManager[Advances]:
        """Start to show a count: ``done`` of ``total`` things that are called ``unit``."""
        ...


@dataclass(frozen=True)
class BuildOptions:
    """Ways to build a store.

    Args:
        dtype: of the stored numbers.
        workers: processes; with 1 the work is done in this one. Does not change the bytes.
        strict: an unreadable photo is an error.
        shard_pairs: pairs per shard; None: 2048, or fewer where that would pass 64 MB.
        progress: shows how many items are done.
    """

    dtype: Dtype = "float16"
    workers: int = 1
    strict: bool = False
    shard_pairs: int | None = None
    progress: StartProgress | None = None


@dataclass(frozen=True)
class StoreSummary:
    """One store as it became: pairs it holds, pairs kept from an earlier run, items skipped, seconds.

    ``left_out`` counts pairs left out on purpose, by reason.
    """

    folder: str
    pairs: int
    kept: int
    skipped: tuple[Skipped, ...]
    seconds: float
    left_out: dict[str, int] = default(default_factory=dict)


def build_store(
    folder: Path,
    items: Sequence[Item],
    recipe: Recipe,
    options: BuildOptions,
    *,
    source: Source,
    left_out: Sequence[Skipped] = (),
) -> StoreSummary:
    """Write a store, or finish one that an earlier run with the same options began.

    Args:
        folder: made if missing.
        items: in the order of the pairs.
        recipe: makes the pairs.
        options: how.
        source: goes into the index.
        left_out: files that are no items, to be listed as skipped.

    Raises:
        DataError: the folder holds other things, or pairs made with other options; no item gave a pair; the
            user's data is wrong; a worker died.
        PhotoError: an unreadable photo, and ``options.strict``.
    """
    start = time.monotonic()
    channels = recipe.condition.channels + recipe.field.channels
    pairs = options.shard_pairs or shard_pairs(recipe.size, channels, options.dtype)
    length = max(1, pairs // recipe.pairs_per_item)
    blocks = [items[i : i + length] for i in range(0, len(items), length)]
    folder.mkdir(parents=True, exist_ok=True)
    if options.strict:
        _refuse(left_out)
    with resume.claimed(folder):
        recorded = resume.options_of(items, recipe, options.dtype, length)
        resume.check_options(folder, recorded)
        done = resume.kept_blocks(folder, blocks)
        kept = sum(len(b.names) for b in done.values())
        if options.strict:
            _refuse([s for b in done.values() for s in b.skipped])
        complete = (folder / INDEX).exists() and len(done) == len(blocks)
        if not complete:
            resume.begin(folder, recorded, done)
            done |= _make_missing(folder, blocks, done, recipe, options)
        index = _index_of([done[n] for n in range(len(blocks))], recipe, options.dtype, recorded)
        index = replace(index, source=source, skipped=(*left_out, *index.skipped))
        if not index.names:
            reasons = [f"{s.name}: {s.reason}" for s in index.skipped[:3]]
            reasons += [f"{n} {reason}" for reason, n in index.left_out.items()]
            raise DataError(f"{folder}: none of {len(items)} items gave a pair ({'; '.join(reasons)})")
        if not complete:
            write_index(folder, recipe.finished(index, folder))
        resume.forget(folder)
    return StoreSummary(str(folder), index.count, kept, index.skipped, time.monotonic() - start, index.left_out)


def _index_of(
    blocks: Sequence[resume.Block], recipe: Recipe, dtype: Dtype, options: dict[str, Any]
) -> PairIndex:
    names = tuple(name for block in blocks for name in block.names)
    return PairIndex(
        task=recipe.task,
        condition=recipe.condition,
        field=recipe.field,
        size=recipe.size,
        dtype=dtype,
        count=len(names),
        names=names,
        shards=tuple(block.shard for block in blocks if block.shard is not None),
        skipped=tuple(skipped for block in blocks for skipped in block.skipped),
        options=options,
        left_out=_counts(block.left_out for block in blocks),
    )


def _make_missing(
    folder: Path,
    blocks: Sequence[Sequence[Item]],
    done: Mapping[int, resume.Block],
    recipe: Recipe,
    options: BuildOptions,
) -> dict[int, resume.Block]:
    """Make and note the blocks that are not done, and show how far that is."""
    progress, found = nullcontext(), {}
    if options.progress is not None:
        total, before = (sum(_photos(blocks[n]) for n in some) for some in (range(len(blocks)), done))
        progress = options.progress(folder.name, total, done=before, unit=recipe.unit)
    with progress as shown, closing(_make_blocks(folder, blocks, set(done), recipe, options, shown)) as made:
        for n, block in made:
            resume.note(folder, n, block)
            found[n] = block
    return found


def _make_blocks(
    folder: Path,
    blocks: Sequence[Sequence[Item]],
    done: set[int],
    recipe: Recipe,
    options: BuildOptions,
    progress: Advances | None,
) -> Generator[tuple[int, resume.Block], None, None]:
    """Make the blocks that are not done, in order, and write their shards."""
    todo = [n for n in range(len(blocks)) if n not in done]
    length = max(1, _CHUNK // recipe.pairs_per_item)
    chunks = [(n, blocks[n][i : i + length]) for n in todo for i in range(0, len(blocks[n]), length)]
    parts: list[Made] = []
    n_made = 0
    with closing(make_chunks(recipe, [c for _, c in chunks], options.dtype, options.workers)) as results:
        for (n, chunk), made in zip(chunks, results, strict=True):
            if options.strict:
                _refuse(made.skipped)
            parts.append(made)
            n_made += len(chunk)
            if progress is not None:
                progress.advance(_photos(chunk))
            if n_made == len(blocks[n]):
                yield n, _write_block(folder, n, parts)
                parts, n_made = [], 0


def _write_block(folder: Path, number: int, parts: Sequence[Made]) -> resume.Block:
    names = tuple(name for p in parts for name in p.names)
    skipped = tuple(s for p in parts for s in p.skipped)
    left_out = _counts(p.left_out for p in parts)
    if not names:
        return resume.Block(None, names, skipped, left_out)
    condition = np.concatenate([p.condition for p in parts])
    field = np.concatenate([p.field for p in parts])
    return resume.Block(write_shard(folder, number, condition, field, left_out), names, skipped, left_out)


def _counts(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items()))


def _photos(items: Sequence[Item]) -> int:
    """Number of photos, whatever the number of views."""
    return sum(not item.view for item in items)


def _refuse(skipped: Sequence[Skipped]) -> None:
    if skipped:
        first = skipped[0]
        raise PhotoError(f"{first.name}: {first.reason} (an error because of --strict)")
