"""The energy score of a few samples a validation pair: what the loss says nothing about is how samples are."""

from __future__ import annotations

import torch

from coembed.data.pairs import Pairs, evenly_spaced
from coembed.evaluation.results import SCALES
from coembed.models.base import Trainable
from coembed.numerics.random import Streams
from coembed.numerics.scoring_rules import multiscale_energy_score
from coembed.training.config import TrainConfig
from coembed.training.step import autocast

DRAWS = 8  # samples per pair
SCORED = 256  # pairs, at most
_BATCH = 64


@torch.no_grad()
def energies(model: Trainable, pairs: Pairs, config: TrainConfig, device: torch.device) -> tuple[float, ...]:
    """Fair energy scores of each pair, the mean over fields averaged over 1 to 8 pixels, natural units.

    The same pairs and draws every time, so that two states of a model differ by what they are alone.
    """
    found: list[float] = []
    rows = evenly_spaced(len(pairs), min(SCORED, config.val_limit))
    for chunk in rows.split(_BATCH):
        condition, field = pairs.condition(chunk).to(device), pairs.field(chunk)
        with autocast(config, device):
            drawn = model.sample(condition, DRAWS, generator=Streams(config.seed, chunk.tolist()))
        scales = [s for s in SCALES if s <= min(field.shape[-2:])]
        scores = multiscale_energy_score(drawn.float().cpu(), field, scales)
        found += torch.stack(list(scores.values())).double().mean(0).tolist()
    return tuple(found)
