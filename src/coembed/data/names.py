"""Which pairs show one scene: what is learned from one must not be judged on another."""

from __future__ import annotations

import re
from collections.abc import Sequence

_VIEW = re.compile(r"#\d+$")  # a crop of a photo or frame: photo.jpg#1
_FRAME = re.compile(r"@\d+$")  # a frame of a clip: clip.avi@3
_UCF101 = re.compile(r"(v_\w+_g\d+)_c\d+\.avi$")  # clips of a group are cut from one video

FEWEST = 5  # groups; with fewer, frames are told apart instead


def group_of(name: str) -> str:
    """The photo, or the clip (in UCF101 the video), that a pair's name says it is of.

    >>> group_of("photo.jpg#2"), group_of("clip.mp4@3#1"), group_of("v_Archery_g07_c02.avi@5")
    ('photo.jpg', 'clip.mp4', 'v_Archery_g07')
    """
    clip = _FRAME.sub("", _VIEW.sub("", name))
    found = _UCF101.match(clip)
    return found[1] if found else clip


def groups_of(names: Sequence[str]) -> list[int]:
    """A group's number for every name, counted in the order of their first appearance.

    Frames of very few clips (fewer than five) are groups of their own: they could not be parted otherwise.
    """
    groups = [group_of(name) for name in names]
    if len(set(groups)) < FEWEST:
        groups = [_VIEW.sub("", name) for name in names]
    numbers: dict[str, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]
