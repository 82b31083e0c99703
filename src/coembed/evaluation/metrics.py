r"""Scores of a set of samples against the one truth that was observed: best of n, variance, sharpness.

Every function takes ``samples`` (n, batch, c, h, w) and ``truth`` (batch, c, h, w) in the same units and
returns one value per example, so that two samplers can be compared photo by photo.

Best-of-n rewards too wide a spread and variance rewards noise; read neither without a proper score (energy
score, CRPS: ``numerics.scoring_rules``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from coembed.errors import ConfigError
from coembed.numerics.scoring_rules import check_samples, need_two, squared_errors


def best_of_n(samples: Tensor, truth: Tensor, ns: Sequence[int] = (3, 10, 30, 60, 100)) -> dict[int, Tensor]:
    r"""Squared error per pixel of the best of n samples, for every n in ``ns``.

    The unbiased estimator from all N samples: with errors sorted ascending e_(1) .. e_(N), the mean of the
    minimum over every subset of size n is :math:`\sum_j e_{(j)} \binom{N-j}{n-1} / \binom{N}{n}`. The paper's
    metric (sec. 6.3) is its expectation; one prefix of n samples would be noisier.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).
        ns: set sizes, each from 1 to the number of samples.

    Returns:
        For every n, (batch,) mean squared error per pixel, in squared units of the field.

    Raises:
        ConfigError: an n above the number of samples, or below 1.
        DataError: shapes that do not fit.
    """
    check_samples(samples, truth)
    return _expected_least(squared_errors(samples, truth), ns)


def end_point_errors(samples: Tensor, truth: Tensor) -> Tensor:
    """Mean length of the difference between two displacement fields, every sample, shape (n, batch).

    Args:
        samples: (n, batch, 2, h, w): channels are the parts of one vector per pixel.
        truth: (batch, 2, h, w).
    """
    check_samples(samples, truth)
    return torch.stack([(s - truth).square_().sum(1).sqrt_().flatten(1).mean(1) for s in samples])


def best_end_point_error(
    samples: Tensor, truth: Tensor, ns: Sequence[int] = (1, 3, 10, 30, 60, 100)
) -> dict[int, Tensor]:
    """End-point error of the best of n samples, (batch,) for every n in ``ns``, as in ``best_of_n``.

    Raises:
        ConfigError: an n above the number of samples, or below 1.
        DataError: shapes that do not fit.
    """
    return _expected_least(end_point_errors(samples, truth), ns)


def _expected_least(errors: Tensor, ns: Sequence[int]) -> dict[int, Tensor]:
    """Mean over every subset of n rows of the least of them; errors (count, batch) to (batch,) for every n."""
    count = len(errors)
    for n in ns:
        if not 1 <= n <= count:
            raise ConfigError(f"ns: best of {n} needs at least {max(n, 1)} samples, got {count} samples")
    ordered = errors.double().sort(dim=0).values
    best = {}
    for n in ns:
        subsets = math.comb(count, n)
        weights = [math.comb(count - j, n - 1) / subsets for j in range(1, count + 1)]
        best[n] = (torch.tensor(weights, dtype=torch.float64, device=ordered.device) @ ordered).float()
    return best


def grid_variance(samples: Tensor) -> Tensor:
    """Variance of the samples at 16 grid points, the paper's measure of diversity (sec. 6.3).

    The points are the cell centres of a 4 x 4 grid: rows and columns 4, 12, 20, 28 of a 32 x 32 field. The
    variance is the unbiased one (divided by n - 1), averaged over points and channels.

    Args:
        samples: (n, batch, c, h, w), n >= 2.

    Returns:
        (batch,), in squared units of the field.
    """
    need_two(check_samples(samples))
    height, width = samples.shape[-2:]
    rows = torch.tensor([(2 * i + 1) * height // 8 for i in range(4)], device=samples.device)
    columns = torch.tensor([(2 * i + 1) * width // 8 for i in range(4)], device=samples.device)
    points = samples[..., rows, :][..., columns]
    return points.var(dim=0, correction=1).flatten(1).mean(1)


def sharpness(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient energy of the samples and of the truth; the ratio of their means is 1 for fields as sharp as
    real.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).

    Returns:
        ``(of_samples, of_truth)``, each (batch,): mean squared difference of neighbouring pixels. Divide sums
        over examples, not single examples: the gradient of one flat truth may be zero.
    """
    check_samples(samples, truth)
    return torch.stack([_gradient_energy(s) for s in samples]).mean(0), _gradient_energy(truth)


def _gradient_energy(fields: Tensor) -> Tensor:
    """Mean squared difference of neighbours, down plus across, of fields (batch, c, h, w): (batch,)."""
    total = fields.new_zeros(len(fields))
    for dim in (-2, -1):
        difference = fields.diff(dim=dim)
        if difference.numel():
            total = total + difference.square().flatten(1).mean(1)
    return total
