"""The verbs of ``coembed prepare``: their options and what they do.

Light to import: the work imports what it needs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coembed.cli.prepare_options import OwnOptions, PhotoOptions, StoreOptions
from coembed.cli.prepare_video import PrepareUcf101, PrepareVideo, prepare_ucf101, prepare_video
from coembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from coembed.data.prepare.build import BuildOptions, StoreSummary
    from coembed.data.sources.folder import Found

_LARGEST = 256
_MOST_VIEWS = 64


@dataclass(frozen=True)
class PrepareCoco(PhotoOptions):
    """Pairs from photos in the MS-COCO layout: train2014/ and val2014/ (or 2017); annotations aren't needed."""

    src: tyro.conf.Positional[Path]
    """Folder that holds train2014/ and val2014/."""
    annotations: Path | None = None
    """Folder of instances_train2014.json and the like, for features of guidance: what is where in a photo. By
    default SRC/annotations, where it is."""


@dataclass(frozen=True)
class PrepareFolder(PhotoOptions):
    """Pairs from any folder of photos, searched through with its subfolders."""

    src: tyro.conf.Positional[Path]
    """Folder of photos; links that lead outside it are not followed."""
    val_fraction: float = 0.1
    """Share of the photos, chosen by a hash of their names, that goes to val/; 0 for none."""


@dataclass(frozen=True)
class PreparePairs(StoreOptions, OwnOptions):
    """Your own pairs: files of the same name (but for the suffix) in two folders, images, .npy or .flo.

    Images are read as [0, 1], .npy arrays as (h, w) or (h, w, c), .flo files as motion in pixels.
    """

    strict: bool = False
    """Stop at an image that cannot be read or has no partner, instead of listing it in the index."""


PrepareConfig = Annotated[
    Annotated[PrepareCoco, tyro.conf.subcommand("coco")]
    | Annotated[PrepareFolder, tyro.conf.subcommand("folder")]
    | Annotated[PreparePairs, tyro.conf.subcommand("pairs")]
    | Annotated[PrepareUcf101, tyro.conf.subcommand("ucf101")]
    | Annotated[PrepareVideo, tyro.conf.subcommand("video")],
    None,
]
"""The verbs as one type, for a command line."""

AnyPrepare = PrepareCoco | PrepareFolder | PreparePairs | PrepareUcf101 | PrepareVideo


@dataclass(frozen=True)
class PrepareSummary:
    """What was prepared: one summary a store, in the order train, val."""

    dest: str
    stores: tuple[StoreSummary, ...]

    def text(self) -> str:
        """A few lines for people: pairs, what was kept, what was skipped and why."""
        lines = []
        for store in self.stores:
            kept = f", {store.kept} of them kept from before" if store.kept else ""
            skipped = f", {len(store.skipped)} skipped" if store.skipped else ""
            lines.append(f"{store.folder}: {store.pairs} pairs{kept}{skipped}, {store.seconds:.1f} s")
            lines += [f"  left out {n} pairs: {reason}" for reason, n in store.left_out.items()]
            lines += [f"  skipped {s.name!r}: {s.reason}" for s in store.skipped[:5]]
            if len(store.skipped) > 5:
                lines.append(f"  and {len(store.skipped) - 5} more, listed in {store.folder}/index.json")
        return "\n".join(lines)


def run_prepare(config: AnyPrepare) -> PrepareSummary:
    """Prepare pairs; progress goes to standard error.

    On Ctrl-C it says how to go on and lets ``KeyboardInterrupt`` pass: the folder can be resumed.

    Raises:
        ConfigError: an option outside its range, or an unknown task.
        DataError: nothing to prepare, a folder prepared with other options, or wrong data of the user's own.
        PhotoError: a photo that cannot be read, and ``strict``.
    """
    run = {
        PrepareCoco: _coco,
        PrepareFolder: _folder,
        PreparePairs: _pairs,
        PrepareUcf101: lambda config: prepare_ucf101(config, _build_options(config)),
        PrepareVideo: lambda config: prepare_video(config, _build_options(config)),
    }[type(config)]
    if (config.dest / "index.json").exists():
        raise DataError(f"{config.dest}: holds pairs itself, expected a folder for train/ and val/")
    try:
        stores = run(config)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        print(
            f"\nStopped. {config.dest} keeps the finished shards: the same command goes on from there.",
            file=sys.stderr,
        )
        raise
    return PrepareSummary(str(config.dest), tuple(stores))


