"""Everything a run needs to go on bit for bit, in one folder that is there whole or not at all.

``checkpoint-00001234/`` holds ``model.safetensors``, ``ema.safetensors``, ``optimizer.safetensors``,
``state.json`` and, unless the last weights are kept, ``best.safetensors``. It is written under a name that is
never read, flushed to the disk, and renamed; the older one is removed afterwards.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from coembed.errors import ConfigError, TrainingError
from coembed.models.base import Trainable
from coembed.serialization import from_dict, read_json, to_dict, write_bytes, write_json

FORMAT, VERSION = "coembed-checkpoint", 1
BEST = "best.safetensors"
MARGIN = 0.003  # of the score: where the last weights are as good as that, they are kept
DEVIATIONS = 1.5  # standard errors of the paired difference: less is chance, above all with few pairs
_NAME = re.compile(r"checkpoint-(\d{8,})")
_UNFINISHED = ".checkpoint-"


@dataclass
class State:
    """The counts of a run beside weights and optimiser."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_row: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # of the loss parts since the last line of the log
    summed: int = 0
    alarms: tuple[str, ...] = ()
    validated: int = 0  # images at the newest validation
    latest: float = math.inf  # its energy score
    latest_scores: tuple[float, ...] = ()  # of each pair
    best: float | None = None  # the least so far
    best_scores: tuple[float, ...] = ()
    best_step: int = 0
    generators: dict[str, str] = field(default_factory=dict)  # hex of every generator's state

    def add(self, parts: dict[str, float]) -> None:
        """Add the loss parts of a step to those since the last line of the log."""
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1

    def take_means(self) -> dict[str, float]:
        """Means of the loss parts since the last line of the log; the sums begin again."""
        means = {name: total / self.summed for name, total in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means


class BestCheckpoint:
    """The running mean of the weights at the best validation so far: what a run that overfits still has.

    Judged by the energy score of samples (``validation.energies``), which is what a model is for. The loss
    would also weigh the condition's own ladder and the pixel noise, and small sets overfit in the tie long
    before those.

    Args:
        weights: as a checkpoint gives them back; None where there is nothing to remember yet.
    """

    def __init__(self, weights: dict[str, Tensor] | None = None):
        self.weights = weights

    @torch.no_grad()
    def update(self, mean: Trainable, state: State) -> None:
        """Remember the running mean if its score, ``state.latest``, is the least so far."""
        if math.isfinite(state.latest) and (state.best is None or state.latest < state.best):
            state.best, state.best_step = state.latest, state.step
            state.best_scores = state.latest_scores
            self.weights = {name: value.detach().clone() for name, value in mean.state_dict().items()}

    def restore(self, mean: Trainable, state: State) -> str | None:
        """Take the best weights back at the end if the last are surely worse; return a line that says so."""
        if self.weights is None or state.best is None:
            return None
        if state.latest <= state.best + max(MARGIN * abs(state.best), DEVIATIONS * _error(state)):
            return None
        mean.load_state_dict(self.weights)
        return (
            f"Kept: the weights of step {state.best_step}, whose samples score {state.best:.4g} on validation "
            f"pairs (energy score, lower is better); those of the last step {state.latest:.4g}"
        )


def save(
    run: Path,
    state: State,
    model: Trainable,
    ema: Trainable,
    optimizer: torch.optim.Optimizer,
    generators: dict[str, torch.Generator],
    best: dict[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint of ``state.step`` and then remove older ones; ``best``: of ``BestCheckpoint``.

    Raises:
        TrainingError: the disk refuses; the message names the folder and what the system said.
    """
    final = run / f"checkpoint-{state.step:08d}"
    unfinished = run / f"{_UNFINISHED}{state.step:08d}.{os.getpid()}"
    if final.exists():  # a step has one state, and removing it first would leave a moment without any
        return final
    state.generators = {name: g.get_state().numpy().tobytes().hex() for name, g in generators.items()}
    try:
        _remove(unfinished)
        unfinished.mkdir()
        write_tensors(unfinished / "model.safetensors", model.state_dict())
        write_tensors(unfinished / "ema.safetensors", ema.state_dict())
        write_tensors(unfinished / "optimizer.safetensors", _optimizer_tensors(model, optimizer))
        if best is not None:
            write_tensors(unfinished / BEST, best)
        write_json(unfinished / "state.json", {"format": FORMAT, "version": VERSION, "state": to_dict(state)})
        unfinished.rename(final)
        _flush(run)
        for old in _all(run)[:-1]:
            _remove(old)
    except OSError as error:
        raise TrainingError(f"{final}: the checkpoint could not be written ({error})") from error
    return final


def latest(run: Path) -> Path | None:
    """The newest checkpoint of a run, or None. Unfinished ones are never seen."""
    found = _all(run)
    return found[-1] if found else None


def clean(run: Path) -> None:
    """Remove what a killed run left unfinished."""
    for path in run.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path)
    for path in run.glob(".metrics.jsonl.*"):
        path.unlink()


def load(
    folder: Path,
    model: Trainable,
    ema: Trainable,
    optimizer: torch.optim.Optimizer,
    generators: dict[str, torch.Generator],
) -> State:
    """Put a checkpoint back into the model, its running mean, the optimiser and the generators.

    Raises:
        TrainingError: a file is missing, damaged or does not fit the model; the message names it.
    """
    try:
        data = read_json(folder / "state.json")
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
            got = {k: data.get(k) for k in ("format", "version")} if isinstance(data, dict) else data
            raise TrainingError(f"{folder / 'state.json'}: got {got}, expected {FORMAT} version {VERSION}")
        state = from_dict(State, data.get("state"), f"{folder / 'state.json'}: state")
    except ConfigError as error:
        raise TrainingError(str(error)) from None
    _load_module(model, folder / "model.safetensors")
    _load_module(ema, folder / "ema.safetensors")
    _load_optimizer(folder / "optimizer.safetensors", model, optimizer)
    if set(state.generators) != set(generators):
        got, want = sorted(state.generators), sorted(generators)
        raise TrainingError(f"{folder / 'state.json'}: generators: got {got}, expected {want}")
    for name, generator in generators.items():
        generator.set_state(torch.frombuffer(bytearray.fromhex(state.generators[name]), dtype=torch.uint8))
    return state


def load_best(folder: Path, state: State, device: torch.device) -> dict[str, Tensor] | None:
    """The weights at the best validation, or None where there was none.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    if state.best is None:
        return None
    return {name: value.to(device) for name, value in read_tensors(folder / BEST).items()}


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write named tensors as safetensors, whole or not at all; shared memory is written out for each name."""
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, safetensors.torch.save(own))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from None


def _optimizer_tensors(model: Trainable, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    # By parameter name, not by position: a checkpoint can be looked into, and a changed model is noticed.
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_optimizer(path: Path, model: Trainable, optimizer: torch.optim.Optimizer) -> None:
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for name, value in read_tensors(path).items():
        owner, _, key = name.rpartition("/")
        if owner not in parameters:
            raise TrainingError(f"{path}: tensor {name!r} belongs to no parameter of the model")
        if key != "step" and value.shape != parameters[owner].shape:
            got, want = tuple(value.shape), tuple(parameters[owner].shape)
            raise TrainingError(f"{path}: {name}: got shape {got}, expected {want}")
        parameter = parameters[owner]
        if key != "step":
            # In the parameter's own memory layout, which a file does not keep: the fused optimiser walks
            # weights and moments side by side in memory, and would silently pair the wrong ones.
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value.detach().to(parameter.device)


def _load_module(module: Trainable, path: Path) -> None:
    try:
        module.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise TrainingError(f"{path}: does not fit the model: {error}") from None


def _all(run: Path) -> list[Path]:
    found = [(int(match[1]), path) for path in run.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _remove(folder: Path) -> None:
    # Renamed first, so that a half removed folder is never taken for a checkpoint.
    if folder.exists():
        doomed = folder.with_name(f"{_UNFINISHED}removed.{folder.name}.{os.getpid()}")
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _error(state: State) -> float:
    """Standard error of the last scores' mean difference from the best, pair by pair; 0 if unknown."""
    pairs = zip(state.latest_scores, state.best_scores, strict=False)
    differences = torch.tensor([last - best for last, best in pairs], dtype=torch.float64)
    return float(differences.std()) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
