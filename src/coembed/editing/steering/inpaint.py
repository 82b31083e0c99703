r"""Samples that agree with a hint: a field that somebody fixed in a part of the frame.

With a linear field tower and a tie of Gaussians or mixtures of them, what is held is a linear observation with
Gaussian noise, and the posterior of the codes is a mixture again: weights change by the evidence, and the
codes of a draw move by the observation's gain (``gaussian_conditioning``). Exact where a lower code's
distribution does not depend on the code above; where it does (a U-Net refines the lower layer), it is
evaluated anew at the moved code, a few times. Other towers: ``coembed.editing.steering.optimize``.

What is inferred is inferred with the model as it was learned, in all dimensions and at temperature 1, whatever
``temperature`` and ``n_active_dims`` say of the draws: those narrow the draws, and a hint can still move
everything.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from coembed.editing.steering.example import latent_model, pull_of, sample_near
from coembed.editing.steering.optimize import search
from coembed.editing.steering.posterior import Posterior, is_linear
from coembed.errors import ConfigError, DataError
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.model import CDVAE
from coembed.models.nn import eval_mode
from coembed.numerics.latent_target import LatentTarget
from coembed.numerics.random import Streams

COVERED_THRESHOLD = 0.5  # of a cell; where less is covered, the cell is free
_UNSEEN = 0.5  # standard deviations that the part of a cell that is not covered may differ by


class _Sampling(TypedDict):
    """Options that samples with and without a hint have in common."""

    generator: Streams | torch.Generator | int
    temperature: float | list[float]
    n_active_dims: int | None


@dataclass(frozen=True, eq=False)
class Hint:
    """A field that is held in a part of the frame.

    Attributes:
        field: (batch, c, h, w), natural units; only what is covered counts.
        mask: (batch, 1, h, w) or (batch, c, h, w), share of each cell that is held, 0 to 1. A cell covered by
            less than a half is free; one covered in part is held more loosely, the more is uncovered.
        tolerance: how near, in standard deviations of the field; 0 holds covered cells exactly.
        model_std: how far the model is taken to be from real fields in every cell, in the same unit: added to
            the pixels' own noise. 0 believes the model, and is the exact posterior; real fields are none of its
            draws, and what a hint says of the rest is better believed less (``benchmarks/control.py``).

    Raises:
        ConfigError: a tolerance or model_std outside 0 to 10.
        DataError: shapes that do not fit each other, a mask outside [0, 1], or a covered value that is not
            finite.
    """

    field: Tensor
    mask: Tensor
    tolerance: float = 0.0
    model_std: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tolerance", "model_std"):
            if not 0 <= getattr(self, name) <= 10:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 to 10")
        if self.field.dim() != 4:
            raise DataError(f"the hint's field has shape {tuple(self.field.shape)}, expected (batch, c, h, w)")
        batch, channels, *size = self.field.shape
        if tuple(self.mask.shape) not in ((batch, 1, *size), (batch, channels, *size)):
            wanted = f"({batch}, 1 or {channels}, {size[0]}, {size[1]})"
            raise DataError(f"the hint's mask has shape {tuple(self.mask.shape)}, expected {wanted}")
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise DataError("the hint's mask has values outside 0 to 1")
        if not bool(self.field[self.covered].isfinite().all()):
            raise DataError("the hint's field has values that are not finite where the mask covers them")

    @property
    def covered(self) -> Tensor:
        """Mask of the values that are held, (batch, c, h, w) bool."""
        return (self.mask >= COVERED_THRESHOLD).expand_as(self.field)

    @property
    def variance(self) -> Tensor:
        """Variance of every cell about what is held, squared standard deviations of the field."""
        return (self.tolerance**2 + (_UNSEEN * (1 - self.mask)) ** 2).expand_as(self.field)


def sample_hint(
    model: CDVAE,
    condition: Tensor,
    n: int,
    hint: Hint,
    *,
    generator: Streams | torch.Generator | int,
    target: Tensor | None = None,
    closeness: float = 0.0,
    dims: int | None = None,
    temperature: float | list[float] = 1.0,
    n_active_dims: int | None = None,
) -> Tensor:
    """Draw n fields per condition that agree with a hint, and go on from it as the model has learned.

    Sample k is sample k of ``CDVAE.sample`` from the same seed, moved; where a mask covers nothing it is that
    sample, bit for bit.

    Args:
        model: any co-embedding model.
        condition: (batch, c, h, w), natural units.
        n: samples per condition.
        hint: of the same batch.
        generator, temperature, n_active_dims: as for ``CDVAE.sample``.
        target, closeness, dims: a pull on the top code besides, as for ``sample_near``.

    Returns:
        (n, batch, c, h, w), natural units.

    Raises:
        ConfigError, DataError: options outside their range, or a hint of another shape.
        ModelError: a model without codes, or what ``CDVAE.sample`` refuses.
    """
    with eval_mode(latent_model(model)), torch.no_grad():
        enc = model.encode(condition)
        wanted = (len(enc), *model.config.field_shape)
        if tuple(hint.field.shape) != wanted:
            raise DataError(f"the hint's field has shape {tuple(hint.field.shape)}, expected {wanted}")
        if not bool(hint.covered.any()):
            sampling = _Sampling(generator=generator, temperature=temperature, n_active_dims=n_active_dims)
            if target is None:
                return model.sample(condition, n, **sampling)
            return sample_near(model, condition, n, target, closeness, dims=dims, **sampling)
        latent_target = None if target is None else pull_of(model, target, closeness, dims, len(enc))
        latent_target = None if closeness == 0 else latent_target
        temperatures, streams = model.temperatures(temperature), Streams.of(generator, len(enc))
        held, parts = _Conditioned(model, enc, hint, latent_target, temperatures), []
        for count in enc.chunks(n):
            noise = model.noise(streams, count, n_active_dims)
            parts.append(held.draw(noise).view(count, *wanted))
        return torch.cat(parts)


class _Conditioned:
    """Draws of a batch of conditions that agree with a hint."""

    def __init__(
        self,
        model: CDVAE,
        enc: EncodedCondition,
        hint: Hint,
        latent_target: LatentTarget | None,
        temperatures: list[float],
    ):
        self.model, self.enc, self.latent_target, self.temperatures = model, enc, latent_target, temperatures
        self.values = torch.where(hint.covered, model.standardise_field(hint.field.nan_to_num()), 0)
        self.covered, self.variance, self.model_std = hint.covered, hint.variance, hint.model_std
        self.posteriors = None
        if is_linear(model):
            empty = [torch.zeros(1, *shape) for shape in model.field_ladder.code_shapes]
            pixels = model.field_ladder.decode_latents(empty).log_var.exp() + hint.model_std**2
            self.pixels = pixels.expand_as(self.values)
            noise = self.pixels + self.variance
            self.posteriors = [
                Posterior.of(model, enc, row, self.values[row], self.covered[row], noise[row], latent_target)
                for row in range(len(enc))
            ]

    def draw(self, noise: Tensor) -> Tensor:
        """Fields (rows, c, h, w), natural units, one per row of noise."""
        model, enc = self.model, self.enc
        index = enc.index(len(noise) // len(enc))
        errors = torch.stack([_errors(row, model.config.field_size) for row in noise])
        errors = self.temperatures[-1] * errors.view(-1, *model.config.field_shape)
        if self.posteriors is None:
            values, covered, variance = (t[index] for t in (self.values, self.covered, self.variance))
            pulled = None if self.latent_target is None else self.latent_target.rows(index)
            wanted = (values, covered, variance, self.model_std)
            fields, gain = search(model, enc[index], noise, *wanted, errors, pulled, self.temperatures)
        else:
            codes = self._codes(index, noise, errors)
            fields = model.decode(codes, enc[index], model.split_noise(noise).pixels, self.temperatures[-1])
            gain = (self.pixels / (self.pixels + self.variance))[index]
        # What is left of the pixels' own noise, given the codes and what is held: with no tolerance all of it.
        held = torch.lerp(fields, self.values[index], gain.to(fields.dtype))
        return model.to_natural(torch.where(self.covered[index], held, fields))

    def _codes(self, index: Tensor, noise: Tensor, errors: Tensor) -> list[Tensor]:
        assert self.posteriors is not None
        for_tie = self.model.split_noise(noise).tie
        codes = [noise.new_zeros(len(noise), *shape) for shape in self.model.tie.shapes]
        for row, posterior in enumerate(self.posteriors):
            own = index == row
            if posterior is None:
                enc = self.enc[index[own]]
                top = (
                    None
                    if self.latent_target is None
                    else self.latent_target.rows(index[own]).on(self.model.top(enc))
                )
                found = self.model.sample_latents(enc, for_tie[own], self.temperatures, top)
            else:
                found = posterior.draw(for_tie[own], errors[own], self.temperatures)
            for code, part in zip(codes, found, strict=True):
                code[own] = part
        return codes


def _errors(noise: Tensor, size: int) -> Tensor:
    """Standard normals (size,) that are a function of a sample's own noise, and otherwise independent of it.

    The stream itself must not be read further, or a sample with a hint would begin with other noise than
    without.
    """
    digest = hashlib.blake2b(noise.cpu().numpy().tobytes(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randn(size, generator=generator).to(noise.device)
