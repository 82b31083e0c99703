"""The model to edit with, and its task."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from coembed.errors import ConfigError, ModelError
from coembed.models.base import Sampler
from coembed.models.pretrained import Pretrained, bundled_names, load_pretrained
from coembed.tasks import Task, get_task, task_names

Model = str | Path | Pretrained | Sampler
"""A bundled name, a folder, a hub id, or a loaded model."""


def load_model(model: Model | None = None, task: str | Task | None = None) -> tuple[Sampler, Task]:
    """Load the model to edit with and find its task.

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
    if isinstance(model, (str, Path)):
        found = _load_bundled(model) if model in bundled_names() else load_pretrained(model)
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


@lru_cache(maxsize=4)
def _load_bundled(name: str | Path) -> Pretrained:
    return load_pretrained(name)
