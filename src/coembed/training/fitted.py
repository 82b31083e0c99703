"""Models without training steps: fitted to the pairs at once, in the same kind of folder as a trained one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from coembed.data.pairs import Pairs
from coembed.models.pretrained import CONFIG_FILE
from coembed.serialization import to_dict, write_bytes
from coembed.training.config import TrainConfig
from coembed.training.preview import Range, picture
from coembed.training.run_dir import begin


def fit_at_once(
    model_class: Any,
    model_config: Any,
    train: Pairs,
    validation: Pairs,
    config: TrainConfig,
    *,
    save: Callable[[Any, Path], object],
    task: str,
    ranges: tuple[Range, Range] | None,
) -> Path:
    """Fits, saves and shows a model whose class has ``fit(config, pairs)``; lengths and rates do not apply.

    Args:
        model_class: e.g. ``coembed.models.baselines.nearest.NearestNeighbours``.
        model_config: its frozen config.
        train: pairs to fit on.
        validation: pairs for the picture of samples.
        config: the options; only where the run lies, its seed, resume and dry_run count.
        save: writes the model into a folder.
        task: the name of the pairs' task, for the record.
        ranges: (low, high) of condition and of field in the picture.

    Returns:
        The folder of the model, RUN/model (or RUN after a dry run).

    Raises:
        TrainingError: the folder has a run already, or there is none to resume.
        DataError: pairs that cannot be fitted.
    """
    if config.dry_run:
        print(json.dumps({"train": to_dict(config), "model": to_dict(model_config)}, indent=2))
        print(f"{model_class.__name__} is fitted at once, without training steps.")
        return Path(config.out)
    run = begin(config, to_dict(model_config), task, train)
    folder = run / "model"
    if config.resume and (folder / CONFIG_FILE).is_file():  # written last: the fit was done
        return folder
    if config.threads:
        torch.set_num_threads(config.threads)
    start = time.perf_counter()
    model = model_class.fit(model_config, train)
    seconds = round(time.perf_counter() - start, 3)
    line = {"step": 0, "images": len(train), "progress": 1.0, "seconds": seconds}
    write_bytes(run / "metrics.jsonl", (json.dumps(line) + "\n").encode())
    if len(train) > 8:  # a picture shows six samples per photo
        path = run / "samples" / "step-00000000.png"
        picture(path, model, validation, seed=config.seed, device=torch.device("cpu"), ranges=ranges)
    save(model, folder)
    return folder
