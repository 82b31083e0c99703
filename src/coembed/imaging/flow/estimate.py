"""Dense optical flow: where every pixel of a frame goes, by OpenCV's estimators behind one contract.

A flow is (h, w, 2) float32 in pixels, x to the right and y downwards: the point at ``p`` of the first frame
stands at ``p + flow[p]`` in the second. Nothing here needs weights or torch.

The default is dense inverse search (Kroeger et al. 2016) at OpenCV's medium preset. On nine pairs of
FlyingChairs (512 x 384) its mean end-point error is 3.7 px in 19 ms on one core, against 10.5 for no motion,
4.1 in 4 ms for ``dis-fast``, 3.3 in 67 ms for ``dis-fine`` and 5.8 in 61 ms for ``farneback``; most of
what ``dis`` gets wrong is where ``validity`` says so. ``benchmarks/flow.py`` measures all this anew, and that a
direct match fails where a picture turns and drifts by 50 px in 12 frames: 27 px, against 1.7 along the chain.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from coembed.errors import ConfigError, DataError
from coembed.imaging.flow.methods import METHODS as METHODS
from coembed.imaging.resize import area_average

# Below this, DIS finds no pyramid level to begin with: it refuses, or crashes (seen at 31 x 200).
_MIN_SIDE = 64
_MAX_SIDE = 32_766  # of cv2.remap
_OUTSIDE = np.float32(np.inf)


def estimate(frame0: np.ndarray, frame1: np.ndarray, method: str = "dis") -> np.ndarray:
    """The motion of every pixel of the first frame on its way to the second.

    Args:
        frame0, frame1: (h, w, 3) RGB or (h, w) grey, of one size; uint8, uint16, or floating point in [0, 1].
        method: one of ``METHODS``.

    Returns:
        (h, w, 2) float32, pixels, x right and y down; finite. The same frames give the same flow.

    Raises:
        ConfigError: an unknown method.
        DataError: frames of different sizes, or arrays that are no frames.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    grey0, grey1 = _grey(frame0, "frame0"), _grey(frame1, "frame1")
    if grey0.shape != grey1.shape:
        raise DataError(f"frame1 is {grey1.shape} rows and columns, expected {grey0.shape} as frame0")
    h, w = grey0.shape
    return np.ascontiguousarray(METHODS[method](_bordered(grey0), _bordered(grey1))[:h, :w])


def refine(frame0: np.ndarray, frame1: np.ndarray, start: np.ndarray) -> np.ndarray:
    """A flow that is known roughly, matched anew from there by ``dis``.

    Args:
        frame0, frame1: as for ``estimate``.
        start: (h, w, 2), pixels, finite; left as it is.

    Returns:
        (h, w, 2) float32, pixels.

    Raises:
        DataError: as ``estimate``, or a start of another size.
    """
    grey0, grey1 = _grey(frame0, "frame0"), _grey(frame1, "frame1")
    if not grey0.shape == grey1.shape == start.shape[:2]:
        raise DataError(f"frames are {grey0.shape} and {grey1.shape}, start {start.shape}, expected one size")
    h, w = grey0.shape
    grey0, grey1, first = (_bordered(a) for a in (grey0, grey1, np.array(start, np.float32)))
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.ascontiguousarray(dis.calc(grey0, grey1, first)[:h, :w])


