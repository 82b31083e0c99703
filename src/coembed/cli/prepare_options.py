"""The options of ``coembed prepare``'s verbs. No torch here: a command line imports it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Ways to write pairs, whatever they are made from."""

    workers: int | None = None
    """Processes; all cores by default. Does not change the bytes written."""
    strict: bool = False
    """Stop at a file that cannot be used, instead of listing it in the index."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of the numbers stored."""
    shard_pairs: int | None = None
    """Pairs per file; by default 2048, or fewer where that would pass 64 MB."""


@dataclass(frozen=True, kw_only=True)
class HoldoutOptions:
    """Pairs kept for validation."""

    val_fraction: float = 0.1
    """Share of the files, chosen by a hash of their names, that goes to val/; 0 for none."""


@dataclass(frozen=True)
class SourceOptions(StoreOptions):
    """A folder read, a folder written, and the task between them."""

    src: tyro.conf.Positional[Path]
    """Folder to read from, with its subfolders; links that lead outside it are not followed."""
    dest: tyro.conf.Positional[Path]
    """Folder to write train/ and val/ to; run the same command again to finish what was stopped."""
    task: str
    """What is made of a photo or frame: a task's name, or a class of your own as module:Class."""
    size: str = "32"
    """Cells of condition and field, N or HxW, up to 256."""


@dataclass(frozen=True)
class PhotoOptions(SourceOptions):
    """Pairs from photos."""

    task: str = "resaturation"
    """What is split from a photo: a task's name, or a class of your own as module:Class."""
    max_pixels: int = 64_000_000
    """Larger photos are skipped."""
    crops: int = 0
    """Random crops of each training photo, 0 to 63, each a pair besides the whole; none in val/. They have 45
    to 100% of its area and another aspect. In tiny photos a crop averages fewer pixels per cell."""
    seed: int = 0
    """Of where the crops lie."""
    min_side: int = 0
    """Leave out photos whose shorter side is below, pixels; 0 for none. How many are so small that their
    conditions can tell the fields, by traces of compression, is said at the end."""
    working_size: int | None = None
    """Reduce photos to at most this longer side, 8 to 4096, before they are split. By default as the task says:
    256 for relighting, the photo's own size for resaturation. Models are used at the task's."""


@dataclass(frozen=True)
class ClipOptions(SourceOptions):
    """Pairs from the frames of videos."""

    task: str = "motion"
    """What is made of a frame: motion, a task for photos, or a class of your own as module:Class."""
    samples: int = 8
    """Frames per video, equally spaced, 1 to 256."""
    via: Literal["auto", "direct", "chain"] = "auto"
    """How motion over a second is found: in one match, along every frame, or (auto) the better of both."""
    min_valid: float = 0.5
    """Share of a frame whose motion must be confirmed backwards; pairs with less are left out and counted."""
    longest_side: int | None = None
    """Larger frames are reduced to it first, pixels; by default 160, or 4 per cell where that is more."""
    fps: float | None = None
    """Frames per second, where the files are wrong about it; by default what each file says."""
    crops: int = 0
    """Random crops of each training frame, 0 to 63, each a pair besides the whole; none in val/."""
    seed: int = 0
    """Of where the crops lie."""


@dataclass(frozen=True)
class PrepareCoco(PhotoOptions):
    """Pairs from photos in the MS-COCO layout: train2014/ and val2014/ (or 2017); annotations aren't needed."""

    kind: ClassVar = "coco"
    src: tyro.conf.Positional[Path]
    """Folder that holds train2014/ and val2014/."""
    annotations: Path | None = None
    """Folder of instances_train2014.json and the like, for features of guidance: what is where in a photo. By
    default SRC/annotations, where it is."""


@dataclass(frozen=True)
class PrepareFolder(HoldoutOptions, PhotoOptions):
    """Pairs from any folder of photos, searched through with its subfolders."""

    kind: ClassVar = "folder"


@dataclass(frozen=True)
class PreparePairs(HoldoutOptions, StoreOptions):
    """Your own pairs: files of the same name (but for the suffix) in two folders, images, .npy or .flo.

    Images are read as [0, 1], .npy arrays as (h, w) or (h, w, c), .flo files as motion in pixels.
    """

    kind: ClassVar = "pairs"
    dest: tyro.conf.Positional[Path]
    """Folder to write train/ and val/ to; run the same command again to finish what was stopped."""
    condition: Path
    """Folder of what is given."""
    field: Path
    """Folder of what is to be generated."""
    size: str | None = None
    """Resize both to N or HxW, up to 256, by area means, motion vectors too. By default as they are."""
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


@dataclass(frozen=True)
class PrepareUcf101(ClipOptions):
    """Pairs from the clips of UCF101, parted as one of its official splits says; val/ is the test list."""

    kind: ClassVar = "ucf101"
    src: tyro.conf.Positional[Path]
    """Folder that holds UCF-101/ and ucfTrainTestlist/."""
    split: int = 1
    """Official split, 1 to 3."""


@dataclass(frozen=True)
class PrepareVideo(HoldoutOptions, ClipOptions):
    """Pairs from any folder of videos, searched through with its subfolders; of each the first ten minutes."""

    kind: ClassVar = "video"


AnyPrepare = PrepareCoco | PrepareFolder | PreparePairs | PrepareUcf101 | PrepareVideo
PrepareConfig = Annotated[
    Annotated[PrepareCoco, tyro.conf.subcommand(PrepareCoco.kind)]
    | Annotated[PrepareFolder, tyro.conf.subcommand(PrepareFolder.kind)]
    | Annotated[PreparePairs, tyro.conf.subcommand(PreparePairs.kind)]
    | Annotated[PrepareUcf101, tyro.conf.subcommand(PrepareUcf101.kind)]
    | Annotated[PrepareVideo, tyro.conf.subcommand(PrepareVideo.kind)],
    None,
]
"""The verbs as one type, for a command line."""
