"""Items that a source finds, each to become pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from coembed.data.store.index import Skipped


@dataclass(frozen=True)
class Item:
    """Files that give a pair, a clip several: its name in the index, and which view of them (0: the whole)."""

    name: str
    paths: tuple[str, ...]
    view: int = 0


class Found(NamedTuple):
    """Items in order, and files left out with the reason."""

    items: list[Item]
    left_out: list[Skipped]
