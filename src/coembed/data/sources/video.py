"""Frames of a video, decoded in order and within bounds, by OpenCV's FFmpeg."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from coembed.errors import PhotoError

VIDEO_SUFFIXES: frozenset[str] = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mpeg", ".webm"})
MAX_SECONDS = 600.0  # of a video that are looked at: a day of a surveillance camera would never end
MAX_FRAME_PIXELS = 40_000_000
_FPS = (1.0, 1000.0)
# A file that says it is a playlist must not make FFmpeg open addresses on the network.
_FFMPEG = "protocol_whitelist;file"


@dataclass(frozen=True)
class Video:
    """A file as it describes itself.

    Attributes:
        path: the file.
        fps: frames per second.
        count: frames, within the first ``MAX_SECONDS``; a promise, which a damaged file does not keep.
        height, width: pixels of a frame.
    """

    path: str
    fps: float
    count: int
    height: int
    width: int


def open_video(path: str, fps: float | None = None) -> Video:
    """Read a video's header; a file that does not say how many frames it has is decoded to count them.

    Args:
        path: the file.
        fps: frames per second, where the file does not know better; None: what the file says.

    Raises:
        PhotoError: missing, no video, no frames, frames too large or of no known rate.
    """
    with _opened(path) as capture:
        width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        said, promised = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if width < 1 or height < 1 or width * height > MAX_FRAME_PIXELS:
            raise PhotoError(f"{path}: frames of {width} x {height}, expected 1 to {MAX_FRAME_PIXELS} pixels")
        rate = said if fps is None else fps
        if not (math.isfinite(rate) and _FPS[0] <= rate <= _FPS[1]):
            raise PhotoError(f"{path}: says {said:g} frames per second, expected 1 to 1000; --fps sets it")
        most = int(MAX_SECONDS * rate)
        count = min(int(promised), most) if math.isfinite(promised) and promised >= 1 else 0
        if count == 0:
            while count < most and capture.grab():
                count += 1
    if count == 0:
        raise PhotoError(f"{path}: holds no frame that can be decoded")
    return Video(path, rate, count, height, width)


def read_frames(
    video: Video, numbers: Collection[int], longest_side: int | None = None
) -> tuple[dict[int, np.ndarray], int]:
    """Decode a video once, from its start to the last frame asked for.

    Args:
        video: as ``open_video`` gives it.
        numbers: of the frames to keep, from 0.
        longest_side: larger frames are reduced to it, by area means. None: as they are.

    Returns:
        The frames that could be decoded, (h, w, 3) uint8 RGB of one size, by number; and how many frames were
        decoded before the end or damage, which is more than the largest number if none is lacking.

    Raises:
        PhotoError: missing, no video, or frames that change their size on the way.
    """
    wanted, frames, count, first = set(numbers), {}, 0, None
    with _opened(video.path) as capture:
        while count <= max(wanted, default=-1) and capture.grab():
            if count in wanted:
                good, bgr = capture.retrieve()
                if not good or bgr is None:
                    break
                if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.shape != (first or bgr.shape):
                    raise PhotoError(f"{video.path}: frame {count} is {bgr.shape}, expected {first} as before")
                first = bgr.shape
                frames[count] = _reduced(bgr, longest_side)
            count += 1
    return frames, count


def _reduced(bgr: np.ndarray, longest_side: int | None) -> np.ndarray:
    h, w = bgr.shape[:2]
    if longest_side is not None and max(h, w) > longest_side:
        share = longest_side / max(h, w)
        size = (max(1, round(w * share)), max(1, round(h * share)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


@contextmanager
def _opened(path: str):
    if not os.path.isfile(path):
        raise PhotoError(f"{path}: no such file")
    before = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS")
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = _FFMPEG
    try:
        # An absolute path: a relative one may look like a protocol ("pipe:1.avi") or an option.
        # One thread: preparation runs one process a core.
        capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    except cv2.error as error:
        raise PhotoError(f"{path}: cannot be opened as a video ({error})") from None
    finally:
        if before is None:
            del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
        else:
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = before
    try:
        if not capture.isOpened():
            raise PhotoError(f"{path}: not a video that can be decoded")
        yield capture
    finally:
        capture.release()