def chain(frames: Iterable[np.ndarray], method: str = "dis") -> np.ndarray:
    """The motion from the first frame to the last, along trajectories from frame to frame.

    Every step is small, which estimators like, but errors add up and a point that is hidden on the way is
    lost to whatever hides it. ``estimate(first, last)`` is the direct match that this stands against.

    Args:
        frames: two or more in order of time, as for ``estimate``; taken one at a time, so it may be a reader.
        method: one of ``METHODS``.

    Returns:
        (h, w, 2) float32, pixels, at the pixels of the first frame.

    Raises:
        ConfigError, DataError: as ``estimate``; fewer than two frames.
    """
    total = before = None
    for frame in frames:
        if before is not None:
            step = estimate(before, frame, method)
            total = step if total is None else compose(total, step)
        before = frame
    if total is None:
        raise DataError(f"a chain of {0 if before is None else 1} frames, expected at least 2")
    return total


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One flow after another: first(p) + second(p + first(p)), (h, w, 2) float32.

    A point that has left the frame goes on as the nearest point of the border does.

    Raises:
        ValueError: flows of different sizes.
    """
    if first.shape != second.shape:
        raise ValueError(f"second has shape {second.shape}, expected {first.shape} as first")
    return np.asarray(first, np.float32) + warp(second, first)


def warp(layer: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The layer seen along the flow: layer(p + flow(p)), bilinear, the border going on outside.

    With the flow from frame 0 to frame 1, this lays frame 1 over frame 0.

    Args:
        layer: (h, w) or (h, w, c).
        flow: (h, w, 2), pixels, finite.

    Returns:
        float32 of the layer's shape.

    Raises:
        ValueError: not of one size, or a side above 32766.
    """
    check_flow(flow)
    if layer.shape[:2] != flow.shape[:2]:
        raise ValueError(
            f"layer has shape {layer.shape}, expected the flow's {flow.shape[:2]} rows and columns"
        )
    if max(flow.shape[:2]) > _MAX_SIDE:
        raise ValueError(f"flow has shape {flow.shape}, expected sides of at most {_MAX_SIDE}")
    # Positions are rounded to 1/32 of a pixel, which costs 0.01 px on steep flow, and saves 9/10 of the time.
    x, y = _targets(flow)
    layer = np.asarray(layer, np.float32)
    return cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(layer.shape)


def invert(flow: np.ndarray, rounds: int = 16) -> np.ndarray:
    """The flow of the way back: g with g(p + flow(p)) = -flow(p), by half steps towards g = -flow(p + g).

    Whole steps swing to and fro where the flow is steep: on random fields of 5% of the frame they miss by
    0.7 px after 16 rounds, half steps by 0.01. Where a motion tears the picture open, the gap is given what is
    nearest along the motion; where it folds, one of the layers.

    Args:
        flow: (h, w, 2), pixels, finite.
        rounds: of the iteration; at zero motion the result is zero after any number.

    Returns:
        (h, w, 2) float32, at the pixels of the second frame.

    Raises:
        ValueError: no flow.
    """
    check_flow(flow)
    forward = np.asarray(flow, np.float32)
    back = -forward
    for _ in range(rounds):
        back = (back - warp(forward, back)) / 2
    return back


