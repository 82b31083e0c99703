"""Flow in files: Middlebury's ``.flo`` and KITTI's 16-bit PNG, read strictly and written whole.

Both keep, beside the vectors, which pixels have one. Reading gives ``(flow, valid)``: (h, w, 2) float32 in
pixels (x right, y down) and (h, w) bool; where there is no vector, the flow is 0.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np

from coembed.errors import DataError, PhotoError
from coembed.imaging.io import png
from coembed.serialization import write_bytes

MAX_VECTORS = 64_000_000  # as many as a photo may have pixels
_FLO_MAGIC = b"PIEH"  # the float 202021.25
_FLO_UNKNOWN = 1e9  # Middlebury: larger means unknown
_FLO_MARK = 1e10  # what its own code writes there
_KITTI_STEP, _KITTI_ZERO = 64.0, 1 << 15


def read_flo(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """A Middlebury file: magic, width, height (int32), then u, v (float32) row by row, little endian.

    Returns:
        ``(flow, valid)``; vectors beyond 1e9, or not finite, are unknown.

    Raises:
        DataError: missing, not this format, shorter or longer than its size says, or too large.
    """
    try:
        with open(path, "rb") as file:
            bytes_there = os.fstat(file.fileno()).st_size
            header = file.read(12)
            if header[:4] != _FLO_MAGIC or len(header) < 12:
                raise DataError(
                    f"{path}: starts with {header[:4]!r}, expected a .flo file, which starts with "
                    f"{_FLO_MAGIC!r} and its size"
                )
            w, h = struct.unpack("<ii", header[4:])
            if w < 1 or h < 1 or bytes_there != 12 + 8 * w * h:
                raise DataError(
                    f"{path}: {bytes_there} bytes, expected {12 + 8 * w * h} for its {w} x {h} vectors"
                )
            _check_count(path, w, h)
            data = file.read(8 * w * h)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from None
    flow = np.frombuffer(data, "<f4").reshape(h, w, 2).astype(np.float32)
    # NaN compares false: unknown.
    valid = np.asarray((np.abs(flow) <= _FLO_UNKNOWN).all(-1))
    flow[~valid] = 0
    return flow, valid


def write_flo(path: Path | str, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a Middlebury file; exact in float32.

    Args:
        path: replaced whole or left alone.
        flow: (h, w, 2), pixels.
        valid: (h, w) bool, None: everywhere; the others are marked unknown.

    Raises:
        DataError: not a flow, or a valid vector that is not finite or beyond 1e9.
    """
    flow, valid = _checked(path, flow, valid)
    _check_span(path, flow, valid, -_FLO_UNKNOWN, _FLO_UNKNOWN)
    h, w = valid.shape
    marked = np.where(valid[..., None], flow, np.float32(_FLO_MARK)).astype("<f4")
    _write(path, _FLO_MAGIC + struct.pack("<ii", w, h) + marked.tobytes())


def read_kitti(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """A KITTI file: 16-bit RGB PNG of u * 64 + 2^15, v * 64 + 2^15 and whether there is a vector.

    Raises:
        DataError: missing, damaged, not a 16-bit RGB PNG, or too large.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from None
    if data[:8] != png.SIGNATURE:
        raise DataError(f"{path}: starts with {data[:4]!r}, expected a PNG file, as KITTI keeps flow in")
    try:
        _check_count(path, *png.read_header(data))
        parts = png.take_apart(data)
        if (parts.depth, parts.colour_type) != (16, 2):
            raise DataError(
                f"{path}: {parts.channels} channels of {parts.depth} bits (colour type {parts.colour_type}), "
                "expected the 16-bit RGB of a KITTI flow file"
            )
        parts.check_rows()
    except PhotoError as error:
        raise DataError(f"{path}: {error}") from None
    bgr = cv2.imdecode(np.frombuffer(parts.bare(transparent=False), np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None or bgr.dtype != np.uint16 or bgr.shape != (parts.height, parts.width, 3):
        raise DataError(f"{path}: damaged PNG picture data")
    valid = bgr[..., 0] > 0
    flow = (bgr[..., :0:-1].astype(np.float32) - _KITTI_ZERO) / np.float32(_KITTI_STEP)
    flow[~valid] = 0
    return np.ascontiguousarray(flow), valid


def write_kitti(path: Path | str, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a KITTI file; vectors are rounded to 1/64 of a pixel.

    Args:
        path: replaced whole or left alone.
        flow: (h, w, 2), pixels, -512 to 511.98: the format holds no more.
        valid: (h, w) bool, None: everywhere.

    Raises:
        DataError: not a flow, or a valid vector outside that range.
    """
    flow, valid = _checked(path, flow, valid)
    _check_span(path, flow, valid, -_KITTI_ZERO / _KITTI_STEP, (_KITTI_ZERO - 1) / _KITTI_STEP)
    levels = np.rint(np.where(valid[..., None], flow, 0) * np.float32(_KITTI_STEP)) + _KITTI_ZERO
    levels = np.dstack([valid, levels[..., 1], levels[..., 0]]).astype(np.uint16)  # BGR for OpenCV
    levels[~valid] = 0
    done, data = cv2.imencode(".png", levels)
    if not done:
        raise DataError(f"{path}: could not be encoded as PNG")
    _write(path, data.tobytes())


def _check_count(path: Path | str, w: int, h: int) -> None:
    if w * h > MAX_VECTORS:
        raise DataError(f"{path}: {w} x {h} vectors, expected at most {MAX_VECTORS}")


def _checked(path: Path | str, flow: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape or flow.dtype.kind not in "fiu":
        raise DataError(f"{path}: flow is {flow.dtype} {flow.shape}, expected real numbers (h, w, 2)")
    valid = np.ones(flow.shape[:2], bool) if valid is None else np.asarray(valid)
    if valid.shape != flow.shape[:2] or valid.dtype != np.bool_:
        raise DataError(f"{path}: valid is {valid.dtype} {valid.shape}, expected bool {flow.shape[:2]}")
    # Rounding to float32 may overflow to infinity, which the span shows.
    with np.errstate(over="ignore"):
        return flow.astype(np.float32), valid


def _check_span(path: Path | str, flow: np.ndarray, valid: np.ndarray, low: float, high: float) -> None:
    # Written so that NaN, which compares false, counts as wrong.
    wrong = valid & ~((flow >= low) & (flow <= high)).all(-1)
    if wrong.any():
        y, x = np.argwhere(wrong)[0].tolist()
        raise DataError(
            f"{path}: the vector at row {y}, column {x} is {flow[y, x].tolist()}, expected {low:g} to {high:g}"
        )


def _write(path: Path | str, data: bytes) -> None:
    try:
        write_bytes(path, data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
