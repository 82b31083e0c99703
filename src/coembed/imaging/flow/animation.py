"""A photo carried along a flow: frames that loop without a jump, and their files.

What moves is the picture, not a window over it: what stands at ``p`` stands at ``p + t flow(p)`` after ``t``
seconds. One photo does not know what lies behind the things that move, so nothing is torn off: the flow is
first made calm enough (``calm``) for the picture to bend like a sheet, one to one. Every pixel of a frame then
has exactly one source, and there are neither holes nor folds. What comes in over the border is a blurred mirror
image: plausible colour, and no claim about what is there.

A loop goes forward only. Its last part dissolves into the same motion on its way *towards* the photo, so that
the end meets the beginning in place and in speed (the two-phase trick of flow maps in computer graphics).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from coembed.imaging.flow.estimate import check_flow

FORMATS = ("webp", "gif")

# Largest slope of the displacement. Below 1 the sheet cannot fold (Banach); at 0.6 nothing is squeezed to less
# than 0.4 of its size, below which the eye sees slivers, nor stretched to more than 1.6.
_SLOPE = 0.6
_SMOOTHEST = 0.04  # widest blur of the flow, of the longer side; beyond that, less time is shown instead
_ROUNDS = 14  # of the fixed point: 0.6^14 of the displacement is below a tenth of a pixel
_SETTLED = 0.03  # pixels: a step of cv2.remap's positions
_DISSOLVE = 0.25  # of the loop
_FOG = 0.02  # blur of what lies beyond the border, of the longer side
_WEBP_QUALITY, _WEBP_EFFORT = 70, 2


@dataclass(frozen=True)
class Calm:
    """A flow along which a photo can be carried without tearing.

    Attributes:
        flow: (h, w, 2) float32, pixels per second.
        seconds: how much time may be shown, above 0 and at most 1.
    """

    flow: np.ndarray
    seconds: float


def calm(flow: np.ndarray) -> Calm:
    """Smooth a flow as little as one-to-one warping needs, and where that is not enough shows less time.

    Args:
        flow: (h, w, 2), pixels per second, finite.

    Returns:
        The flow, exactly as it was where it changes gently all over, and the seconds that can be shown.

    Raises:
        ValueError: not a flow.
    """
    check_flow(flow)
    flow = np.asarray(flow, np.float32)
    widest = _SMOOTHEST * max(flow.shape[:2])
    sigma, smooth = 0.0, flow
    while (slope := _steepest(smooth)) > _SLOPE and sigma < widest:
        sigma = min(widest, max(1.0, 1.4 * sigma))
        smooth = cv2.GaussianBlur(flow, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return Calm(smooth, 1.0 if slope <= _SLOPE else _SLOPE / slope)


def carry(photo: np.ndarray, flow: np.ndarray, seconds: float) -> np.ndarray:
    """The photo after some time of a calm flow: the content of ``p`` stands at ``p + seconds flow(p)``.

    The source of every pixel q is the fixed point of p = q - seconds flow(p).

    Args:
        photo: (h, w, 3) uint8.
        flow: (h, w, 2), pixels per second, from ``calm``.
        seconds: may be negative: where things came from.

    Returns:
        (h, w, 3) uint8; the photo itself where nothing moves.

    Raises:
        ValueError: sizes that do not agree.
    """
    return _carry(photo, _fog(photo), flow, seconds)


def loop(photo: np.ndarray, gentle: Calm, frames: int = 24) -> list[np.ndarray]:
    """A seamless loop of a photo that moves along a flow.

    Args:
        photo: (h, w, 3) uint8.
        gentle: of the photo's size.
        frames: at least 2; the first is the photo itself.

    Returns:
        That many (h, w, 3) uint8.

    Raises:
        ValueError: sizes that do not agree, or fewer than 2 frames.
    """
    if frames < 2:
        raise ValueError(f"frames is {frames}, expected at least 2")
    fog = _fog(photo)
    shown = []
    for k in range(frames):
        phase = k / frames
        frame = _carry(photo, fog, gentle.flow, phase * gentle.seconds)
        late = (phase - (1 - _DISSOLVE)) / _DISSOLVE
        if late > 0:
            coming = _carry(photo, fog, gentle.flow, (phase - 1) * gentle.seconds)
            share = late * late * (3 - 2 * late)  # eases in and out
            frame = cv2.addWeighted(frame, 1 - share, coming, share, 0)
        shown.append(frame)
    return shown


def animation_bytes(
    frames: list[np.ndarray], kind: Literal["webp", "gif"] = "webp", frame_ms: int = 50
) -> bytes:
    """Frames as an animation that loops for ever.

    Args:
        frames: (h, w, 3) uint8 of one size, at least one.
        kind: ``"webp"`` (smaller, all colours) or ``"gif"`` (256 colours, known everywhere).
        frame_ms: time a frame, milliseconds; GIF counts in tens of them.

    Raises:
        ValueError: another kind, or no frames.
    """
    if kind not in FORMATS or not frames:
        raise ValueError(f"{len(frames)} frames as {kind!r}, expected at least one as {' or '.join(FORMATS)}")
    pictures = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    if kind == "webp":
        pictures[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=frame_ms,
            loop=0,
            quality=_WEBP_QUALITY,
            method=_WEBP_EFFORT,
        )
        return file.getvalue()
    # One palette for all frames, from the first, which holds the colours of the rest: colours do not flicker.
    palette = pictures[0].quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for p in pictures]
    indexed[0].save(
        file, "GIF", save_all=True, append_images=indexed[1:], duration=frame_ms, loop=0, optimize=False
    )
    return file.getvalue()


def _steepest(flow: np.ndarray) -> float:
    """Largest difference in speed between one pixel and the next: the largest Frobenius norm of the slope."""
    across, down = np.diff(flow, axis=1), np.diff(flow, axis=0)
    squared = np.zeros(flow.shape[:2], np.float32)
    squared[:, :-1] += np.square(across).sum(-1)
    squared[:-1] += np.square(down).sum(-1)
    return float(np.sqrt(squared.max()))


def _carry(photo: np.ndarray, fog: np.ndarray, flow: np.ndarray, seconds: float) -> np.ndarray:
    if photo.shape[:2] != flow.shape[:2]:
        raise ValueError(
            f"photo has shape {photo.shape}, expected the flow's {flow.shape[:2]} rows and columns"
        )
    h, w = flow.shape[:2]
    step = np.float32(seconds) * flow
    here = np.dstack(np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)))
    source = here - step
    for _ in range(_ROUNDS):
        before, source = source, here - _looked_up(step, source, cv2.BORDER_REPLICATE)
        if cv2.norm(before, source, cv2.NORM_INF) < _SETTLED:
            break
    moved = _looked_up(photo, source, cv2.BORDER_REFLECT_101)
    outside = np.maximum(_beyond(source[..., 0], w), _beyond(source[..., 1], h))
    rows, columns = np.nonzero(outside > 0)
    if len(rows):
        share = np.minimum(outside[rows, columns] / (_FOG * max(h, w)), 1)[:, None]
        beyond = _looked_up(fog, source, cv2.BORDER_REFLECT_101)[rows, columns]
        shown = moved[rows, columns].astype(np.float32)
        moved[rows, columns] = np.rint(shown + share * (beyond - shown)).astype(np.uint8)
    return moved


def _looked_up(layer: np.ndarray, places: np.ndarray, border: int) -> np.ndarray:
    return cv2.remap(layer, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=border)


def _beyond(position: np.ndarray, side: int) -> np.ndarray:
    return np.maximum(-position, position - (side - 1))


def _fog(photo: np.ndarray) -> np.ndarray:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(f"photo is {photo.dtype} {photo.shape}, expected uint8 (h, w, 3)")
    return cv2.GaussianBlur(
        photo, (0, 0), max(0.5, _FOG * max(photo.shape[:2])), borderType=cv2.BORDER_REFLECT_101
    )
