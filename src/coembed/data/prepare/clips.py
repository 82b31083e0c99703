"""The recipe that makes pairs from clips: frames at equally spaced times, and where they go within a second.

The flow over a second is estimated there and back. What does not come back to within a hundredth of the frame,
or looks different where it ends, is not trusted: cells average what is left, cells with nothing left are filled
from their neighbours, and pairs with too little left are left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from coembed.data.names import crop_options, frame_name, view_name
from coembed.data.prepare.photos import PhotoRecipe, TaskRecipe, view_of
from coembed.data.prepare.workers import Pair
from coembed.data.sources.items import Item
from coembed.data.sources.video import Video, open_video, read_frames
from coembed.errors import PhotoError
from coembed.imaging.flow import estimate as flow
from coembed.imaging.flow.chain import HOPS, Via, frames_wanted, there_and_back
from coembed.imaging.resize import area_average
from coembed.tasks.motion import Motion
from coembed.tasks.task import get_task

DEFAULT_LONGER_SIDE = 160
MAX_RETURN_ERROR = 0.01  # of the frame's longer side, that a trusted point may miss its start by
MAX_GREY_CHANGE = 0.15  # of white: a trusted point may differ so much in grey after the second
_MIN_TRUSTED = 0.05  # of a cell's area: less trusted flow than that is no mean of the cell


@dataclass(frozen=True)
class ClipRecipe(TaskRecipe):
    """Conditions and fields of a clip's samples at ``size``, by a task.

    Args:
        task: ``"motion"``, or a photo task, which then sees the frames alone.
        size: (h, w) of both layers.
        samples: of a clip, equally spaced; fewer where a clip has not as many different frames.
        via: how the flow over a second is found: in one match (``direct``), along every frame (``chain``), or
            by the better of the two where the chain has few links (``auto``); see ``imaging.long_flow``.
        min_valid: share of the frame whose flow must be trusted, 0 to 1; else the pair is left out.
        longest_side: of the frames in pixels; larger ones are reduced before anything else.
        crops: random crops per sample, each a pair besides the whole (see ``crop_of``).
        crop_seed: of where the crops lie.
        fps: frames per second, where the files do not know better.
    """

    samples: int = 8
    via: Via = "auto"
    min_valid: float = 0.5
    longest_side: int = DEFAULT_LONGER_SIDE
    crops: int = 0
    crop_seed: int = 0
    fps: float | None = None

    @property
    def pairs_per_item(self) -> int:
        """Samples, each whole and in crops."""
        return self.samples * (self.crops + 1)

    @property
    def unit(self) -> str:
        """Of the progress shown."""
        return "clips"

    def options(self) -> dict[str, Any]:
        """Further options that decide the numbers."""
        options: dict[str, Any] = {
            "samples": self.samples,
            "longest_side": self.longest_side,
            "fps": self.fps,
        }
        if self._moves:
            via = f"auto, {HOPS} hops" if self.via == "auto" else self.via
            options |= {"via": via, "min_valid": self.min_valid, "tolerance": MAX_RETURN_ERROR}
            options["likeness"] = MAX_GREY_CHANGE
        return options | crop_options(self.crops, self.crop_seed)

    def pairs_of(self, item: Item) -> tuple[list[Pair], dict[str, int]]:
        """The pairs of a clip, named ``clip.avi@0``, ``clip.avi@0#1``, ..., from one pass through its frames.

        Raises:
            PhotoError: the clip cannot be decoded, or is shorter than a second.
            DataError: the task fails on a frame.
        """
        pairs, unreliable = [], 0
        for k, frames, seconds in self._sampled(item.paths[0]):
            name = frame_name(item.name, k)
            if not self._moves:
                pairs += self._photo_pairs(name, frames[0])
                continue
            motion, valid = flow_over(frames, seconds, self.via)
            rgb = frames[0].astype(np.float32) / np.float32(255)
            for v in range(self.crops + 1):
                view = view_name(name, v)
                part = view_of(view, v, valid, self.crop_seed)
                if part.mean() < self.min_valid:
                    unreliable += 1
                    continue
                condition = area_average(view_of(view, v, rgb, self.crop_seed), self.size)
                # Of a smaller frame the same motion is a larger share.
                share = np.array([valid.shape[1] / part.shape[1], valid.shape[0] / part.shape[0]], np.float32)
                moved = view_of(view, v, motion, self.crop_seed) * share
                pairs.append(Pair(view, condition, cells_of(moved, part, self.size)))
        return pairs, {"unreliable motion": unreliable} if unreliable else {}

    @property
    def _moves(self) -> bool:
        return isinstance(get_task(self.task), Motion)

    def _photo_pairs(self, name: str, frame: np.ndarray) -> list[Pair]:
        recipe = PhotoRecipe(self.task, self.size)
        layers = recipe.split(name, frame.astype(np.float32) / np.float32(255))
        pairs = []
        for v in range(self.crops + 1):
            view = view_name(name, v)
            condition, field = (view_of(view, v, layer, self.crop_seed) for layer in layers)
            pairs.append(Pair(view, *recipe.average(view, condition, field)))
        return pairs

    def _sampled(self, path: str):
        """(sample number, frames from its start to its end, seconds between these two) of every sample."""
        video = open_video(path, self.fps)
        count = video.count
        while True:
            plan = self._plan(video, count)
            frames, decoded = read_frames(video, {n for steps in plan for n in steps}, self.longest_side)
            if all(n in frames for steps in plan for n in steps):
                break
            # The file promised more frames than it has. What there is counts.
            count = min(decoded, count - 1)
        for k, steps in enumerate(plan):
            yield k, [frames[n] for n in steps], (steps[-1] - steps[0]) / video.fps

    def _plan(self, video: Video, count: int) -> list[list[int]]:
        """The frame numbers of every sample."""
        gap = max(1, round(video.fps))
        if count <= gap:
            raise PhotoError(
                f"{video.path}: {count} frames at {video.fps:g} a second, expected more than a second"
            )
        last = count - 1 - gap
        starts = sorted({round(i * last / max(self.samples - 1, 1)) for i in range(self.samples)})
        if not self._moves:
            return [[start] for start in starts]
        return [[start + n for n in frames_wanted(gap, self.via)] for start in starts]


def flow_over(frames: list[np.ndarray], seconds: float, via: Via) -> tuple[np.ndarray, np.ndarray]:
    """Motion from the first of these frames to the last, as in a second, and where it can be trusted.

    Args:
        frames: those that ``frames_wanted`` names, (h, w, 3) uint8.
        seconds: from the first to the last.
        via: see ``there_and_back``.

    Returns:
        motion (h, w, 2) float32, fractions of the frame per second, not clipped; valid (h, w) bool.
    """
    there, back = there_and_back(frames, via)
    h, w = there.shape[:2]
    valid = flow.validity(there, back, absolute=(MAX_RETURN_ERROR * max(h, w)) ** 2)
    valid &= flow.looks_alike(frames[0], frames[-1], there, tolerance=MAX_GREY_CHANGE)
    return there / np.array([w * seconds, h * seconds], np.float32), valid


def cells_of(motion: np.ndarray, valid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A part of the frame's motion as means over cells of what can be trusted; the rest is filled in.

    Args:
        motion: (h, w, 2), fractions of the frame that ``frame`` is the shape of.
        valid: (h, w) bool, at least one True.
        size: (H, W).

    Returns:
        (H, W, 2) float32 in [-1, 1].
    """
    weight = area_average(valid.astype(np.float32), size)
    total = area_average(np.where(valid[..., None], motion, 0), size)
    known = weight >= min(_MIN_TRUSTED, float(weight.max()))
    cells = np.where(known[..., None], total / np.maximum(weight, 1e-6)[..., None], 0).astype(np.float32)
    return np.clip(fill(cells, known), Motion.field.low, Motion.field.high)


def fill(cells: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Unknown cells as Gaussian means of the known ones, of the least width that reaches any.

    Args:
        cells: (H, W, c) float32.
        known: (H, W) bool, at least one True.

    Returns:
        (H, W, c) float32; known cells are as they were.
    """
    filled, todo = cells.copy(), ~known
    weight = known.astype(np.float32)
    values = cells * weight[..., None]
    sigma = 1.0
    while todo.any():
        blur = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_CONSTANT)
        reach = blur(weight)
        near = todo & (reach > 0)
        filled[near] = (blur(values).reshape(cells.shape)[near]) / reach[near, None]
        todo &= ~near
        sigma *= 2
    return filled
