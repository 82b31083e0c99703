"""``coembed prepare ucf101`` and ``coembed prepare video``: their options and what they do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from coembed.cli.prepare_options import ClipOptions
from coembed.errors import ConfigError

if TYPE_CHECKING:
    from coembed.data.prepare.build import BuildOptions, StoreSummary
    from coembed.data.sources.folder import Found

_MOST_SAMPLES = 256
_MOST_VIEWS = 64


@dataclass(frozen=True)
class PrepareUcf101(ClipOptions):
    """Pairs from the clips of UCF101, parted as one of its official splits says; val/ is the test list."""

    src: tyro.conf.Positional[Path]
    """Folder that holds UCF-101/ and ucfTrainTestlist/."""
    split: int = 1
    """Official split, 1 to 3."""
    strict: bool = False
    """Stop at a clip that is missing, unreadable or too short, instead of listing it in the index."""
    samples: int = 8
    """Frames a clip, equally spaced, 1 to 256."""


@dataclass(frozen=True)
class PrepareVideo(ClipOptions):
    """Pairs from any folder of videos, searched through with its subfolders; of each the first ten minutes."""

    src: tyro.conf.Positional[Path]
    """Folder of videos; links that lead outside it are not followed."""
    val_fraction: float = 0.1
    """Share of the videos, chosen by a hash of their names, that goes to val/; 0 for none."""


def prepare_ucf101(config: PrepareUcf101, options: BuildOptions) -> list[StoreSummary]:
    """Prepare both sides of an official split.

    Raises:
        ConfigError: an option outside its range.
        DataError: as ``ucf101_splits`` and ``build_store``.
        PhotoError: a clip that cannot be used, and ``strict``.
    """
    from coembed.data.sources.ucf101 import ucf101_splits

    sides = ucf101_splits(config.src, config.split)
    return [
        _clips(config, "ucf101", side, f"{side}, official split {config.split}", found, options)
        for side, found in sides.items()
    ]


def prepare_video(config: PrepareVideo, options: BuildOptions) -> list[StoreSummary]:
    """Prepare a folder of videos.

    Raises:
        ConfigError: an option outside its range.
        DataError: no video there; as ``build_store``.
        PhotoError: a video that cannot be used, and ``strict``.
    """
    from coembed.data.sources.folder import parted_files
    from coembed.data.sources.video import VIDEO_SUFFIXES

    sides = parted_files(config.src, VIDEO_SUFFIXES, "video", config.val_fraction)
    return [_clips(config, "video", side, side, found, options) for side, found in sides.items()]


def _clips(
    config: ClipOptions, kind: str, side: str, split: str, found: Found, options: BuildOptions
) -> StoreSummary:
    from coembed.cli.prepare import parse_size
    from coembed.data.prepare.build import build_store
    from coembed.data.prepare.clips import LONGEST_SIDE, ClipRecipe
    from coembed.data.sources.folder import printable
    from coembed.data.store.index import Source
    from coembed.tasks import get_task

    get_task(config.task)
    _check(config)
    size = parse_size(config.size)
    recipe = ClipRecipe(
        config.task,
        size,
        samples=config.samples,
        via=config.via,
        min_valid=config.min_valid,
        longest_side=config.longest_side or max(LONGEST_SIDE, 4 * max(size)),
        views=config.views if side == "train" else 1,
        fps=config.fps,
    )
    source = Source(kind, printable(config.src.resolve().name), split)
    return build_store(config.dest / side, found.items, recipe, options, source=source, left_out=found.left_out)


def _check(config: ClipOptions) -> None:
    for name, most in (("samples", _MOST_SAMPLES), ("views", _MOST_VIEWS)):
        if not 1 <= getattr(config, name) <= most:
            raise ConfigError(f"{name} is {getattr(config, name)}, expected 1 to {most}")
    # A mask with nothing in it gives no field at all.
    if not 0 < config.min_valid <= 1:
        raise ConfigError(f"min_valid is {config.min_valid}, expected above 0 and at most 1")
    if config.longest_side is not None and config.longest_side < 16:
        raise ConfigError(f"longest_side is {config.longest_side}, expected at least 16")
    if config.fps is not None and not (math.isfinite(config.fps) and 1 <= config.fps <= 1000):
        raise ConfigError(f"fps is {config.fps}, expected 1 to 1000")
