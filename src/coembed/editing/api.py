"""The main job: one photo in, n photos out, each with another plausible field, at the photo's own resolution.

    photo -> condition and true field -> area means at the model's size                              layers.py
          -> samples of the field, and the model's reconstruction of the true one                    draw.py
          -> delta = strength (sample - reconstruction)                       low resolution, eq. 10
          -> upsampled along the photo's edges, applied to the photo's own field, strip by strip     render.py

Only the difference between a sample and the reconstruction is upsampled, so all detail of the original
survives, and where the two agree the photo comes back unchanged, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Unpack

import numpy as np
from PIL import Image

from coembed.editing.controls import Controls, read_controls
from coembed.editing.draw import Plan, plan
from coembed.editing.layers import shapes_of
from coembed.editing.loading import Model, load_model
from coembed.editing.options import EditKeywords, EditOptions, SampleOptions
from coembed.editing.render import render
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.upsampling.interpolate import Interpolator
from coembed.models.base import Sampler
from coembed.tasks import Task

if TYPE_CHECKING:
    from coembed.editing.options import Picture


def resaturate(
    photo: Picture, n: int = 4, seed: int = 0, *, model: Model | None = None, **options: Unpack[EditKeywords]
) -> list[Image.Image]:
    """Make n versions of a photo with other plausible saturations; hue and brightness stay.

    Args:
        photo: a path, the bytes of a file, a Pillow image, or an array (h, w, 3) of uint8 or uint16.
        n: results, at least 1.
        seed: same photo, seed and model, same results.
        strength: share of the change that is applied, 0 (none) to 1 (all), or up to 4: beyond what was drawn.
        temperature: spread of the draws; below 1 more usual ones, above 1 more daring ones.
        exposure: for ``relight``: share of the change of exposure that is applied, 0 to 1.
        model: a loaded model, a bundled name, a folder or a hub id; None for the bundled weights.
        distinct: choose results that look different, out of a larger draw. Otherwise draws 0..n-1 as they come.
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
    return _edit(photo, model, "resaturation", n, seed, options)


def relight(
    photo: Picture, n: int = 4, seed: int = 0, *, model: Model | None = None, **options: Unpack[EditKeywords]
) -> list[Image.Image]:
    """Make n versions of a photo in other plausible light; what things are painted with stays.

    The light is white: the proportions of a pixel's colour do not change. Black stays black, what gets brighter
    nears white without reaching it, and what is white stays white. Where light falls changes, exposure does
    not: the mean of the logarithm of shading is the photo's own, unless ``exposure`` asks for a share of the
    change.

    Args, options, results and errors are those of ``resaturate``.
    """
    return _edit(photo, model, "relighting", n, seed, options)


def edit(
    photo: Picture,
    n: int = 4,
    seed: int = 0,
    *,
    model: Model,
    task: str | Task | None = None,
    **options: Unpack[EditKeywords],
) -> list[Image.Image]:
    """Make n versions of a photo by a model of any task that splits and composes photos.

    Args:
        task: a registered name, ``"module:Class"``, or an instance; None for the one that the model's files
            name, if it is registered.

    The other arguments, options, results and errors are those of ``resaturate``; and

    Raises:
        DataError: a task of your own fails on the photo.
    """
    return _edit(photo, model, task, n, seed, options)


def versions(
    photo: Photo, model: Sampler, task: Task, options: SampleOptions, controls: Controls | None = None
) -> tuple[Plan, Iterator[np.ndarray]]:
    """``plan`` and ``render`` together: the photo's edges are studied while the model draws.

    Returns:
        The plan, and n arrays like ``photo.pixels``.
    """
    _, height, width = shapes_of(model, task)[1]
    with ThreadPoolExecutor(1) as pool:
        interpolator = pool.submit(Interpolator, photo.pixels, (height, width))
        steps = plan(photo, model, task, options, controls)
    return steps, render(photo, task, steps.deltas, interpolator.result())


def _edit(
    photo: Picture,
    model: Model | None,
    task: str | Task | None,
    n: int,
    seed: int,
    keywords: EditKeywords,
) -> list[Image.Image]:
    asked = dict(keywords)
    options = EditOptions(n=n, seed=seed, all=not asked.pop("distinct", True), **asked)  # type: ignore[arg-type]
    source = read_photo(photo)
    loaded, found = load_model(model, task)
    made = versions(source, loaded, found, options, read_controls(options, loaded, found))[1]
    return [_as_image(pixels, source) for pixels in made]


def _as_image(pixels: np.ndarray, photo: Photo) -> Image.Image:
    parts = pixels if photo.alpha is None else np.dstack([pixels, photo.alpha])
    if parts.dtype == np.uint16:
        parts = ((parts.astype(np.uint32) + 128) // 257).astype(np.uint8)
    image = Image.fromarray(parts)
    if photo.icc is not None and photo.icc[16:20] == b"RGB ":
        image.info["icc_profile"] = photo.icc
    return image
