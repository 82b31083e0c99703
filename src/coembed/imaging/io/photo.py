"""Photos in and out: every file a user may hand over becomes one plain array, or one clear error.

Reading goes by content (a PNG named .jpg is fine), checks sizes before decoding, turns the picture upright and
keeps transparency and the ICC profile. Writing goes by suffix, keeps both, and replaces files whole or not at
all.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from coembed.errors import PhotoError
from coembed.imaging.io.decode import READABLE, Decoded, check_size, decode, from_pil, kind_of, orientation_of
from coembed.imaging.io.encode import WRITABLE, encode
from coembed.serialization import write_bytes

PHOTO_SUFFIXES: frozenset[str] = frozenset(WRITABLE)
"""Suffixes (lower case) of the files that can be read and written."""

_MAX_LEVEL = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory, upright.

    Attributes:
        pixels: (h, w, 3), uint8 or uint16, encoded values in the file's RGB space (sRGB unless ``icc`` says
            otherwise). A grey photo has three equal channels. May be read-only.
        alpha: (h, w), dtype of the pixels, 0 is transparent; None without transparency. Never premultiplied.
        icc: the file's ICC profile, unchanged; None for CMYK files, whose pixels have become sRGB.
        grey: whether the file held grey values only.
        kind: what the content was: "JPEG", "PNG", "WebP", "TIFF", or "array" or "image" from memory.
        name: the file's path, or what stands for it in messages.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    grey: bool
    kind: str
    name: str

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.pixels.shape[1]

    @property
    def suffix(self) -> str:
        """The suffix for a version of this photo: that of its own kind, ".png" for what came from memory."""
        return {"TIFF": ".tif", "WebP": ".webp", "JPEG": ".jpg"}.get(self.kind, ".png")

    def as_float(self) -> np.ndarray:
        """The pixels as float32 in [0, 1], (h, w, 3)."""
        return np.divide(self.pixels, np.float32(_MAX_LEVEL[self.pixels.dtype]), dtype=np.float32)


def read_photo(
    source: str | Path | bytes | Image.Image | np.ndarray,
    *,
    max_pixels: int = 64_000_000,
    min_side: int | None = None,
) -> Photo:
    """Read a photo, upright, with its transparency and ICC profile.

    Reads JPEG, PNG, WebP and TIFF, of 8 bits and (PNG, TIFF) 16 bits per channel, RGB, grey, palette or CMYK.
    CMYK becomes sRGB, through the file's profile if there is one. Of an animation or a stack of pages the first
    is read.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array (h, w), (h, w, 1), (h, w, 2), (h, w, 3)
            or (h, w, 4) of uint8 or uint16: grey, grey with alpha, RGB, RGB with alpha.
        max_pixels: refuse larger pictures, before decoding them.
        min_side: a JPEG may be decoded at a half, a quarter or an eighth of its size as long as both sides keep
            at least this many pixels, which is several times as fast. None: always at full size.

    Raises:
        PhotoError: missing, a folder, empty, not a photo, damaged, truncated, too large, or of an unsupported
            kind. The message names the file, what was seen and what was expected.
    """
    name = _name_of(source)
    try:
        if isinstance(source, np.ndarray):
            decoded = _from_array(source, max_pixels)
        elif isinstance(source, Image.Image):
            check_size(*source.size, max_pixels)
            source.load()
            decoded = from_pil(source, kind="image", orientation=orientation_of(source))
        elif isinstance(source, str | Path | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            data = source if isinstance(source, bytes) else _read_file(Path(source), max_pixels)
            decoded = decode(data, max_pixels=max_pixels, min_side=min_side)
        else:
            raise PhotoError("expected a path, bytes, a Pillow image or a numpy array")
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from None
    except Exception as error:  # decoders raise anything at all on hostile bytes
        text = str(error) or type(error).__name__
        raise PhotoError(f"{name}: damaged, truncated or unsupported ({text}), expected {READABLE}") from error
    return Photo(**decoded._asdict(), name=name)


def write_photo(path: str | Path, pixels: np.ndarray, like: Photo, *, quality: int = 95) -> None:
    """Write pixels as a photo with the transparency and the ICC profile of another, whole or not at all.

    The suffix decides the format. PNG and TIFF keep 16 bits and transparency; WebP keeps transparency; JPEG
    keeps neither: 16 bits are rounded to 8, and the alpha channel is left out, so that the colours of
    transparent pixels show as they are (``like.suffix`` names a format that holds what the photo has). JPEG is
    written without colour subsampling. A grey photo that is still grey and opaque is written as grey, unless
    its ICC profile is one for RGB. An ICC profile for grey does not fit pixels with colour and is then left
    out.

    Args:
        path: where to; .jpg, .jpeg, .png, .webp, .tif or .tiff.
        pixels: (h, w, 3), uint8, uint16, or float in [0, 1] (clipped; rounded to the depth of ``like``).
        like: the photo whose alpha and profile go along; of the same height and width if it has alpha.
        quality: 1 to 100, for JPEG and WebP.

    Raises:
        PhotoError: an unsupported suffix, values or shapes that do not fit, or a file that cannot be written.
    """
    path = Path(path)
    try:
        if not 1 <= quality <= 100:
            raise PhotoError(f"quality is {quality}, expected 1 to 100")
        pixels = _as_levels(np.asarray(pixels), like.pixels.dtype)
        alpha = _alpha_for(pixels, like)
        space = like.icc[16:20] if like.icc else None
        grey = like.grey and alpha is None and space in (None, b"GRAY") and _all_grey(pixels)
        icc = like.icc if space == (b"GRAY" if grey else b"RGB ") else None
        picture = np.ascontiguousarray(pixels[..., 0] if grey else pixels)
        data = encode(path.suffix.lower(), picture, alpha, icc, quality)
        write_bytes(path, data)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None
    except OSError as error:
        raise PhotoError(f"{path}: cannot be written ({error.strerror or error})") from error


def _all_grey(pixels: np.ndarray) -> bool:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return bool(np.array_equal(red, green) and np.array_equal(red, blue))


def _name_of(source: object) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<image>")
    return {bytes: "<bytes>", np.ndarray: "<array>"}.get(type(source), f"<{type(source).__name__}>")


def _read_file(path: Path, max_pixels: int) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"a folder, expected {READABLE}")
        if not stat.S_ISREG(status.st_mode):
            # a pipe or a device would block or never end
            raise PhotoError(f"not a regular file, expected {READABLE}")
        with path.open("rb") as file:
            start = file.read(64)
            kind_of(start)  # a 10 GB video is refused after 64 bytes
            # Eight bytes a pixel is the most that a picture within the bound can need, and room for its
            # metadata.
            limit = 8 * max_pixels + (64 << 20)
            if os.fstat(file.fileno()).st_size > limit:
                raise PhotoError(f"{status.st_size / 1e6:.0f} MB, expected at most {limit / 1e6:.0f} MB")
            return start + file.read(limit)
    except FileNotFoundError:
        raise PhotoError(f"no such file, expected {READABLE}") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise PhotoError(f"cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def _from_array(array: np.ndarray, max_pixels: int) -> Decoded:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or array.size == 0:
        raise PhotoError(f"shape {array.shape}, expected (h, w) or (h, w, c) with c of 1 to 4")
    if array.dtype not in _MAX_LEVEL:
        raise PhotoError(f"dtype {array.dtype}, expected uint8 (0 to 255) or uint16 (0 to 65535)")
    check_size(array.shape[1], array.shape[0], max_pixels)
    array = array.reshape(*array.shape[:2], channels)
    grey = channels <= 2
    pixels = np.repeat(array[..., :1], 3, axis=2) if grey else array[..., :3]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    return Decoded(np.ascontiguousarray(pixels), alpha, None, grey, "array")


def _as_levels(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats become whole levels of the given depth; levels stay what they are."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise PhotoError(f"pixels of shape {pixels.shape}, expected (h, w, 3)")
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise PhotoError("pixels that are not finite, expected values in [0, 1]")
        return np.rint(np.clip(pixels, 0, 1) * np.float32(_MAX_LEVEL[dtype])).astype(dtype)
    if pixels.dtype not in _MAX_LEVEL:
        raise PhotoError(f"pixels of dtype {pixels.dtype}, expected uint8, uint16 or float in [0, 1]")
    return pixels


def _alpha_for(pixels: np.ndarray, like: Photo) -> np.ndarray | None:
    """The alpha channel of ``like`` in the depth of the pixels."""
    alpha = like.alpha
    if alpha is None or alpha.dtype == pixels.dtype:
        fitting = alpha
    elif pixels.dtype == np.uint16:
        fitting = alpha.astype(np.uint16) * np.uint16(257)
    else:
        fitting = ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if fitting is not None and fitting.shape != pixels.shape[:2]:
        raise PhotoError(
            f"pixels of shape {pixels.shape}, expected height and width of the alpha {fitting.shape}"
        )
    return fitting
