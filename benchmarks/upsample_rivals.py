"""The methods that guided upsampling is usually done with, for the upsampling benchmark alone.

Each is prepared for a photo (H, W, 3) uint8 and a low shape (h, w), and then takes fields (c, h, w) float32 to
(c, H, W). Settings were chosen on other photos than those the benchmark reports on, for the least edge error
with back-projection over the three kinds of fields together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from coembed.imaging.resize import area_average
from coembed.imaging.upsampling.guided import GuidedFilter

Upsampler = Callable[[np.ndarray], np.ndarray]
Method = Callable[[np.ndarray, tuple[int, int]], Upsampler]


def rivals() -> dict[str, Method]:
    """Every rival by name, each also with plain back-projection."""
    plain: dict[str, Method] = {
        "bilinear": partial(resized, interpolation=cv2.INTER_LINEAR),
        "bicubic": partial(resized, interpolation=cv2.INTER_CUBIC),
        "guided filter": guided_filter,
        "joint bilateral": joint_bilateral,
        "fast bilateral solver": bilateral_solver,
    }
    return plain | {f"{name} + bp": partial(back_projected, method) for name, method in plain.items()}


def cell_means(fields: np.ndarray, low_shape: tuple[int, int]) -> np.ndarray:
    """Area means, (c, H, W) to (c, h, w)."""
    return np.ascontiguousarray(area_average(fields.transpose(1, 2, 0), low_shape).transpose(2, 0, 1))


def back_projected(
    method: Method, photo: np.ndarray, low_shape: tuple[int, int], *, rounds: int = 10
) -> Upsampler:
    """Irani and Peleg: what the area means lack is upsampled in the same way and added, again and again."""
    upsample = method(photo, low_shape)

    def apply(low: np.ndarray) -> np.ndarray:
        field = upsample(low)
        for _ in range(rounds):
            field = field + upsample(low - cell_means(field, low_shape))
        return field

    return apply


def resized(photo: np.ndarray, low_shape: tuple[int, int], *, interpolation: int) -> Upsampler:
    """OpenCV's resize."""
    size = photo.shape[1], photo.shape[0]
    return lambda low: np.stack([cv2.resize(one, size, interpolation=interpolation) for one in low])


def guided_filter(
    photo: np.ndarray, low_shape: tuple[int, int], *, epsilon: float = 3e-4, cells: float = 1.5
) -> Upsampler:
    """He's guided filter of the bilinear field, colour guide; ``cells`` is its radius."""
    radius = tuple(max(1, round(cells * full / cut)) for full, cut in zip(photo.shape, low_shape, strict=False))
    filtered = GuidedFilter(photo.astype(np.float32) / 255, (radius[0], radius[1]), epsilon=epsilon)
    bilinear = resized(photo, low_shape, interpolation=cv2.INTER_LINEAR)
    return lambda low: np.stack([filtered(one) for one in bilinear(low)])


def joint_bilateral(
    photo: np.ndarray, low_shape: tuple[int, int], *, colour: float = 15.0, space: float = 1.0
) -> Upsampler:
    """Kopf's joint bilateral upsampling over 5 x 5 cells, Lab guide; ``space`` in cells."""
    height, width = photo.shape[:2]
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    cells = area_average(lab, low_shape)
    sizes = list(zip((height, width), low_shape, strict=True))
    places = [(np.arange(full, dtype=np.float32) + 0.5) * cut / full - 0.5 for full, cut in sizes]
    nearest = [np.rint(place).astype(int) for place in places]
    index = np.arange(low_shape[0] * low_shape[1], dtype=np.int32).reshape(low_shape)
    weights = np.empty((height, width, 25), np.float32)
    columns = np.empty((height, width, 25), np.int32)
    for k, (down, right) in enumerate((d, r) for d in range(-2, 3) for r in range(-2, 3)):
        row, column = (
            np.clip(n + step, 0, cut - 1)
            for n, step, cut in zip(nearest, (down, right), low_shape, strict=True)
        )
        near = [
            np.exp(-0.5 * ((place - n - step) / space) ** 2)
            for place, n, step in zip(places, nearest, (down, right), strict=True)
        ]
        unlike = np.square(lab - cells[row][:, column]).sum(-1)
        weights[..., k] = np.outer(*near) * (np.exp(-0.5 * unlike / colour**2) + 1e-4)
        columns[..., k] = index[row][:, column]
    weights /= weights.sum(-1, keepdims=True)
    starts = np.arange(0, weights.size + 1, 25)
    matrix = sparse.csr_array((weights.ravel(), columns.ravel(), starts), shape=(height * width, index.size))
    return lambda low: (matrix @ low.reshape(len(low), -1).T).T.reshape(-1, height, width)


