r"""A pull on the top code: what the tie says of it, times N(z; target, tau^2), in closed form.

A diagonal Gaussian times a diagonal Gaussian is one again (precisions add), and so a mixture becomes a mixture:

    p(z) N(z; t, tau^2)  =  sum_k  w_k N(t; m_k, v_k + tau^2)  N(z; merged mean, merged variance)

so components that lie nearer to the target gain weight, and each moves towards it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.errors import ConfigError
from coembed.numerics.distributions import LOG_2PI, Gaussian, Mixture


@dataclass(frozen=True)
class LatentTarget:
    """A target for the leading dimensions of the top code, and how near to it.

    Attributes:
        target: (batch, dims), one per condition.
        closeness: in [0, 1]. tau^2 = (1 - closeness) / closeness, so a dimension whose variance is 1, as the
            prior's is, moves by this share of the way to the target and keeps 1 - closeness of its variance: 0
            changes nothing, 1 puts the code on the target.

    Raises:
        ConfigError: a closeness outside [0, 1].
    """

    target: Tensor
    closeness: float

    def __post_init__(self) -> None:
        if not 0 <= self.closeness <= 1:
            raise ConfigError(f"closeness is {self.closeness}, expected 0 to 1")

    @property
    def log_var(self) -> float:
        """log tau^2: minus infinity at closeness 1, infinity at 0."""
        if self.closeness in (0, 1):
            return math.inf if self.closeness == 0 else -math.inf
        return math.log1p(-self.closeness) - math.log(self.closeness)

    def rows(self, index: Tensor) -> LatentTarget:
        """The pull on other examples, chosen and repeated by ``index``."""
        return LatentTarget(self.target[index], self.closeness)

    def on(self, found: Gaussian | Mixture) -> Gaussian | Mixture:
        """Distribution of the top latent that a tie gave, times the target's."""
        if self.closeness == 0:
            return found
        if isinstance(found, Mixture):
            return self._on_mixture(found)
        shape = found.mean.shape
        mean, log_var = (t.expand(shape).flatten(1) for t in (found.mean, found.log_var))
        mean, log_var = self._merged(mean, log_var)
        return Gaussian(mean.view(shape), log_var.view(shape))

    def _on_mixture(self, found: Mixture) -> Mixture:
        dims, target = self.target.shape[1], self.target[:, None]
        log_var = found.log_var.expand_as(found.mean)
        head, spread = found.mean[..., :dims], torch.exp(log_var[..., :dims]) + math.exp(self.log_var)
        log_evidence = -0.5 * (LOG_2PI + spread.log() + (target - head).square() / spread).sum(-1)
        mean, log_var = self._merged(found.mean, log_var)
        return Mixture(torch.log_softmax(found.logits, -1) + log_evidence, mean, log_var)

    def _merged(self, mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances (batch, ..., dim) with the leading dimensions merged with the target."""
        dims = self.target.shape[1]
        target = self.target if mean.dim() == 2 else self.target[:, None]
        message = Gaussian(target, torch.full_like(mean[..., :dims], self.log_var))
        merged = Gaussian(mean[..., :dims], log_var[..., :dims]).merge(message)
        return (
            torch.cat([merged.mean, mean[..., dims:]], -1),
            torch.cat([merged.log_var, log_var[..., dims:]], -1),
        )
