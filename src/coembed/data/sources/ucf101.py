"""The layout of UCF101: clips in a folder a class, and the official lists that part them.

UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi
ucfTrainTestlist/classInd.txt, trainlist01.txt, testlist01.txt, ... 03

The clips of a group (``g01``) are cut from one video. The official lists keep groups apart, and that is
checked: a clip of a group that was trained on tells nothing about new videos.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from coembed.data.sources.folder import describe, printable
from coembed.data.sources.items import Found, Item
from coembed.data.store.index import Skipped
from coembed.errors import ConfigError, DataError

_NAME = re.compile(r"v_(?P<group>\w+_g\d+)_c\d+\.avi")


def ucf101_splits(root: Path | str, split: int) -> dict[Literal["train", "val"], Found]:
    """The clips of an official split, in the order of its lists; its test list is ``val``.

    Args:
        root: the folder that holds ``UCF-101`` and ``ucfTrainTestlist``.
        split: 1 to 3.

    Returns:
        For each side the clips that are there, and those that are not as left out.

    Raises:
        ConfigError: another split.
        DataError: a folder or list is missing or malformed, a class is unknown, a group stands on both sides,
            or not one clip of a list is there; the message names the file or the clip.
    """
    if split not in (1, 2, 3):
        raise ConfigError(f"split is {split}, expected 1, 2 or 3")
    root = Path(root)
    clips, lists = root / "UCF-101", root / "ucfTrainTestlist"
    if not root.is_dir():
        raise DataError(f"{root}: no such folder, expected the UCF101 layout")
    for folder in (clips, lists):
        if not folder.is_dir():
            raise DataError(
                f"{root}: has no folder {folder.name}; expected UCF-101/ with clips and ucfTrainTestlist/ with "
                f"the lists. It holds {describe(root)}. For other videos: coembed prepare video"
            )
    classes = _classes(lists / "classInd.txt")
    train, test = (_read_list(lists / f"{side}list{split:02d}.txt", classes) for side in ("train", "test"))
    _check_apart(train, test)
    return {"train": _present(clips, train), "val": _present(clips, test)}


def _classes(path: Path) -> set[str]:
    """The names in classInd.txt: ``1 ApplyEyeMakeup`` a line."""
    classes = set()
    for number, line in enumerate(_lines(path), 1):
        index, _, name = line.partition(" ")
        if not index.isdigit() or not name.strip():
            raise DataError(f"{path}: line {number} is {line!r}, expected a number and a class")
        classes.add(name.strip())
    return classes


def _read_list(path: Path, classes: set[str]) -> list[str]:
    """``Class/v_Class_g01_c01.avi``, in a training list followed by the number of the class."""
    clips = []
    for number, line in enumerate(_lines(path), 1):
        clip = line.split(" ")[0]
        folder, _, name = clip.partition("/")
        if not _NAME.fullmatch(name):
            raise DataError(f"{path}: line {number} is {line!r}, expected Class/v_Class_gNN_cNN.avi")
        if folder not in classes:
            raise DataError(f"{path}: line {number}: {clip}: class {folder!r} is not in classInd.txt")
        clips.append(clip)
    if len(set(clips)) != len(clips):
        twice = next(c for i, c in enumerate(clips) if c in clips[:i])
        raise DataError(f"{path}: lists {twice} twice")
    return clips


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected an official list of UCF101") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def group_of(clip: str) -> str:
    """The group of a listed clip.

    >>> group_of("Archery/v_Archery_g07_c02.avi")
    'Archery_g07'
    """
    match = _NAME.fullmatch(clip.rpartition("/")[2])
    if match is None:
        raise DataError(f"{clip}: not the name of a clip, expected Class/v_Class_gNN_cNN.avi")
    return match["group"]


def _check_apart(train: list[str], test: list[str]) -> None:
    groups = {group_of(clip): clip for clip in train}
    for clip in test:
        other = groups.get(group_of(clip))
        if other is not None:
            raise DataError(
                f"{clip} is in the test list and {other} in the training list: both are of group "
                f"{group_of(clip)}, expected every group on one side"
            )


def _present(clips: Path, listed: list[str]) -> Found:
    items, left_out = [], []
    for clip in listed:
        path, name = clips / clip, clip.rpartition("/")[2]
        if path.is_file():
            items.append(Item(name, (str(path),)))
        else:
            left_out.append(Skipped(name, "no such file"))
    if not items:
        raise DataError(
            f"{clips}: holds none of the {len(listed)} clips listed, {', '.join(listed[:1])} is the first; "
            f"it holds {printable(describe(clips))}"
        )
    return Found(items, left_out)
