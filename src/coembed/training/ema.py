"""A running mean of the weights: what is validated, sampled from and kept."""

from __future__ import annotations

import copy

import torch

from coembed.models.base import Trainable

RAMP = 0.05  # the half-life never passes this fraction of the images seen: the start is soon forgotten


class Ema:
    """An exponential moving average of a model's parameters; buffers (statistics) are copied.

    Args:
        model: what to follow; the average starts at its weights.
        halflife: images after which an old weight counts half [Karras et al. 2022]; 0 copies the weights.
    """

    def __init__(self, model: Trainable, halflife: float):
        self.halflife = halflife
        self.model = copy.deepcopy(model)
        self.model.eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: Trainable, batch: int, images: int) -> None:
        """Move the average after a step of ``batch`` images that ended at ``images`` seen in all."""
        halflife = min(self.halflife, RAMP * images)
        keep = 0.5 ** (batch / halflife) if halflife > 0 else 0.0
        for mean, value in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
        for mean, value in zip(self.model.buffers(), model.buffers(), strict=True):
            mean.copy_(value)
