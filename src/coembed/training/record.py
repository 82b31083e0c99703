"""``run.json``: what a run was told to do, read back (imports no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coembed.errors import ConfigError, TrainingError
from coembed.serialization import from_dict, read_json
from coembed.training.config import TrainConfig

FORMAT, VERSION = "coembed-run", 1


def saved_options(out: str | Path) -> TrainConfig:
    """The options a run began with; the command line takes them as defaults under --resume.

    Raises:
        TrainingError: no run in the folder, or a damaged ``run.json``.
    """
    return from_dict(TrainConfig, read_record(Path(out))["train"], f"{Path(out) / 'run.json'}: train")


def saved_model(out: str | Path) -> dict[str, Any]:
    """The model's config a run began with, as JSON values.

    Raises:
        TrainingError: no run in the folder, or a damaged ``run.json``.
    """
    return read_record(Path(out))["model"]


def read_record(run: Path) -> dict[str, Any]:
    """All of ``run.json``: task, pairs, train and model.

    Raises:
        TrainingError: no run in the folder, or a damaged ``run.json``.
    """
    path = run / "run.json"
    if not path.exists():
        raise TrainingError(f"{run}: no run to resume (no run.json); start one without --resume")
    try:
        data = read_json(path)
    except ConfigError as error:
        raise TrainingError(str(error)) from None
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        seen = (data.get("format"), data.get("version")) if isinstance(data, dict) else data
        raise TrainingError(f"{path}: got {seen}, expected {FORMAT} version {VERSION}")
    missing = [name for name in ("task", "pairs", "train", "model") if name not in data]
    if missing:
        raise TrainingError(f"{path}: missing key {missing[0]!r}")
    return data
