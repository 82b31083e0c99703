"""Flow to look at: Middlebury's colour wheel, and arrows for the big motions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from coembed.imaging.flow.estimate import check_flow
from coembed.imaging.resize import area_average

# Colours from one primary or secondary to the next, as many as the eye tells apart (Baker et al. 2011).
_STEPS = (("RY", 15), ("YG", 6), ("GC", 4), ("CB", 11), ("BM", 13), ("MR", 6))
_CORNERS = {"R": (255, 0, 0), "Y": (255, 255, 0), "G": (0, 255, 0), "C": (0, 255, 255), "B": (0, 0, 255)}
_CORNERS["M"] = (255, 0, 255)
_CELLS = 64  # along the long side, between which motions are clustered
_ROUNDS = 30
_STILL = 0.5  # pixels: less is not drawn, because it is as large as an estimator's error


def color_wheel() -> np.ndarray:
    """The 55 colours of the wheel, (55, 3) uint8 RGB: 15 from red to yellow, 6 on to green, and so on."""
    colors = []
    for (start, end), count in _STEPS:
        a, b = np.array(_CORNERS[start]), np.array(_CORNERS[end])
        climb = 255 * np.arange(count)[:, None] // count
        colors.append(a + np.sign(b - a) * climb)
    return np.concatenate(colors).astype(np.uint8)


def flow_to_color(
    flow: np.ndarray, *, max_motion: float | None = None, valid: np.ndarray | None = None
) -> np.ndarray:
    """A flow as hue (direction) and saturation (length), as Middlebury's own tool draws it.

    Right is red, down yellow, left a bluish cyan, up violet; no motion is white.

    Args:
        flow: (h, w, 2), pixels.
        max_motion: pixels at which colours are full; longer ones are darkened. None: the longest vector here
            (``max_length``), which leaves pictures of different flows not comparable.
        valid: (h, w) bool; the others are black, as are vectors that are not finite.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        ValueError: not a flow, or a ``max_motion`` that is not above 0.
    """
    check_flow(flow)
    known = np.asarray(np.isfinite(flow).all(-1))
    if valid is not None:
        known &= valid
    if max_motion is None:
        max_motion = max_length(flow, valid) or 1.0
    if not max_motion > 0:
        raise ValueError(f"max_motion is {max_motion}, expected a length above 0")
    # + 0.0 makes -0.0 positive; it would turn the angle by a whole circle, and the wheel's ends differ.
    flow = np.where(known[..., None], flow, 0).astype(np.float64) + 0.0
    length = np.hypot(flow[..., 0], flow[..., 1])[..., None] / max_motion
    wheel = color_wheel().astype(np.float64)
    place = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    first = place.astype(np.intp)
    part = (place - first)[..., None]
    hue = wheel[first] * (1 - part) + wheel[(first + 1) % len(wheel)] * part
    color = np.where(length <= 1, 255 - length * (255 - hue), hue * 0.75)
    return np.where(known[..., None], np.floor(color), 0).astype(np.uint8)


def max_length(flow: np.ndarray, valid: np.ndarray | None = None) -> float:
    """The longest vector in pixels, among the valid and finite ones; 0 if there is none."""
    length = np.hypot(flow[..., 0].astype(np.float64), flow[..., 1].astype(np.float64))
    length = length[np.isfinite(length) if valid is None else np.isfinite(length) & valid]
    return float(length.max()) if length.size else 0.0


@dataclass(frozen=True)
class Arrow:
    """One big motion: what moves there, how, and how much of the frame does.

    Attributes:
        x, y: where it starts, pixels; always a place that does move so.
        dx, dy: the mean motion of its cluster, pixels.
        share: of the frame's area, 0 to 1.
    """

    x: float
    y: float
    dx: float
    dy: float
    share: float


def big_motions(
    flow: np.ndarray, n: int = 24, *, at_least: float = 0.25, valid: np.ndarray | None = None
) -> list[Arrow]:
    """The strongest motions of a flow, one an area: k-means over place and motion together.

    There is nothing random in it: clusters begin at the strongest motion and then, one by one, at what is
    farthest from all before.

    Args:
        flow: (h, w, 2), pixels, finite where valid.
        n: arrows at most, at least 1.
        at_least: share of the strongest motion below which a place counts as still, 0 to 1.
        valid: (h, w) bool; cells that are mostly invalid are left out.

    Returns:
        Longest first; empty if nothing moves by half a pixel.

    Raises:
        ValueError: not a flow, or fewer than 1 arrow.
    """
    check_flow(flow)
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1 arrow")
    h, w = flow.shape[:2]
    shrink = min(1.0, _CELLS / max(h, w))
    rows, columns = max(1, round(h * shrink)), max(1, round(w * shrink))
    known = np.ones((h, w), np.float32) if valid is None else valid.astype(np.float32)
    # A mean over what is valid in each cell, not diluted by the rest.
    weight = area_average(known, (rows, columns))
    motion = area_average(np.where(known[..., None] > 0, flow, 0), (rows, columns))
    motion /= np.maximum(weight, 1e-6)[..., None]
    length = np.where(weight >= 0.5, np.hypot(motion[..., 0], motion[..., 1]), 0)
    strongest = float(length.max())
    moving = np.argwhere((length >= at_least * strongest) & (length >= _STILL))
    if not len(moving):
        return []
    vectors = motion[tuple(moving.T)]
    places = (moving[:, ::-1] + 0.5) * [w / columns, h / rows] - 0.5
    points = np.concatenate([places / max(h, w), vectors / strongest], 1)
    labels = _k_means(points, min(n, len(points)))
    arrows = []
    for label in np.unique(labels):
        members = labels == label
        center = points[members].mean(0)
        x, y = places[members][np.square(points[members] - center).sum(1).argmin()]
        dx, dy = vectors[members].mean(0)
        arrows.append(Arrow(float(x), float(y), float(dx), float(dy), float(members.sum() / (rows * columns))))
    return sorted(arrows, key=lambda a: -np.hypot(a.dx, a.dy))


def draw_arrows(frame: np.ndarray, arrows: list[Arrow], *, stretch: float = 1.0) -> np.ndarray:
    """Arrows over a frame, in the wheel's colour of their direction, with a dark rim that shows on any ground.

    Args:
        frame: (h, w, 3) uint8 RGB; left as it is.
        arrows: in the frame's pixels; the longest is drawn last, on top.
        stretch: lengths are multiplied by it.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        ValueError: not such a frame.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame is {frame.dtype} {frame.shape}, expected uint8 (h, w, 3)")
    canvas = np.ascontiguousarray(frame).copy()
    line = max(1, round(max(frame.shape[:2]) / 256))
    for arrow in reversed(arrows):
        vector = np.array([arrow.dx, arrow.dy]) * stretch
        length = float(np.hypot(*vector))
        if length == 0:
            continue
        start = (round(arrow.x), round(arrow.y))
        end = (round(arrow.x + vector[0]), round(arrow.y + vector[1]))
        color = tuple(map(int, flow_to_color(vector[None, None])[0, 0]))
        tip = min(0.5, 5 * line / length)  # a head of one size, but never longer than half its arrow
        for thickness, ink in ((line + 2, (0, 0, 0)), (line, color)):
            cv2.arrowedLine(canvas, start, end, ink, thickness, cv2.LINE_AA, tipLength=tip)
    return canvas


def _k_means(points: np.ndarray, k: int) -> np.ndarray:
    """(n, d) points to (n,) labels below k; some may stay unused where points coincide."""
    centers = [points[np.square(points[:, 2:]).sum(1).argmax()]]
    nearest = np.square(points - centers[0]).sum(1)
    while len(centers) < k:
        centers.append(points[nearest.argmax()])
        nearest = np.minimum(nearest, np.square(points - centers[-1]).sum(1))
    center = np.array(centers)
    labels = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        distance = np.square(points).sum(1)[:, None] - 2 * points @ center.T + np.square(center).sum(1)
        before, labels = labels, distance.argmin(1)
        if (before == labels).all():
            break
        for j in np.unique(labels):
            center[j] = points[labels == j].mean(0)
    return labels
