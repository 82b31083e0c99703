"""Models on disk: ``config.json``, ``model.safetensors`` and ``README.md`` (the card), and where to find them.

Nothing is pickled. A folder is loaded whole and exactly, or refused with an error that names the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from coembed.errors import ConfigError, ModelError
from coembed.models.base import Sampler
from coembed.models.registry import MODEL_CLASSES, classes, kind_of
from coembed.serialization import from_dict, read_json, to_dict, write_bytes, write_json

FORMAT = "coembed-model"
VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
BUNDLED = Path(__file__).parent / "weights"
CALIBRATED = ":calibrated"
"""Ends the name of a model that shall draw at its calibrated temperatures."""

Dtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class ModelHeader:
    """``config.json``: what is needed to build the model before its weights are read."""

    format: str
    version: int
    kind: str
    task: str
    config: dict[str, Any]


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


def save_pretrained(
    model: nn.Module, folder: str | Path, *, task: str, card: str | None = None, dtype: Dtype = "float32"
) -> Path:
    """Write a model as a folder that ``from_pretrained`` reads.

    The weights go first and ``config.json`` last, each whole or not at all.

    Args:
        model: of a registered kind, with its frozen config at ``model.config``.
        folder: made if need be; files of these names are replaced.
        task: name of the task, e.g. ``"resaturation"``.
        card: the text of README.md; None leaves whatever card is there.
        dtype: of the stored matrices and kernels. ``"float16"`` halves the file; vectors and scalars, which
            hold the statistics, stay float32. What a model itself holds in float16 stays so.

    Returns:
        The folder.

    Raises:
        ModelError: an unregistered class, non-finite weights, or weights beyond the range of ``dtype``.
    """
    folder = Path(folder)
    kind = kind_of(model)
    tensors = {name: _stored(name, tensor, dtype) for name, tensor in model.state_dict().items()}
    header = ModelHeader(FORMAT, VERSION, kind, task, to_dict(model.config))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / WEIGHTS_FILE, tensor_bytes(tensors))
        if card is not None:
            write_bytes(folder / CARD_FILE, card.encode())
        write_json(folder / CONFIG_FILE, to_dict(header))
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written here ({error.strerror or error})") from None
    return folder


def from_pretrained(name_or_folder: str | Path) -> Sampler:
    """Load a model: a bundled name (``"resaturation"``), a folder, or a hub id (``"owner/name"``).

    A run folder of ``coembed train`` works too: its ``model/`` is taken. A bundled name goes before a
    folder of the same name; write ``./resaturation`` for the folder. With ``:calibrated`` after the name
    (``"resaturation:calibrated"``) the model draws as was fitted on held-out pairs, not in its own way.

    Raises:
        ModelError: nothing of that name, files that are damaged, incomplete or of another version, or a model
            that was never calibrated where that is asked for.
    """
    return load_pretrained(name_or_folder).model


def load_pretrained(name_or_folder: str | Path) -> Pretrained:
    """Like ``from_pretrained``, and says the task and the folder, too."""
    name = str(name_or_folder)
    calibrated = name.endswith(CALIBRATED)
    folder = find_model(name.removesuffix(CALIBRATED) if calibrated else name_or_folder)
    header = read_header(folder)
    model = _build(header, folder / CONFIG_FILE)
    _fill(model, folder / WEIGHTS_FILE)
    if calibrated:
        model = _calibrated(model, name)
    return Pretrained(model.eval(), header.task, folder)


def _calibrated(model: Any, name: str) -> Any:
    """The model as it draws at its calibrated temperatures; ``name`` is what it is called."""
    found = getattr(model.config, "calibrated", ())
    if not found:
        raise ModelError(f"{name}: has no calibrated temperatures; `coembed calibrate --beside` fits them")
    return model.with_sampling(layer_temperatures=found, leading=0)


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


def read_header(folder: str | Path) -> ModelHeader:
    """Read and check ``config.json`` of a model folder, without its weights.

    Raises:
        ModelError: missing, not JSON, an unknown key, or another format or version.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        data = read_json(path)
        if isinstance(data, dict) and (data.get("format"), data.get("version")) != (FORMAT, VERSION):
            raise ModelError(
                f"{path}: format {data.get('format')!r} version {data.get('version')!r}, "
                f"expected {FORMAT!r} version {VERSION}"
            )
        header = from_dict(ModelHeader, data, str(path))
    except ConfigError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    if header.kind not in MODEL_CLASSES:
        raise ModelError(f"{path}: kind is {header.kind!r}, expected one of {', '.join(MODEL_CLASSES)}")
    return header


def _build(header: ModelHeader, path: Path) -> nn.Module:
    model_class, config_class = classes(header.kind)
    try:
        config = from_dict(config_class, header.config, f"{path}: config")
        # The starting values are replaced at once; they must not move the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            return model_class(config)
    except ConfigError as error:
        raise ModelError(str(error)) from None


def _stored(name: str, tensor: Tensor, dtype: Dtype) -> Tensor:
    tensor = tensor.detach().cpu().contiguous().clone()  # a clone each: safetensors refuses shared memory
    if not tensor.is_floating_point():
        return tensor
    half = tensor.dtype == torch.float16 or (dtype == "float16" and tensor.dim() >= 2)
    stored = tensor.to(torch.float16 if half else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        largest = float(tensor.abs().max())
        raise ModelError(f"{name}: not finite as {stored.dtype} (largest magnitude {largest:g}); not saved")
    return stored


def _fill(model: nn.Module, path: Path) -> None:
    wanted = model.state_dict()
    try:
        found = parse_tensors(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error})") from None
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise ModelError(f"{path}: tensor {missing[0]!r} is missing ({len(missing)} of {len(wanted)} in all)")
    if unknown:
        raise ModelError(f"{path}: unknown tensor {unknown[0]!r} ({len(unknown)} in all)")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
            raise ModelError(f"{path}: tensor {name!r} has shape {shapes}")
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            raise ModelError(f"{path}: tensor {name!r} is {tensor.dtype}, expected {wanted[name].dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: tensor {name!r} holds values that are not finite")
    model.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in found.items()})


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download  # type: ignore[import-not-found]
    except ImportError:
        raise ModelError(
            f"{name}: no such folder, and models of the hub need huggingface_hub: pip install 'coembed[hub]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE, CARD_FILE]))
    except Exception as error:  # the hub's errors are many; each ends in this one line
        raise ModelError(f"{name}: cannot be fetched from the hub ({error})") from error
