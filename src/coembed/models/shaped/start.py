"""Starting values: the mean field, and noise as wide as fields are at every scale; factors begin small."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coembed.models.shaped.network import DrawingNet
from coembed.numerics.wavelets import Wavelets

_SHARE = 0.5  # of the variance at every scale that is noise at first; the rest is the factors' to find


@torch.no_grad()
def start(net: DrawingNet, wavelets: Wavelets, field: Tensor) -> None:
    """Set the network's starting values to those of a model that knows no condition.

    Args:
        net: untrained.
        wavelets: of the fields.
        field: standardised training fields, (n, c, h, w).
    """
    mean = field.mean(0)
    net.start_mean.copy_(mean)
    maps = [
        part.unflatten(1, (count, -1)).square().mean((0, 2)).clamp(min=1e-8).log() / 2
        for part, count in zip(wavelets.split(wavelets(field - mean)), wavelets.maps, strict=True)
    ]
    net.start_noise.copy_(torch.cat(maps) + math.log(_SHARE) / 2)
