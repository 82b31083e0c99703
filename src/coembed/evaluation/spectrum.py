r"""Power of samples and of truth by wavelength: which structure is missing, which is made up.

The discrete cosine transform reflects a field at its edges, where a Fourier transform would see a jump that
leaks into every wavelength.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coembed.numerics.scoring_rules import check_samples


def bands(height: int, width: int) -> list[int]:
    """Octaves of wavelength by their shorter end in pixels, finest first: 2 means 2 to 4 px."""
    return [2**k for k in range(1, max(2, int(math.log2(2 * max(height, width))) + 1))]


def power(fields: Tensor) -> dict[int, Tensor]:
    """Mean squared amplitude of a field's structure within each octave of wavelength.

    Args:
        fields: (batch, c, h, w).

    Returns:
        For every band of ``bands`` that the field has room for, (batch,) summed power a pixel, in squared units
        of the field, averaged over channels. All bands together are the variance over the pixels.
    """
    height, width = fields.shape[-2:]
    down, across = (_cosines(size).to(fields) for size in (height, width))
    squared = (down @ fields @ across.T).square().mean(1)
    rows = torch.arange(height, device=fields.device) / (2 * height)
    columns = torch.arange(width, device=fields.device) / (2 * width)
    frequency = (rows[:, None].square() + columns[None].square()).sqrt()  # cycles a pixel
    found = {}
    finest = True
    for shortest in bands(height, width):
        inside = (frequency > 1 / (2 * shortest)) & (frequency > 0)
        if not finest:
            inside &= frequency <= 1 / shortest
        finest = False  # the finest band takes what is finer still, along diagonals
        if bool(inside.any()):
            found[shortest] = squared.flatten(1) @ inside.flatten().to(squared) / (height * width)
    return found


def band_power(samples: Tensor, truth: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """``(of_samples, of_truth)`` a band, each (batch,); divide sums over examples, not single examples.

    Args:
        samples: (n, batch, c, h, w).
        truth: (batch, c, h, w).
    """
    check_samples(samples, truth)
    of_truth = power(truth)
    means = [{band: values.mean() for band, values in power(samples[:, i]).items()} for i in range(len(truth))]
    return {band: (torch.stack([m[band] for m in means]), of_truth[band]) for band in of_truth}


def _cosines(size: int) -> Tensor:
    """The orthonormal transform (DCT-II), one frequency a row."""
    k, x = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)[None]
    rows = torch.cos(math.pi / size * (x + 0.5) * k) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows
