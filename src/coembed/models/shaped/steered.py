"""Sampling of the photo-shaped model as it is asked for: agreeing with a hint or an example, or between two
draws."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.errors import ConfigError, DataError
from coembed.models.nn import eval_mode
from coembed.models.shaped.conditioned import Asked, Conditioned, asked_of, errors_of
from coembed.models.shaped.network import Drawing
from coembed.models.shaped.sampler import PhotoShapedSampler
from coembed.models.shaped.sampling import DrawNoise, Picked, decode, rows_of
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
            asked = self._asked(drawing, hint, example)
            batch, shape = len(drawing.mean), self.config.field_shape
            temperatures, streams = self.temperatures(temperature), Streams.of(generator, batch)
            given = [
                None if one is None else Conditioned(_row(drawing, i), self.wavelets, one)
                for i, one in enumerate(asked)
            ]
            parts = []
            for count in self.chunks(n, batch):
                noise = self.noise(streams, count)
                fields = torch.empty(count, batch, *shape, device=self.field_mean.device)
                for i, one in enumerate(given):
                    fields[:, i] = self._agree(drawing, i, one, noise.rows(i, batch), temperatures)
                if hint is not None:
                    fields = self._hold(fields, hint)
                parts.append(self.to_natural(fields))
            return torch.cat(parts)

    def _asked(self, drawing: Drawing, hint: Hint | None, example: Example | None) -> list[Asked | None]:
        """Observations of every condition.

        Raises:
            DataError: a hint or example of another shape.
        """
        batch, shape, standardised = len(drawing.mean), self.config.field_shape, {}
        for name, part, least in (("hint", hint, batch), ("example", example, 1)):
            if part is None:
                continue
            if tuple(part.field.shape[1:]) != shape or len(part.field) not in (least, batch):
                wanted = (batch, *shape)
                raise DataError(f"the {name}'s field has shape {tuple(part.field.shape)}, expected {wanted}")
            standardised[name] = self.standardise_field(part.field.nan_to_num())
        return [
            Asked.of(_row(drawing, i), self.wavelets, *asked_of(i, hint, example, standardised))
            for i in range(batch)
        ]

    def _agree(
        self,
        drawing: Drawing,
        row: int,
        given: Conditioned | None,
        noise: DrawNoise,
        temperatures: tuple[float, float],
    ) -> Tensor:
        """Draws of one condition, standardised (rows, c, h, w), moved where something is asked."""
        index = torch.full_like(noise.component, row, dtype=torch.int64)
        if given is None:
            return decode(drawing, self.wavelets, index, Picked.of(drawing, index, noise), noise, temperatures)[
                0
            ]
        component, picked = given.pick(noise)
        fields = decode(drawing, self.wavelets, index, picked, noise, temperatures)[0]
        errors = temperatures[1] * errors_of(noise, len(given.asked.values))
        return given.move(fields, component, picked, errors)

    def _hold(self, fields: Tensor, hint: Hint) -> Tensor:
        """Draws (n, batch, c, h, w), standardised, with what is held of real fields, which are no draws."""
        values = self.standardise_field(hint.field.nan_to_num())
        variance = hint.model_std**2
        share = variance / (variance + hint.variance) if variance else torch.zeros_like(values)
        share = torch.where(hint.variance == 0, 1.0, share)
        return torch.where(hint.covered, torch.lerp(fields, values.expand_as(fields), share.float()), fields)

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
            batch, temperatures = len(drawing.mean), self.temperatures(temperature)
            streams, index = Streams.of(generator, batch), torch.arange(batch, device=drawing.mean.device)
            noises: dict[int, DrawNoise] = {}
            for k in range(max(first, second) + 1):
                noise = self.noise(streams, 1)
                if k in (first, second):
                    noises[k] = noise
            ends = [(noises[k], Picked.of(drawing, index, noises[k])) for k in (first, second)]
            fields = []
            for t in torch.linspace(0, 1, steps).tolist():
                noise = ends[0][0].turn(ends[1][0], t)
                picked = ends[0][1].lerp(ends[1][1], t)
                fields.append(decode(drawing, self.wavelets, index, picked, noise, temperatures)[0])
            return torch.stack([self.to_natural(field) for field in fields])


def _row(drawing: Drawing, row: int) -> Drawing:
    return rows_of(drawing, torch.tensor([row], device=drawing.mean.device))
