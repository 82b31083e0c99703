"""Flow over a long step, such as a second, on which one match fails and a chain of all frames drifts.

What is followed from frame to frame is lost behind whatever hides it, and its errors add up; what is matched
across the whole step at once is lost if it moved far. So both are done, the first along a few frames only, and
once more refined by a match that starts from it. Each pixel takes what, followed there and back, ends nearest
to its start.

On a second of UCF101 at 160 x 120 (``benchmarks/motion.py``; means over 40 clips) the direct match can be
trusted on 70% of the area, a chain of four on 69%, one along every frame on 69% and ``auto`` on 79%, in 4, 17,
113 and 30 ms there and back; at the ends the pictures differ by 4.0, 3.7, 4.2 and 3.5% of white. Where a
picture turns and drifts by 50 px in 12 frames, the ends are missed by 26.7, 1.2, 1.7 and 1.4 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from coembed.errors import ConfigError, DataError
from coembed.imaging.flow import estimate as flow

Via = Literal["auto", "direct", "chain"]
HOPS = 4  # of "auto": quarters of a second


def frames_wanted(frames: int, via: Via) -> list[int]:
    """Frames among 0 to ``frames`` that are looked at, first and last included.

    >>> frames_wanted(25, "auto"), frames_wanted(25, "direct"), frames_wanted(3, "auto")
    ([0, 6, 12, 19, 25], [0, 25], [0, 1, 2, 3])

    Raises:
        ConfigError: another way.
    """
    if via not in ("auto", "direct", "chain"):
        raise ConfigError(f"via is {via!r}, expected auto, direct or chain")
    hops = {"direct": 1, "auto": min(HOPS, frames), "chain": frames}[via]
    return [round(i * frames / hops) for i in range(hops + 1)]


def there_and_back(frames: Sequence[np.ndarray], via: Via = "auto") -> tuple[np.ndarray, np.ndarray]:
    """The flow from the first frame to the last and the flow back.

    Args:
        frames: two or more as for ``flow.estimate``, in order of time, e.g. those of ``frames_wanted``; one
            match is made of the first and the last (``direct``), or each is followed to the next
            (``chain``), or both (``auto``).
        via: the way.

    Returns:
        forward (at the pixels of the first frame) and backward (of the last), each (h, w, 2) float32 pixels.

    Raises:
        ConfigError: another way.
        DataError: fewer than two frames, or as ``flow.estimate``.
    """
    frames = list(frames)
    if len(frames) < 2:
        raise DataError(f"flow over {len(frames)} frames, expected at least 2")
    first, last = frames[0], frames[-1]
    if via == "chain":
        return flow.chain(frames), flow.chain(frames[::-1])
    direct = flow.estimate(first, last), flow.estimate(last, first)
    if via == "direct" or len(frames) == 2:
        return direct
    if via != "auto":
        raise ConfigError(f"via is {via!r}, expected auto, direct or chain")
    followed = flow.chain(frames), flow.chain(frames[::-1])
    refined = flow.refine(first, last, followed[0]), flow.refine(last, first, followed[1])
    ways = [direct, followed, refined]
    return _nearest(ways), _nearest([(back, there) for there, back in ways])


def _nearest(ways: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Of flows, each with its way back, the one that returns nearest to its start, pixel by pixel."""
    missed = np.stack([np.square(flow.compose(there, back)).sum(-1) for there, back in ways])
    best = missed.argmin(0)[None, ..., None]
    return np.take_along_axis(np.stack([there for there, _ in ways]), best, 0)[0]
