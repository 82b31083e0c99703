"""Options that several verbs of ``coembed prepare`` share. No torch here: a command line imports it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class SourceOptions:
    """Where from, where to, and what is made of it."""

    src: tyro.conf.Positional[Path]
    """Folder to read from."""
    dest: tyro.conf.Positional[Path]
    """Folder to write train/ and val/ to; run the same command again to finish what was stopped."""
    task: str
    """What is split from a photo or frame: a task's name, or a class of your own as module:Class."""
    size: str = "32"
    """Cells of condition and field, N or HxW, up to 256."""


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How pairs are written, whatever they are made from."""

    workers: int | None = None
    """Processes; all cores by default. Does not change the bytes written."""
    strict: bool = False
    """Stop at a file that cannot be read, instead of listing it in the index."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of the numbers stored."""
    shard_pairs: int | None = None
    """Pairs a file; by default 2048, or fewer where that would pass 64 MB."""


@dataclass(frozen=True)
class PhotoOptions(StoreOptions, SourceOptions):
    """Pairs from photos."""

    task: str = "resaturation"
    """What is split from a photo: a task's name, or a class of your own as module:Class."""
    _: KW_ONLY
    strict: bool = False
    """Stop at a photo that cannot be read, instead of listing it in the index."""
    max_pixels: int = 64_000_000
    """Larger photos are skipped."""
    views: int = 1
    """Training pairs per photo, 1 to 64: the whole of it, and random crops against overfitting; none in val/.
    In tiny photos a crop averages fewer pixels per cell."""
    working_size: int | None = None
    """Reduce photos to at most this longer side, 8 to 4096, before they are split. By default as the task says:
    256 for relighting, the photo's own size for resaturation. Models are used at the task's."""


@dataclass(frozen=True)
class ClipOptions(StoreOptions, SourceOptions):
    """Pairs from the frames of videos."""

    task: str = "motion"
    """What is made of a frame: motion, a task for photos, or a class of your own as module:Class."""
    _: KW_ONLY
    strict: bool = False
    """Stop at a video that is unreadable or too short, instead of listing it in the index."""
    samples: int = 8
    """Frames a video, equally spaced, 1 to 256."""
    via: Literal["auto", "direct", "chain"] = "auto"
    """How motion over a second is found: in one match, along every frame, or (auto) the better of both."""
    min_valid: float = 0.5
    """Share of a frame whose motion must be confirmed backwards; pairs with less are left out and counted."""
    longest_side: int | None = None
    """Larger frames are reduced to it first, pixels; by default 160, or 4 a cell where that is more."""
    fps: float | None = None
    """Frames a second, where the files are wrong about it; by default what each file says."""
    views: int = 1
    """Training pairs per frame, 1 to 64: the whole, and random crops against overfitting; none in val/."""


@dataclass(frozen=True)
class OwnOptions:
    """Pairs from files of the user's own."""

    dest: tyro.conf.Positional[Path]
    """Folder to write train/ and val/ to; run the same command again to finish what was stopped."""
    condition: Path
    """Folder of what is given."""
    field: Path
    """Folder of what is to be generated."""
    _: KW_ONLY
    size: str | None = None
    """Resize both to N or HxW, up to 256, by area means, motion vectors too. By default as they are."""
    val_fraction: float = 0.1
    """Share of the pairs, chosen by a hash of their names, that goes to val/; 0 for none."""
    condition_range: tuple[float, float] | None = None
    """Smallest and largest value, held against every file; measured by default."""
    condition_unit: str = ""
    """Unit, recorded in the index."""
    condition_channels: int | None = None
    """Channels; with 3, grey images are read as colour. By default those of the first file."""
    field_range: tuple[float, float] | None = None
    """Smallest and largest value, held against every file; measured by default."""
    field_unit: str = ""
    """Unit, recorded in the index."""
    field_channels: int | None = None
    """Channels; with 3, grey images are read as colour. By default those of the first file."""
    task: str = "custom"
    """Recorded in the index."""
