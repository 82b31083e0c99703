"""Bytes to pixels: what the content says it is (never the file's name), its size checked before any decoding.

Errors name no file; ``read_photo`` does.
"""

from __future__ import annotations

import io
import struct
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from coembed.errors import PhotoError
from coembed.imaging.io import png, tiff

READABLE = "a JPEG, PNG, WebP or TIFF photo"
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"}
# What people do give to photo programs, so that the message can say what it is.
_STRANGERS = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"%PDF", "a PDF"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML text"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftyp", "a video"),
)


class Decoded(NamedTuple):
    """Upright pixels and what came with them; the fields are those of ``Photo``."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    grey: bool
    kind: str


def kind_of(start: bytes) -> str:
    """JPEG, PNG, WebP or TIFF, from the first 16 bytes or more.

    Raises:
        PhotoError: anything else; the message says what was seen.
    """
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(png.SIGNATURE):
        return "PNG"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith(_TIFF_STARTS):
        return "TIFF"
    if not start:
        raise PhotoError(f"the file is empty, expected {READABLE}")
    for offset, magic, what in _STRANGERS:
        if start.startswith(magic, offset):
            raise PhotoError(f"the content is {what}, expected {READABLE}")
    raise PhotoError(f"the content starts with {start[:12]!r}, expected {READABLE}")


def decode(data: bytes, *, max_pixels: int, min_side: int | None) -> Decoded:
    """Decode a file's bytes; ``max_pixels`` and ``min_side`` as in ``read_photo``.

    Raises:
        PhotoError: not a photo, too large, or of a kind that is not supported.
        Exception: whatever a decoder raises on damaged data.
    """
    kind = kind_of(data)
    if kind == "JPEG":
        return _jpeg(data, max_pixels, min_side)
    return {"PNG": _png, "WebP": _webp, "TIFF": _tiff}[kind](data, max_pixels)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse sizes above the bound.

    Raises:
        PhotoError: more than ``max_pixels`` pixels.
    """
    if width * height > max_pixels:
        raise PhotoError(
            f"{width} x {height} is {width * height / 1e6:.1f} megapixels, "
            f"expected at most {max_pixels / 1e6:g} (max_pixels raises the bound)"
        )


