r"""Diagonal Gaussians and mixtures of them, in log variances: nothing here forms a variance's reciprocal.

Log densities and divergences are in nats, one value an example: every axis but the first is summed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian over codes or pixels; ``mean`` and ``log_var`` are (batch, ...), broadcastable."""

    mean: Tensor
    log_var: Tensor

    @classmethod
    def standard(cls, like: Tensor) -> Gaussian:
        """N(0, I) of the shape of ``like``."""
        zero = torch.zeros_like(like)
        return cls(zero, zero)

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised draw: mean + standard deviation x noise."""
        return self.mean + torch.exp(0.5 * self.log_var) * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density at x, (batch,)."""
        return _sum(-0.5 * (LOG_2PI + self.log_var + (x - self.mean).square() * torch.exp(-self.log_var)))

    def kl(self, other: Gaussian) -> Tensor:
        """KL(self || other), closed form, (batch,)."""
        return _sum(self.kl_per_unit(other))

    def kl_per_unit(self, other: Gaussian) -> Tensor:
        """KL(self || other) of every unit, (batch, ...)."""
        ratio = torch.exp(self.log_var - other.log_var)
        distance = (self.mean - other.mean).square() * torch.exp(-other.log_var)
        return 0.5 * (other.log_var - self.log_var + ratio + distance - 1)

    def merge(self, other: Gaussian) -> Gaussian:
        r"""The normalised product of both densities (precision-weighted, eq. 26-27), in the stable form.

        With log variances l and l': gate = sigmoid(l - l'), mean = m + gate (m' - m),
        log variance = -logaddexp(-l, -l').
        """
        gate = torch.sigmoid(self.log_var - other.log_var)
        mean = self.mean + gate * (other.mean - self.mean)
        return Gaussian(mean, -torch.logaddexp(-self.log_var, -other.log_var))

    def entropy(self) -> Tensor:
        """Differential entropy, (batch,)."""
        return _sum(0.5 * (1 + LOG_2PI + self.log_var + torch.zeros_like(self.mean)))


@dataclass(frozen=True)
class Mixture:
    """A mixture of K diagonal Gaussians over flat codes (eq. 6).

    Shapes: ``logits`` (batch, K), ``mean`` and ``log_var`` (batch, K, dim), broadcastable.
    """

    logits: Tensor
    mean: Tensor
    log_var: Tensor

    def component_log_probs(self, z: Tensor) -> Tensor:
        """log (weight x density) of every component at z (batch, dim): (batch, K)."""
        density = -0.5 * (LOG_2PI + self.log_var + (z[:, None] - self.mean).square() * torch.exp(-self.log_var))
        return F.log_softmax(self.logits, -1) + density.expand_as(self.mean).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at z (batch, dim): (batch,)."""
        return torch.logsumexp(self.component_log_probs(z), -1)

    def responsibilities(self, z: Tensor) -> Tensor:
        """Posterior probability of every component at z, (batch, K)."""
        return torch.softmax(self.component_log_probs(z), -1)

    def pick(self, uniform: Tensor) -> Tensor:
        """Component numbers by inverting the weights' distribution function at ``uniform`` (batch,)."""
        edges = F.softmax(self.logits, -1).cumsum(-1)
        return (uniform[:, None] > edges[:, :-1]).sum(-1)

    def sample(self, uniform: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw from the component that ``uniform`` (batch,) picks, with ``noise`` (batch, dim)."""
        pick = self.pick(uniform)
        rows = torch.arange(len(pick), device=pick.device)
        mean = self.mean[rows, pick]
        deviation = torch.exp(0.5 * self.log_var.expand_as(self.mean)[rows, pick])
        return mean + temperature * deviation * noise


def bounded_log_var(raw: Tensor, low: float, high: float) -> Tensor:
    """Squash any number smoothly into (low, high); zero maps to the value nearest zero that has a gradient.

    A hard clamp has no gradient outside its bounds: a unit that left them could not come back.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    shift = math.atanh(max(-0.95, min(0.95, -middle / half)))
    return middle + half * torch.tanh(raw / half + shift)


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)
