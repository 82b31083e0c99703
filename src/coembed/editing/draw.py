"""Change of a photo's field (eq. 10), decided at the model's resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coembed.editing.controls import Controls
from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.options import SampleOptions
from coembed.editing.perception import picture_distances
from coembed.editing.selection import Representatives, farthest_points, representatives
from coembed.editing.strength import at_strength
from coembed.errors import ConfigError, ModelError
from coembed.imaging.io.photo import Photo
from coembed.imaging.upsampling.detail import detail_delta
from coembed.models.base import CounterpartSampler, Sampler, TemperatureSampler, own_field
from coembed.numerics.random import Streams
from coembed.tasks.task import Task, keeps_level

MIN_DRAWS, DRAWS_PER_RESULT = 48, 12  # of a larger draw to choose from
MIN_DIFFERENCE = 2.3
"""Mean CIEDE2000 that two chosen versions differ by, where the draws allow it: about what is just noticed."""


@dataclass(frozen=True)
class Plan:
    """Changes of one photo's field, at the model's resolution.

    Args:
        deltas: (n, c, h, w) float32, change of the field, natural units.
        draws: which draws of the seed these are; draw k depends on (seed, k) alone. Steps of a path between two
            draws are numbered from 0.
        weights: share of the larger draw that each result stands for; 1/n each for plain draws.
    """

    deltas: np.ndarray
    draws: tuple[int, ...]
    weights: tuple[float, ...]


def plan(
    photo: Photo, model: Sampler, task: Task, options: SampleOptions, controls: Controls | None = None
) -> Plan:
    """Draw the fields and say how the photo's own field is to change (eq. 10).

    A sample is compared with the photo's own field in what the sample varies, and with nothing else: what
    samples hold still, edits hold still. Where the task says so (``keeps_level``), the mean of the change over
    the frame is left out, or applied in part.

    Args:
        photo: any size.
        model: for ``task``.
        task: what the photo is split into.
        options: how many, which ones, how much.
        controls: what is asked of the draws besides; nothing by default.

    Raises:
        ModelError: a model whose condition or field has not the task's channels, or one without a temperature
            where another than 1 is asked for.
        DataError: the task fails on the photo, or a hint or mask does not fit it.
        ConfigError: an exposure for a task that has none.
    """
    if options.exposure and not keeps_level(task):
        raise ConfigError(f"exposure is {options.exposure:g}, expected 0: {task.name} has none")
    n = options.n
    condition, field = low_layers(photo, task, *shapes_of(model, task))
    path = controls is not None and controls.options.between is not None
    choose = not (options.all or path)
    draws = max(MIN_DRAWS, DRAWS_PER_RESULT * n) if choose else n
    with torch.no_grad():
        if controls is None:
            samples, own = sample_beside(model, condition, field, draws, options.seed, options.temperature)
        else:
            samples, own = controls.sample(photo, condition, field, draws, options)
    # What no photo can have is no part of a sample: a Gaussian likelihood also reaches beyond the range.
    low, high = task.field.low, task.field.high
    sampled, compared = (part[:, 0].float().clamp(low, high).numpy() for part in (samples, own))
    changes = detail_delta(sampled, compared)
    if keeps_level(task):
        changes -= np.float32(1 - options.exposure) * changes.mean(axis=(2, 3), keepdims=True)
    if choose:
        distances = picture_distances(photo, task, changes)
        spread = options.pick == "spread"
        chosen = farthest_points(distances, n) if spread else representatives(distances, n, MIN_DIFFERENCE)
    else:
        chosen = Representatives(tuple(range(n)), (1 / n,) * n)
    deltas = at_strength(changes[list(chosen.draws)], field[0].numpy(), options.strength)
    return Plan(deltas, chosen.draws, chosen.weights)


def sample_beside(
    model: Sampler, condition: Tensor, field: Tensor, n: int, seed: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Draws 0 to n-1 of one photo's field, and its own field as the model has it.

    Args:
        model: any sampler. One that encodes no fields loses nothing of the photo's own.
        condition: (1, c, h, w), natural units.
        field: (1, c', h', w'), the photo's own, natural units.
        n, seed, temperature: as for ``sample_photo``.

    Returns:
        Samples (n, 1, c', h', w') and the own field, (n or 1, 1, c', h', w'), natural units.

    Raises:
        ModelError: a temperature other than 1 for a model without.
    """
    if isinstance(model, CounterpartSampler):
        return model.sample_beside(condition, field, n, generator=Streams(seed, [0]), temperature=temperature)
    return sample_photo(model, condition, n, seed, temperature), own_field(model, condition, field)[None]


def sample_photo(model: Sampler, condition: Tensor, n: int, seed: int, temperature: float) -> Tensor:
    """Draws 0 to n-1 of one photo's field.

    Args:
        model: any sampler; one without temperatures takes 1 alone.
        condition: (1, c, h, w), natural units.
        n: at least 1.
        seed: draw k depends on (seed, k) alone.
        temperature: scale of the draws' standard deviations.

    Returns:
        (n, 1, c, h, w), natural units.

    Raises:
        ModelError: a temperature other than 1 for a model without.
    """
    streams = Streams(seed, [0])
    if isinstance(model, TemperatureSampler):
        return model.sample(condition, n, generator=streams, temperature=temperature)
    if temperature != 1:
        raise ModelError(f"a {type(model).__name__} has no temperature, got {temperature:g}, expected 1")
    return model.sample(condition, n, generator=streams)
