"""Way that a photo was stored, read from its header alone: size, colour sampling, quality. Nothing is
decoded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

# The luminance table of Annex K of the JPEG standard, in the order in which files hold it; a file's own is
# this, scaled by its quality.
_STANDARD = np.array(
    [
        *(16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40),
        *(26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51),
        *(56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87),
        *(95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99),
    ]
)


@dataclass(frozen=True)
class Origin:
    """The way a photo's file holds it.

    Attributes:
        width: in pixels, as stored (a photo on its side is not turned).
        height: likewise.
        sampling: of a JPEG's colour, ``"4:2:0"``, ``"4:2:2"`` or ``"4:4:4"``; None for other kinds of files.
        quality: of a JPEG, 1 to 100, estimated from its quantisation; None for other kinds of files.
    """

    width: int
    height: int
    sampling: str | None = None
    quality: int | None = None


def read_origin(path: Path | str) -> Origin | None:
    """Read a file's header; None for what is no picture, damaged or unreadable: that is told when it is
    decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures: none is decoded
            with Image.open(path) as image:
                if not isinstance(image, JpegImageFile):
                    return Origin(image.width, image.height)
                grey = image.mode == "L"  # no colour, no sampling of it
                sampling = "4:4:4" if grey else _SAMPLINGS.get(get_sampling(image), "4:2:0")
                return Origin(image.width, image.height, sampling, _quality(image))
    except Exception:  # decoders raise anything at all on hostile bytes
        return None


def _quality(image: JpegImageFile) -> int | None:
    table = image.quantization.get(0)
    if table is None or len(table) != 64:
        return None
    # A table is the standard one scaled, so that both may be sorted; ends are cut off at 1 and 255.
    ratios = np.sort(np.asarray(table)) / np.sort(_STANDARD)
    inside = (np.sort(table) > 1) & (np.sort(table) < 255)
    if not inside.any():
        return 100 if max(table) == 1 else 1
    scale = 100 * float(np.median(ratios[inside]))
    quality = 50 * 100 / scale if scale > 100 else (200 - scale) / 2
    return int(np.clip(round(quality), 1, 100))
