"""Segmenters compared: how well the segments of a photo stand for a true field, at what cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from skimage.segmentation import felzenszwalb, watershed

from coembed.imaging.upsampling.segments import superpixels

_LIGHTNESS = 0.7  # as the package has it
Segmenter = Callable[[np.ndarray, np.ndarray], np.ndarray]


def compare_segmenters(scenes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Errors of a field that is replaced by its means over segments.

    Args:
        scenes: photo (h, w, 3) uint8, truth (c, h, w), edge band (h, w) bool.

    Returns:
        A row a segmenter: its name, mean number of segments, edge-band RMSE (means over scenes), CPU seconds.
    """
    rows = []
    for name, segment in _segmenters().items():
        counts, errors, seconds = [], [], []
        for photo, truth, band in scenes:
            lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
            lab *= np.array([_LIGHTNESS, 1, 1], np.float32)
            start = time.process_time()
            labels = segment(photo, lab)
            seconds.append(time.process_time() - start)
            flat = np.unique(labels, return_inverse=True)[1].ravel()
            sizes = np.bincount(flat)
            stand_in = [
                (np.bincount(flat, layer.ravel()) / sizes)[flat].reshape(layer.shape) for layer in truth
            ]
            errors.append(math.sqrt(np.square(stand_in - truth).sum(0)[band].mean()))
            counts.append(len(sizes))
        rows.append(
            {
                "segmenter": name,
                "segments": float(np.mean(counts)),
                "rmse_edges": float(np.mean(errors)),
                "seconds": float(np.median(seconds)),
            }
        )
    return rows


def _segmenters() -> dict[str, Segmenter]:
    found: dict[str, Segmenter] = {}
    for step in (14.0, 8.8, 7.0, 5.0):
        found[f"SLIC, step {step:g} px"] = partial(_slic, step=step)
    for scale, smallest in ((10, 20), (4, 20), (2, 20), (2, 10)):
        found[f"Felzenszwalb, scale {scale}, at least {smallest} px"] = partial(
            _felzenszwalb, scale=scale, smallest=smallest
        )
    for step in (9, 7):
        found[f"watershed, compact, step {step} px"] = partial(_watershed, step=step)
    found["mean shift, 8 px, 10 levels"] = _mean_shift
    return found


def _slic(photo: np.ndarray, lab: np.ndarray, *, step: float) -> np.ndarray:
    return superpixels(lab, step).labels


def _felzenszwalb(photo: np.ndarray, lab: np.ndarray, *, scale: float, smallest: int) -> np.ndarray:
    return felzenszwalb(lab / 100, scale=scale, sigma=0.5, min_size=smallest, channel_axis=2)


def _watershed(photo: np.ndarray, lab: np.ndarray, *, step: int) -> np.ndarray:
    slopes = [np.hypot(cv2.Sobel(c, cv2.CV_32F, 1, 0), cv2.Sobel(c, cv2.CV_32F, 0, 1)) for c in cv2.split(lab)]
    seeds = np.zeros(lab.shape[:2], np.int32)
    at = seeds[step // 2 :: step, step // 2 :: step]
    at[:] = np.arange(1, at.size + 1).reshape(at.shape)
    return watershed(np.maximum.reduce(slopes), seeds, compactness=1)


def _mean_shift(photo: np.ndarray, lab: np.ndarray) -> np.ndarray:
    flat = cv2.pyrMeanShiftFiltering(photo, 8, 10, maxLevel=0).astype(np.int32)
    # Neighbours that differ by at most 6 levels in every channel belong together.
    alike = [np.abs(np.diff(flat, axis=axis)).max(-1) <= 6 for axis in (0, 1)]
    return _components(alike[0], alike[1])


def _components(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    h, w = right.shape[0], down.shape[1]
    index = np.arange(h * w).reshape(h, w)
    first = np.concatenate([index[:-1][down], index[:, :-1][right]])
    second = np.concatenate([index[1:][down], index[:, 1:][right]])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(h * w, h * w))
    return connected_components(graph, directed=False)[1].reshape(h, w)
