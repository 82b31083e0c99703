"""Layers in files of their own: images, ``.npy`` arrays and ``.flo`` motion fields.

Images are read as [0, 1] (grey ones have one channel), ``.npy`` as (h, w) or (h, w, c) in natural units,
``.flo`` (Middlebury optical flow) as (h, w, 2) in pixels: to the right and downwards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coembed.errors import DataError
from coembed.imaging.flow.files import read_flo
from coembed.imaging.io.photo import PHOTO_SUFFIXES, read_photo

LAYER_SUFFIXES: frozenset[str] = PHOTO_SUFFIXES | {".npy", ".flo"}


def read_layer(path: str, channels: int | None = None) -> np.ndarray:
    """One image, ``.npy`` or ``.flo`` file as (h, w, c) float32.

    Args:
        path: the file.
        channels: a grey image becomes that many equal channels; None: one.

    Raises:
        PhotoError: an image that cannot be read.
        DataError: a damaged array, or one that is not (h, w) or (h, w, c) of real numbers.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _read_npy(path)
    if suffix == ".flo":
        return _read_flo(path)
    photo = read_photo(path)
    rgb = photo.as_float()
    return rgb[..., :1] if photo.grey and channels != 3 else rgb


def _read_npy(path: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror or error})") from None
    except (ValueError, EOFError):  # numpy's message would advise to unpickle the file
        raise DataError(f"{path}: not a readable .npy array of numbers") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        kind = getattr(array, "dtype", "an archive")
        raise DataError(f"{path}: holds {kind}, expected real numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(f"{path}: has shape {array.shape}, expected (h, w) or (h, w, c)")
    # Rounding to float32 may overflow to infinity, which the caller reports.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array.reshape(*array.shape[:2], -1), np.float32)


def _read_flo(path: str) -> np.ndarray:
    flow, valid = read_flo(path)
    if not valid.all():
        y, x = np.argwhere(~valid)[0].tolist()
        raise DataError(
            f"{path}: has no vector at row {y}, column {x} (marked unknown), expected one everywhere"
        )
    return flow
