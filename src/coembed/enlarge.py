"""``coembed upsample``: a low-resolution field at a photo's own resolution, along the photo's edges."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import tyro

from coembed.errors import ConfigError


@dataclass(frozen=True)
class UpsampleConfig:
    """Brings a low-resolution field to a photo's resolution, along the photo's edges.

    Raises:
        ConfigError: an output that is neither .npy nor .png.
    """

    photo: tyro.conf.Positional[Path]
    """The photo that the field belongs to; it guides the edges."""
    field: tyro.conf.Positional[Path]
    """The field: an image (read as [0, 1]), .npy, (h, w) or (h, w, c), or .flo; it covers the whole photo."""
    out: tyro.conf.Positional[Path]
    """File to write: .npy (float32, natural units) or .png (16 bits, 1 or 3 channels, clipped to [0, 1])."""

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in (".npy", ".png"):
            raise ConfigError(f"out: got {self.out}, expected a name that ends in .npy or .png")


def run_upsample(config: UpsampleConfig) -> Path:
    """Reads both files, upsamples channel by channel and writes the result, whole or not at all.

    Raises:
        PhotoError: the photo cannot be read, or the result not written.
        DataError: the field cannot be read.
        ConfigError: a .png of other than one or three channels, or an output that is one of the inputs.
    """
    import numpy as np

    from coembed.config import write_bytes
    from coembed.data.layer_files import read_layer
    from coembed.errors import PhotoError
    from coembed.imaging.photo import Photo, read_photo, write_photo
    from coembed.upsample.interpolate import Interpolator

    if config.out.resolve() in (config.photo.resolve(), config.field.resolve()):
        raise ConfigError(f"out: {config.out} is an input, expected another file")
    photo = read_photo(config.photo)
    low = read_layer(str(config.field))
    channels = low.shape[2]
    if config.out.suffix.lower() == ".png" and channels not in (1, 3):
        raise ConfigError(f"out: a field of {channels} channels does not fit a .png, expected .npy")
    high = Interpolator(photo.pixels, low.shape[:2])(low.transpose(2, 0, 1)).transpose(1, 2, 0)
    if config.out.suffix.lower() == ".npy":
        file = io.BytesIO()
        np.save(file, high, allow_pickle=False)
        try:
            write_bytes(config.out, file.getvalue())
        except OSError as error:
            raise PhotoError(f"{config.out}: cannot be written ({error.strerror or error})") from None
    else:
        levels = np.rint(np.clip(high, 0, 1) * 65535).astype(np.uint16)
        levels = np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))
        write_photo(config.out, levels, Photo(levels, None, None, channels == 1, "array", str(config.out)))
    print(config.out)
    return config.out
