"""The main job: one photo in, n photos out, each with another plausible field, at the photo's own resolution.

    photo -> condition and true field -> area means at the model's size                              plan.py
          -> samples of the field, and the model's reconstruction of the true one
          -> delta = strength (sample - reconstruction)                       low resolution, eq. 10
          -> upsampled along the photo's edges, applied to the photo's own field, strip by strip   render.py

Only the difference between a sample and the reconstruction is upsampled, so all detail of the original
survives, and where the two agree the photo comes back unchanged, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from coembed.editing.draw import Plan, plan
from coembed.editing.draw import low_layers as low_layers
from coembed.editing.options import EditOptions, Pick
from coembed.editing.render import render
from coembed.editing.steering.options import ControlOptions
from coembed.errors import ConfigError, ModelError
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.strips import thread_count as thread_count
from coembed.imaging.upsampling.interpolate import Interpolator
from coembed.models.pretrained import Pretrained, bundled_names, load_pretrained
from coembed.tasks import Task, get_task, task_names

if TYPE_CHECKING:
    from coembed.editing.steering.controls import Controls
    from coembed.models.cdvae.model import CDVAE

Source = str | Path | bytes | Image.Image | np.ndarray
"""A photo: a path, the bytes of a file, a Pillow image, or an array (h, w, 3) of uint8 or uint16."""


def resaturate(
    photo: Source,
    n: int = 4,
    seed: int = 0,
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    model: str | Path | Pretrained | CDVAE | None = None,
    distinct: bool = True,
    pick: Pick = "typical",
    like: Source | None = None,
    closeness: float = 0.7,
    hint: Source | None = None,
    mask: Source | None = None,
    keep: Source | None = None,
    between: tuple[int, int] | None = None,
) -> list[Image.Image]:
    """Make n versions of a photo with other plausible saturations; hue and brightness stay.

    Args:
        photo: a path, the bytes of a file, a Pillow image, or an array (h, w, 3) of uint8 or uint16.
        n: results, at least 1.
        seed: same photo, seed and model, same results.
        strength: share of the change that is applied, 0 (none) to 1 (all), or a bit beyond.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        model: a loaded model, a bundled name, a folder or a hub id; None for the bundled weights.
        distinct: choose results that differ, out of a larger draw. Otherwise draws 0..n-1 as they come.
        pick: which are chosen: ``"typical"``, one of each of the most common kinds, the most common first; or
            ``"spread"``, likely ones that are as far from each other as can be.
        like: an example, any photo: results come near its look.
        closeness: how near, 0 (not at all) to 1 (as near as the model can).
        hint: a retouched copy of the photo, of its size: what it looks like inside ``mask`` is held, and the
            rest of each result follows from it.
        mask: where the hint is held, of the photo's size: white, and black elsewhere.
        keep: where the photo is held as it is, a mask likewise.
        between: numbers of two draws of the seed; the results are n steps from the one to the other.

    Returns:
        n images of the photo's own size, RGB, or RGBA if the photo has alpha; 8 bits per channel.

    Raises:
        PhotoError: the photo cannot be read.
        ModelError: the model cannot be loaded, or is for another task.
        ConfigError: an option outside its range, or options that do not go together.
        DataError: a hint or mask that does not fit the photo.
    """
    options = EditOptions(n, seed, strength, temperature, distinct, pick)
    control = ControlOptions(like, closeness, hint, mask, keep, between)
    return _edited(photo, model, "resaturation", options, control)


def relight(
    photo: Source,
    n: int = 4,
    seed: int = 0,
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    model: str | Path | Pretrained | CDVAE | None = None,
    distinct: bool = True,
    pick: Pick = "typical",
    like: Source | None = None,
    closeness: float = 0.7,
    hint: Source | None = None,
    mask: Source | None = None,
    keep: Source | None = None,
    between: tuple[int, int] | None = None,
) -> list[Image.Image]:
    """Make n versions of a photo in other plausible light; what things are painted with stays.

    The light is white: the proportions of a pixel's colour do not change. Black stays black, and what gets
    brighter nears white without reaching it.

    Args, results and errors are those of ``resaturate``.
    """
    options = EditOptions(n, seed, strength, temperature, distinct, pick)
    control = ControlOptions(like, closeness, hint, mask, keep, between)
    return _edited(photo, model, "relighting", options, control)


def edit(
    photo: Source,
    n: int = 4,
    seed: int = 0,
    *,
    model: str | Path | Pretrained | CDVAE,
    task: str | Task | None = None,
    strength: float = 1.0,
    temperature: float = 1.0,
    distinct: bool = True,
    pick: Pick = "typical",
    like: Source | None = None,
    closeness: float = 0.7,
    hint: Source | None = None,
    mask: Source | None = None,
    keep: Source | None = None,
    between: tuple[int, int] | None = None,
) -> list[Image.Image]:
    """Make n versions of a photo by a model of any task that splits and compose photos.

    Args:
        task: a registered name, ``"module:Class"``, or an instance; None for the one that the model's files
            name, if it is registered.

    The other arguments, results and errors are those of ``resaturate``; and

    Raises:
        DataError: a task of your own fails on the photo.
    """
    options = EditOptions(n, seed, strength, temperature, distinct, pick)
    control = ControlOptions(like, closeness, hint, mask, keep, between)
    return _edited(photo, model, task, options, control)


def load_model(
    model: str | Path | Pretrained | CDVAE | None = None, task: str | Task | None = None
) -> tuple[CDVAE, Task]:
    """The model to edit with and its task.

    Args:
        model: a bundled name, a folder, a hub id, or a loaded one; None for the bundled weights of the task.
        task: what it must be for; None for the task that the model's files name, if it is registered. A class
            given as ``"module:Class"`` is never imported because a file says so.

    Raises:
        ModelError: the model cannot be loaded, is for another task, or for one that is not known here.
        ConfigError: no such task, or neither files nor ``task`` say which.
    """
    wanted = get_task(task) if isinstance(task, str) else task
    if model is None:
        if wanted is None:
            raise ConfigError("neither a model nor a task is given, expected at least one of them")
        model = wanted.name
    if isinstance(model, str) and model in bundled_names():
        found = _bundled(model)
    elif isinstance(model, (str, Path)):
        found = load_pretrained(model)
    elif isinstance(model, Pretrained):
        found = model
    elif wanted is None:
        raise ConfigError("a loaded model does not say what it is for, expected a task, too")
    else:
        return model, wanted
    known = get_task(found.task) if found.task in task_names() else None
    if known is not None and (wanted is None or isinstance(known, type(wanted))):  # it, or a variety of it
        return found.model, known
    if wanted is None:
        raise ModelError(
            f"{found.folder}: a model for {found.task!r}, which is none of {', '.join(task_names())}; "
            "name the class of your task as module:Class"
        )
    if found.task not in (wanted.name, task):
        name = found.folder if isinstance(model, Pretrained) else model
        raise ModelError(f"{name}: a model for {found.task!r}, expected one for {wanted.name!r}")
    return found.model, wanted


def versions(
    photo: Photo, model: CDVAE, task: Task, options: EditOptions, controls: Controls | None = None
) -> tuple[Plan, Iterator[np.ndarray]]:
    """``plan`` and ``render`` together: the photo's edges are studied while the model draws.

    Returns:
        The plan, and n arrays like ``photo.pixels``.
    """
    _, height, width = model.config.field_shape
    with ThreadPoolExecutor(1) as pool:
        interpolator = pool.submit(Interpolator, photo.pixels, (height, width))
        steps = plan(photo, model, task, options, controls)
    return steps, render(photo, task, steps.deltas, interpolator.result())


def _edited(
    photo: Source,
    model: str | Path | Pretrained | CDVAE | None,
    task: str | Task | None,
    options: EditOptions,
    control: ControlOptions,
) -> list[Image.Image]:
    source = read_photo(photo)
    loaded, found = load_model(model, task)
    made = versions(source, loaded, found, options, read_controls(control, loaded, found))[1]
    return [_as_image(pixels, source) for pixels in made]


def read_controls(control: ControlOptions, model: CDVAE, task: Task) -> Controls | None:
    """The options with their pictures read, or None where nothing is asked for.

    Raises:
        PhotoError: a picture that cannot be read.
        ModelError: a model without codes.
    """
    if not control.asked:
        return None
    from coembed.editing.steering.controls import Controls

    return Controls(control, model, task)


def _as_image(pixels: np.ndarray, photo: Photo) -> Image.Image:
    parts = pixels if photo.alpha is None else np.dstack([pixels, photo.alpha])
    if parts.dtype == np.uint16:
        parts = ((parts.astype(np.uint32) + 128) // 257).astype(np.uint8)
    image = Image.fromarray(parts)
    if photo.icc is not None and photo.icc[16:20] == b"RGB ":
        image.info["icc_profile"] = photo.icc
    return image


@lru_cache(maxsize=4)
def _bundled(name: str) -> Pretrained:
    return load_pretrained(name)
