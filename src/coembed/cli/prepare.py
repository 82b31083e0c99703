"""``coembed prepare``: pairs from photos, videos or a user's own files; see ``prepare_options``.

Light to import: the work imports what it needs.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coembed.cli.prepare_options import (
    AnyPrepare,
    PrepareCoco,
    PrepareFolder,
    PreparePairs,
    PrepareUcf101,
    PrepareVideo,
    StoreOptions,
)
from coembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from coembed.data.prepare.build import BuildOptions, StoreSummary
    from coembed.data.prepare.cleanliness import Census
    from coembed.data.prepare.workers import Recipe
    from coembed.data.sources.items import Found

_MAX_SIDE = 256


@dataclass(frozen=True)
class PrepareSummary:
    """The stores that were prepared, in the order train, val."""

    dest: str
    stores: tuple[StoreSummary, ...]
    census: Census | None = None

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
        if self.census is not None and self.census.small:
            lines.append(str(self.census))
        return "\n".join(lines)


def run(config: AnyPrepare) -> int:
    """Prepare pairs and print their summary; the exit status."""
    print(run_prepare(config).text())
    return 0


def run_prepare(config: AnyPrepare) -> PrepareSummary:
    """Prepare pairs; progress goes to standard error.

    On Ctrl-C it says how to go on and lets ``KeyboardInterrupt`` pass: the folder can be resumed.

    Raises:
        ConfigError: an option outside its range, or an unknown task.
        DataError: nothing to prepare, a folder prepared with other options, or wrong data of the user's own.
        PhotoError: a file that cannot be used, and ``strict``.
    """
    run = {
        PrepareCoco: _coco,
        PrepareFolder: _folder,
        PreparePairs: _pairs,
        PrepareUcf101: _ucf101,
        PrepareVideo: _video,
    }[type(config)]
    if (config.dest / "index.json").exists():
        raise DataError(f"{config.dest}: holds pairs itself, expected a folder for train/ and val/")
    try:
        stores = run(config)  # pyright: ignore[reportArgumentType]
    except KeyboardInterrupt:
        print(
            f"\nStopped. {config.dest} keeps the finished shards: the same command goes on from there.",
            file=sys.stderr,
        )
        raise
    census = _census(config) if isinstance(config, PrepareCoco | PrepareFolder) else None
    return PrepareSummary(str(config.dest), tuple(stores), census)


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
    if not (1 <= h <= _MAX_SIDE and 1 <= w <= _MAX_SIDE):
        raise ConfigError(f"size is {text!r}, expected sides from 1 to {_MAX_SIDE}")
    return h, w


def _coco(config: PrepareCoco) -> list[StoreSummary]:
    from coembed.data.sources.coco import coco_splits
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    splits = coco_splits(config.src, PHOTO_SUFFIXES)
    stores = [_photos(config, side, folder, found) for side, (folder, found) in splits.items()]
    annotations = config.annotations or config.src / "annotations"
    for side, (folder, _) in splits.items():
        source = annotations / f"instances_{folder}.json"
        if source.is_file():
            from coembed.data.similarity.files import annotate

            annotate(config.dest / side, source)
        elif config.annotations is not None:
            raise DataError(f"{source}: no such file, expected the annotations of {folder}/")
    return stores


def _folder(config: PrepareFolder) -> list[StoreSummary]:
    from coembed.data.sources.folder import split_files
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    sides = split_files(config.src, PHOTO_SUFFIXES, "photo", config.val_fraction)
    return [_photos(config, side, side, found) for side, found in sides.items()]


def _photos(config: PrepareCoco | PrepareFolder, side: str, split: str, found: Found) -> StoreSummary:
    from coembed.data.prepare.photos import PhotoRecipe, views_of
    from coembed.tasks import get_task

    get_task(config.task)
    _check(config, crops=(0, 63), min_side=(0, math.inf), working_size=(8, 4096))
    crops = config.crops if side == "train" else 0
    size = parse_size(config.size)
    recipe = PhotoRecipe(
        config.task, size, config.max_pixels, crops, config.seed, config.working_size, config.min_side
    )
    found = found._replace(items=views_of(found.items, crops))
    return _build(config, config.src.resolve().name, side, split, found, recipe)


def _census(config: PrepareCoco | PrepareFolder) -> Census:
    """Count of the photos that were used and are too small to be clean."""
    from coembed.cli.output.progress import Progress
    from coembed.data.names import is_whole
    from coembed.data.prepare.cleanliness import take_census
    from coembed.data.sources.folder import files_of
    from coembed.data.store.index import INDEX, read_index
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    sides = [side for side in ("train", "val") if (config.dest / side / INDEX).is_file()]
    used = {name for side in sides for name in read_index(config.dest / side).names if is_whole(name)}
    paths = files_of(used, config.src, PHOTO_SUFFIXES)
    with Progress("sizes", len(paths), unit="photos") as progress:
        return take_census((progress.advance(1) or path for path in paths), parse_size(config.size))


def _ucf101(config: PrepareUcf101) -> list[StoreSummary]:
    from coembed.data.sources.ucf101 import ucf101_splits

    sides = ucf101_splits(config.src, config.split)
    return [
        _clips(config, side, f"{side}, official split {config.split}", found) for side, found in sides.items()
    ]


def _video(config: PrepareVideo) -> list[StoreSummary]:
    from coembed.data.sources.folder import split_files
    from coembed.data.sources.video import VIDEO_SUFFIXES

    sides = split_files(config.src, VIDEO_SUFFIXES, "video", config.val_fraction)
    return [_clips(config, side, side, found) for side, found in sides.items()]


def _clips(config: PrepareUcf101 | PrepareVideo, side: str, split: str, found: Found) -> StoreSummary:
    from coembed.data.prepare.clips import DEFAULT_LONGER_SIDE, ClipRecipe
    from coembed.tasks import get_task

    get_task(config.task)
    _check(config, samples=(1, 256), crops=(0, 63), longest_side=(16, math.inf), fps=(1, 1000))
    # A mask with nothing in it gives no field at all.
    if not 0 < config.min_valid <= 1:
        raise ConfigError(f"min_valid is {config.min_valid}, expected above 0 and at most 1")
    size = parse_size(config.size)
    recipe = ClipRecipe(
        config.task,
        size,
        samples=config.samples,
        via=config.via,
        min_valid=config.min_valid,
        longest_side=config.longest_side or max(DEFAULT_LONGER_SIDE, 4 * max(size)),
        crops=config.crops if side == "train" else 0,
        crop_seed=config.seed,
        fps=config.fps,
    )
    return _build(config, config.src.resolve().name, side, split, found, recipe)


def _pairs(config: PreparePairs) -> list[StoreSummary]:
    from coembed.data.prepare.own_files import LayerFacts, own_recipe
    from coembed.data.sources.folder import split
    from coembed.data.sources.paired_files import match_files

    found = match_files(config.condition, config.field)
    recipe = own_recipe(
        found.items,
        LayerFacts("condition", config.condition_channels, config.condition_range, config.condition_unit),
        LayerFacts("field", config.field_channels, config.field_range, config.field_unit),
        size=None if config.size is None else parse_size(config.size),
        task=config.task,
    )
    name = f"{config.condition.resolve().name} -> {config.field.resolve().name}"
    sides = split(found, config.val_fraction)
    return [_build(config, name, side, side, part, recipe) for side, part in sides.items()]


def _build(config: AnyPrepare, name: str, side: str, split: str, found: Found, recipe: Recipe) -> StoreSummary:
    from coembed.data.prepare.build import build_store
    from coembed.data.sources.folder import printable
    from coembed.data.store.index import Source

    source = Source(config.kind, printable(name), split)
    folder, options = config.dest / side, _build_options(config)
    return build_store(folder, found.items, recipe, options, source=source, left_out=found.left_out)


def _build_options(config: StoreOptions) -> BuildOptions:
    from coembed.cli.output.progress import Progress
    from coembed.data.prepare.build import BuildOptions
    from coembed.numerics.cores import count_cores

    _check(config, workers=(1, math.inf), shard_pairs=(1, math.inf))
    workers = count_cores() if config.workers is None else config.workers
    return BuildOptions(config.dtype, workers, config.strict, config.shard_pairs, Progress)


def _check(config: object, **bounds: tuple[float, float]) -> None:
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            expected = f"at least {low}" if high == math.inf else f"{low} to {high}"
            raise ConfigError(f"{name} is {value}, expected {expected}")
