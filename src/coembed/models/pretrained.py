"""Models by name: bundled ones, folders, runs and those of the hub, loaded whole and exactly or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coembed.errors import ConfigError, ModelError
from coembed.models.base import Adjustable, Sampler
from coembed.models.files import (
    CARD_FILE,
    CONFIG_FILE,
    SAMPLING_FILE,
    WEIGHTS_FILE,
    read_header,
    read_weights,
)
from coembed.models.registry import MODEL_CLASSES, classes
from coembed.models.sampling_config import SamplingConfig
from coembed.serialization import from_dict, read_json

BUNDLED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Pretrained:
    """A loaded model and where it came from.

    Args:
        model: in evaluation mode, float32, on the CPU.
        task: name of the task it was trained for; a user's own pairs have one, too.
        folder: where its files lie.
    """

    model: Any
    task: str
    folder: Path


def from_pretrained(name_or_folder: str | Path) -> Sampler:
    """Load a model: a bundled name (``"resaturation"``), a folder, or a hub id (``"owner/name"``).

    A run folder of ``coembed train`` works too: its ``model/`` is taken. A bundled name goes before a
    folder of the same name; write ``./resaturation`` for the folder.

    Raises:
        ModelError: nothing of that name, or files that are damaged, incomplete or of another version.
    """
    return load_pretrained(name_or_folder).model


def load_pretrained(name_or_folder: str | Path) -> Pretrained:
    """Like ``from_pretrained``, and says the task and the folder, too."""
    folder = find_model(name_or_folder)
    header = read_header(folder)
    if header.kind not in MODEL_CLASSES:
        raise ModelError(
            f"{folder / CONFIG_FILE}: kind is {header.kind!r}, expected one of {', '.join(MODEL_CLASSES)}"
        )
    model: Any = _build(header.kind, header.config, folder / CONFIG_FILE)
    read_weights(model, folder / WEIGHTS_FILE)
    model.eval()
    path = folder / SAMPLING_FILE
    if isinstance(model, Adjustable) and path.is_file():
        try:
            model.sampling = from_dict(SamplingConfig, read_json(path), str(path))
        except ConfigError as error:
            raise ModelError(f"{folder}: {error}") from None
    return Pretrained(model, header.task, folder)


def find_model(name_or_folder: str | Path) -> Path:
    """The folder with ``config.json`` that a name stands for; hub ids are downloaded (and kept in their cache).

    Raises:
        ModelError: nothing of that name; the message lists what is there.
    """
    name = str(name_or_folder)
    if name in bundled_names():
        return BUNDLED / name
    for folder in (Path(name), Path(name) / "model"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    if Path(name).is_dir():
        raise ModelError(f"{name}: no model here; expected {CONFIG_FILE} in it or in its model/ folder")
    if isinstance(name_or_folder, str) and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        return _download(name)
    bundled = ", ".join(bundled_names()) or "none"
    raise ModelError(
        f"{name}: no such model; expected a bundled name ({bundled}), a folder, or a hub id owner/name"
    )


def bundled_names() -> list[str]:
    """The models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG_FILE}"))


def _build(kind: str, values: dict[str, Any], path: Path) -> nn.Module:
    model_class, config_class = classes(kind)
    try:
        config = from_dict(config_class, values, f"{path}: config")
        # The starting values are replaced at once; they must not move the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            return model_class(config)
    except ConfigError as error:
        raise ModelError(str(error)) from None


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download  # type: ignore[import-not-found]
    except ImportError:
        raise ModelError(
            f"{name}: no such folder, and models of the hub need huggingface_hub: pip install 'coembed[hub]'"
        ) from None
    try:
        return Path(
            snapshot_download(name, allow_patterns=[CONFIG_FILE, SAMPLING_FILE, WEIGHTS_FILE, CARD_FILE])
        )
    except Exception as error:  # the hub's errors are many; each ends in this one line
        raise ModelError(f"{name}: cannot be fetched from the hub ({error})") from error
