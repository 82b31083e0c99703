"""Parts of a field's variation: over the whole frame, smoothly, between the photo's things, within them.

A deviation is parted by nested orthogonal projections, per channel: its mean over the frame (*global*), low
cosines (*smooth*), of the rest the means over segments of the condition (*between*), and what is left
(*within*). Segments say what is in a photo: a spread that knows the photo steps where they do, and not where
another photo's segments do.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor

WAVES = 4
"""Cosines per side that count as smooth: fewer than so many half-waves."""

SEGMENTS = 28
_MIN_SEGMENTS, _GRID = 6, 5  # fewer tell nothing; sides of the grid that is then taken
_COMPACTNESS = 0.1  # of SLIC, for values in [0, 1]


def segments(condition: Tensor, size: tuple[int, int]) -> Tensor:
    """Segments of conditions by SLIC [Achanta et al. 2012], about 28 each; every photo's are its own affair.

    Args:
        condition: (batch, c, h, w).
        size: (h', w') of the labels, those of the field.

    Returns:
        (batch, h', w') int64 labels from 0.
    """
    found = []
    for photo in condition:
        picture = photo.permute(1, 2, 0).double().numpy()
        low, high = picture.min(), picture.max()
        picture = (picture - low) / max(high - low, 1e-12)
        labels = slic(
            picture, SEGMENTS, _COMPACTNESS, start_label=0, channel_axis=-1, convert2lab=False, sigma=0
        )
        if labels.max() < _MIN_SEGMENTS - 1:  # in mere noise it finds nothing: then a plain grid
            down, across = (np.arange(side) * _GRID // side for side in labels.shape)
            labels = _GRID * down[:, None] + across
        rows, columns = (
            np.minimum((np.arange(n) + 0.5) * m / n, m - 1).astype(int)
            for n, m in zip(size, labels.shape, strict=True)
        )
        found.append(torch.from_numpy(labels[np.ix_(rows, columns)].astype(np.int64)))
    return torch.stack(found)


def structure(deviations: Tensor, own: Tensor, other: Tensor) -> dict[str, Tensor]:
    """Energy of deviations by where it lies, summed over pixels and channels, averaged over samples.

    Args:
        deviations: (n, batch, c, h, w).
        own: (batch, h, w), the photo's segments.
        other: (batch, h, w), those of another photo.

    Returns:
        (batch,) each: ``all``; ``global``; ``smooth``; ``rough``, which is the rest; ``own`` and ``other``, the
        parts of ``rough`` that segments explain.
    """
    height, width = deviations.shape[-2:]
    rows, columns = (_cosines(side, deviations) for side in (height, width))
    coefficients = torch.einsum("hi,nbchw,wj->nbcij", rows, deviations, columns)
    power = coefficients.square()
    rough = deviations - torch.einsum("hi,nbcij,wj->nbchw", rows, coefficients, columns)
    waves = torch.einsum("hi,wj->hwij", rows, columns).flatten(2).flatten(0, 1)  # (pixels, smooth functions)
    found = {
        "all": deviations.square().sum((2, 3, 4)),
        "global": power[..., 0, 0].sum(2),
        "smooth": power.sum((2, 3, 4)) - power[..., 0, 0].sum(2),
        "rough": rough.square().sum((2, 3, 4)),
        "own": _between(rough, own, waves),
        "other": _between(rough, other, waves),
    }
    return {key: energy.mean(0) for key, energy in found.items()}


def scores(sampled: Tensor, truth: Tensor, own: Tensor, other: Tensor) -> dict[str, Tensor]:
    """Columns ``spread_*`` of the samples' deviations from their mean, and ``left_*`` of the truth's from it.

    Args:
        sampled: (n, batch, c, h, w), n >= 2.
        truth: (batch, c, h, w).
        own, other: (batch, h, w), segments of the photo and of another.
    """
    mean = sampled.mean(0)
    spread = structure(sampled - mean, own, other)
    left = structure((truth - mean)[None], own, other)
    fair = len(sampled) / (len(sampled) - 1)
    found = {f"spread_{key}": fair * energy for key, energy in spread.items()}
    return found | {f"left_{key}": energy for key, energy in left.items()}


def _cosines(side: int, like: Tensor) -> Tensor:
    """Orthonormal cosines (side, waves), the constant first."""
    waves = min(WAVES, side)
    places = (torch.arange(side, dtype=like.dtype) + 0.5) / side
    basis = torch.cos(math.pi * places[:, None] * torch.arange(waves, dtype=like.dtype))
    return (basis / basis.norm(dim=0)).to(like.device)


def _between(rough: Tensor, labels: Tensor, waves: Tensor) -> Tensor:
    """Energy (n, batch) that segments explain of what smooth functions leave: of its projection on their span.

    With S the segments' indicators and C the orthonormal smooth functions, that is s' G^+ s with s = S' rough
    and G = S' S - (C' S)' C' S: a field that is constant in every segment is explained whole.
    """
    count = int(labels.max()) + 1
    indicators = torch.nn.functional.one_hot(labels.flatten(1).to(rough.device), count).double()
    smooth = torch.einsum("pk,bps->bks", waves.double(), indicators)
    gram = torch.diag_embed(indicators.sum(1)) - smooth.transpose(1, 2) @ smooth
    inverse = torch.linalg.pinv(gram, rtol=1e-9, hermitian=True)
    sums = torch.einsum("nbcp,bps->nbcs", rough.flatten(3).double(), indicators)
    return torch.einsum("nbcs,bst,nbct->nb", sums, inverse, sums).to(rough.dtype)
