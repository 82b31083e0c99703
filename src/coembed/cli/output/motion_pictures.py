"""The files of one predicted motion: arrows over the frame, colours, the flow itself, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from coembed.editing.motion import shrunk
from coembed.errors import PhotoError
from coembed.imaging.flow.animation import animation_bytes, calm, loop
from coembed.imaging.flow.estimate import resize_flow
from coembed.imaging.flow.files import write_flo
from coembed.imaging.flow.picture import big_motions, draw_arrows, flow_to_color
from coembed.imaging.io.photo import Photo
from coembed.serialization import write_bytes

_ARROWS = 16
_LONG_ARROW, _MAX_STRETCH = 0.1, 4.0  # of the longer side: what the longest arrow is stretched to, if at all
_STILL = 0.01  # of the longer side a second: full colour stands for no less, so that stillness looks still
_ARROW_GROUND = 640  # pixels: smaller frames are enlarged to it, or arrows would be all that is seen
_FADE = 0.25  # of the frame under the arrows, towards grey
_WHEEL = 220  # pixels, the key of colours


@dataclass(frozen=True)
class Scale:
    """Scale that pictures of motions of one frame share, so that they can be compared.

    Attributes:
        full_color: length of the vectors shown in full colour, pixels per second at the flows' size.
        stretch: arrows are drawn that many times as long as what moves in a second.
    """

    full_color: float
    stretch: float


def scale_of(flows: Sequence[np.ndarray]) -> Scale:
    """The scale for some flows of one frame, each (h, w, 2) in pixels per second."""
    side = max(flows[0].shape[:2])
    # Not the very longest: one odd pixel would pale all others.
    fast = max(float(np.quantile(np.hypot(flow[..., 0], flow[..., 1]), 0.995)) for flow in flows)
    longest = max(fast, 1e-6)
    stretch = min(max(_LONG_ARROW * side / longest, 1.0), _MAX_STRETCH)
    return Scale(max(fast, _STILL * side), round(stretch, 1))


def as_seen(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    """A photo as a page shows it: (h, w, 3) uint8 of the size, transparent parts on white."""
    side = max(size)
    small = shrunk(photo.pixels, side)
    pixels = small if small.dtype == np.uint8 else (small >> 8).astype(np.uint8)
    if photo.alpha is not None:
        alpha = shrunk(photo.alpha, side)
        cover = (alpha / np.float32(np.iinfo(alpha.dtype).max))[..., None]
        pixels = np.rint(pixels * cover + 255 * (1 - cover)).astype(np.uint8)
    return pixels


def write_pictures(arrows: Path, colors: Path, picture: np.ndarray, flow: np.ndarray, scale: Scale) -> None:
    """Write the arrows over the frame (a JPEG) and the flow in Middlebury's colours (a PNG).

    Args:
        arrows, colors: where to.
        picture: (h, w, 3) uint8.
        flow: (h, w, 2), pixels per second.
        scale: of all motions of the frame.

    Raises:
        PhotoError: a file that cannot be written.
    """
    _write(arrows, arrow_picture(picture, flow, scale.stretch), [cv2.IMWRITE_JPEG_QUALITY, 90])
    _write(colors, flow_to_color(flow, max_motion=scale.full_color), [])


def arrow_picture(picture: np.ndarray, flow: np.ndarray, stretch: float) -> np.ndarray:
    """The big motions as arrows over a slightly greyed frame, (h, w, 3) uint8; small frames are enlarged."""
    h, w = picture.shape[:2]
    grow = max(1.0, _ARROW_GROUND / max(h, w))
    if grow > 1:
        size = round(h * grow), round(w * grow)
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC)
        flow = resize_flow(flow, size)
    grey = picture.astype(np.float32).mean(axis=2, keepdims=True)
    ground = np.rint(picture + _FADE * (grey - picture)).astype(np.uint8)
    return draw_arrows(ground, big_motions(flow, _ARROWS), stretch=stretch)


def wheel_picture() -> np.ndarray:
    """The key of colours, a disc on white, (220, 220, 3) uint8: each place has the colour of going there."""
    reach = (_WHEEL - 1) / 2
    axis = (np.arange(_WHEEL, dtype=np.float32) - reach) / (reach - 2)
    flow = np.dstack(np.meshgrid(axis, axis))
    inside = np.clip((1 - np.hypot(flow[..., 0], flow[..., 1])) * reach, 0, 1)[..., None]
    length = np.maximum(np.hypot(flow[..., 0], flow[..., 1]), 1)[..., None]
    color = flow_to_color(flow / length, max_motion=1.001)
    return np.rint(255 + inside * (color.astype(np.float32) - 255)).astype(np.uint8)


def write_wheel(path: Path) -> None:
    """Write the key of the colours as a PNG.

    Raises:
        PhotoError: the file cannot be written.
    """
    _write(path, wheel_picture(), [])


def write_flow(path: Path, flow: np.ndarray, size: tuple[int, int]) -> None:
    """Write a flow as ``.flo`` at the frame's size (rows, columns), vectors in the frame's pixels.

    Raises:
        DataError: the file cannot be written.
    """
    write_flo(path, resize_flow(flow, size))


def write_animation(path: Path, picture: np.ndarray, flow: np.ndarray, frames: int) -> float:
    """Write a loop of the picture carried along the flow; the suffix says in which format.

    Args:
        path: .webp or .gif.
        picture: (h, w, 3) uint8.
        flow: (H, W, 2) of the same frame, pixels per second.
        frames: at least 2.

    Returns:
        The seconds of the motion that are shown; below 1 where more would tear the picture.

    Raises:
        PhotoError: the file cannot be written.
    """
    gentle = calm(resize_flow(flow, picture.shape[:2]))
    kind = "gif" if path.suffix == ".gif" else "webp"
    _write_bytes(path, animation_bytes(loop(picture, gentle, frames), kind))
    return gentle.seconds


def _write(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(pixels[..., ::-1]), options)
    if not done:
        raise PhotoError(f"{path}: a picture of {pixels.shape[1]} x {pixels.shape[0]} could not be encoded")
    _write_bytes(path, data.tobytes())


def _write_bytes(path: Path, data: bytes) -> None:
    try:
        write_bytes(path, data)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be written ({error.strerror or error})") from None
