"""Opening the folder of a run: a new one must be empty, and a resumed one must be the same run as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coembed.data.pairs import Pairs, fingerprint
from coembed.errors import TrainingError
from coembed.serialization import from_dict, to_dict, write_json
from coembed.training import checkpoint
from coembed.training.config import TrainConfig
from coembed.training.record import FORMAT, VERSION, read_record

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
        what = "already has a run" if (run / "run.json").exists() else "is not empty"
        raise TrainingError(f"{run}: {what}; go on with --resume or choose another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "run.json", record)
    except OSError as error:
        raise TrainingError(f"{run}: cannot be written ({error})") from None
    return run


def _compare(run: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    where = run / "run.json"
    # Options that are newer than the run had their defaults when it began.
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
