"""The energy score of a few samples a validation pair: what the loss says nothing about is how samples are."""

from __future__ import annotations

import torch

from coembed.evaluation.metrics import multiscale_energy_score
from coembed.evaluation.report import SCALES
from coembed.sampling import Streams
from coembed.training.batches import spread
from coembed.training.config import TrainConfig
from coembed.training.step import autocast
from coembed.training.trainable import Pairs, Trainable

DRAWS = 8  # samples a pair
SCORED = 256  # pairs, at most
_BATCH = 64


@torch.no_grad()
def energy(model: Trainable, pairs: Pairs, config: TrainConfig, device: torch.device) -> float:
    """Mean fair energy score over fields averaged over 1, 2, 4 and 8 pixels, natural units; lower is better.

    The same pairs and draws every time, so that two states of a model differ by what they are alone.
    """
    total, rows = 0.0, spread(len(pairs), min(SCORED, config.val_limit))
    for chunk in rows.split(_BATCH):
        condition, field = pairs.condition(chunk).to(device), pairs.field(chunk)
        with autocast(config, device):
            drawn = model.sample(condition, DRAWS, generator=Streams(config.seed, chunk.tolist()))
        scales = [s for s in SCALES if s <= min(field.shape[-2:])]
        scores = multiscale_energy_score(drawn.float().cpu(), field, scales)
        total += sum(float(score.double().sum()) for score in scores.values()) / len(scales)
    return total / len(rows)
