"""From a user's photos and masks to what is asked of the draws, at the model's resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.options import SampleOptions, SteeringOptions
from coembed.editing.steering.example import code_of, latent_model, sample_near_beside
from coembed.editing.steering.inpaint import Hint, sample_hint
from coembed.editing.steering.interpolate import interpolate_beside
from coembed.errors import DataError
from coembed.imaging.io.photo import Photo, read_photo
from coembed.imaging.resize import area_average
from coembed.models.base import Sampler
from coembed.numerics.random import Streams
from coembed.tasks.task import Task

if TYPE_CHECKING:
    pass

EXAMPLE_DIMS = 8
"""Leading dimensions of the top code that an example pulls: how strong its field is, and how it runs across the
frame. Those after hold where the example's own things are, which are not where this photo's are."""

MODEL_STD = 0.25
"""Of hints, standard deviations of the field: with less, detail inside the mask says too much of the rest."""


class Controls:
    """Options with their pictures read: made once, for any number of photos.

    Args:
        options: what is asked.
        model: any co-embedding model.
        task: what it is for.

    Raises:
        PhotoError: a picture that cannot be read.
        ModelError: a model without codes.
        DataError: the task fails on the example.
    """

    def __init__(self, options: SteeringOptions, model: Sampler, task: Task):
        self.options, self.model, self.task = options, latent_model(model), task
        self.target = None
        if options.like is not None:
            self.target = code_of(self.model, *self._layers(read_photo(options.like)))
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
            Fields and the photo's own field as the model has it (``CDVAE.sample_beside``), (n, 1, c, h, w)
            each, natural units. Where a part is held the latter is the whole reconstruction: (1, 1, c, h, w).

        Raises:
            DataError: a hint or mask of another size than the photo, or a mask that covers no cell by half.
        """
        options, temperature, streams = self.options, sampling.temperature, Streams(sampling.seed, [0])
        if options.between is not None:
            path = interpolate_beside(
                self.model, condition, field, *options.between, n, generator=streams, temperature=temperature
            )
            return path[0], path[1]
        if not options.has_fixed_region:
            if self.target is None:
                return self.model.sample_beside(condition, field, n, generator=streams, temperature=temperature)
            return sample_near_beside(
                self.model,
                condition,
                n,
                self.target,
                options.closeness,
                field=field,
                generator=streams,
                dims=EXAMPLE_DIMS,
                temperature=temperature,
            )
        reconstruction = self.model.reconstruct(condition, field)
        held, mask, kept = self._held(photo, field, reconstruction)
        samples = sample_hint(
            self.model,
            condition,
            n,
            Hint(held, mask, model_std=MODEL_STD),
            target=self.target,
            closeness=0.0 if self.target is None else options.closeness,
            generator=streams,
            dims=EXAMPLE_DIMS,
            temperature=temperature,
        )
        # Exactly, so that what is kept does not change by a rounding.
        return torch.where(kept, reconstruction, samples), reconstruction[None]

    def _held(self, photo: Photo, field: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fixed values, their mask, and the mask of those that are all of the photo's own.

        The photo's own field is held as the model reconstructs it, and a hint as a change of that: what the
        model loses of the photo comes back with the photo itself (eq. 10).
        """
        size = (field.shape[-2], field.shape[-1])
        held, mask = reconstruction, torch.zeros(1, 1, *size)
        kept = torch.zeros(1, 1, *size, dtype=torch.bool)
        if self.keep is not None:
            mask = _coverage(self.keep, photo, size)
            kept = mask >= 1 - 1e-4
        if self.retouched is not None and self.mask is not None:
            _check_size(self.retouched, photo)
            hint, wanted = _coverage(self.mask, photo, size), self._layers(self.retouched)[1]
            first = (hint >= mask) & (hint > 0)
            held = torch.where(first, reconstruction + wanted - field, held)
            mask, kept = torch.where(first, hint, mask), kept & ~first
        return held, mask.clamp(0, 1), kept

    def _layers(self, photo: Photo) -> tuple[Tensor, Tensor]:
        return low_layers(photo, self.task, *shapes_of(self.model, self.task))


def read_controls(options: SteeringOptions, model: Sampler, task: Task) -> Controls | None:
    """The options with their pictures read, or None where nothing is asked for.

    Raises:
        PhotoError: a picture that cannot be read.
        ModelError: a model without latents.
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
