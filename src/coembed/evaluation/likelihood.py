r"""Bounds on -log p(xg | xc) and -log p(xc, xg), photo by photo, with every normaliser included.

All numbers are of densities in natural units. Two remarks on reading them:

* A density has units, so its value depends on the data's scale. ``nats_standardised`` is the same number for
  data divided by ``scale``, the standard deviation of each channel over the scored photos: a property of the
  data, equal for all models. ``bits_per_dim`` is for data told apart in 256 levels over the layers' ranges.
* Where fields hold exact repeats (saturation 0), a model with a narrow enough likelihood can be given any
  density. ``dequantise`` adds uniform noise of a stated width, under which no bound can be bought that way.

Models without latent codes give ``log_prob`` and are exact; models with codes give importance weights, and the
reported value bounds theirs from above: the evidence bound (``elbo``) and the tighter one of K particles
(``bound``) [Burda et al. 2016]. Table 1 of the paper states neither its scaling nor its bound: do not compare.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs
from coembed.errors import ConfigError, DataError
from coembed.evaluation.results import Estimate
from coembed.models.base import DensityBound, DensityModel
from coembed.models.cdvae.importance import log_weights
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams

Target = Literal["conditional", "joint"]
Range = tuple[float, float]
LEVELS = 256  # of the quantisation that bits per dimension refer to


@dataclass(frozen=True)
class Likelihood:
    """Negative log densities of one model, one number per photo.

    Attributes:
        name: of the model.
        target: ``conditional`` for -log p(xg | xc) or ``joint`` for -log p(xc, xg).
        conditions: number of photos.
        names: of the photos.
        exact: the density itself, not a bound; ``elbo`` and ``bound`` are then the same.
        particles: K of ``bound``; 1 if exact.
        tie_share: share of the particles from p(zg | zc) instead of q(zg | xg).
        seed: of every draw.
        dimensions: values per photo under the density.
        dequantised: width of the uniform noise added to the fields, natural units.
        scale: standard deviation of every channel over the scored photos, condition (if joint) then field.
        log_volume: sum of the log scale over all dimensions: nats in natural units minus those standardised.
        log_levels: sum over dimensions of ln(256 / range), or None where no range is known.
        seconds: taken.
        elbo: nats per photo, natural units.
        bound: nats per photo, natural units.
    """

    name: str
    target: str
    conditions: int
    names: tuple[str, ...]
    exact: bool
    particles: int
    tie_share: float
    seed: int
    dimensions: int
    dequantised: float
    scale: tuple[float, ...]
    log_volume: float
    log_levels: float | None
    seconds: float
    elbo: tuple[float, ...]
    bound: tuple[float, ...]

    def summary(self) -> dict[str, Estimate]:
        """Means and standard errors over photos.

        ``elbo`` and ``nats`` (the bound of K particles) a photo, in natural units; ``nats_standardised``;
        ``nats_per_dim`` of the standardised data; ``bits_per_dim`` at 256 levels over the range.
        """
        nats = torch.tensor(self.bound, dtype=torch.float64)
        found = {
            "elbo": estimate(torch.tensor(self.elbo, dtype=torch.float64)),
            "nats": estimate(nats),
            "nats_standardised": estimate(nats - self.log_volume),
            "nats_per_dim": estimate((nats - self.log_volume) / self.dimensions),
        }
        if self.log_levels is not None:
            found["bits_per_dim"] = estimate((nats + self.log_levels) / (self.dimensions * math.log(2)))
        return found


def has_density(model: object) -> bool:
    """True if ``likelihood`` knows how to ask this model for a density."""
    return isinstance(model, DensityBound | DensityModel)


def likelihood(
    model: object,
    store: Pairs | tuple[Tensor, Tensor],
    *,
    name: str = "model",
    target: Target = "conditional",
    limit: int = 1000,
    particles: int = 100,
    tie_share: float = 0.0,
    seed: int = 0,
    batch: int = 64,
    ranges: tuple[Range, Range] | None = None,
    dequantise: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> Likelihood:
    """Bounds the negative log likelihood of the first ``limit`` pairs.

    A CDVAE's draws for photo i come from stream (seed, i), whatever the batch, and the first of many particles
    are those of few. Other models draw for a batch at a time, from a generator that depends on seed and batch.

    Args:
        model: a CDVAE; or anything with ``log_conditional(condition, field, *, particles, generator)`` (a bound
            in nats and natural units) or ``log_prob(condition, field)`` (exact), each (batch,).
        store: pairs never seen in training.
        name: of the model, in tables and errors.
        target: the conditional density (any model) or the joint one (CDVAE only).
        limit: most pairs; a smaller store is taken whole.
        particles: K of the importance-weighted bound.
        tie_share: CDVAE only: share of the particles drawn from the tie p(zg | zc), within [0, 1). It guards
            against fields that q(zg | xg) mistakes, and elsewhere costs the particles that it takes (on the
            bundled resaturation model, 20 particles: 0.1 nats at a share of 0.1, 1.9 at 0.5, of a bound that
            gains 14 on the ELBO), so it is off unless asked for.
        seed: of every draw.
        batch: photos at a time.
        ranges: (low, high) of conditions and of fields, for bits per dimension.
        dequantise: width of uniform noise added to fields (and conditions, if joint), natural units.
        progress: called with the number of photos done since its last call.

    Raises:
        ConfigError: a number out of range, a model without a density, or one without the joint.
        DataError: a density that is not finite; the message names the model and the photo.
    """
    pairs = as_pairs(store)
    for option, value in (("limit", limit), ("particles", particles), ("batch", batch)):
        if value < 1:
            raise ConfigError(f"{option}: got {value}, expected 1 or more")
    if not dequantise >= 0:
        raise ConfigError(f"dequantise: got {dequantise}, expected 0 or more")
    joint = target == "joint"
    bounds, exact = _bounds_of(model, name, joint, particles, tie_share)
    count = min(limit, len(pairs))
    scale = _Scale()
    elbos: list[Tensor] = []
    found: list[Tensor] = []
    begun, was_training = time.perf_counter(), isinstance(model, nn.Module) and model.training
    try:
        if isinstance(model, nn.Module):
            model.eval()
        for start in range(0, count, batch):
            rows = slice(start, min(start + batch, count))
            condition, field = pairs.condition(rows), pairs.field(rows)
            streams = Streams(seed, range(rows.start, rows.stop))
            if dequantise:
                field = field + dequantise * _uniform(streams, field)
                condition = condition + dequantise * _uniform(streams, condition) if joint else condition
            elbo, bound = bounds(condition, field, streams)
            for kind, values in (("elbo", elbo), ("bound", bound)):
                bad = (~values.isfinite()).nonzero().flatten().tolist()
                if bad:
                    value = float(values[bad[0]])
                    raise DataError(
                        f"{name}: the {kind} of photo {start + bad[0]} is {value}, not a number of nats"
                    )
            elbos.append(-elbo.double())
            found.append(-bound.double())
            scale.add(condition, field)
            if progress is not None:
                progress(len(field))
    finally:
        if isinstance(model, nn.Module):
            model.train(was_training)
    names = getattr(pairs, "names", None) or [str(i) for i in range(count)]
    deviations, log_volume = scale.result(joint)
    return Likelihood(
        name=name,
        target=target,
        conditions=count,
        names=tuple(names[:count]),
        exact=exact,
        particles=1 if exact else particles,
        tie_share=tie_share if isinstance(model, CDVAE) else 0.0,
        seed=seed,
        dimensions=scale.dimensions(joint),
        dequantised=dequantise,
        scale=deviations,
        log_volume=log_volume,
        log_levels=None if ranges is None else scale.log_levels(ranges, joint),
        seconds=round(time.perf_counter() - begun, 3),
        elbo=tuple(float(f"{v:.9g}") for v in torch.cat(elbos).tolist()),
        bound=tuple(float(f"{v:.9g}") for v in torch.cat(found).tolist()),
    )


def paired(one: Likelihood, other: Likelihood) -> Estimate:
    """``one`` minus ``other``, nats per photo (bounds of K particles), with the standard error of the pairs.

    Raises:
        ConfigError: other photos, or another target.
    """
    if one.names != other.names or one.target != other.target:
        raise ConfigError(f"{one.name} and {other.name} were measured on different photos or targets")
    return estimate(
        torch.tensor(one.bound, dtype=torch.float64) - torch.tensor(other.bound, dtype=torch.float64)
    )


def estimate(values: Tensor) -> Estimate:
    """The mean of (count,) values and its standard error, None for a single value."""
    count = len(values)
    return Estimate(
        float(values.mean()), float(values.std(correction=1)) / math.sqrt(count) if count > 1 else None
    )


Bounds = Callable[[Tensor, Tensor, Streams], tuple[Tensor, Tensor]]


def _bounds_of(model: object, name: str, joint: bool, particles: int, tie_share: float) -> tuple[Bounds, bool]:
    """A function that gives (elbo, bound) on log p, and whether it is exact."""
    if isinstance(model, CDVAE):

        def importance(condition: Tensor, field: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
            weights = log_weights(
                model, condition, field, particles=particles, generator=streams, tie_share=tie_share
            )
            return weights.elbo(joint=joint), weights.bound(joint=joint)

        return importance, False
    if joint:
        raise ConfigError(f"{name}: is a {type(model).__name__}, which has no joint density; use 'conditional'")
    if isinstance(model, DensityBound):

        def bounded(condition: Tensor, field: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                return tuple(  # type: ignore[return-value]
                    model.log_conditional(condition, field, particles=k, generator=_seeded(streams))
                    for k in (1, particles)
                )

        return bounded, False
    if isinstance(model, DensityModel):

        def exactly(condition: Tensor, field: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
            del streams
            with torch.no_grad():
                found = model.log_prob(condition, field)
            return found, found

        return exactly, True
    raise ConfigError(f"{name}: {type(model).__name__} has neither log_conditional nor log_prob, so no density")


def _seeded(streams: Streams) -> torch.Generator:
    """A generator for models that draw for a whole batch: a function of the seed and the first photo."""
    seed = int(Streams(streams.seed, streams.ids[:1]).normal(1, 1)[0, 0, 0].view(torch.int32))
    return torch.Generator().manual_seed(seed & 0x7FFFFFFF)


def _uniform(streams: Streams, like: Tensor) -> Tensor:
    """Uniform on (-1/2, 1/2), from every photo's stream."""
    normal = streams.normal(1, like[0].numel())[0].view(like.shape)
    return torch.special.ndtr(normal) - 0.5


