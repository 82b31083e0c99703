r"""Proper scores of samples against the one truth that was observed, and the energy score as a loss.

Functions take ``samples`` (n, batch, c, h, w) and ``truth`` (batch, c, h, w) in the same units and return one
value per example; lower is better. Of all distributions the true one scores least in expectation [Gneiting and
Raftery 2007]. Scores are computed one example at a time: beside its input a function holds a few copies of one
example's samples and an n x n table, never anything of size n x n x pixels.

As a loss: the bound on the likelihood weighs every direction in latent space by its own noise, fine detail as
much as what a person sees. The energy score weighs what is seen, at every scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coembed.errors import ConfigError, DataError

_TINY = 1e-6  # squared, keeps the gradient of a distance of zero finite


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
    need_two(check_samples(samples, truth))
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
    need_two(count)
    for scale in scales:
        if not 1 <= scale <= min(truth.shape[-2:]):
            raise ConfigError(
                f"scales: got {scale}, expected 1 to {min(truth.shape[-2:])}, the field's smaller side"
            )
    scores: dict[int, list[Tensor]] = {scale: [] for scale in scales}
    for i in range(batch):
        for scale in scales:
            pooled, pooled_truth = average_cells(samples[:, i], scale), average_cells(truth[i : i + 1], scale)
            scores[scale].append(scale * _energy(pooled.flatten(1), pooled_truth.flatten()))
    return {scale: torch.stack(values).float() for scale, values in scores.items()}


def mixture_energy_score(
    samples: Tensor, truth: Tensor, weights: Tensor, sides: Sequence[int] = (1,)
) -> Tensor:
    r"""Fair energy score of a mixture from a few samples of every component, differentiable in its weights too.

    .. math:: \sum_k p_k |y_k - y| - \frac12 \sum_{k,l} p_k p_l |y_k - y_l|

    in which a component's distance from itself is that of different samples. It is taken of fields averaged
    over cells of every side and averaged over these, each divided by the root mean square distance of the
    batch's truths from their mean: all scales weigh alike, and a forecast of the marginal distribution scores
    about 0.7.

    Args:
        samples: (K, n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).
        weights: of the components, (batch, K).
        sides: of the cells in pixels; those larger than the field are left out.

    Returns:
        (batch,), without unit.
    """
    components, count, batch = samples.shape[:3]
    total = torch.zeros(batch, device=samples.device)
    sides = [side for side in sides if side <= min(truth.shape[-2:])]
    for side in sides:
        y = average_cells(truth, side).flatten(1)
        y_k = average_cells(samples.flatten(0, 2), side).flatten(1).unflatten(0, (components * count, batch))
        unit = _length(y - y.mean(0)).square().mean().sqrt().clamp(min=1e-3)
        off = (y_k - y).transpose(0, 1)  # (batch, samples, values), near 0: differences lose no digits
        error = _length(off).unflatten(1, (components, count)).mean(2)
        gram = off @ off.mT
        norms = gram.diagonal(dim1=1, dim2=2)
        between = ((norms[:, :, None] + norms[:, None] - 2 * gram).clamp(min=0) + _TINY).sqrt()
        between = between.unflatten(2, (components, count)).unflatten(1, (components, count))
        apart = 1 - torch.eye(count, device=off.device)
        itself = (between.diagonal(dim1=1, dim2=3) * apart[:, :, None]).sum((1, 2)) / (count * (count - 1))
        different = 1 - torch.eye(components, device=off.device)
        spread = between.mean((2, 4)) * different + torch.diag_embed(itself)
        score = (weights * error).sum(1) - 0.5 * torch.einsum("bk,bl,bkl->b", weights, weights, spread)
        total = total + score / unit
    return total / len(sides)


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
    need_two(count)
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


def squared_errors(samples: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error per pixel of every sample, shape (n, batch)."""
    check_samples(samples, truth)
    return torch.stack([(s - truth).square().flatten(1).mean(1) for s in samples])


def average_cells(fields: Tensor, side: int) -> Tensor:
    """Fields (batch, c, h, w) averaged over cells of ``side`` pixels, at the edge over those that are there."""
    if side == 1:
        return fields
    return F.avg_pool2d(fields, side, ceil_mode=True, count_include_pad=False)


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


def need_two(count: int) -> None:
    """Check that there are two samples per condition, as a spread needs.

    Raises:
        ConfigError: fewer.
    """
    if count < 2:
        raise ConfigError(f"samples: got {count} per condition, expected at least 2")


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


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + _TINY).sqrt()