def bilateral_solver(
    photo: np.ndarray,
    low_shape: tuple[int, int],
    *,
    space: float = 8.0,
    lightness: float = 8.0,
    chroma: float = 4.0,
    smooth: float = 128.0,
) -> Upsampler:
    """Barron and Poole's fast bilateral solver of the bicubic field (ECCV 2016), the simplified grid.

    Confidence is a bump at each cell's centre, as they have it for depth. ``space`` is the grid's side in
    pixels, ``lightness`` and ``chroma`` in levels of 8-bit YUV, ``smooth`` their lambda.
    """
    height, width = photo.shape[:2]
    yuv = cv2.cvtColor(photo, cv2.COLOR_RGB2YUV).astype(np.float64)
    rows, columns = np.indices((height, width))
    axes = [rows / space, columns / space, yuv[..., 0] / lightness, yuv[..., 1] / chroma, yuv[..., 2] / chroma]
    places = np.stack([np.floor(axis + 0.5).astype(np.int64).ravel() for axis in axes], -1)
    strides = np.cumprod([1, *(places.max(0) + 3)[:-1]])
    keys, vertex = np.unique((places + 1) @ strides, return_inverse=True)
    count, pixels = len(keys), vertex.size
    splat = sparse.csr_array((np.ones(pixels), (vertex, np.arange(pixels))), shape=(count, pixels))
    blur = sparse.diags_array(np.full(count, 2.0 * len(strides))).tocsr()
    for stride in strides:
        at = np.minimum(np.searchsorted(keys, keys + stride), count - 1)
        here = np.flatnonzero(keys[at] == keys + stride)
        step = sparse.csr_array((np.ones(here.size), (here, at[here])), shape=(count, count))
        blur = blur + step + step.T
    mass = splat.sum(axis=1)
    scale = np.ones(count)
    for _ in range(10):  # bistochastisation
        scale = np.sqrt(scale * mass / (blur @ scale))
    mass = scale * (blur @ scale)
    laplacian = sparse.diags_array(mass) - sparse.diags_array(scale) @ blur @ sparse.diags_array(scale)
    bumps = [
        np.exp(-0.5 * ((((np.arange(full) + 0.5) * cut / full) % 1 - 0.5) / 0.25) ** 2)
        for full, cut in zip((height, width), low_shape, strict=True)
    ]
    confidence = np.outer(*bumps).ravel()
    weight = splat @ confidence
    system = smooth * laplacian + sparse.diags_array(weight)
    diagonal = sparse.diags_array(1 / system.diagonal())
    bicubic = resized(photo, low_shape, interpolation=cv2.INTER_CUBIC)

    def apply(low: np.ndarray) -> np.ndarray:
        result = []
        for target in bicubic(low):
            right = splat @ (confidence * target.ravel())
            start = right / np.maximum(weight, 1e-9)
            solution, _ = linalg.cg(system, right, x0=start, rtol=1e-5, maxiter=25, M=diagonal)
            result.append(solution[vertex].reshape(height, width))
        return np.stack(result).astype(np.float32)

    return apply
