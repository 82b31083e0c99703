"""Names of pairs: the photo, view, frame, clip and scene that each says.

photo.jpg               a photo, whole
photo.jpg#1             a view of it: a crop
clip.mp4@3              a frame of a clip
clip.mp4@3#1            a view of that frame
v_Dive_g01_c02.avi@3    UCF101: clips of one group are cut from one video, a scene
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

CROP_AREA = 0.45, 1.0  # of the photo's
CROP_ASPECT = 0.3  # most change of the aspect, either way, as a natural logarithm
MIN_GROUPS = 5  # with fewer, frames are told apart instead

_VIEW = re.compile(r"#\d+$")
_FRAME = re.compile(r"@\d+$")
_UCF101 = re.compile(r"(?P<scene>(?:.*/)?v_(?P<action>.+)_g\d+)_c\d+(?:\.\w+)?$")


def frame_name(clip: str, number: int) -> str:
    """The name of a frame of a clip."""
    return f"{clip}@{number}"


def crop_options(crops: int, seed: int) -> dict[str, Any]:
    """Entry of an index about crops; none without any."""
    if not crops:
        return {}
    return {"crops": {"number": crops, "area": list(CROP_AREA), "aspect": CROP_ASPECT, "seed": seed}}


def view_name(whole: str, view: int) -> str:
    """The name of a view of a photo or frame; view 0 is the whole."""
    return f"{whole}#{view}" if view else whole


def whole_of(name: str) -> str:
    """The photo or frame that a pair shows, or shows a crop of.

    >>> whole_of("photo.jpg#2"), whole_of("clip.mp4@3")
    ('photo.jpg', 'clip.mp4@3')
    """
    return _VIEW.sub("", name)


def is_whole(name: str) -> bool:
    """True for a pair that shows all of its photo or frame, not a crop."""
    return whole_of(name) == name


def clip_of(name: str) -> str:
    """The photo or clip that a pair is of.

    >>> clip_of("photo.jpg#2"), clip_of("clip.mp4@3#1")
    ('photo.jpg', 'clip.mp4')
    """
    return _FRAME.sub("", whole_of(name))


def scene_of(name: str) -> str:
    """The photo, or the clip (in UCF101 the video), that a pair is of.

    >>> scene_of("photo.jpg#2"), scene_of("clip.mp4@3#1"), scene_of("v_Archery_g07_c02.avi@5")
    ('photo.jpg', 'clip.mp4', 'v_Archery_g07')
    """
    clip = clip_of(name)
    found = _UCF101.match(clip)
    return found["scene"] if found else clip


def action_of(name: str) -> str | None:
    """The action that the name of a clip of UCF101 says; None for other names.

    >>> action_of("v_Archery_g07_c02.avi@5"), action_of("photo.jpg")
    ('Archery', None)
    """
    found = _UCF101.match(clip_of(name))
    return found["action"] if found else None


def number_by(key: Callable[[str], str], names: Sequence[str]) -> list[int]:
    """A number for every name, the same where ``key`` is, counted in the order of first appearance.

    >>> number_by(clip_of, ["a.jpg", "a.jpg#1", "b.jpg", "a.jpg#2"])
    [0, 0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key(name), len(numbers)) for name in names]


def groups_of(names: Sequence[str]) -> list[int]:
    """A scene's number for every name: what is learned from one must not be judged on another.

    Frames of very few clips (fewer than five) are groups of their own: they could not be parted otherwise.
    """
    few = len({scene_of(name) for name in names}) < MIN_GROUPS
    return number_by(whole_of if few else scene_of, names)


def crop_of(name: str, shape: tuple[int, int], seed: int = 0) -> tuple[slice, slice]:
    """Rows and columns of a photo of ``shape`` that the view ``name`` shows: a matter of name and seed alone.

    A crop has 45 to 100% of the photo's area and its aspect within a factor of e^0.3, anywhere in it. The
    layers are computed on the whole photo first. A crop that is smaller than the cells it fills repeats pixels.

    >>> crop_of("a.jpg#1", (100, 200)) == crop_of("a.jpg#1", (100, 200))
    True
    """
    digest = hashlib.sha256((f"{seed}:{name}" if seed else name).encode()).digest()
    area, aspect, down, across = (int.from_bytes(digest[i : i + 6], "big") / 2**48 for i in (0, 6, 12, 18))
    side_share = math.sqrt(CROP_AREA[0] + (CROP_AREA[1] - CROP_AREA[0]) * area)
    stretch = math.exp(CROP_ASPECT * (aspect - 0.5))
    slices = []
    for side, place, factor in zip(shape, (down, across), (stretch, 1 / stretch), strict=True):
        length = min(side, max(1, round(side * side_share * factor)))
        start = round((side - length) * place)
        slices.append(slice(start, start + length))
    return slices[0], slices[1]
