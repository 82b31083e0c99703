r"""The fair energy score as a loss: samples are judged as they are drawn, at several scales.

The bound on the likelihood weighs every direction in code space by its own noise, fine detail as much as what
a person sees. The energy score weighs what is seen, at every scale, and is proper: of all distributions the
true one scores least in expectation [Gneiting and Raftery 2007].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-6  # squared, keeps the gradient of a distance of zero finite


def pooled_energy_score(draws: Tensor, truth: Tensor, pools: Sequence[int]) -> Tensor:
    r"""Mean over scales of the fair energy score of fields averaged over so many pixels, differentiable.

    .. math:: \frac1m \sum_k |y_k - y| - \frac{1}{2 m (m - 1)} \sum_{k \ne l} |y_k - y_l|

    Every scale is divided by the root mean square distance of the batch's truths from their mean, so that all
    weigh alike and a forecast of the marginal distribution scores about 0.7.

    Args:
        draws: (m, batch, c, h, w), m >= 2.
        truth: (batch, c, h, w).
        pools: sides of the cells in pixels; those larger than the field are left out.

    Returns:
        (batch,), without unit.
    """
    count = len(draws)
    total = torch.zeros(draws.shape[1], device=draws.device)
    pools = [pool for pool in pools if pool <= min(truth.shape[-2:])]
    for pool in pools:
        y, y_k = _pooled(truth, pool), _pooled(draws.flatten(0, 1), pool).unflatten(0, draws.shape[:2])
        unit = _length(y - y.mean(0)).square().mean().sqrt().clamp(min=1e-3)
        score = _length(y_k - y).mean(0)
        for shift in range(1, count // 2 + 1):  # every pair of draws once, halves twice where m is even
            weight = 0.5 if 2 * shift == count else 1.0
            score = score - weight * _length(y_k - y_k.roll(shift, 0)).sum(0) / (count * (count - 1))
        total = total + score / unit
    return total / len(pools)


def _pooled(fields: Tensor, pool: int) -> Tensor:
    if pool > 1:
        fields = F.avg_pool2d(fields, pool, ceil_mode=True, count_include_pad=False)
    return fields.flatten(1)


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + _TINY).sqrt()
