"""``coembed upsample``: a low-resolution field at a photo's own resolution, along the photo's edges."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coembed.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

_SUFFIXES = (".npy", ".png", ".flo")


@dataclass(frozen=True)
class UpsampleConfig:
    """Bring a low-resolution field (depth, heat, motion) to a photo's resolution, along the photo's edges.

    Raises:
        ConfigError: an output that is neither .npy, .png nor .flo, or a limit that is negative or not finite.
    """

    field: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FIELD")]
    """The field: .npy, (h, w) or (h, w, c); an image of 8 or 16 bits, read as [0, 1]; or .flo. It covers the
    whole photo, seen upright."""
    guide: Annotated[Path, tyro.conf.arg(metavar="PHOTO")]
    """The photo that the field belongs to."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write: .npy (float32, the field's units), .png (16 bits, [0, 1]) or .flo (vectors scaled to the
    photo's pixels). By default FIELD-upsampled beside the field, in the field's own format."""
    overshoot: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 2.0
    """How far the result may leave the values of the 3 x 3 cells around, as a share of their range."""

    def __post_init__(self) -> None:
        if self.out is not None and self.out.suffix.lower() not in _SUFFIXES:
            raise ConfigError(f"out: got {self.out}, expected a name that ends in {', '.join(_SUFFIXES)}")
        if not (math.isfinite(self.overshoot) and self.overshoot >= 0):
            raise ConfigError(f"overshoot: got {self.overshoot}, expected a finite number of at least 0")


def run(config: UpsampleConfig) -> int:
    """Upsample the field; the exit status."""
    run_upsample(config)
    return 0


def run_upsample(config: UpsampleConfig) -> Path:
    """Read both files, upsample channel by channel and write the result, whole or not at all.

    Returns:
        The file written.

    Raises:
        PhotoError: the photo cannot be read, or the result not written.
        DataError: the field cannot be read, is not finite, or has more cells than the photo pixels.
        ConfigError: an output that is one of the inputs, or of a format that cannot hold the field.
    """
    import numpy as np

    from coembed.data.sources.layer_files import read_layer
    from coembed.errors import DataError, PhotoError
    from coembed.imaging.io.photo import read_photo
    from coembed.imaging.upsampling.interpolate import Interpolator

    moving = config.field.suffix.lower() == ".flo"
    out = config.out or _beside(config.field)
    kind = out.suffix.lower()
    if out.resolve() in (config.guide.resolve(), config.field.resolve()):
        raise ConfigError(f"out: {out} is an input, expected another file")
    if kind == ".flo" and not moving:
        raise ConfigError(f"out: {out} from {config.field}, expected a .flo field for a .flo result")
    low = read_layer(str(config.field))
    if not np.isfinite(low).all():
        row, column, _ = at = tuple(np.argwhere(~np.isfinite(low))[0].tolist())
        raise DataError(f"{config.field}: row {row}, column {column} is {low[at]}, expected a finite value")
    if kind == ".png":
        _check_fits_png(config.field, low)
    photo = read_photo(config.guide).pixels
    (height, width), (rows, columns) = photo.shape[:2], low.shape[:2]
    if rows > height or columns > width:
        raise DataError(
            f"{config.field}: {columns} x {rows} cells, expected at most the {width} x {height} pixels of "
            f"{config.guide}, its guide"
        )
    if moving:
        low = low * np.array([width / columns, height / rows], np.float32)
    # Motion follows objects, whatever their colours.
    up = Interpolator(photo, (rows, columns), overshoot=config.overshoot, kin=1.0 if moving else 3.0)
    high = np.ascontiguousarray(up(low.transpose(2, 0, 1)).transpose(1, 2, 0))
    try:
        _write(out, high)
    except OSError as error:
        raise PhotoError(f"{out}: cannot be written ({error.strerror or error})") from None
    print(out)
    return out


def _beside(field: Path) -> Path:
    suffix = field.suffix.lower()
    return field.with_name(f"{field.stem}-upsampled{suffix if suffix in _SUFFIXES else '.png'}")


def _check_fits_png(field: Path, low: np.ndarray) -> None:
    if low.shape[2] not in (1, 3):
        raise ConfigError(f"{field}: {low.shape[2]} channels, expected 1 or 3 for a .png; .npy holds any")
    lowest, highest = float(low.min()), float(low.max())
    if lowest < 0 or highest > 1:
        raise ConfigError(
            f"{field}: values from {lowest:g} to {highest:g}, expected 0 to 1 for a .png; .npy holds any"
        )


def _write(out: Path, high: np.ndarray) -> None:
    import numpy as np

    from coembed.imaging.flow.files import write_flo
    from coembed.imaging.io.photo import Photo, write_photo
    from coembed.serialization import write_bytes

    kind = out.suffix.lower()
    if kind == ".flo":
        write_flo(out, high)
    elif kind == ".npy":
        file = io.BytesIO()
        np.save(file, high, allow_pickle=False)
        write_bytes(out, file.getvalue())
    else:
        levels = np.rint(np.clip(high, 0, 1) * 65535).astype(np.uint16)
        grey = high.shape[2] == 1
        levels = np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))
        write_photo(out, levels, Photo(levels, None, None, grey, "array", str(out)))
