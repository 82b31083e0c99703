"""Validation: losses and diagnostics in nats, and the energy score of samples, which no loss tells."""

from __future__ import annotations

from typing import Any

import torch

from coembed.data.pairs import Pairs, evenly_spaced
from coembed.evaluation.results import SCALES
from coembed.models.base import Trainable
from coembed.numerics.random import Streams, named_generator
from coembed.numerics.scoring_rules import multiscale_energy_score
from coembed.training.config import TrainConfig
from coembed.training.machine import autocast
from coembed.training.step import loss_parts

SAMPLES = 8  # samples per pair
MAX_SCORED = 256  # pairs
_BATCH = 64


@torch.no_grad()
def mean_losses(
    model: Trainable, pairs: Pairs, config: TrainConfig, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """Mean loss parts in nats per pair at full weight, and diagnostics; the same draws every time."""
    indices = evenly_spaced(len(pairs), config.val_limit)
    generator = named_generator(config.seed, "validation", device)
    sums: dict[str, float] = {}
    for chunk in indices.split(config.batch_size):
        condition, field = (layer.to(device) for layer in pairs.batch(chunk))
        with autocast(config, device):
            for name, value in loss_parts(model, condition, field, generator, 1.0).items():
                sums[name] = sums.get(name, 0.0) + float(value.double().sum())
    condition, field = (layer.to(device) for layer in pairs.batch(indices[: config.batch_size]))
    with autocast(config, device):
        found = model.diagnostics(condition, field, generator=generator)
    return {name: total / len(indices) for name, total in sums.items()}, dict(found)


def validation_cost(count: int, config: TrainConfig) -> int:
    """Forward passes of one validation on this many pairs."""
    return min(count, config.val_limit) + SAMPLES * min(count, MAX_SCORED)


@torch.no_grad()
def energies(model: Trainable, pairs: Pairs, config: TrainConfig, device: torch.device) -> tuple[float, ...]:
    """Fair energy scores of each pair, the mean over fields averaged over 1 to 8 pixels, natural units.

    The same pairs and draws every time, so that two states of a model differ by what they are alone.
    """
    found: list[float] = []
    for chunk in evenly_spaced(len(pairs), min(MAX_SCORED, config.val_limit)).split(_BATCH):
        condition, field = pairs.condition(chunk).to(device), pairs.field(chunk)
        with autocast(config, device):
            samples = model.sample(condition, SAMPLES, generator=Streams(config.seed, chunk.tolist()))
        scales = [s for s in SCALES if s <= min(field.shape[-2:])]
        scores = multiscale_energy_score(samples.float().cpu(), field, scales)
        found += torch.stack(list(scores.values())).double().mean(0).tolist()
    return tuple(found)
