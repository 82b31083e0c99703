"""The running mean of the weights at its best: what a run that overfits in the end still has.

Judged by the energy score of samples (``score.energy``), which is what a model is for. The loss would also
weigh the condition's own ladder and the pixel noise, and small sets overfit in the tie long before those.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coembed.models.base import Trainable
from coembed.training.checkpoint import State

MARGIN = 0.003  # of the score: where the last weights are as good as that, they are kept
DEVIATIONS = 1.5  # standard errors of the paired difference: less is chance, above all with few pairs


class Best:
    """Weights at the best validation so far.

    Args:
        weights: as a checkpoint gives them back; None where there is nothing to remember yet.
    """

    def __init__(self, weights: dict[str, Tensor] | None = None):
        self.weights = weights

    @torch.no_grad()
    def offer(self, mean: Trainable, state: State) -> None:
        """Remember the running mean if its score, ``state.latest``, is the least so far."""
        if math.isfinite(state.latest) and (state.best is None or state.latest < state.best):
            state.best, state.best_step = state.latest, state.step
            state.best_scores = state.latest_scores
            self.weights = {name: value.detach().clone() for name, value in mean.state_dict().items()}

    def take(self, mean: Trainable, state: State) -> str | None:
        """At the end, takes the best weights if the last are surely worse; a line says so."""
        if self.weights is None or state.best is None:
            return None
        if state.latest <= state.best + max(MARGIN * abs(state.best), DEVIATIONS * _error(state)):
            return None
        mean.load_state_dict(self.weights)
        return (
            f"Kept: the weights of step {state.best_step}, whose samples score {state.best:.4g} on validation "
            f"pairs (energy score, lower is better); those of the last step {state.latest:.4g}"
        )


def _error(state: State) -> float:
    """Standard error of the last scores' mean difference from the best, pair by pair; 0 if unknown."""
    pairs = zip(state.latest_scores, state.best_scores, strict=False)
    differences = torch.tensor([last - best for last, best in pairs], dtype=torch.float64)
    return float(differences.std()) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
