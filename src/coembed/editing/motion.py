"""Motion prediction: one photo in, the n kinds of motion that a model thinks likely out.

    photo -> area means at the model's size -> a hundred draws of the flow
          -> k-medoids: n representative draws, and the share of the draws that each stands for
          -> upsampled along the photo's edges, as pixels of the photo

One frame allows many futures, so a single prediction would be their blurred mean; the groups keep them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from coembed.editing.draw import sample_photo
from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.loading import Model, load_model
from coembed.editing.selection import distances_between, representatives
from coembed.errors import ConfigError, ModelError
from coembed.evaluation.moving import pan_share
from coembed.imaging.flow.estimate import resize_flow
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.upsampling.interpolate import Interpolator

if TYPE_CHECKING:
    from coembed.editing.options import Picture
    from coembed.models.base import Sampler
    from coembed.tasks import Task

TASK = "motion"
MAX_DRAWS = 2_000  # k-medoids keeps the distances between all of them

# Longer side at which a flow follows the photo's edges. A cell of the model is many pixels there already, and
# flow a pixel off at an edge of a 12 megapixel photo is not seen, but a full-size map a channel is felt.
_WORKING_SIDE = 1024

_PAN_SHARE = 0.9  # of a motion's energy: with more in its mean it is a pan


@dataclass(frozen=True)
class Motion:
    """One kind of motion that a photo may be followed by.

    Attributes:
        flow: (h, w, 2) float32, at the photo's size, pixels per second, x to the right and y downwards.
        low: (2, hl, wl) float32, the draw itself: fractions of the frame's width and height a second.
        share: of all draws, those that this one stands for; 0 to 1, the shares of all motions sum to 1.
        draw: which draw of the seed it is.
    """

    flow: np.ndarray
    low: np.ndarray
    share: float
    draw: int


@dataclass(frozen=True)
class MotionMode:
    """A motion at the model's resolution; the attributes are those of ``Motion``."""

    low: np.ndarray
    share: float
    draw: int


def predict_motion(
    photo: Picture,
    n: int = 4,
    seed: int = 0,
    *,
    draws: int = 100,
    temperature: float = 1.0,
    model: Model | None = None,
) -> list[Motion]:
    """Predict n kinds of motion of a photo, the one that most draws agree on first.

    The flow follows the photo's edges at 1024 pixels on the longer side and is enlarged smoothly from there, so
    the work does not grow with the photo; what is returned does: 8 bytes a pixel and motion.

    Args:
        photo: a path, the bytes of a file, a Pillow image, or an array (h, w, 3) of uint8 or uint16.
        n: kinds, at least 1.
        seed: same photo, seed and model, same motions.
        draws: at least n; more tell the shares better.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        model: a loaded model, a bundled name, a folder or a hub id; None for the bundled weights.

    Raises:
        PhotoError: the photo cannot be read.
        ModelError: the model cannot be loaded, or is for another task.
        ConfigError: an option outside its range.

    >>> motions = predict_motion("street.jpg", n=3)  # doctest: +SKIP
    >>> [f"{m.share:.0%}" for m in motions]  # doctest: +SKIP
    ['52%', '31%', '17%']
    """
    check_options(n, draws, temperature)
    source = read_photo(photo)
    loaded, task = load_model(model, TASK)
    modes = motion_modes(source, loaded, task, n, seed, draws=draws, temperature=temperature)
    enlarge = FlowEnlarger(source, modes[0].low.shape[1:])
    size = source.height, source.width
    return [Motion(resize_flow(enlarge(mode.low), size), mode.low, mode.share, mode.draw) for mode in modes]


def motion_modes(
    photo: Photo, model: Sampler, task: Task, n: int, seed: int, *, draws: int = 100, temperature: float = 1.0
) -> list[MotionMode]:
    """Draw flows and group them; all at the model's resolution.

    Args:
        photo: any size.
        model: for ``task``.
        task: ``motion``, or one of the same layers.
        n, seed, draws, temperature: as for ``predict_motion``.

    Returns:
        n kinds, the most common first.

    Raises:
        ConfigError: an option outside its range.
        ModelError: a model of other channels, or one that draws values that are not finite.
    """
    check_options(n, draws, temperature)
    condition, _ = low_layers(photo, task, *shapes_of(model, task))
    with torch.inference_mode():
        samples = sample_photo(model, condition, draws, seed, temperature)[:, 0]
    lows = samples.float().clamp(task.field.low, task.field.high).numpy()
    if not np.isfinite(lows).all():
        raise ModelError(f"the model drew {np.count_nonzero(~np.isfinite(lows))} values that are not finite")
    # In one unit for both directions, whatever the photo's aspect: as they look.
    aspect = photo.width / photo.height
    chosen = representatives(motion_distances(lows * np.array([aspect, 1], np.float32)[:, None, None]), n)
    return [MotionMode(lows[k], share, k) for k, share in zip(chosen.draws, chosen.weights, strict=True)]


def motion_distances(flows: np.ndarray) -> np.ndarray:
    """Differences between motions of one photo, the camera's pan apart: it says nothing of what is in the
    photo.

    Motions that are little but a pan are all of one kind, whichever way it goes, so that at most one of them is
    chosen while there are others.

    Args:
        flows: (draws, 2, h, w), both components in one unit.

    Returns:
        (draws, draws), Euclidean, 0 on the diagonal.
    """
    pans = flows.mean(axis=(2, 3), keepdims=True)
    panning = pan_share(torch.from_numpy(flows)).numpy() > _PAN_SHARE
    return distances_between(np.where(panning[:, None, None, None], 0, flows - pans))


class FlowEnlarger:
    """Study a photo's edges once, then bring flows of it to the working size: 1024 on the longer side.

    Args:
        photo: any size; a smaller one is worked on at its own.
        low_shape: (hl, wl) of the flows to come.
    """

    def __init__(self, photo: Photo, low_shape: tuple[int, int]):
        guide = shrunk(photo.pixels, _WORKING_SIDE)
        self.size = guide.shape[0], guide.shape[1]
        # Without overshoot: in a colour it sharpens edges, here it would be motion backwards around whatever
        # moves. Few ties by colour: what looks alike does not move alike (docs/upsampling.md).
        self._interpolator = Interpolator(guide, low_shape, overshoot=0.0, kin=1.0)

    def __call__(self, low: np.ndarray) -> np.ndarray:
        """A flow (2, hl, wl) in fractions of the frame as (h, w, 2) float32 in pixels of the working size."""
        h, w = self.size
        return np.ascontiguousarray(self._interpolator(low).transpose(1, 2, 0)) * np.array([w, h], np.float32)


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture (h, w, ...) reduced by area means to at most ``side`` pixels on its longer side, or itself."""
    h, w = pixels.shape[:2]
    scale = side / max(h, w)
    if scale >= 1:
        return pixels
    return cv2.resize(
        pixels, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
    )


def check_options(n: int, draws: int, temperature: float) -> None:
    """Raise ConfigError unless the numbers of kinds and draws and the temperature make sense."""
    if n < 1:
        raise ConfigError(f"n is {n}, expected at least 1")
    if not n <= draws <= MAX_DRAWS:
        raise ConfigError(f"draws is {draws}, expected n to {MAX_DRAWS}, here {n} to {MAX_DRAWS}")
    if not (math.isfinite(temperature) and 0 <= temperature <= 4):
        raise ConfigError(f"temperature is {temperature}, expected 0 to 4")