class _Scale:
    """Running standard deviation a channel of conditions and fields, in float64."""

    def __init__(self):
        self._sums: dict[str, tuple[Tensor, Tensor, int]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, condition: Tensor, field: Tensor) -> None:
        for key, data in (("condition", condition), ("field", field)):
            flat = data.double().transpose(0, 1).flatten(1)
            first, second, count = self._sums.get(key, (0.0, 0.0, 0))
            self._sums[key] = (first + flat.sum(1), second + flat.square().sum(1), count + flat.shape[1])
            self._shapes[key] = tuple(data.shape[1:])

    def dimensions(self, joint: bool) -> int:
        return sum(math.prod(self._shapes[key]) for key in _layers(joint))

    def result(self, joint: bool) -> tuple[tuple[float, ...], float]:
        deviations, log_volume = [], 0.0
        for key in _layers(joint):
            first, second, count = self._sums[key]
            variance = (second / count - (first / count).square()).clamp(min=0)
            # A channel without variance has no scale to divide by: it is left in natural units.
            deviation = torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance))
            deviations += deviation.tolist()
            log_volume += float(deviation.log().sum()) * math.prod(self._shapes[key][1:])
        return tuple(deviations), log_volume

    def log_levels(self, ranges: tuple[Range, Range], joint: bool) -> float:
        total = 0.0
        for key, (low, high) in zip(("condition", "field"), ranges, strict=True):
            if key in _layers(joint):
                if not low < high:
                    raise ConfigError(f"ranges: got ({low}, {high}) for the {key}, expected low < high")
                total += math.prod(self._shapes[key]) * math.log(LEVELS / (high - low))
        return total


def _layers(joint: bool) -> tuple[str, ...]:
    return ("condition", "field") if joint else ("field",)
