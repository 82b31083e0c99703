"""Pixels to bytes, in the format that a file's suffix asks for. Errors name no file; ``write_photo`` does."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from coembed.errors import PhotoError
from coembed.imaging.io import png

WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_MAX_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # what libjpeg and libwebp can write


def encode(suffix: str, pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None, quality: int) -> bytes:
    """Encode upright pixels.

    Args:
        suffix: one of ``WRITABLE``, lower case.
        pixels: (h, w, 3) or grey (h, w), uint8 or uint16; JPEG and WebP are written with 8 bits.
        alpha: (h, w), same dtype as the pixels; JPEG has no place for it and leaves it out.
        icc: a profile of the pixels' colour space, or None.
        quality: 1 to 100, for JPEG and WebP.

    Raises:
        PhotoError: the suffix is not supported, or the picture is too large for the format.
    """
    if suffix not in WRITABLE:
        raise PhotoError(
            f"cannot write {suffix or 'a name without suffix'!r}, expected one of {', '.join(WRITABLE)}"
        )
    height, width = pixels.shape[:2]
    if max(height, width) > _MAX_SIDE.get(suffix, max(height, width)):
        raise PhotoError(
            f"{width} x {height} pixels, expected at most {_MAX_SIDE[suffix]} a side in {suffix} files"
        )
    if suffix in (".jpg", ".jpeg"):
        file = io.BytesIO()
        Image.fromarray(_eight_bits(pixels)).save(file, "JPEG", quality=quality, subsampling=0, icc_profile=icc)
        return file.getvalue()
    if suffix == ".webp":
        file = io.BytesIO()
        pixels = _eight_bits(pixels)
        picture = pixels if alpha is None else _with_alpha(pixels, _eight_bits(alpha))
        # exact keeps the colours under transparent pixels, as the other formats do
        Image.fromarray(picture).save(file, "WEBP", quality=quality, exact=True, icc_profile=icc or b"")
        return file.getvalue()
    return _png(pixels, alpha, icc) if suffix == ".png" else _tiff(pixels, alpha, icc)


def _png(pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None) -> bytes:
    # OpenCV writes 16 bits, which Pillow cannot. Run-length matching after the row filters is the fastest
    # setting and on photos within a tenth of the smallest.
    picture = pixels if alpha is None else _with_alpha(pixels, alpha)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", picture, fast)
    if not done:
        raise PhotoError(f"a PNG of {pixels.shape[1]} x {pixels.shape[0]} pixels could not be encoded")
    return png.with_icc(data.tobytes(), icc) if icc else data.tobytes()


def _tiff(pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None) -> bytes:
    import tifffile  # slow to import, and most photos are not TIFF

    file = io.BytesIO()
    grey = pixels.ndim == 2 and alpha is None
    tifffile.imwrite(
        file,
        pixels if alpha is None else _with_alpha(pixels, alpha),
        photometric="minisblack" if grey else "rgb",
        extrasamples=None if alpha is None else ["unassalpha"],
        iccprofile=icc,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _with_alpha(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.dstack([pixels, alpha])


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
