"""The folder of a run and its ``run.json``: a new one must be empty, a resumed one the same run as before.

Imports no torch until a run begins: the command line reads a run's options first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coembed.errors import ConfigError, TrainingError
from coembed.serialization import from_dict, read_json, to_dict, write_json
from coembed.training.config import TrainConfig

if TYPE_CHECKING:
    from coembed.data.pairs import Pairs

FORMAT, VERSION = "coembed-run", 1

# May differ on resume: where things lie (pairs are compared by content) and what happens beside training.
FREE = frozenset({"pairs", "out", "resume", "dry_run", "checkpoint_minutes", "picture_minutes"})


def begin(
    config: TrainConfig, model: dict[str, Any], task: str, pairs: Pairs, reasons: tuple[str, ...] = ()
) -> Path:
    """Open the folder of a new run, or of the run to resume after comparing every option.

    Args:
        config: this time's options.
        model: the model's config as JSON values.
        task: name of the pairs' task.
        pairs: the training pairs.
        reasons: why the model is not the preset's own; kept in the record, beside its config.

    Raises:
        TrainingError: a run is there and resume is off, none is there and resume is on, or something has
            changed; the message names it.
    """
    from coembed.data.pairs import fingerprint
    from coembed.training import checkpoint

    run = Path(config.out)
    record = {
        "format": FORMAT,
        "version": VERSION,
        "task": task,
        "pairs": {"count": len(pairs), "digest": fingerprint(pairs)},
        "train": to_dict(config),
        "model": _plain(model),
        **({"fitted": list(reasons)} if reasons else {}),
    }
    if config.resume:
        _compare(run, read_record(run), _plain(record))
        checkpoint.clean(run)
        return run
    if run.exists() and any(run.iterdir()):
        state = "already has a run" if (run / "run.json").exists() else "is not empty"
        raise TrainingError(f"{run}: {state}; go on with --resume or choose another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "run.json", record)
    except OSError as error:
        raise TrainingError(f"{run}: cannot be written ({error})") from None
    return run


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
        got = (data.get("format"), data.get("version")) if isinstance(data, dict) else data
        raise TrainingError(f"{path}: got {got}, expected {FORMAT} version {VERSION}")
    missing = [name for name in ("task", "pairs", "train", "model") if name not in data]
    if missing:
        raise TrainingError(f"{path}: missing key {missing[0]!r}")
    return data


def _compare(run: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    where = run / "run.json"
    # Options newer than the run had their defaults when it began.
    began = to_dict(from_dict(TrainConfig, saved["train"], f"{where}: train"))
    saved = {**saved, "train": _plain(began)}
    for section in ("train", "model"):
        names = sorted(set(saved[section]) | set(now[section]))
        for name in names:
            old, new = saved[section].get(name), now[section].get(name)
            if old != new and not (section == "train" and name in FREE):
                whose = "option" if section == "train" else "option of the model"
                raise TrainingError(
                    f"{where}: the {whose} {name} was {old!r} and is now {new!r}; "
                    "a run is resumed with its own options"
                )
    for name in ("task", "pairs"):
        if saved.get(name) != now[name]:
            raise TrainingError(
                f"{where}: {name} was {saved.get(name)} and is now {now[name]}, expected the same"
            )


def _plain(data: Any) -> Any:
    """As JSON would give it back: tuples as lists, so that saved and new compare equal."""
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, (list, tuple)) else data
