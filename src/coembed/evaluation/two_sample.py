"""Classifier two-sample test: can a small network tell (photo, draw) from (photo, true field)?

Accuracy on photos that it was not trained on [Lopez-Paz and Oquab 2017]: 0.5 if nothing tells them apart.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from coembed.numerics.random import named_generator

MAX_PHOTOS = 2_000
MIN_PHOTOS = 40
"""With fewer a test says nothing."""

_DRAWS = 4  # of every photo, that the network is trained on
_STEPS, _BATCH, _RATE, _WIDTH = 600, 64, 2e-3, 16  # of the most photos
_STEPS_PER_PHOTO = 0.6

_references: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}
"""Rows of comparison of the last pairs, which are the same for every sampler that is scored on them."""


class TwoSampleTest:
    """Pairs gathered for the test; the first 2,000 photos.

    Args:
        seed: of the split, the labels, the starting values and the order.
        mirrors: pairs may be mirrored in training; not where fields are vectors.
    """

    def __init__(self, seed: int = 0, *, mirrors: bool = True):
        self._seed, self._mirrors, self._count = seed, mirrors, 0
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, condition: Tensor, sampled: Tensor, truth: Tensor) -> None:
        """Take the conditions (batch, c, h, w), a few of their samples (n, batch, ...) and the true fields."""
        take = max(0, min(len(truth), MAX_PHOTOS - self._count))
        self._count += take
        if take:
            self._parts.append((condition[:take], sampled[:_DRAWS, :take].clone(), truth[:take]))

    def result(self) -> dict[str, tuple[float, float]]:
        """Held-out accuracies with standard errors over photos; empty for fewer than 40 photos.

        ``c2st`` tells draws from true fields; ``c2st_other`` other photos' true fields from a photo's own,
        which is what a sampler that ignores the photo would score at best; ``real_c2st`` true fields from true
        fields.
        """
        if self._count < MIN_PHOTOS:
            return {}
        condition, truth = (torch.cat([part[i] for part in self._parts]) for i in (0, 2))
        sampled = torch.cat([part[1] for part in self._parts], 1)
        if condition.shape[2:] != truth.shape[2:]:
            condition = nn.functional.adaptive_avg_pool2d(condition, (truth.shape[2], truth.shape[3]))
        order = torch.randperm(len(truth), generator=named_generator(self._seed, "two-sample/split"))
        others = truth[_next(order)][None]
        found = {"c2st": self._accuracy(condition, sampled, truth, order)}
        key = hashlib.blake2b(condition.numpy().tobytes() + truth.numpy().tobytes()).hexdigest(), self._seed
        if key not in _references:
            coin = torch.randn(len(truth), generator=named_generator(self._seed, "two-sample/coin")) > 0
            _references.clear()
            _references[key] = {
                "c2st_other": self._accuracy(condition, others, truth, order),
                "real_c2st": self._guessed(condition, truth, coin, order),
            }
        return found | _references[key]

    def _accuracy(self, condition: Tensor, made: Tensor, truth: Tensor, order: Tensor) -> tuple[float, float]:
        """Of telling fields made (n, photos, ...) from true ones."""
        half = len(order) // 2
        learn, judge = order[:half], order[half:]
        fields = torch.cat([truth[None].expand(len(made), *truth.shape), made])
        labels = torch.cat([torch.zeros(len(made)), torch.ones(len(made))])
        network = self._train(condition[learn], fields[:, learn], labels[:, None].expand(-1, len(learn)))
        asked = torch.stack([truth[judge], made[0, judge]])
        found = [_logits(network, condition[judge], field) for field in asked]
        right = (torch.stack([found[0] < 0, found[1] > 0]).double()).mean(0)
        return _mean_and_error(right)

    def _guessed(self, condition: Tensor, truth: Tensor, coin: Tensor, order: Tensor) -> tuple[float, float]:
        """Of telling true fields of one half by coin from those of the other."""
        half = len(order) // 2
        learn, judge = order[:half], order[half:]
        network = self._train(condition[learn], truth[None, learn], coin[None, learn].float())
        return _mean_and_error(((_logits(network, condition[judge], truth[judge]) > 0) == coin[judge]).double())

    def _train(self, condition: Tensor, fields: Tensor, labels: Tensor) -> nn.Module:
        """A network trained on conditions (photos, ...), fields and labels (sources, photos, ...)."""
        generator = named_generator(self._seed, "two-sample/order")
        steps = min(_STEPS, 40 + round(_STEPS_PER_PHOTO * self._count))
        with torch.random.fork_rng([]):
            torch.manual_seed(self._seed)
            network = _network(condition, fields)
            optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
            for _ in range(steps):
                rows = torch.randint(len(condition), (_BATCH,), generator=generator)
                sources = torch.randint(len(fields), (_BATCH,), generator=generator)
                joined = torch.cat([condition[rows], fields[sources, rows]], 1)
                if self._mirrors and bool(torch.rand((), generator=generator) < 0.5):
                    joined = joined.flip(3)
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(joined)[:, 0], labels[sources, rows]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return network.eval()


class _Standardise(nn.Module):
    def __init__(self, mean: Tensor, std: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


def _network(condition: Tensor, fields: Tensor) -> nn.Module:
    """Fine detail first, then what is where; standardised by the pairs it is trained on."""
    moments = [
        (layer.mean((0, 2, 3)), layer.std((0, 2, 3)).clamp(min=1e-6))
        for layer in (condition, fields.flatten(0, 1))
    ]
    mean, std = (torch.cat(parts)[:, None, None] for parts in zip(*moments, strict=True))
    widths = [len(mean), _WIDTH, 2 * _WIDTH, 4 * _WIDTH]
    layers: list[nn.Module] = [_Standardise(mean, std)]
    for number in range(3):
        stride = 1 if number == 0 else 2
        layers += [nn.Conv2d(widths[number], widths[number + 1], 3, stride, 1), nn.GELU()]
        layers += [nn.GroupNorm(4, widths[number + 1])] * (number > 0)
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * widths[-1], 1)]
    return nn.Sequential(*layers)


@torch.no_grad()
def _logits(network: nn.Module, condition: Tensor, field: Tensor) -> Tensor:
    parts = zip(condition.split(256), field.split(256), strict=True)
    return torch.cat([network(torch.cat(pair, 1))[:, 0] for pair in parts])


def _next(order: Tensor) -> Tensor:
    """For every photo another one of the same half."""
    half, following = len(order) // 2, torch.empty_like(order)
    for part in (order[:half], order[half:]):
        following[part] = part.roll(1)
    return following


def _mean_and_error(right: Tensor) -> tuple[float, float]:
    return float(right.mean()), float(right.std()) / math.sqrt(len(right))
