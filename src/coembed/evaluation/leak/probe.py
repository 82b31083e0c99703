r"""Leak by probe: how well a tiny network predicts the field from the condition, and what recompression adds to
that.

Four 3 x 3 convolutions, dilated, see at most 17 pixels across: enough for traces of compression and for little
else. Within a photo (its own mean apart) they explain a share R2 of a clean field that is honest. A network
trained on leaking pairs explains more of the same photos once they are recompressed as those pairs were: that
gain is the leak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coembed.data.pairs import Pairs, as_pairs, evenly_spaced
from coembed.errors import DataError
from coembed.evaluation.results import Estimate
from coembed.numerics.random import named_generator

WIDTH = 24
DILATIONS = (1, 2, 4, 1)
MAX_PAIRS = 10_000
"""Pairs that a probe is trained on, at most."""

_STEPS, _BATCH, _RATE = 1500, 64, 3e-3
_AT_ONCE = 512


@dataclass(frozen=True)
class Explained:
    """Squares of a prediction within photos, (photos,) float64 each.

    Attributes:
        missed: of the field less the prediction, per-photo means apart.
        all: of the field.
    """

    missed: Tensor
    all: Tensor

    @property
    def r2(self) -> Estimate:
        """Share explained, with its standard error over photos."""
        value, influence = _linearised(self)
        return Estimate(value, _error(influence))

    def gain(self, over: Explained) -> Estimate:
        """R2 less that of the same photos in another form, with the standard error of the paired difference."""
        (here, a), (there, b) = _linearised(self), _linearised(over)
        return Estimate(here - there, _error(a - b))


class Probe(nn.Module):
    """A tiny network from conditions to fields.

    Args:
        condition: channels of the condition.
        field: channels of the field.
    """

    condition_mean: Tensor
    condition_std: Tensor
    field_mean: Tensor
    field_std: Tensor

    def __init__(self, condition: int, field: int):
        super().__init__()
        widths = [condition, *[WIDTH] * (len(DILATIONS) - 1), field]
        layers: list[nn.Module] = []
        for inside, outside, dilation in zip(widths, widths[1:], DILATIONS, strict=False):
            layers += [nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])
        for name in ("condition", "field"):
            self.register_buffer(f"{name}_mean", torch.zeros(()))
            self.register_buffer(f"{name}_std", torch.ones(()))

    def forward(self, condition: Tensor) -> Tensor:
        """Fields (batch, c, h, w) of conditions, natural units."""
        return (
            self.layers((condition - self.condition_mean) / self.condition_std) * self.field_std
            + self.field_mean
        )

    @classmethod
    def fit(cls, pairs: Pairs | tuple[Tensor, Tensor], *, seed: int = 0, steps: int = _STEPS) -> Probe:
        """Train a probe on pairs, at most 10,000 of them, evenly spaced; the same pairs and seed, the same
        probe.

        About a minute of one core at 32 x 32.

        Args:
            pairs: scattered pairs whose layers are of one size.
            seed: of starting values and of the order of pairs.
            steps: of 64 pairs each.

        Raises:
            DataError: no pairs, layers of two sizes, or a field that is constant.
        """
        pairs = as_pairs(pairs)
        if not len(pairs):
            raise DataError("pairs: got none, expected at least one")
        condition, field = pairs.batch(evenly_spaced(len(pairs), MAX_PAIRS))
        if condition.shape[2:] != field.shape[2:]:
            sizes = f"{tuple(condition.shape[2:])} and {tuple(field.shape[2:])}"
            raise DataError(f"a probe needs layers of one size, got {sizes}")
        if not bool(field.std() > 0):
            raise DataError("the pairs' field is constant, expected one that varies")
        order, starts = (named_generator(seed, f"probe/{part}") for part in ("order", "start"))
        with torch.random.fork_rng([]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=starts)))
            probe = cls(condition.shape[1], field.shape[1])
        for name, layer in (("condition", condition), ("field", field)):
            getattr(probe, f"{name}_mean").copy_(layer.mean())
            getattr(probe, f"{name}_std").copy_(layer.std().clamp(min=1e-6))
        optimizer = torch.optim.AdamW(probe.parameters(), _RATE, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
        for _ in range(steps):
            rows = torch.randint(len(condition), (_BATCH,), generator=order)
            error = _centred(probe(condition[rows]) - field[rows]) / probe.field_std
            optimizer.zero_grad()
            error.square().mean().backward()
            optimizer.step()
            schedule.step()
        return probe.eval()

    @torch.no_grad()
    def explain(self, pairs: Pairs | tuple[Tensor, Tensor]) -> Explained:
        """Squares that the probe explains of pairs that it was not trained on."""
        pairs, missed, whole = as_pairs(pairs), [], []
        for start in range(0, len(pairs), _AT_ONCE):
            condition, field = pairs.batch(slice(start, min(start + _AT_ONCE, len(pairs))))
            missed.append(_centred(field - self(condition)).double().square().sum((1, 2, 3)))
            whole.append(_centred(field).double().square().sum((1, 2, 3)))
        return Explained(torch.cat(missed), torch.cat(whole))


def _centred(layer: Tensor) -> Tensor:
    return layer - layer.mean((2, 3), keepdim=True)


def _linearised(explained: Explained) -> tuple[float, Tensor]:
    below = explained.all.mean()
    if not below > 0:
        raise DataError("fields without any variation within a photo, expected some")
    left = explained.missed.mean() / below
    return float(1 - left), -(explained.missed - left * explained.all) / below


def _error(influence: Tensor) -> float | None:
    return float(influence.std()) / math.sqrt(len(influence)) if len(influence) > 1 else None
