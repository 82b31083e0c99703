"""Change of a photo's field (eq. 10), decided at the model's resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.options import SampleOptions
from coembed.editing.selection import Representatives, farthest_points, representatives
from coembed.editing.steering.controls import Controls
from coembed.errors import ModelError
from coembed.imaging.io.photo import Photo
from coembed.imaging.upsampling.detail import detail_delta
from coembed.models.base import Reconstructor, Sampler, TemperatureSampler
from coembed.numerics.random import Streams
from coembed.tasks.task import Task

MIN_DRAWS, DRAWS_PER_RESULT = 48, 12  # of a larger draw to choose from


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
    """
    n = options.n
    condition, field = low_layers(photo, task, *shapes_of(model, task))
    path = controls is not None and controls.options.between is not None
    choose = not (options.all or path)
    draws = max(MIN_DRAWS, DRAWS_PER_RESULT * n) if choose else n
    with torch.no_grad():
        # A sampler that encodes no fields loses nothing of the photo's own.
        own = model.reconstruct(condition, field) if isinstance(model, Reconstructor) else field
        if controls is None:
            samples = sample_photo(model, condition, draws, options.seed, options.temperature)
        else:
            samples = controls.sample(photo, condition, field, own, draws, options)
    # What no photo can have is no part of a sample: a Gaussian likelihood also reaches beyond the range.
    low, high = task.field.low, task.field.high
    fields, reconstructed = (part.float().clamp(low, high).numpy() for part in (samples[:, 0], own))
    if choose:
        chosen = farthest_points(fields, n) if options.pick == "spread" else representatives(fields, n)
    else:
        chosen = Representatives(tuple(range(n)), (1 / n,) * n)
    deltas = detail_delta(fields[list(chosen.draws)], reconstructed, options.strength)
    return Plan(deltas, chosen.draws, chosen.weights)


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
