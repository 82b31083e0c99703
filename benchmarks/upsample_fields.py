"""True high-resolution fields of real photos, for the upsampling benchmark.

Three kinds: saturation of photos, log shading of photos (colour retinex at full size), and optical flow that is
known exactly (a synthetic set with true flow). Photos are 512 x 512; flow keeps its own 512 x 384.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from coembed.imaging.color import saturation, srgb_to_linear
from coembed.imaging.flow.files import read_flo
from coembed.imaging.intrinsic.decompose import decompose
from coembed.imaging.io.photo import PHOTO_SUFFIXES, read_photo

SIZE = 512
_DARKEST, _BRIGHTEST = np.log(0.01), np.log(4.0)


@dataclass(frozen=True)
class Kind:
    """A kind of field.

    Attributes:
        name: as in the tables.
        unit: of the field.
        edge: change a pixel above which a place is an edge of the field, in that unit.
        flat: range of the cells around below which a place is flat, in that unit.
    """

    name: str
    unit: str
    edge: float
    flat: float


SATURATION = Kind("saturation", "1", 0.08, 0.05)
SHADING = Kind("log shading", "ln", 0.06, 0.15)
FLOW = Kind("flow", "px", 0.5, 0.5)
KINDS = (SATURATION, SHADING, FLOW)


def scenes(kind: Kind, folder: Path, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Photos and their true fields, by file name.

    Args:
        kind: which field.
        folder: of photos, or of ``NNN-img0.ppm`` and ``NNN-gt.flo``.
        limit: at most that many.

    Yields:
        Photo (h, w, 3) uint8, field (c, h, w) float32.
    """
    if kind is FLOW:
        for path in sorted(folder.glob("*-gt.flo"))[:limit]:
            frame = path.with_name(path.name.replace("-gt.flo", "-img0.ppm"))
            photo = np.asarray(Image.open(frame).convert("RGB"))
            yield photo, np.ascontiguousarray(read_flo(path)[0].transpose(2, 0, 1))
        return
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)[:limit]:
        photo = cv2.resize(read_photo(path).pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        if kind is SATURATION:
            yield photo, saturation(photo / np.float32(255))[None]
        else:
            shading = decompose(srgb_to_linear(photo / np.float32(255))).shading
            log = np.log(np.maximum(shading, 1e-6))
            yield photo, np.clip(log, _DARKEST, _BRIGHTEST).astype(np.float32)[None]