def forward_backward_error(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Distance from its start at which a point ends that goes along one flow and back along the other.

    Args:
        forward: (h, w, 2), frame 0 to frame 1, pixels.
        backward: (h, w, 2), frame 1 to frame 0, pixels.

    Returns:
        (h, w) float32, pixels; infinite where the point leaves the frame.
    """
    away = np.linalg.norm(compose(forward, backward), axis=-1)
    return np.where(_inside(forward), away, _OUTSIDE)


def validity(
    forward: np.ndarray, backward: np.ndarray, *, relative: float = 0.01, absolute: float = 0.5
) -> np.ndarray:
    """Mask of a flow that can be trusted: forward and back again ends near the start, inside the frame.

    The test of Sundaram, Brox and Keutzer (2010): |f + b|^2 < relative (|f|^2 + |b|^2) + absolute, with b the
    backward flow at the forward flow's end. It fails at what is hidden in the second frame, and on blank walls.

    Args:
        forward: (h, w, 2), frame 0 to frame 1, pixels.
        backward: (h, w, 2), frame 1 to frame 0, pixels.
        relative: share of the squared lengths that may be missed.
        absolute: squared pixels that may be missed at rest.

    Returns:
        (h, w) bool.
    """
    back = warp(backward, forward)
    missed = np.square(forward + back).sum(-1)
    return _inside(forward) & (missed < relative * (np.square(forward) + np.square(back)).sum(-1) + absolute)


def looks_alike(
    frame0: np.ndarray, frame1: np.ndarray, flow: np.ndarray, *, tolerance: float = 0.15, window: int = 5
) -> np.ndarray:
    """Mask of vectors at whose end the second frame shows what the first shows at their start.

    Where an estimator finds nothing to match it gives no motion both ways, which ``validity`` cannot tell from
    a scene that stands still.

    Args:
        frame0, frame1: as for ``estimate``.
        flow: (h, w, 2), frame 0 to frame 1, pixels.
        tolerance: greatest mean difference in grey, of 1.
        window: side of the square over which the mean is taken, pixels.

    Returns:
        (h, w) bool.
    """
    grey0, grey1 = (_grey(f, n).astype(np.float32) for f, n in ((frame0, "frame0"), (frame1, "frame1")))
    away = cv2.blur(np.abs(warp(grey1, flow) - grey0), (window, window))
    return np.asarray(away <= 255 * tolerance)


def resize_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A flow on another grid of the same frame, its vectors in the new grid's pixels.

    Args:
        flow: (h, w, 2), pixels of its own grid.
        size: (H, W) wanted. A side that shrinks is averaged over exact areas; one that grows is interpolated.

    Returns:
        (H, W, 2) float32: x times W / w, y times H / h.

    Raises:
        ValueError: no flow, or a size below 1.

    >>> resize_flow(np.full((8, 8, 2), 4.0), (4, 2))[0, 0].tolist()
    [1.0, 2.0]
    """
    check_flow(flow)
    (h, w), (rows, columns) = flow.shape[:2], size
    flow = area_average(flow, (min(h, rows), min(w, columns)))
    if flow.shape[:2] != (rows, columns):
        flow = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return flow * np.array([columns / w, rows / h], np.float32)


def end_point_error(flow: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean distance between the ends of the vectors, in pixels; over the valid pixels if a mask is given.

    Raises:
        ValueError: flows of different sizes, or no valid pixel.
    """
    if flow.shape != truth.shape:
        raise ValueError(f"flow has shape {flow.shape}, expected {truth.shape} as truth")
    distance = np.linalg.norm(np.asarray(flow, np.float64) - truth, axis=-1)
    if valid is not None:
        distance = distance[valid]
    if not distance.size:
        raise ValueError("no valid pixel to compare at")
    return float(distance.mean())


def check_flow(flow: np.ndarray) -> None:
    """Raise ValueError unless the array is (h, w, 2), not empty."""
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"flow has shape {flow.shape}, expected (h, w, 2), none of them 0")


def _targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h, w = flow.shape[:2]
    x = np.arange(w, dtype=np.float32) + np.asarray(flow[..., 0], np.float32)
    y = np.arange(h, dtype=np.float32)[:, None] + np.asarray(flow[..., 1], np.float32)
    # One pixel outside is as far as any: positions in the millions would overflow.
    return np.clip(x, -1, w), np.clip(y, -1, h)


def _inside(flow: np.ndarray) -> np.ndarray:
    x, y = _targets(flow)
    h, w = flow.shape[:2]
    return (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)


def _bordered(layer: np.ndarray) -> np.ndarray:
    """The layer with its lower and right borders repeated until no side is below what DIS needs."""
    below, right = (max(0, _MIN_SIDE - side) for side in layer.shape[:2])
    if not below and not right:
        return layer
    return cv2.copyMakeBorder(layer, 0, below, 0, right, cv2.BORDER_REPLICATE)


def _grey(frame: np.ndarray, name: str) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.ndim not in (2, 3) or 0 in frame.shape or (frame.ndim == 3 and frame.shape[2] not in (1, 3)):
        raise DataError(f"{name} has shape {frame.shape}, expected (h, w, 3) or (h, w)")
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    elif frame.dtype.kind == "f":
        if not (np.isfinite(frame).all() and frame.min() >= 0 and frame.max() <= 1):
            raise DataError(f"{name} spans {frame.min():g} to {frame.max():g}, expected values in [0, 1]")
        frame = np.rint(frame * 255).astype(np.uint8)
    elif frame.dtype != np.uint8:
        raise DataError(f"{name} holds {frame.dtype}, expected uint8, uint16 or floating point")
    if frame.ndim == 2 or frame.shape[2] == 1:
        return np.ascontiguousarray(frame.reshape(frame.shape[:2]))
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
