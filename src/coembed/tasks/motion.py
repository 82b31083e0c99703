"""Motion: one frame is given, where everything in it goes within a second is generated (paper sec. 5)."""

from __future__ import annotations

import numpy as np

from coembed.errors import ConfigError, DataError
from coembed.imaging.flow import estimate as flow
from coembed.tasks.task import Layer, register_task


@register_task
class Motion:
    """Condition: the frame in colour. Field: its optical flow, as fractions of the frame's sides a second.

    A field of 0.25 in channel 0 moves a pixel to the right by a quarter of the width within a second; channel 1
    points downwards. Fractions hold at any size and any frame rate. One photo alone stands still: its own field
    is zero. What two frames of a video show is ``split_frames``.
    """

    name = "motion"
    condition = Layer("frame", channels=3, low=0.0, high=1.0, unit="1")
    field = Layer("flow", channels=2, low=-1.0, high=1.0, unit="frames/s", vector=True)

    def split(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A copy of the (h, w, 3) photo, and no motion: (h, w, 2) of zeros."""
        return np.array(rgb, np.float32), np.zeros((*rgb.shape[:2], 2), np.float32)

    def split_frames(
        self, first: np.ndarray, second: np.ndarray, *, seconds: float = 1.0, method: str = "dis"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The condition and the true field of two frames of a video.

        Args:
            first: (h, w, 3) float32 in [0, 1].
            second: the same view, later; the same size.
            seconds: between them, above 0; the field is what a second of this motion would be.
            method: one of ``coembed.imaging.flow.estimate.METHODS``.

        Returns:
            condition (h, w, 3) and field (h, w, 2), float32; the field is clipped to [-1, 1].

        Raises:
            ConfigError: no such method, or a time that is not above 0.
            DataError: frames of two sizes.
        """
        if not seconds > 0:
            raise ConfigError(f"seconds is {seconds}, expected a time above 0")
        return np.array(first, np.float32), as_fractions(flow.estimate(first, second, method), seconds)

    def compose(self, rgb: np.ndarray, field: np.ndarray) -> np.ndarray:
        """The photo per second later: every pixel moved along the field; no motion gives the photo to the bit.

        What is uncovered shows what is nearest along the motion, and the border goes on.

        Raises:
            DataError: the field is not of the photo's size.
        """
        if field.shape != (*rgb.shape[:2], 2):
            raise DataError(
                f"field has shape {field.shape}, expected {(*rgb.shape[:2], 2)}, the size of the photo"
            )
        return flow.warp(rgb, flow.invert(as_pixels(field)))


def as_fractions(pixels: np.ndarray, seconds: float = 1.0) -> np.ndarray:
    """A flow (h, w, 2) in pixels over ``seconds`` as the task's field, clipped to its range."""
    h, w = pixels.shape[:2]
    field = np.asarray(pixels, np.float32) / np.array([w * seconds, h * seconds], np.float32)
    return np.clip(field, Motion.field.low, Motion.field.high)


def as_pixels(field: np.ndarray, seconds: float = 1.0) -> np.ndarray:
    """The task's field (h, w, 2) as a flow in pixels over ``seconds``."""
    h, w = field.shape[:2]
    return np.asarray(field, np.float32) * np.array([w * seconds, h * seconds], np.float32)