def parse_size(text: str | int) -> tuple[int, int]:
    """``"32"`` or ``"24x32"`` as (h, w).

    Raises:
        ConfigError: anything else, or a side outside 1 to 256.

    >>> parse_size("24x32")
    (24, 32)
    """
    parts = str(text).lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise ConfigError(f"size is {text!r}, expected N or HxW, e.g. 32 or 24x32")
    h, w = int(parts[0]), int(parts[-1])
    if not (1 <= h <= _LARGEST and 1 <= w <= _LARGEST):
        raise ConfigError(f"size is {text!r}, expected sides from 1 to {_LARGEST}")
    return h, w


def _coco(config: PrepareCoco) -> list[StoreSummary]:
    from coembed.data.sources.coco import coco_splits
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    options = _build_options(config)
    splits = coco_splits(config.src, PHOTO_SUFFIXES)
    stores = [
        _photos(config, "coco", split, folder, found, options) for split, (folder, found) in splits.items()
    ]
    annotations = config.annotations or config.src / "annotations"
    for split, (folder, _) in splits.items():
        source = annotations / f"instances_{folder}.json"
        if source.is_file():
            from coembed.data.similarity.prepared import annotate

            annotate(config.dest / split, source)
        elif config.annotations is not None:
            raise DataError(f"{source}: no such file, expected the annotations of {folder}/")
    return stores


def _folder(config: PrepareFolder) -> list[StoreSummary]:
    from coembed.data.sources.folder import parted_files
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    options = _build_options(config)
    sides = parted_files(config.src, PHOTO_SUFFIXES, "photo", config.val_fraction)
    return [_photos(config, "folder", side, "", found, options) for side, found in sides.items()]


def _photos(
    config: PhotoOptions, kind: str, split: str, folder: str, found: Found, options: BuildOptions
) -> StoreSummary:
    from coembed.data.prepare.build import build_store
    from coembed.data.prepare.photos import PhotoRecipe, views_of
    from coembed.data.sources.folder import printable
    from coembed.data.store.index import Source
    from coembed.tasks import get_task

    get_task(config.task)
    if not 1 <= config.views <= _MOST_VIEWS:
        raise ConfigError(f"views is {config.views}, expected 1 to {_MOST_VIEWS}")
    views = config.views if split == "train" else 1
    if config.working_size is not None and not 8 <= config.working_size <= 4096:
        raise ConfigError(f"working_size is {config.working_size}, expected 8 to 4096")
    recipe = PhotoRecipe(
        config.task, parse_size(config.size), config.max_pixels, views, working_size=config.working_size
    )
    source = Source(kind, printable(config.src.resolve().name), folder or split)
    return build_store(
        config.dest / split,
        views_of(found.items, views),
        recipe,
        options,
        source=source,
        left_out=found.left_out,
    )


def _pairs(config: PreparePairs) -> list[StoreSummary]:
    from coembed.data.prepare.build import build_store
    from coembed.data.sources.folder import part, printable
    from coembed.data.sources.paired_files import LayerFacts, match_files, own_recipe
    from coembed.data.store.index import Source

    options = _build_options(config)
    found = match_files(config.condition, config.field)
    recipe = own_recipe(
        found.items,
        LayerFacts("condition", config.condition_channels, config.condition_range, config.condition_unit),
        LayerFacts("field", config.field_channels, config.field_range, config.field_unit),
        size=None if config.size is None else parse_size(config.size),
        task=config.task,
    )
    name = printable(f"{config.condition.resolve().name} -> {config.field.resolve().name}")
    train, val = part(found.items, config.val_fraction)
    stores = []
    for split, items, left_out in (("train", train, found.left_out), ("val", val, [])):
        if items:
            source = Source("pairs", name, split)
            folder = config.dest / split
            stores.append(build_store(folder, items, recipe, options, source=source, left_out=left_out))
    return stores


def _build_options(config: StoreOptions) -> BuildOptions:
    from coembed.data.prepare.build import BuildOptions

    workers = config.workers
    if workers is None:
        # Not os.cpu_count(): a container or taskset may grant fewer.
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ConfigError(f"workers is {workers}, expected at least 1")
    if config.shard_pairs is not None and config.shard_pairs < 1:
        raise ConfigError(f"shard_pairs is {config.shard_pairs}, expected at least 1")
    return BuildOptions(config.dtype, workers, config.strict, config.shard_pairs)
