"""Features of small patches, set in closed form: what a ridge regression can read of textures and edges.

Patches are brought to zero mean and unit deviation, whitened, and compared with a dictionary that spherical
k-means found among them; what exceeds a threshold is averaged over quarters of the image [Coates and Ng 2012,
"Learning feature representations with k-means"]. A square root tames the averages' long tails. What was tried
for the constants is in ``benchmarks/results/search.md`` of the source.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 4  # pixels per side, of the image shrunk to MAX_SIDE at most
MAX_SIDE = 32
_GRID = 2  # cells per side that are averaged over
MIN_VARIANCE = 5e-4  # of a patch, in variances of the data: flatter ones are left small
_WHITENING = 0.1
_THRESHOLD = 0.2
_IMAGES, _FOUND_IN, _ROUNDS = 4_000, 40_000, 5  # images, patches and rounds that make the dictionary
_AT_A_TIME = 64
MIN_MEAN = 1e-3


class Patches(nn.Module):
    """Standardised images (batch, c, h, w) to ``size`` averages, (batch, size), one per word and cell.

    Args:
        shape: (channels, height, width) of the images, for which ``fit_in`` holds.
        words: of the dictionary.
    """

    words: Tensor
    threshold: Tensor

    def __init__(self, shape: tuple[int, int, int], words: int):
        super().__init__()
        self.side = _shrink(shape)
        self.places = tuple(side - PATCH + 1 for side in self.side)
        self.size = words * _GRID**2
        self.register_buffer("words", torch.zeros(shape[0] * PATCH**2, words))
        self.register_buffer("threshold", torch.zeros(words))

    @torch.no_grad()
    def initialize_from_data(self, x: Tensor) -> None:
        """Find the dictionary among the patches of images x."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randperm(len(x), generator=generator)[:_IMAGES]
        each = -(-_FOUND_IN // len(images))
        places = torch.randint(self.places[0] * self.places[1], (len(images), each), generator=generator)
        found = []
        for rows, at in zip(images.split(_AT_A_TIME), places.split(_AT_A_TIME), strict=True):
            patches = self._cut(x[rows])
            found.append(patches.gather(1, at.to(x.device)[..., None].expand(-1, -1, patches.shape[-1])))
        patches = torch.cat(found).flatten(0, 1)
        centre = patches.mean(0)
        patches = patches - centre
        variance, axes = torch.linalg.eigh((patches.T @ patches / len(patches)).double())
        white = (axes * (variance.clamp(min=0) + _WHITENING).rsqrt() @ axes.T).float()
        patches = patches @ white
        count = self.words.shape[1]
        picks = torch.randperm(len(patches), generator=generator).to(x.device)
        words = F.normalize(patches[picks.repeat(-(-count // len(picks)))[:count]], dim=1)
        for _ in range(_ROUNDS):
            likeness, nearest = (patches @ words.T).max(1)
            sums = torch.zeros_like(words).index_add_(0, nearest, patches * likeness[:, None])
            words = torch.where(sums.norm(dim=1, keepdim=True) > 1e-6, F.normalize(sums, dim=1), words)
        self.words.copy_(white @ words.T)
        self.threshold.copy_(centre @ self.words + _THRESHOLD)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The averages' square roots; no gradient goes through them."""
        parts = [self._averages(part) for part in x.float().split(_AT_A_TIME)]
        return (torch.cat(parts) + MIN_MEAN).sqrt()

    def _averages(self, x: Tensor) -> Tensor:
        patches = self._cut(x).bfloat16()
        rows, columns = (_cells(count) for count in self.places)
        with torch.autocast(x.device.type, enabled=False):
            near = torch.matmul(patches, self.words.bfloat16())
            near = near.sub_(self.threshold.bfloat16()).relu_().view(len(x), *self.places, -1)
            cells = [near[:, r, c].mean((1, 2), dtype=torch.float32) for r in rows for c in columns]
        return torch.cat(cells, 1)

    def _cut(self, x: Tensor) -> Tensor:
        """Every patch, (batch, places, values), of zero mean and unit deviation."""
        x = x.float()
        if tuple(x.shape[-2:]) != self.side:
            x = F.interpolate(x, self.side, mode="area")
        patches = F.unfold(x, PATCH).transpose(1, 2)
        patches = patches - patches.mean(-1, keepdim=True)
        return patches * (patches.var(-1, keepdim=True) + MIN_VARIANCE).rsqrt()


def fit_in(shape: tuple[int, int, int]) -> bool:
    """Tell if an image of (channels, height, width) has patches enough for every cell."""
    return min(_shrink(shape)) >= 2 * PATCH


def _shrink(shape: tuple[int, int, int]) -> tuple[int, int]:
    shrink = max(1.0, max(shape[1:]) / MAX_SIDE)
    return round(shape[1] / shrink), round(shape[2] / shrink)


def _cells(places: int) -> list[slice]:
    edges = [round(k * places / _GRID) for k in range(_GRID + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
