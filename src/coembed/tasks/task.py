"""The contract of a task and the registry that finds tasks by name.

A task says what a photo is split into (a condition that is given and a field that is generated) and how a new
field goes back into the photo. A user's own task is one such class, registered or named as ``"module:Class"``.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from coembed.errors import CoEmbedError, ConfigError, DataError


@dataclass(frozen=True)
class Layer:
    """One image-like quantity: a condition or a field.

    Args:
        name: what it is, e.g. ``"saturation"``.
        channels: at least 1.
        low: smallest value it takes, natural units.
        high: largest value it takes, natural units.
        unit: e.g. ``"1"`` for a plain ratio, ``"px/frame"``.
        vector: the two channels are a displacement, to the right and downwards: mirroring left to right turns
            the first one's sign.

    Raises:
        ConfigError: no channels, a range that is not finite or runs backwards, or a vector that has not two
            channels.
    """

    name: str
    channels: int
    low: float
    high: float
    unit: str = "1"
    vector: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ConfigError(f"layer {self.name!r} has {self.channels} channels, expected at least 1")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ConfigError(
                f"layer {self.name!r} has the range {self.low} to {self.high}, expected low <= high"
            )
        if self.vector and self.channels != 2:
            raise ConfigError(f"layer {self.name!r} is a vector of {self.channels} channels, expected 2")


@runtime_checkable
class Task(Protocol):
    """Split photos into condition and field, and compose photos from new fields.

    Both functions are pure: they keep no state and leave their inputs as they were.
    A class may also have ``pointwise: bool`` (see ``is_pointwise``), ``working_size: int | None`` (see
    ``working_size_of``) and ``settings: dict`` (see ``settings_of``), which go into the index of pairs; and
    ``keeps_level: bool`` (see ``keeps_level``), which is a matter of edits alone.
    ``coembed.testing.check_task`` checks a class of your own against this contract.
    """

    name: str
    condition: Layer
    field: Layer

    def split(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The condition and the field of a photo, at the photo's own size.

        Args:
            rgb: (h, w, 3) float32, encoded sRGB in [0, 1].

        Returns:
            condition (h, w, condition.channels) and field (h, w, field.channels), float32, natural units.
        """
        ...

    def compose(self, rgb: np.ndarray, field: np.ndarray) -> np.ndarray:
        """The photo with another field: ``compose(rgb, split(rgb)[1])`` is ``rgb``.

        Args:
            rgb: (h, w, 3) float32 in [0, 1].
            field: (h, w, field.channels) float32, natural units.

        Returns:
            (h, w, 3) float32 in [0, 1].
        """
        ...


def is_pointwise(task: Task) -> bool:
    """True if ``split`` looks at each pixel alone, so that a photo may be split in strips; the default."""
    return getattr(task, "pointwise", True)


def working_size_of(task: Task) -> int | None:
    """The longer side that photos are reduced to before they are split; None, the default: they are not."""
    return getattr(task, "working_size", None)


def keeps_level(task: Task) -> bool:
    """True if an edit leaves the field's mean over the frame as it is, unless asked; not by default.

    The mean of a logarithm of light is exposure, which is not light.
    """
    return getattr(task, "keeps_level", False)


def settings_of(task: Task) -> dict[str, Any]:
    """JSON values, beyond layers and working size, that decide a task's numbers; none by default."""
    return getattr(task, "settings", {})


_TASKS: dict[str, Task] = {}
C = TypeVar("C", bound=type)


def register_task(cls: C) -> C:
    """Class decorator: makes one instance and registers it under its ``name``.

    Registering a class of the same qualified name again replaces it, so a notebook cell can be run twice.

    Raises:
        ConfigError: the class does not meet ``Task``, or another class has the name.
    """
    task = _checked(cls(), cls.__qualname__)
    taken = _TASKS.get(task.name)
    if taken is not None and type(taken).__qualname__ != cls.__qualname__:
        raise ConfigError(f"task {task.name!r} is already registered by {type(taken).__qualname__}")
    _TASKS[task.name] = task
    return cls


