"""The estimators of optical flow that ``flow.estimate`` knows, each a setting of one of OpenCV's."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def _dis(preset: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def run(grey0: np.ndarray, grey1: np.ndarray) -> np.ndarray:
        # One object a call: it keeps its buffers, and two threads must not share them.
        return cv2.DISOpticalFlow.create(preset).calc(grey0, grey1, None)  # type: ignore[call-overload]

    return run


def _dis_fine(grey0: np.ndarray, grey1: np.ndarray) -> np.ndarray:
    # Down to full resolution, with patches a little further apart than the medium preset's, for time.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchStride(4)
    dis.setGradientDescentIterations(16)
    return dis.calc(grey0, grey1, None)  # type: ignore[call-overload]


def _farneback(grey0: np.ndarray, grey1: np.ndarray) -> np.ndarray:
    # A window of 51 px: those of 15 to 35 lose the large motions (6.8 to 7.1 px mean error instead of 5.8).
    return cv2.calcOpticalFlowFarneback(
        grey0,
        grey1,
        None,  # type: ignore[arg-type]
        pyr_scale=0.5,
        levels=6,
        winsize=51,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
    )


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "dis": _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "dis-fine": _dis_fine,
    "dis-fast": _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "dis-ultrafast": _dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "farneback": _farneback,
}
"""Estimators by name: two (h, w) uint8 frames of at least 64 x 64 to an (h, w, 2) flow."""
