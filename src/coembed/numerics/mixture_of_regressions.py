r"""A mixture of ridge regressions, found by expectation maximisation: where a mixture tie may start.

.. math:: p(z \mid x) = \sum_k \pi_k N(z;\, A_k x + b_k,\, \mathrm{diag}(v_k))

Where the fields of one condition have several modes, each mode is often nearly linear in the condition although
their mean is not. A network that starts from constants needs thousands of steps for that; this takes seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.errors import ModelError

MAX_EXAMPLES = 16_384  # more hardly change the regressions, and cost in proportion
MIN_VARIANCE = 1e-5
MAX_KMEANS_DIMS = 16  # distances in many white dimensions say nothing
KMEANS_ROUNDS = 20


@dataclass(frozen=True)
class Experts:
    """A mixture of ridge regressions.

    Attributes:
        weight: (k, inputs, dim), A transposed.
        bias: (k, dim).
        variance: (k, dim), of what a regression leaves.
        share: (k,), of the examples; sums to 1.
        log_likelihood: mean over the examples, nats.
    """

    weight: Tensor
    bias: Tensor
    variance: Tensor
    share: Tensor
    log_likelihood: float


def kmeans(codes: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """k-means centres of codes (n, dim), by their leading dimensions, from ``count`` of them.

    Returns:
        ``(centres, nearest)``: (count, dim), fewer where codes are fewer, and (n,), which one per code is of.
    """
    centres = codes[torch.randperm(len(codes), generator=generator)[:count]].clone()
    dims = min(MAX_KMEANS_DIMS, codes.shape[1])
    nearest = torch.zeros(len(codes), dtype=torch.int64)
    for _ in range(KMEANS_ROUNDS):
        nearest = torch.cdist(codes[:, :dims], centres[:, :dims]).argmin(1)
        for k in range(len(centres)):
            members = codes[nearest == k]
            if len(members):
                centres[k] = members.mean(0)
    return centres, nearest


@torch.no_grad()
def fit_experts(
    inputs: Tensor, codes: Tensor, first: Tensor, *, ridge: float = 0.02, steps: int = 12
) -> Experts:
    """Fit by ``steps`` rounds of expectation and maximisation.

    Args:
        inputs: (n, p), white or nearly so.
        codes: (n, dim), what to predict.
        first: (n,) int64, the component every example begins in; their largest number plus one is k.
        ridge: penalty of the regressions' weights, in units of the inputs' variance.
        steps: rounds.

    Raises:
        ModelError: numbers of rows that differ.
    """
    if not len(inputs) == len(codes) == len(first):
        raise ModelError(f"inputs: got {len(inputs)} rows, expected as many as codes: {len(codes)}")
    x = torch.cat([inputs[:MAX_EXAMPLES].float(), inputs.new_ones(min(len(inputs), MAX_EXAMPLES), 1)], 1)
    z, count, size = codes[:MAX_EXAMPLES].float(), int(first.max()) + 1, x.shape[1]
    penalty = ridge * torch.eye(size, device=x.device)
    penalty[-1, -1] = 1e-6  # no pull on the offset
    # Nobody is sure of where it begins.
    shares = 0.9 * torch.nn.functional.one_hot(first[:MAX_EXAMPLES], count).to(z) + 0.1 / count
    solution, variance, log_likelihood = (
        z.new_zeros(count, size, z.shape[1]),
        z.new_ones(count, z.shape[1]),
        0.0,
    )
    for _ in range(steps):
        density = []
        for k in range(count):
            weight, total = shares[:, k, None], shares[:, k].sum().clamp(min=1.0)
            weighted = x * weight
            solution[k] = torch.linalg.solve(weighted.T @ x / total + penalty, weighted.T @ z / total)
            error = (z - x @ solution[k]).square()
            variance[k] = ((weight * error).sum(0) / total).clamp(min=MIN_VARIANCE)
            normal = (error / variance[k] + variance[k].log() + math.log(2 * math.pi)).sum(1)
            density.append(-0.5 * normal + (total / len(x)).log())
        joint = torch.stack(density, 1)
        log_likelihood = float(torch.logsumexp(joint, 1).mean())
        shares = torch.softmax(joint, 1)
    return Experts(solution[:, :-1], solution[:, -1], variance, shares.mean(0), log_likelihood)
