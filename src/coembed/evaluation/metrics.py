r"""Scores of a set of samples against the one truth that was observed: best-of-n, variance, proper scores.

Every function takes ``samples`` (n, batch, c, h, w) and ``truth`` (batch, c, h, w) in the same units and
returns one value an example, so that two samplers can be compared photo by photo. Lower is better for errors
and scores. Work goes one example at a time: beside its input a function holds a few copies of one example's
samples and an n x n table, never anything of size n x n x pixels.

Best-of-n rewards too wide a spread and variance rewards noise; read neither without a proper score (energy
score, CRPS), whose expectation is smallest for the true conditional distribution [Gneiting and Raftery 2007].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coembed.errors import ConfigError, DataError


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


def squared_errors(samples: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error per pixel of every sample, shape (n, batch)."""
    check_samples(samples, truth)
    return torch.stack([(s - truth).square().flatten(1).mean(1) for s in samples])


def grid_variance(samples: Tensor) -> Tensor:
    """Variance of the samples at 16 grid points, the paper's measure of diversity (sec. 6.3).

    The points are the cell centres of a 4 x 4 grid: rows and columns 4, 12, 20, 28 of a 32 x 32 field. The
    variance is the unbiased one (divided by n - 1), averaged over points and channels.

    Args:
        samples: (n, batch, c, h, w), n >= 2.

    Returns:
        (batch,), in squared units of the field.
    """
    _need_two(check_samples(samples))
    height, width = samples.shape[-2:]
    rows = torch.tensor([(2 * i + 1) * height // 8 for i in range(4)], device=samples.device)
    columns = torch.tensor([(2 * i + 1) * width // 8 for i in range(4)], device=samples.device)
    points = samples[..., rows, :][..., columns]
    return points.var(dim=0, correction=1).flatten(1).mean(1)


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    r"""Fair energy score in the L2 norm of the flattened field, not divided by its length.

    .. math:: \frac1N \sum_k |y_k - y| - \frac{1}{2N(N-1)} \sum_{k,l} |y_k - y_l|

    Fair means that its expectation does not depend on N [Ferro 2014]; it can be negative for a single example.
    In 1,024 dimensions it hardly sees wrong correlations, so read ``multiscale_energy_score`` beside it.

    Args:
        samples: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).

    Returns:
        (batch,), in units of the field times the square root of the number of values.
    """
    _need_two(check_samples(samples, truth))
    scores = [_energy(samples[:, i].flatten(1), truth[i].flatten()) for i in range(len(truth))]
    return torch.stack(scores).float()


def multiscale_energy_score(
    samples: Tensor, truth: Tensor, scales: Sequence[int] = (1, 2, 4, 8)
) -> dict[int, Tensor]:
    """Fair energy scores of the fields averaged over s x s pixels, for every scale s.

    The score of scale s is multiplied by s, which makes it the norm of the averaged field spread back over its
    pixels: scales share one unit, and scale 1 is ``energy_score``. White noise that scale 1 forgives stands out
    at 8. Where s does not divide the size, the last row and column of cells are averages of the pixels that are
    there.

    Args:
        samples: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).
        scales: cell sizes in pixels, each from 1 to the smaller side of the field.

    Returns:
        For every scale, (batch,).

    Raises:
        ConfigError: a scale larger than the field, or below 1.
    """
    count, batch = check_samples(samples, truth), len(truth)
    _need_two(count)
    for scale in scales:
        if not 1 <= scale <= min(truth.shape[-2:]):
            raise ConfigError(
                f"scales: got {scale}, expected 1 to {min(truth.shape[-2:])}, the field's smaller side"
            )
    scores: dict[int, list[Tensor]] = {scale: [] for scale in scales}
    for i in range(batch):
        for scale in scales:
            pooled, pooled_truth = _pool(samples[:, i], scale), _pool(truth[i : i + 1], scale)
            scores[scale].append(scale * _energy(pooled.flatten(1), pooled_truth.flatten()))
    return {scale: torch.stack(values).float() for scale, values in scores.items()}


def crps(samples: Tensor, truth: Tensor) -> Tensor:
    r"""Fair continuous ranked probability score, averaged over pixels and channels.

    .. math:: \frac1N \sum_k |y_k - y| - \frac{1}{N(N-1)} \sum_j (2j - N - 1)\, y_{(j)}

    The second term is the mean absolute difference of two samples, halved, from sorted values: O(N log N).

    Args:
        samples: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).

    Returns:
        (batch,), in units of the field.
    """
    count = check_samples(samples, truth)
    _need_two(count)
    weights = torch.arange(1 - count, count, 2, dtype=torch.float64, device=samples.device) / (
        count * (count - 1)
    )
    scores = []
    for i in range(len(truth)):
        values = samples[:, i].flatten(1).T.contiguous()
        error = (values.double() - truth[i].flatten()[:, None]).abs().mean()
        half_spread = (sorted_rows(values).double() @ weights).mean()
        scores.append(error - half_spread)
    return torch.stack(scores).float()


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


def sorted_rows(values: Tensor) -> Tensor:
    """Every row of (rows, members) in rising order; on a CPU by numpy, which is twenty times as fast here."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.detach().numpy(), axis=1))


def check_samples(samples: Tensor, truth: Tensor | None = None) -> int:
    """Check shapes and give the number of samples.

    Raises:
        DataError: shapes that are not (n, batch, c, h, w) and (batch, c, h, w) of the same fields.
    """
    if samples.ndim != 5:
        raise DataError(f"samples: got shape {tuple(samples.shape)}, expected (n, batch, c, h, w)")
    if truth is not None and samples.shape[1:] != truth.shape:
        wanted = tuple(samples.shape[1:])
        raise DataError(f"truth: got shape {tuple(truth.shape)}, expected {wanted} as in the samples")
    return samples.shape[0]


def _need_two(count: int) -> None:
    if count < 2:
        raise ConfigError(f"samples: got {count} a condition, expected at least 2")


def _energy(samples: Tensor, truth: Tensor) -> Tensor:
    """Fair energy score of samples (n, d) against truth (d,), in float64.

    Pairwise distances come from one matrix product of vectors measured from their mean. In float64 what cancels
    is below 1e-7 of the spread; in float32 near-duplicates would be off by a thousandth of it.
    """
    count = len(samples)
    samples = samples.double()
    error = (samples - truth).norm(dim=1).mean()
    centred = samples - samples.mean(0)
    gram = centred @ centred.T
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_(min=0)
    squared.fill_diagonal_(0)
    return error - squared.sqrt().sum() / (2 * count * (count - 1))


def _pool(fields: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return fields
    return F.avg_pool2d(fields, scale, ceil_mode=True, count_include_pad=False)


def _gradient_energy(fields: Tensor) -> Tensor:
    """Mean squared difference of neighbours, down plus across, of fields (batch, c, h, w): (batch,)."""
    total = fields.new_zeros(len(fields))
    for dim in (-2, -1):
        difference = fields.diff(dim=dim)
        if difference.numel():
            total = total + difference.square().flatten(1).mean(1)
    return total