def task_names() -> list[str]:
    """The names of all registered tasks, sorted."""
    return sorted(_TASKS)


def get_task(name: str) -> Task:
    """Find a task by its registered name, or imports a user's own by ``"module:Class"``.

    The second form runs the module, which may lie in the current folder: give it names that the user typed,
    never one read from a downloaded file.

    Raises:
        ConfigError: no such task, module or class, or the class does not meet ``Task``.
    """
    if name in _TASKS:
        return _TASKS[name]
    module, colon, class_name = name.partition(":")
    if not colon or not module or not class_name:
        known = ", ".join(task_names())
        raise ConfigError(f"unknown task {name!r}; known: {known}, or a class of your own as module:Class")
    cls = getattr(_import(module, name), class_name, None)
    if not isinstance(cls, type):
        raise ConfigError(f"task {name!r}: module {module!r} has no class {class_name!r}")
    return _checked(cls(), name)


def _import(module: str, name: str):
    # An installed script does not see the folder it is run in, where users keep a task of their own.
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"task {name!r}: cannot import {module!r} ({error})") from error


def _checked(task: object, where: str) -> Task:
    if not isinstance(task, Task):
        wanted = ("name", "condition", "field", "split", "compose")
        missing = [name for name in wanted if getattr(task, name, None) is None]
        raise ConfigError(f"task {where!r} lacks {', '.join(missing)}; see coembed.tasks.Task")
    said: Any = task  # a user's own class may say anything
    for part in ("condition", "field"):
        if not isinstance(getattr(said, part), Layer):
            raise ConfigError(
                f"task {where!r}: {part} is {getattr(said, part)!r}, expected a coembed.tasks.Layer"
            )
    if not isinstance(said.name, str) or not said.name or ":" in said.name:
        raise ConfigError(f"task {where!r}: name is {said.name!r}, expected a word without ':'")
    return task


def compose_photo(task: Task, rgb: np.ndarray, field: np.ndarray, name: str) -> np.ndarray:
    """``task.compose``, checked: a user's own task may do anything.

    Args:
        task: whose field it is.
        rgb: (h, w, 3) float32 in [0, 1].
        field: (h, w, c) float32, natural units.
        name: of the photo, for messages.

    Raises:
        DataError: the task fails on the photo, or gives a picture of another shape.
    """
    try:
        composed = task.compose(rgb, field)
    except CoEmbedError:
        raise
    except Exception as error:  # the photo that a task fails on is the first thing to know
        raise DataError(f"{name}: task {task.name!r} failed: {type(error).__name__}: {error}") from error
    if composed.shape != rgb.shape:
        raise DataError(f"{name}: task {task.name!r} composed shape {composed.shape}, expected {rgb.shape}")
    return composed


def split_layers(
    task: Task, rgb: np.ndarray, name: str, *, called: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``task.split``, checked: a user's own task may do anything.

    Args:
        task: whose layers are wanted.
        rgb: (h, w, 3) float32 in [0, 1].
        name: of the photo, for messages: the photo that a task fails on is the first thing to know.
        called: how the user named the task (``"module:Class"``); by default its own name.

    Raises:
        DataError: the task fails on the photo, or gives layers of another shape than it says.
    """
    called = called or task.name
    try:
        layers = task.split(rgb)
    except CoEmbedError:
        raise
    except Exception as error:
        raise DataError(f"{name}: task {called!r} failed: {type(error).__name__}: {error}") from error
    for part, layer, expected in zip(("condition", "field"), layers, (task.condition, task.field), strict=True):
        shape = (*rgb.shape[:2], expected.channels)
        if layer.shape != shape:
            raise DataError(f"{name}: task {called!r} gave a {part} of shape {layer.shape}, expected {shape}")
    return layers