def from_pil(image: Image.Image, *, kind: str, orientation: int = 1) -> Decoded:
    """Any Pillow image as upright pixels: 16-bit greys stay 16 bit, everything else is 8 bit.

    Raises:
        PhotoError: floating point or 32-bit values that are no photo's.
    """
    if image.mode == "La":
        image = image.convert("LA")
    mode, icc, alpha = image.mode, _valid_icc(image.info.get("icc_profile")), None
    if mode in ("F", "LAB", "HSV"):
        raise PhotoError(f"pixels of kind {mode}, expected 8 or 16 bits of grey, RGB or CMYK")
    if mode == "I" or mode.startswith("I;16"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise PhotoError(f"values from {pixels.min()} to {pixels.max()}, expected 0 to 65535")
        pixels = pixels.astype(np.uint16)
    elif mode == "CMYK":
        pixels, icc = _cmyk_to_rgb(image, icc), None
    elif image.has_transparency_data:
        both = np.asarray(image.convert("RGBA"))
        pixels, alpha = np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3])
    elif mode in ("1", "L"):
        pixels = np.asarray(image.convert("L"))
    else:
        pixels = np.asarray(image if mode == "RGB" else image.convert("RGB"))
    return _finish(pixels, alpha, icc, mode in _GREY_MODES, kind, orientation)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; damaged EXIF data counts as upright."""
    try:
        value = image.getexif().get(tiff.ORIENTATION, 1)
    except Exception:  # the picture is worth more than its broken metadata
        return 1
    return value if value in range(1, 9) else 1


def _jpeg(data: bytes, max_pixels: int, min_side: int | None) -> Decoded:
    image = JpegImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    orientation = orientation_of(image)
    if min_side is not None:
        image.draft(image.mode, (min_side, min_side))
    elif image.mode == "RGB":
        # The same libjpeg without Pillow's copies: half the time at 12 megapixels. Where OpenCV gives up (it
        # does so on anything truncated) Pillow has the last word, or the better message.
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if pixels is not None and pixels.shape == (image.height, image.width, 3):
            return _finish(pixels, None, _valid_icc(image.info.get("icc_profile")), False, "JPEG", orientation)
    image.load()
    return from_pil(image, kind="JPEG", orientation=orientation)


def _png(data: bytes, max_pixels: int) -> Decoded:
    check_size(*png.read_header(data), max_pixels)
    parts = png.take_apart(data)
    parts.check_rows()
    exif = Image.Exif()
    try:
        exif.load(b"Exif\0\0" + parts.exif)
        orientation = exif.get(tiff.ORIENTATION, 1)
    except Exception:  # as in orientation_of
        orientation = 1
    icc = _valid_icc(parts.icc())
    if parts.depth < 16:
        image = PngImageFile(io.BytesIO(parts.bare(transparent=True)))
        image.load()
        return from_pil(image, kind="PNG", orientation=orientation)._replace(icc=icc)
    pixels = cv2.imdecode(np.frombuffer(parts.bare(transparent=False), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != (parts.height, parts.width):
        raise PhotoError("damaged PNG: its 16-bit picture cannot be decoded")
    grey, alpha = parts.colour_type in (0, 4), None
    if parts.colour_type in (4, 6):
        pixels, alpha = pixels[..., :3], pixels[..., 3]
    if grey:
        pixels = pixels.reshape(parts.height, parts.width, -1)[..., 0]
    else:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if parts.transparent and parts.colour_type in (0, 2):
        key = np.frombuffer(parts.transparent, ">u2")
        same = (pixels.reshape(*pixels.shape[:2], -1) == key).all(-1)
        alpha = np.where(same, 0, 65535).astype(np.uint16)
    return _finish(pixels, alpha, icc, grey, "PNG", orientation)


def _webp(data: bytes, max_pixels: int) -> Decoded:
    # Pillow's decoder allots the whole canvas when it opens a file, so the size is read here.
    check_size(*_webp_size(data), max_pixels)
    image = WebPImageFile(io.BytesIO(data))
    orientation = orientation_of(image)
    image.load()
    return from_pil(image, kind="WebP", orientation=orientation)


def _webp_size(data: bytes) -> tuple[int, int]:
    tag, body = data[12:16], data[20:30]
    if len(body) == 10 and tag == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if len(body) == 10 and tag == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(body) == 10 and tag == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise PhotoError("WebP signature without a WebP header (truncated or damaged)")


def _tiff(data: bytes, max_pixels: int) -> Decoded:
    import tifffile  # slow to import, and most photos are not TIFF

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        check_size(page.imagewidth, page.imagelength, max_pixels)
        tiff.check_page(data, page)
        if page.bitspersample == 16:
            return _tiff16(data, page)
    image = TiffImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    image.load()  # turns the picture upright and forgets its orientation
    return from_pil(image, kind="TIFF", orientation=orientation_of(image))


def _tiff16(data: bytes, page: Any) -> Decoded:
    samples, photometric = page.samplesperpixel, int(page.photometric)
    colours = {0: 1, 1: 1, 2: 3, 5: 4}.get(photometric, 0)  # white is 0, black is 0, RGB, inks
    if page.sampleformat != 1 or colours == 0 or not colours <= samples <= colours + 1:
        raise PhotoError(
            f"a 16-bit TIFF of photometric {photometric}, {samples} samples and sample format "
            f"{page.sampleformat}, expected unsigned grey, RGB or CMYK with at most one alpha channel"
        )
    stored = tiff.samples16(data, page)
    pixels, alpha = stored[..., :colours], stored[..., colours] if samples > colours else None
    if alpha is not None and page.extrasamples and int(page.extrasamples[0]) == 1:
        pixels = _unmultiply(pixels, alpha)
    turn, profile = page.tags.get(tiff.ORIENTATION), page.tags.get(34675)
    orientation = turn.value if turn is not None else 1
    icc = _valid_icc(bytes(profile.value) if profile is not None else None)
    if photometric == 5:
        inks = Image.fromarray(np.ascontiguousarray((pixels >> 8).astype(np.uint8)), "CMYK")
        return _finish(_cmyk_to_rgb(inks, icc), None, None, False, "TIFF", orientation)
    if colours == 1:
        pixels = 65535 - pixels[..., 0] if photometric == 0 else pixels[..., 0]
    return _finish(pixels, alpha, icc, colours == 1, "TIFF", orientation)


def _unmultiply(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were stored multiplied by their alpha, as they were before; black where alpha is 0."""
    share = np.maximum(alpha, 1)[..., None] / np.float64(65535)
    return np.where(alpha[..., None] > 0, np.rint(np.minimum(pixels / share, 65535)), 0).astype(np.uint16)


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> np.ndarray:
    """Inks to sRGB: through the file's own profile where it has one for CMYK, else as 1 - ink - black."""
    if icc is not None and icc[16:20] == b"CMYK":
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
            through = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if through is not None:
                return np.asarray(through)
        except ImageCms.PyCMSError:
            pass  # a profile that cannot be used is as good as none
    return np.asarray(image.convert("RGB"))


def _valid_icc(profile: bytes | None) -> bytes | None:
    """The profile if it is one (its own length and signature say so), else None."""
    if not profile or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    if len(profile) > png.MAX_ICC_BYTES:
        raise PhotoError(
            f"an ICC profile of {len(profile) >> 20} MiB, expected at most {png.MAX_ICC_BYTES >> 20} MiB"
        )
    return profile


def _finish(
    pixels: np.ndarray, alpha: np.ndarray | None, icc: bytes | None, grey: bool, kind: str, orientation: int
) -> Decoded:
    pixels = _turn(np.ascontiguousarray(pixels), orientation)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if alpha is not None:
        alpha = np.ascontiguousarray(_turn(np.ascontiguousarray(alpha), orientation))
    return Decoded(np.ascontiguousarray(pixels), alpha, icc, grey, kind)


def _turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation; OpenCV's turns are several times as fast as copies of numpy's views."""
    if orientation in (2, 3, 4):
        return cv2.flip(array, {2: 1, 3: -1, 4: 0}[orientation])
    if orientation == 5:
        return cv2.transpose(array)
    if orientation in (6, 8):
        return cv2.rotate(
            array, cv2.ROTATE_90_CLOCKWISE if orientation == 6 else cv2.ROTATE_90_COUNTERCLOCKWISE
        )
    if orientation == 7:
        return cv2.transpose(cv2.flip(array, -1))
    return array
