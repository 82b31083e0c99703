"""The TIFF container: whether a page is what it claims to be, and its 16-bit samples, which Pillow cuts to 8.

Errors name no file; ``read_photo`` does.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import cv2
import numpy as np

from coembed.errors import PhotoError

ORIENTATION = 274
_DNG_VERSION = 50706
_RAW_PHOTOMETRIC = (32803, 34892)  # colour filter array, linear raw
_NONE, _DEFLATE = (1,), (8, 32946)
_MAX_SAMPLES = 5  # CMYK and alpha


def check_page(data: bytes, page: Any) -> None:
    """Refuse a page whose strips or tiles would take far more memory than its pixels.

    Args:
        data: the file.
        page: its first ``tifffile.TiffPage``, the size of which has been checked.

    Raises:
        PhotoError: raw camera data, a stack of slices, or strips, tiles or Deflate streams that are too large.
    """
    if page.photometric in _RAW_PHOTOMETRIC or _DNG_VERSION in page.tags:
        raise PhotoError("the content is a camera's raw data, expected a JPEG, PNG, WebP or TIFF photo")
    if page.imagedepth != 1 or page.samplesperpixel > _MAX_SAMPLES:
        raise PhotoError(
            f"a TIFF of {page.imagedepth} slices and {page.samplesperpixel} samples per pixel, "
            f"expected 1 slice and at most {_MAX_SAMPLES} samples"
        )
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    whole = page.imagewidth * page.imagelength * page.samplesperpixel * (bits + 7) // 8
    segment = math.prod(page.chunks) * (bits + 7) // 8
    # Tiles may overhang the picture; a fourfold overhang is far above what any program writes.
    if segment * len(page.dataoffsets) > 4 * whole + (16 << 20):
        raise PhotoError(f"{len(page.dataoffsets)} tiles of {segment} bytes for a picture of {whole} bytes")
    if page.compression in _DEFLATE:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            inflate = zlib.decompressobj()
            inflate.decompress(data[offset : offset + count], segment)
            if inflate.unconsumed_tail and inflate.decompress(inflate.unconsumed_tail, 1):
                raise PhotoError(f"a strip or tile inflates to more than its {segment} bytes")


def samples16(data: bytes, page: Any) -> np.ndarray:
    """The 16-bit samples of a page as stored: (rows, columns, samples), uint16, not turned.

    Raises:
        PhotoError: a compression that cannot be undone here.
    """
    rows, columns, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.compression in _NONE + _DEFLATE:
        # shaped: planes, slices, rows, columns, samples of a plane; one of planes and samples of a plane is 1.
        planes = np.asarray(page.asarray(maxworkers=1)).reshape(page.shaped)[:, 0]
        return np.moveaxis(planes, 0, -2).reshape(rows, columns, samples).astype(np.uint16, copy=False)
    if samples not in (1, 3) or page.planarconfig != 1 or int(page.photometric) not in (1, 2):
        raise PhotoError(
            f"a 16-bit TIFF with {samples} samples per pixel, compressed by method {int(page.compression)}, "
            "expected no compression or Deflate"
        )
    # tifffile knows no LZW by itself, OpenCV does. It would also turn the picture, so the tag is made to say
    # upright.
    upright, tag = bytearray(data), page.tags.get(ORIENTATION)
    if tag is not None:
        upright[tag.valueoffset : tag.valueoffset + 2] = struct.pack(page.parent.byteorder + "H", 1)
    pixels = cv2.imdecode(np.frombuffer(upright, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.size != rows * columns * samples:
        raise PhotoError("damaged or truncated TIFF: its 16-bit picture cannot be decoded")
    return (pixels if samples == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)).reshape(rows, columns, samples)
