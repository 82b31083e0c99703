r"""The variogram score: does the difference of two pixels vary as it does in truth? [Scheuerer, Hamill 2015]

The energy score hardly sees wrong correlations in a thousand dimensions; this score is made of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coembed.errors import ConfigError
from coembed.numerics.scoring_rules import check_samples

LAGS = (1, 2, 4, 8)


def variogram_score(
    samples: Tensor, truth: Tensor, lags: Sequence[int] = LAGS, power: float = 0.5, *, fair: bool = True
) -> Tensor:
    r"""Mean over pairs of pixels of :math:`(E|Y_i - Y_j|^p - |y_i - y_j|^p)^2`.

    Pairs are those ``lag`` pixels apart in a row or in a column, within a channel. Every lag and direction has
    the same weight, shared evenly by its pairs; lags that the field is too small for are left out.

    Args:
        samples: (n, batch, c, h, w), n >= 2 if fair.
        truth: (batch, c, h, w).
        lags: distances in pixels, each at least 1, at least one shorter than a side.
        power: p; 0.5 is usual, and robust.
        fair: takes off the variance of the samples' mean, so that the expectation does not depend on n.

    Returns:
        (batch,), in units of the field to the power 2p.

    Raises:
        ConfigError: one sample if fair, no lag that fits, or a power that is not positive.
    """
    count = check_samples(samples, truth)
    if fair and count < 2:
        raise ConfigError(f"samples: got {count} a condition, expected at least 2")
    if not power > 0:
        raise ConfigError(f"power: got {power}, expected more than 0")
    fitting = [(lag, axis) for lag in lags for axis in (-2, -1) if 1 <= lag < truth.shape[axis]]
    if not fitting:
        raise ConfigError(f"lags: got {tuple(lags)}, expected one from 1 to {max(truth.shape[-2:]) - 1}")
    total = torch.zeros(len(truth), dtype=torch.float64, device=truth.device)
    for i in range(len(truth)):
        for lag, axis in fitting:
            observed = _power(_difference(truth[i], lag, axis), power).double()
            apart = _difference(samples[:, i], lag, axis)
            if power == 0.5:  # the root's square is at hand
                second, mean = apart.mean(0).double(), apart.sqrt_().mean(0).double()
            else:
                sampled = _power(apart, power)
                mean, second = sampled.mean(0).double(), sampled.square_().mean(0).double()
            squared = (mean - observed).square()
            if fair:
                # Of the variance only a count-th is taken off: float32 means are exact enough for it.
                squared = squared - (second - mean.square()).clamp_(min=0) / (count - 1)
            total[i] += squared.mean()
    return (total / len(fitting)).float()


def _difference(fields: Tensor, lag: int, axis: int) -> Tensor:
    size = fields.shape[axis]
    return (fields.narrow(axis, lag, size - lag) - fields.narrow(axis, 0, size - lag)).abs_()


def _power(apart: Tensor, power: float) -> Tensor:
    return apart.sqrt_() if power == 0.5 else apart.pow_(power)
