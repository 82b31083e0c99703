"""Notes on a store whose preparation was stopped: the options, the blocks done, who is at work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any

from coembed.data.prepare.workers import Recipe
from coembed.data.sources.items import Item
from coembed.data.store.index import INDEX, VERSION, Dtype, ShardEntry, Skipped, file_sha256, read_index
from coembed.errors import ConfigError, DataError
from coembed.serialization import from_dict, read_json, to_dict, write_json

_STATE = ".preparing"


@dataclass(frozen=True)
class Block:
    """One finished block; ``shard`` is None where not one of its items gave a pair."""

    shard: ShardEntry | None
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    left_out: dict[str, int] = default(default_factory=dict)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a second run out of the folder; a lock the system drops however this process ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs at once are the user's own care there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{folder}: another run is preparing pairs here") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def options_of(items: Sequence[Item], recipe: Recipe, dtype: Dtype, block_items: int) -> dict[str, Any]:
    """All that decides the bytes, as JSON values: options, and a digest of the items' names and file sizes."""
    digest = hashlib.sha256()
    for item in items:
        sizes = [os.stat(p).st_size if os.path.exists(p) else -1 for p in item.paths]
        digest.update(json.dumps([item.name, sizes]).encode())
    options = {
        "format_version": VERSION,
        "task": recipe.task,
        "size": list(recipe.size),
        "dtype": dtype,
        "rows_a_shard": block_items,  # the name in indices that were written before
        **recipe.options(),
        "items": len(items),
        "items_sha256": digest.hexdigest(),
    }
    return json.loads(json.dumps(options))


def check_options(folder: Path, options: dict[str, Any]) -> None:
    """Refuse a folder that holds other things, or pairs made with other options.

    Raises:
        DataError: names the folder, the option, its value before and now.
    """
    if (folder / INDEX).exists():
        before = read_index(folder).options
    elif (folder / _STATE / "options.json").exists():
        before = read_json(folder / _STATE / "options.json")
    else:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise DataError(
                f"{folder}: holds {others[0]!r}, expected an empty folder or pairs prepared here before"
            )
        return
    for key in [*options, *before]:
        if before.get(key) != options.get(key):
            what = "other photos" if key == "items_sha256" else f"{key} {before.get(key)!r}"
            now = "" if key == "items_sha256" else f", now {options.get(key)!r}"
            raise DataError(
                f"{folder}: was prepared with {what}{now}; choose another "
                "folder, or delete this one to start anew"
            )


def kept_blocks(folder: Path, blocks: Sequence[Sequence[Item]]) -> dict[int, Block]:
    """The blocks an earlier run finished and whose shard still has its checksum."""
    noted = _blocks_of_index(folder, blocks) if (folder / INDEX).exists() else {}
    for n in range(len(blocks)):
        path = folder / _STATE / f"block-{n:05d}.json"
        if n not in noted and path.exists():
            try:
                noted[n] = from_dict(Block, read_json(path), str(path))
            except ConfigError:
                continue  # a damaged note costs one block
    return {n: b for n, b in noted.items() if b.shard is None or _is_whole(folder / b.shard.name, b.shard)}


def _blocks_of_index(folder: Path, blocks: Sequence[Sequence[Item]]) -> dict[int, Block]:
    index = read_index(folder)
    by_name, start = {}, 0
    for shard in index.shards:
        by_name[shard.name] = (shard, index.names[start : start + shard.count])
        start += shard.count
    reasons = {s.name: s for s in index.skipped}
    noted = {}
    for n, block in enumerate(blocks):
        shard, names = by_name.get(f"shard-{n:05d}.safetensors", (None, ()))
        skipped = tuple(reasons[i.name] for i in block if i.name in reasons)
        if shard is None and len(skipped) < len(block):
            continue  # what was left out of a block without a shard stands nowhere: it is made again
        noted[n] = Block(shard, tuple(names), skipped, {} if shard is None else shard.left_out)
    return noted


def _is_whole(path: Path, shard: ShardEntry) -> bool:
    return path.is_file() and file_sha256(path) == shard.sha256


def begin(folder: Path, options: dict[str, Any], done: dict[int, Block]) -> None:
    """Make the folder ready: note the options and what is done, remove leftovers and the old index."""
    # What a killed run left of a file that it was writing.
    for leftover in [*folder.glob(".shard-*"), *folder.glob(f".{INDEX}.*")]:
        leftover.unlink()
    state = folder / _STATE
    state.mkdir(exist_ok=True)
    write_json(state / "options.json", options)
    for n, block in done.items():
        write_json(state / f"block-{n:05d}.json", to_dict(block))
    # An index beside shards that are being made again would promise more than is there.
    (folder / INDEX).unlink(missing_ok=True)


def note(folder: Path, number: int, block: Block) -> None:
    """Note a block as done, after its shard was written."""
    write_json(folder / _STATE / f"block-{number:05d}.json", to_dict(block))


def forget(folder: Path) -> None:
    """Remove the notes, after the index was written."""
    shutil.rmtree(folder / _STATE, ignore_errors=True)
