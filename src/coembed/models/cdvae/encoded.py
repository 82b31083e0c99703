"""Conditions as a model has read them, and the noise that becomes fields of them: read once, used by all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from coembed.errors import ModelError

CHUNK_VALUES = 2**18
"""Values sampled at a time: bounds memory, stays near the caches, changes no sample."""


class Noise(NamedTuple):
    """Standard normals that samples are made of, a row per sample.

    Attributes:
        condition: of the condition's latents; no columns where a model takes their means.
        tie: (rows, ``tie.noise_size``).
        pixels: of the pixels; no columns where a model takes their means.
    """

    condition: Tensor
    tie: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class EncodedCondition:
    """A batch of conditions as a co-embedding model has read them (``CDVAE.encode``).

    Attributes:
        condition: (batch, c, h, w), standardised.
        latents: latents of the condition that the tie reads, coarse to fine, each (batch, ...); None where they
            are sampled, until they are (``CDVAE.with_latents``).
    """

    condition: Tensor
    latents: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.condition)

    def __getitem__(self, index: Tensor) -> EncodedCondition:
        """Other examples, chosen and repeated by ``index`` (rows,)."""
        latents = None if self.latents is None else [z[index] for z in self.latents]
        return EncodedCondition(self.condition[index], latents)

    def index(self, n: int) -> Tensor:
        """The condition that every row of n samples belongs to, (n * batch,): sample by sample."""
        return torch.arange(len(self), device=self.condition.device).repeat(n)

    def chunks(self, n: int) -> Iterator[int]:
        """Numbers of samples to take at a time; they sum to n.

        Raises:
            ModelError: n below 1.
        """
        if n < 1:
            raise ModelError(f"n: got {n}, expected at least 1")
        size = max(1, CHUNK_VALUES // max(1, self.condition.numel()))
        for start in range(0, n, size):
            yield min(size, n - start)

    def replace_latents(self, latents: list[Tensor]) -> EncodedCondition:
        """The same conditions with these latents."""
        return dataclasses.replace(self, latents=latents)

    def latent(self, layer: int) -> Tensor:
        """Latents of one layer, flat, (batch, size)."""
        return self._latents()[layer].flatten(1)

    def vector(self, layers: int | None = None) -> Tensor:
        """The latents of the first ``layers`` (all by default), (batch, size)."""
        return torch.cat([z.flatten(1) for z in self._latents()[:layers]], -1)

    def _latents(self) -> list[Tensor]:
        if self.latents is None:
            raise RuntimeError("the condition's latents are not sampled yet: see CDVAE.with_latents")
        return self.latents
