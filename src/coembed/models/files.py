"""Files of a model: ``config.json``, ``sampling.json``, ``model.safetensors`` and ``README.md`` (the card).

Nothing is pickled. Files are written whole or not at all, and read exactly or refused by an error that names
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from coembed.errors import ConfigError, ModelError
from coembed.models.base import Adjustable, Saved
from coembed.serialization import from_dict, read_json, to_dict, write_bytes, write_json

FORMAT = "coembed-model"
VERSION = 3
"""1 and 2 held models of kinds that are gone."""
CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
SAMPLING_FILE = "sampling.json"

Dtype = Literal["float32", "float16", "int8"]
STEPS = 127  # of int8, either way
_SCALE = ":scale"  # ends the name of the tensor that holds the step of every row of one in int8


@dataclass(frozen=True)
class ModelHeader:
    """``config.json``: what is needed to build the model before its weights are read."""

    format: str
    version: int
    kind: str
    task: str
    config: dict[str, Any]


def save_pretrained(
    model: nn.Module, folder: str | Path, *, task: str, card: str | None = None, dtype: Dtype = "float32"
) -> Path:
    """Write a model as a folder that ``from_pretrained`` reads.

    The weights go first and ``config.json`` last, each whole or not at all.

    Args:
        model: with its kind at ``model.kind`` and its frozen config at ``model.config``.
        folder: made if need be; files of these names are replaced.
        task: name of the task, e.g. ``"resaturation"``.
        card: the text of README.md; None leaves whatever card is there.
        dtype: of the stored matrices and kernels. ``"float16"`` halves the file, ``"int8"``, with a step of its
            own per row, quarters it; vectors and scalars, which hold the statistics, stay float32. What a
            model itself holds in float16 stays so.

    Returns:
        The folder.

    Raises:
        ModelError: no kind of model, weights that are not finite, or beyond the range of ``dtype``.
    """
    folder = Path(folder)
    if not isinstance(model, Saved):
        raise ModelError(
            f"{type(model).__name__} is no kind of model that can be saved: it has no kind and config"
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        tensors |= _stored(name, tensor, dtype)
    header = ModelHeader(FORMAT, VERSION, model.kind, task, to_dict(model.config))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / WEIGHTS_FILE, tensor_bytes(tensors))
        if card is not None:
            write_bytes(folder / CARD_FILE, card.encode())
        if isinstance(model, Adjustable):
            write_json(folder / SAMPLING_FILE, to_dict(model.sampling))
        write_json(folder / CONFIG_FILE, to_dict(header))
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written here ({error.strerror or error})") from None
    return folder


def read_header(folder: str | Path) -> ModelHeader:
    """Read and check ``config.json`` of a model folder, without its weights.

    Raises:
        ModelError: missing, not JSON, an unknown key, or another format or version.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        data = read_json(path)
        if isinstance(data, dict) and (data.get("format") != FORMAT or data.get("version") != VERSION):
            found = f"{path}: format {data.get('format')!r} version {data.get('version')!r}"
            advice = ""
            if data.get("format") == FORMAT and data.get("version") in (1, 2):
                advice = ": a model of an earlier CoEmbed, whose kind is gone; train it again"
            raise ModelError(f"{found}, expected {FORMAT!r} version {VERSION}{advice}")
        header = from_dict(ModelHeader, data, str(path))
    except ConfigError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    return header


def read_weights(model: nn.Module, path: Path) -> None:
    """Fill a model with the weights of a file.

    Raises:
        ModelError: a damaged file, or tensors that are not the model's; the message names it.
    """
    wanted = model.state_dict()
    try:
        found = parse_tensors(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error})") from None
    found = _in_float(found, wanted)
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


def _stored(name: str, tensor: Tensor, dtype: Dtype) -> dict[str, Tensor]:
    """A tensor as it is written, and in int8 the step of every row beside it."""
    tensor = tensor.detach().cpu().contiguous().clone()  # a clone each: safetensors refuses shared memory
    if not tensor.is_floating_point():
        return {name: tensor}
    smaller = tensor.dim() >= 2
    half = tensor.dtype == torch.float16 or (dtype == "float16" and smaller)
    stored = tensor.to(torch.float16 if half else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        largest = float(tensor.abs().max())
        raise ModelError(f"{name}: not finite as {stored.dtype} (largest magnitude {largest:g}); not saved")
    if dtype != "int8" or half or not smaller or not tensor.numel():
        return {name: stored}
    step = (stored.flatten(1).abs().amax(1) / STEPS).clamp(min=1e-12)
    steps = step.view(-1, *[1] * (stored.dim() - 1))
    return {name: (stored / steps).round().to(torch.int8), f"{name}{_SCALE}": step}


def _in_float(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file with those in int8 multiplied by their steps."""
    steps = {name[: -len(_SCALE)]: step for name, step in found.items() if name.endswith(_SCALE)}
    tensors = {name: tensor for name, tensor in found.items() if not name.endswith(_SCALE)}
    for name, step in steps.items():
        tensor = tensors.get(name)
        if tensor is not None and name in wanted and tensor.dim() and step.shape == tensor.shape[:1]:
            tensors[name] = tensor.float() * step.float().view(-1, *[1] * (tensor.dim() - 1))
    return tensors
