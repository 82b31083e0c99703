"""Requests of samples besides the condition: a part that is held, an example to come near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from coembed.errors import ConfigError, DataError
from coembed.models.base import CounterpartSampler
from coembed.numerics.random import Streams

COVERED_THRESHOLD = 0.5  # of a cell; where less is covered, the cell is free
_UNSEEN = 0.5  # standard deviations that the part of a cell that is not covered may differ by


@dataclass(frozen=True, eq=False)
class Hint:
    """A field that is held in a part of the frame.

    Attributes:
        field: (batch, c, h, w), natural units; only what is covered counts.
        mask: (batch, 1, h, w) or (batch, c, h, w), share of each cell that is held, 0 to 1. A cell covered by
            less than a half is free; one covered in part is held more loosely, the more is uncovered.
        tolerance: how near, in standard deviations of the field; 0 holds covered cells exactly.
        model_std: how far the model is taken to be from real fields in every cell, in the same unit. 0 believes
            the model, and is the exact posterior; real fields are none of its draws, and what a hint says of
            the rest is better believed less (``benchmarks/control.py``).

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


@dataclass(frozen=True, eq=False)
class Example:
    """A field whose look samples come near: how strong it is, and how it runs across the frame.

    Attributes:
        field: (1 or batch, c, h, w), natural units; only its means over a few large cells count.
        closeness: in [0, 1]: these means move so far of the way to the example's, and keep 1 - closeness of
            their variance. 0 changes nothing.

    Raises:
        ConfigError: a closeness outside [0, 1].
    """

    field: Tensor
    closeness: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.closeness <= 1:
            raise ConfigError(f"closeness is {self.closeness}, expected 0 to 1")


@runtime_checkable
class Steerable(CounterpartSampler, Protocol):
    """A model whose samples can be asked to agree with something, and to go from one to another."""

    def sample_given(
        self,
        condition: Tensor,
        n: int,
        *,
        hint: Hint | None = None,
        example: Example | None = None,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Sample k of ``sample`` from the same seed, moved to agree; bit for bit where nothing is asked.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition.
            hint: of the same batch.
            example: of the same batch, or one for all.
            generator, temperature: as for ``sample``.

        Returns:
            (n, batch, c', h', w'), natural units.

        Raises:
            DataError: a hint or example of another shape.
        """
        ...

    def interpolate(
        self,
        condition: Tensor,
        first: int,
        second: int,
        steps: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Fields on the way from one draw to another, both included, (steps, batch, c', h', w').

        Args:
            condition: (batch, c, h, w), natural units.
            first, second: numbers of the draws, from 0: those that ``sample`` of the same generator gives.
            steps: fields, at least 2.
            generator, temperature: as for ``sample``.

        Raises:
            ConfigError: fewer than 2 steps, or draws that are not two.
        """
        ...
