"""From a user's photos and masks to what is asked of the draws, at the model's resolution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.options import SampleOptions, SteeringOptions
from coembed.errors import DataError, ModelError
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.resize import area_average
from coembed.models.base import Sampler
from coembed.models.steering import Example, Hint, Steerable
from coembed.numerics.random import Streams
from coembed.tasks.task import Task

MODEL_STD = 0.25
"""Of hints, standard deviations of the field: with less, detail inside the mask says too much of the rest."""


class Controls:
    """Options with their pictures read: made once, for any number of photos.

    Args:
        options: what is asked.
        model: one that can be steered.
        task: what it is for.

    Raises:
        PhotoError: a picture that cannot be read.
        ModelError: a model that cannot be steered.
        DataError: the task fails on the example.
    """

    def __init__(self, options: SteeringOptions, model: Sampler, task: Task):
        if not isinstance(model, Steerable):
            raise ModelError(f"a {type(model).__name__} cannot be steered, expected a photo-shaped model")
        self.options, self.model, self.task = options, model, task
        self.example = None
        if options.like is not None:
            self.example = Example(self._layers(read_photo(options.like))[1], options.closeness)
        self.retouched = None if options.hint is None else read_photo(options.hint)
        self.mask = None if options.mask is None else read_photo(options.mask)
        self.keep = None if options.keep is None else read_photo(options.keep)

    def sample(
        self, photo: Photo, condition: Tensor, field: Tensor, n: int, sampling: SampleOptions
    ) -> tuple[Tensor, Tensor]:
        """Fields of one photo as they were asked for, and what each is to be compared with (eq. 10).

        Args:
            photo: whose layers the following are.
            condition, field: (1, c, h, w), natural units.
            n: fields; steps between two draws, both included.
            sampling: seed (field k depends on it and k alone) and temperature.

        Returns:
            Fields, (n, 1, c, h, w), and the photo's own field in what draws vary, (1 or n, 1, c, h, w), natural
            units.

        Raises:
            DataError: a hint or mask of another size than the photo, or a mask that covers no cell by half.
        """
        options, temperature, streams = self.options, sampling.temperature, Streams(sampling.seed, [0])
        own = self.model.sample_beside(condition, field, 1, generator=Streams(0, [0]))[1]
        if options.between is not None:
            path = self.model.interpolate(
                condition, *options.between, n, generator=streams, temperature=temperature
            )
            return path, own
        hint, kept = None, None
        if options.has_fixed_region:
            held, mask, kept = self._held(photo, field, own[0])
            hint = Hint(held, mask, model_std=MODEL_STD)
        samples = self.model.sample_given(
            condition, n, hint=hint, example=self.example, generator=streams, temperature=temperature
        )
        # Exactly, so that what is kept does not change by a rounding.
        return samples if kept is None else torch.where(kept, own, samples), own

    def _held(self, photo: Photo, field: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fixed values, their mask, and the mask of those that are all of the photo's own.

        The photo's own field is held in what draws vary (``own``), and a hint as a change of that: what draws
        hold still comes back with the photo itself (eq. 10).
        """
        size = (field.shape[-2], field.shape[-1])
        held, mask = own, torch.zeros(1, 1, *size)
        kept = torch.zeros(1, 1, *size, dtype=torch.bool)
        if self.keep is not None:
            mask = _coverage(self.keep, photo, size)
            kept = mask >= 1 - 1e-4
        if self.retouched is not None and self.mask is not None:
            _check_size(self.retouched, photo)
            hint, wanted = _coverage(self.mask, photo, size), self._layers(self.retouched)[1]
            first = (hint >= mask) & (hint > 0)
            held = torch.where(first, own + wanted - field, held)
            mask, kept = torch.where(first, hint, mask), kept & ~first
        return held, mask.clamp(0, 1), kept

    def _layers(self, photo: Photo) -> tuple[Tensor, Tensor]:
        return low_layers(photo, self.task, *shapes_of(self.model, self.task))


def read_controls(options: SteeringOptions, model: Sampler, task: Task) -> Controls | None:
    """The options with their pictures read, or None where nothing is asked for.

    Raises:
        PhotoError: a picture that cannot be read.
        ModelError: a model that cannot be steered.
    """
    return Controls(options, model, task) if options.steers else None


def _coverage(mask: Photo, photo: Photo, size: tuple[int, int]) -> Tensor:
    """Share of every cell that a mask covers, (1, 1, h, w): white 1, black or transparent 0."""
    _check_size(mask, photo)
    levels = mask.as_float().mean(2)
    if mask.alpha is not None:
        levels = levels * (mask.alpha / np.float32(np.iinfo(mask.alpha.dtype).max))
    found = torch.from_numpy(np.ascontiguousarray(area_average(levels[..., None], size)))[None, None, ..., 0]
    if float(found.max()) < 0.5:
        raise DataError(
            f"{mask.name}: covers no more than {float(found.max()):.0%} of any of the model's {size[0]} x "
            f"{size[1]} cells, expected at least half of one in white"
        )
    return found


def _check_size(picture: Photo, photo: Photo) -> None:
    if picture.pixels.shape[:2] != photo.pixels.shape[:2]:
        raise DataError(
            f"{picture.name}: {picture.width} x {picture.height} pixels, expected those of {photo.name}: "
            f"{photo.width} x {photo.height}"
        )
