"""The text of ``--dry-run``: options, parameter counts, and the time an epoch will take, measured."""

from __future__ import annotations

import json
import statistics
import time

import torch

from coembed.models.base import Trainable
from coembed.numerics.random import named_generator
from coembed.serialization import to_dict
from coembed.training.batches import Batches
from coembed.training.config import TrainConfig
from coembed.training.schedule import Budget
from coembed.training.step import make_optimizer, train_step

WARM_STEPS, TIMED_STEPS = 2, 5
_MAX_INITIAL_PAIRS = 2048  # enough for sensible starting values; only the time of a step is asked for


def parameter_counts(model: Trainable) -> dict[str, int]:
    """Parameters of every direct part of the model, and "total"."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    total = sum(p.numel() for p in model.parameters())
    own = sum(p.numel() for name, p in model.named_parameters() if "." not in name)
    return {**counts, **({"(itself)": own} if own else {}), "total": total}


def estimate(model: Trainable, batches: Batches, config: TrainConfig, device: torch.device) -> dict[str, float]:
    """Print the resolved options, the parameter counts and the measured times; the model is not usable after.

    Returns:
        "step_seconds" (median of 5 after 2 to warm up), "epoch_seconds" and "images_per_second".
    """
    print(json.dumps({"train": to_dict(config), "model": to_dict(model.config)}, indent=2))
    for name, count in parameter_counts(model).items():
        print(f"{name:>24}  {count:>12,d} parameters")
    condition, field = batches.pairs.batch(slice(0, min(_MAX_INITIAL_PAIRS, len(batches.pairs))))
    model.initialise(condition.to(device), field.to(device))
    optimizer = make_optimizer(model, config)
    noise, flips = named_generator(config.seed, "noise", device), named_generator(config.seed, "flips")
    times = []
    for step in range(WARM_STEPS + TIMED_STEPS):
        start = time.perf_counter()
        condition, field, _ = batches.get(batches.indices(step), flips if config.flips else None)
        train_step(
            model,
            optimizer,
            condition,
            field,
            config,
            generator=noise,
            warmup=1.0,
            learning_rate=config.learning_rate,
        )
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[WARM_STEPS:])
    epoch = seconds * batches.per_epoch
    speed = batches.size / seconds
    print(f"A step of {batches.size} pairs takes {seconds:.3f} s ({speed:.0f} images/s) on {device}.")
    print(f"An epoch of {len(batches.pairs):,d} pairs ({batches.per_epoch} steps) takes {_words(epoch)}.")
    budget = Budget.of(config, len(batches.pairs))
    ends = [] if budget.images is None else [budget.images / batches.size * seconds]
    ends += [] if budget.seconds is None else [budget.seconds]
    print(f"The whole run takes {_words(min(ends))}, without validation and checkpoints.")
    return {"step_seconds": seconds, "epoch_seconds": epoch, "images_per_second": speed}


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
