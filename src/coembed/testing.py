"""Public conformance checks: run them on a class of your own before you train with it.

A check raises ``AssertionError`` with the law that is broken and the numbers seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from coembed.tasks.task import Layer, Task, is_pointwise, settings_of, working_size_of


def check_task(task: Any, photos: Sequence[np.ndarray] | None = None) -> None:
    """Check that a task keeps the contract of ``coembed.tasks.Task``.

    Laws: shapes and dtype (float32) of ``split`` and ``compose``; finite values inside each layer's range; a
    photo composed with its own field is the photo within 1/255; results stay in [0, 1]; the same call gives the
    same result; inputs are not modified; a task that does not say ``pointwise = False`` splits a photo's rows
    alone as it splits them in the photo, since large photos are split in strips; ``working_size`` is a positive
    whole number or None; ``settings`` are JSON values.

    Args:
        task: an instance.
        photos: (h, w, 3) float32 in [0, 1]; by default noise, a gradient, greys, black, white and saturated
            colours, of odd sizes down to one row and one pixel.

    Raises:
        AssertionError: a law is broken; the message says which, on which photo.
    """
    _law(isinstance(task, Task), f"{type(task).__name__} lacks a part of coembed.tasks.Task")
    _law(bool(task.name) and ":" not in task.name, f"name is {task.name!r}, expected a word without ':'")
    _check_attributes(task)
    named = {f"photo {i}": p for i, p in enumerate(photos)} if photos is not None else _photos()
    for name, photo in named.items():
        where = f"task {task.name!r} on {name} {photo.shape}"
        before = photo.copy()
        condition, field = task.split(photo)
        _law(np.array_equal(photo, before), f"{where}: split modified the photo")
        _check_layer(condition, task.condition, photo, f"{where}: condition")
        _check_layer(field, task.field, photo, f"{where}: field")
        again = task.split(photo.copy())
        same = np.array_equal(condition, again[0]) and np.array_equal(field, again[1])
        _law(same, f"{where}: split gave two results for one photo")

        _check_strips(task, photo, (condition, field), where)

        field_before = field.copy()
        composed = task.compose(photo, field)
        _law(np.array_equal(photo, before), f"{where}: compose modified the photo")
        _law(np.array_equal(field, field_before), f"{where}: compose modified the field")
        _check_photo(composed, photo, f"{where}: compose")
        worst = float(np.abs(composed - photo).max())
        _law(
            worst <= 1 / 255, f"{where}: compose(photo, its own field) is off by {worst:.4f}, expected <= 1/255"
        )

        generator = np.random.default_rng(0)
        other = generator.uniform(task.field.low, task.field.high, field.shape).astype(np.float32)
        _check_photo(task.compose(photo, other), photo, f"{where}: compose with another field")


def _check_attributes(task: Task) -> None:
    longest = cast(object, working_size_of(task))  # which a user's class may say anything for
    kept = longest is None or (isinstance(longest, int) and longest >= 1)
    _law(kept, f"task {task.name!r}: working_size is {longest!r}, expected a whole number of pixels or None")
    settings = cast(object, settings_of(task))
    try:
        kept = isinstance(settings, dict) and json.loads(json.dumps(settings, allow_nan=False)) == settings
    except (TypeError, ValueError):
        kept = False
    _law(kept, f"task {task.name!r}: settings are {settings!r}, expected a dict of JSON values")


def _check_strips(task: Task, photo: np.ndarray, whole: tuple[np.ndarray, np.ndarray], where: str) -> None:
    if not is_pointwise(task) or len(photo) < 2:
        return
    upper = task.split(photo[: len(photo) // 2].copy())
    lower = task.split(photo[len(photo) // 2 :].copy())
    for above, below, layer in zip(upper, lower, whole, strict=True):
        same = np.allclose(np.concatenate([above, below]), layer, rtol=1e-5, atol=1e-6)
        _law(same, f"{where}: split of some rows alone differs from the whole's: set pointwise = False")


def _check_layer(array: np.ndarray, layer: Layer, photo: np.ndarray, where: str) -> None:
    expected = (*photo.shape[:2], layer.channels)
    _law(array.shape == expected, f"{where} has shape {array.shape}, expected {expected}")
    _law(array.dtype == np.float32, f"{where} is {array.dtype}, expected float32")
    _law(bool(np.isfinite(array).all()), f"{where} is not finite")
    slack = 1e-5 * max(1.0, layer.high - layer.low)
    inside = layer.low - slack <= array.min() and array.max() <= layer.high + slack
    _law(bool(inside), f"{where} spans {array.min()} to {array.max()}, outside {layer.low} to {layer.high}")


def _check_photo(array: np.ndarray, photo: np.ndarray, where: str) -> None:
    _law(array.shape == photo.shape, f"{where} gave shape {array.shape}, expected {photo.shape}")
    _law(array.dtype == np.float32, f"{where} gave {array.dtype}, expected float32")
    inside = bool(np.isfinite(array).all()) and array.min() >= -1e-6 and array.max() <= 1 + 1e-6
    _law(bool(inside), f"{where} left [0, 1]: {array.min()} to {array.max()}")


def _photos() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 21, dtype=np.float32)
    grey = np.broadcast_to(ramp[None, :, None], (5, 21, 3)).copy()
    gradient = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 0.25), axis=-1).astype(np.float32)
    corners = np.array([[(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]], np.float32)
    dark = (generator.integers(0, 3, (9, 7, 3)) / 255).astype(np.float32)
    return {
        "noise": generator.random((17, 23, 3), dtype=np.float32),
        "8-bit noise": (generator.integers(0, 256, (16, 11, 3)) / 255).astype(np.float32),
        "gradient": gradient,
        "greys": grey,
        "black": np.zeros((4, 6, 3), np.float32),
        "white": np.ones((3, 2, 3), np.float32),
        "primaries": corners,
        "almost black": dark,
        "one row": generator.random((1, 9, 3), dtype=np.float32),
        "one column": generator.random((8, 1, 3), dtype=np.float32),
        "six pixels": generator.random((3, 2, 3), dtype=np.float32),
        "one pixel": np.full((1, 1, 3), 0.5, np.float32),
        "one black pixel": np.zeros((1, 1, 3), np.float32),
    }


def _law(kept: bool, broken: str) -> None:
    if not kept:
        raise AssertionError(broken)
