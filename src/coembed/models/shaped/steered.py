"""Sampling of the photo-shaped model as it is asked for: agreeing with a hint or an example, or between two
draws."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.errors import ConfigError, DataError
from coembed.models.nn import eval_mode
from coembed.models.shaped.conditioned import Asked, Conditioned, errors_of
from coembed.models.shaped.network import Drawing
from coembed.models.shaped.sampler import PhotoShapedSampler
from coembed.models.shaped.sampling import DrawNoise, Picked, decode, drawing_of
from coembed.models.steering import Example, Hint
from coembed.numerics.random import Streams

MAX_DRAWS = 100_000  # of a path between two draws: every draw up to the later one is made, and let go


class SteeredSampler(PhotoShapedSampler):
    """A photo-shaped model whose samples can be steered (``Steerable``); arguments as for its base."""

    @torch.no_grad()
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
        """Sample k of ``sample`` from the same seed, moved to agree with what is asked; see ``Steerable``.

        Exact (up to the modes of factors, see ``conditioned``): what is inferred is inferred at temperature 1,
        and the temperature narrows the draws.
        """
        with eval_mode(self):
            drawing = self.encode(condition)
            batch, shape = len(drawing.mean), self.config.field_shape
            held = None if hint is None else self._fitting("hint", hint.field, batch)
            near = None if example is None else self._fitting("example", example.field, batch, one=True)
            temperatures, streams = self.temperatures(temperature), Streams.of(generator, batch)
            own = [drawing_of(drawing, i) for i in range(batch)]
            given = [self._given(own[i], i, hint, held, example, near) for i in range(batch)]
            parts = []
            for count in self.chunks(n, batch):
                noise = self.noise(streams, count)
                fields = torch.empty(count, batch, *shape, device=self.field_mean.device)
                for i in range(batch):
                    fields[:, i] = self._agree(own[i], given[i], noise.rows(i, batch), temperatures)
                if hint is not None and held is not None:
                    fields = _hold(fields, hint, held)
                parts.append(self.to_natural(fields))
            return torch.cat(parts)

    def _fitting(self, name: str, field: Tensor, batch: int, *, one: bool = False) -> Tensor:
        """A field of a hint or example, standardised; 0 where it is not a number.

        Raises:
            DataError: another shape, or not one per condition (or ``one`` for all).
        """
        wanted = (batch, *self.config.field_shape)
        if tuple(field.shape[1:]) != wanted[1:] or len(field) not in (batch, 1 if one else batch):
            raise DataError(f"the {name}'s field has shape {tuple(field.shape)}, expected {wanted}")
        return self.standardise_field(field.nan_to_num())

    def _given(
        self,
        drawing: Drawing,
        row: int,
        hint: Hint | None,
        held: Tensor | None,
        example: Example | None,
        near: Tensor | None,
    ) -> Conditioned | None:
        """The distribution of one condition's fields given what is asked, or None where nothing is."""
        fixed, target = None, None
        if hint is not None and held is not None:
            fixed = held[row], hint.covered[row], hint.variance[row] + hint.model_std**2
        if example is not None and near is not None and example.closeness > 0:
            target = near[row % len(near)], example.closeness
        asked = Asked.of(drawing, self.wavelets, fixed, target)
        return None if asked is None else Conditioned(drawing, self.wavelets, asked)

    def _agree(
        self, drawing: Drawing, given: Conditioned | None, noise: DrawNoise, temperatures: list[float]
    ) -> Tensor:
        """Draws of one condition, standardised (rows, c, h, w), moved where something is asked."""
        if given is None:
            return decode(drawing, self.wavelets, Picked.of(drawing, noise), noise, temperatures)[0]
        component, picked = given.pick(noise)
        fields = decode(drawing, self.wavelets, picked, noise, temperatures)[0]
        errors = temperatures[1] * errors_of(noise, len(given.asked.values))
        return given.move(fields, component, picked, errors)

    @torch.no_grad()
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
        """Fields on the way from one draw to another, both included; see ``Steerable``.

        Noise turns from the one to the other on an arc, because noise of many dimensions has a length that a
        straight line would lose; the picked Gaussians' means and scales go straight, which is the optimal
        transport between them.
        """
        if steps < 2:
            raise ConfigError(f"n is {steps}, expected at least 2 steps between two draws")
        if not (0 <= first < MAX_DRAWS and 0 <= second < MAX_DRAWS and first != second):
            raise ConfigError(
                f"between is {first} and {second}, expected two different draws, 0 to {MAX_DRAWS - 1}"
            )
        with eval_mode(self):
            drawing = self.encode(condition)
            temperatures, streams = self.temperatures(temperature), Streams.of(generator, len(drawing.mean))
            noises: dict[int, DrawNoise] = {}
            for k in range(max(first, second) + 1):
                noise = self.noise(streams, 1)
                if k in (first, second):
                    noises[k] = noise
            ends = [(noises[k], Picked.of(drawing, noises[k])) for k in (first, second)]
            fields = []
            for t in torch.linspace(0, 1, steps).tolist():
                noise = ends[0][0].turn(ends[1][0], t)
                picked = ends[0][1].lerp(ends[1][1], t)
                fields.append(decode(drawing, self.wavelets, picked, noise, temperatures)[0])
            return torch.stack([self.to_natural(field) for field in fields])


def _hold(fields: Tensor, hint: Hint, values: Tensor) -> Tensor:
    """Draws (n, batch, c, h, w), standardised, with what is held, ``values``, of real fields, which are no
    draws."""
    variance = hint.model_std**2
    share = variance / (variance + hint.variance) if variance else torch.zeros_like(values)
    share = torch.where(hint.variance == 0, 1.0, share)
    return torch.where(hint.covered, torch.lerp(fields, values.expand_as(fields), share.float()), fields)
