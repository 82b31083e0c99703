r"""A generator with injected noise, trained by a multi-scale energy score: one pass a sample, no likelihood.

For :math:`m` samples :math:`y_k` of a condition and its true field :math:`y`, the fair energy score
[Gneiting & Raftery 2007; Bouchacourt et al. 2016],

.. math:: \frac1m \sum_k \lVert y_k - y \rVert - \frac{1}{2 m (m-1)} \sum_{k \ne l} \lVert y_k - y_l \rVert,

averaged over fields pooled by 1, 2, 4 and 8 pixels, each divided by the root of its number of values. That of
single pixels alone is weak in a thousand dimensions: white noise of the right length does well by it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.peer import Noise, Peer, Shape
from peers.scales import Decoder, Encoder, level_shapes, widths

_POOLS = (1, 2, 4, 8)
_MIN_SQUARE = 1e-8  # added to a mean square before its root: coinciding fields have a finite gradient


def multiscale_energy(samples: Tensor, field: Tensor) -> Tensor:
    """Fair energy score of samples (m, batch, c, h, w), m >= 2, about a field (batch, c, h, w); (batch,)."""
    total = field.new_zeros(len(field))
    for pool in _POOLS:
        y = F.avg_pool2d(field, pool).flatten(1)
        yk = F.avg_pool2d(samples.flatten(0, 1), pool).reshape(len(samples), *y.shape)
        total = total + _length(yk - y).mean(0)
        count = len(yk)
        for shift in range(1, count // 2 + 1):  # every pair of samples once, halves twice where m is even
            weight = 0.5 if 2 * shift == count else 1.0
            total = total - weight * _length(yk - yk.roll(shift, 0)).sum(0) / (count * (count - 1))
    return total / len(_POOLS)


def _length(difference: Tensor) -> Tensor:
    return (difference.square().mean(-1) + _MIN_SQUARE).sqrt()


class Energy(Peer):
    """U-Net generator with noise at four scales.

    Args:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        width: channels at the finest scale.
        codes: channels of the noise, from one vector to the finest map (half the side).
        samples: a condition and step of training, 2 or more; fewer leave time for more pairs.
    """

    name: ClassVar[str] = "energy-score generator"
    batch_size: ClassVar[int] = 32
    learning_rate: ClassVar[float] = 1e-3

    def __init__(
        self,
        condition_shape: Shape,
        field_shape: Shape,
        *,
        width: int = 48,
        codes: tuple[int, int, int, int] = (32, 16, 8, 8),
        samples: int = 2,
    ):
        super().__init__(condition_shape, field_shape)
        self.samples, self.codes = samples, level_shapes(codes, field_shape)
        self.see = Encoder(condition_shape[0], (field_shape[1], field_shape[2]), width)
        self.decoder = Decoder(field_shape[0], width)
        c, b, a = widths(width)
        self.put = nn.ModuleList(nn.Conv2d(n, w, 1) for w, n in zip((c, c, b, a), codes, strict=True))

    def loss(self, condition: Tensor, field: Tensor, *, generator: torch.Generator, fraction: float) -> Tensor:
        """Multi-scale energy score of ``samples`` draws, (batch,)."""
        del fraction
        rows = self.samples * len(condition)
        sampled = self.draw(
            condition, self.samples, lambda shape: torch.randn(rows, *shape, generator=generator)
        )
        return multiscale_energy(sampled.unflatten(0, (self.samples, -1)), field)

    def draw(self, condition: Tensor, n: int, noise: Noise) -> Tensor:
        """As ``Peer.draw``: one pass of the decoder."""
        features = [f.repeat(n, 1, 1, 1) for f in self.see(condition)]
        return self.decoder(features, lambda level, h: h + self.put[level](noise(self.codes[level])))
