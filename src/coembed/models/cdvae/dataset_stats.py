r"""Statistics of training pairs that decide about a model: closed-form samplers, judged on pairs held out.

A sampler of a few seconds stands in for the model: ridge regression of the field on the condition's principal
components, and a Gaussian around it (probabilistic principal components of the residual). It is fitted on a
part of the pairs and scored on others, of other photos or clips, by squared error and by the energy score in
natural units: proper scores, which no choice of scale can flatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.data.names import groups_of, whole_of
from coembed.data.pairs import Pairs
from coembed.numerics.scoring_rules import energy_score

_PAIRS, _VALUES = 2_000, 24 << 20  # looked at, at most: so many pairs, or as many as have so many values
MIN_PAIRS = 10  # pairs; fewer say nothing
_FEW = 500  # pairs; up to so many, every pair is held out once, in one of five folds
_FOLDS = 5
_DRAWS = 20  # samples per condition for the energy score
_SCORED = 300  # pairs held out that are drawn for, at most
_RANK = 128  # components of the residual in the stand-in for the model
_RIDGES = [10 ** (k / 4) for k in range(-12, 17)]  # in units of the mean variance of the condition's components
_SCALE = 2.0  # of the field, in its standard deviations: what is common stays straight, tails are compressed
HEAVY = 10.0  # kurtosis of the residual's leading components; a Gaussian's is 3


@dataclass(frozen=True)
class DatasetStats:
    """Statistics of the pairs.

    Attributes:
        pairs: training pairs in all.
        scenes: photos or frames among them; further views of one count once.
        groups: photos, or clips, that the pairs are of.
        explained: share of the field's variance that ridge regression explains of pairs held out, at least 0.
        ridge: its best penalty for all the pairs, in units of the condition's mean eigenvalue.
        kurtosis: of the leading components of what it leaves; 3 for a Gaussian.
        field_scale: of ``asinh(field / scale)``, natural units; 0: fields as they are.
        gain: energy score with that scale over the one without; 1 where there is none.
    """

    pairs: int
    scenes: int
    groups: int
    explained: float
    ridge: float
    kurtosis: float
    field_scale: float
    gain: float


def gather(pairs: Pairs, *, rank: int, seed: int, names: Sequence[str] | None = None) -> DatasetStats | None:
    """Fit and score the stand-in; a few seconds, whatever the number of pairs.

    Args:
        pairs: training pairs.
        rank: components of the condition that the regression will read.
        seed: of the choice of pairs and of every draw.
        names: of the pairs, which tell views and frames of one scene; each a scene of its own without.

    Returns:
        None for fewer than ten pairs, or for fields or conditions that are all the same.
    """
    names = [str(i) for i in range(len(pairs))] if names is None else names
    groups = groups_of(names)
    scenes = len({whole_of(name) for name in names})
    generator = torch.Generator().manual_seed(seed)
    count = max(groups, default=-1) + 1
    if len(groups) < MIN_PAIRS or count < 2:
        return None
    first = torch.tensor([0])
    values = pairs.condition(first).numel() + pairs.field(first).numel()
    rows, group = _choose(groups, max(_PAIRS, _VALUES // values), generator)
    x, y = pairs.condition(rows).float().flatten(1), pairs.field(rows).float()
    if not float(x.std()) > 0 or not bool((y.std((0, 2, 3)) > 0).all()):
        return None
    folds = _folds(group, _FOLDS if len(rows) <= _FEW else 1, generator)
    conditions = [_Condition(x, held, rank) for held in folds]
    found = [_judge(conditions, y, 0.0, seed)]
    if found[0].kurtosis > HEAVY:
        found.append(_judge(conditions, y, _SCALE * float(y.std()), seed))
    best = min(found, key=lambda one: one.energy)
    fitted = 1 - sum(float(held.float().mean()) for held in folds) / len(folds)
    # The best penalty is a matter of the noise: the more scenes, the less it counts.
    sampled = len(set(group.tolist())) * fitted
    return DatasetStats(
        pairs=len(pairs),
        scenes=scenes,
        groups=count,
        explained=max(0.0, 1 - best.error / best.variance),
        ridge=best.ridge * sampled / count,
        kurtosis=found[0].kurtosis,
        field_scale=best.scale,
        gain=best.energy / found[0].energy,
    )


def _choose(groups: Sequence[int], limit: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most ``limit`` rows, as many of every group as fit, and their groups; all rows of small sets."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    order = torch.randperm(len(members), generator=generator).tolist()
    most = max(1, limit // len(members))
    rows: list[int] = []
    for group in order[:limit]:
        of_group = members[group]
        taken = min(most, len(of_group))
        rows += [of_group[i * len(of_group) // taken] for i in range(taken)]
    return torch.tensor(rows), torch.tensor([groups[row] for row in rows])


def _folds(group: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
    """Pairs that each fold holds out: a fifth of the groups each."""
    numbers = group.unique()
    shuffled = numbers[torch.randperm(len(numbers), generator=generator)]
    parts = [shuffled[k :: min(_FOLDS, len(numbers))] for k in range(min(count, len(numbers)))]
    return [torch.isin(group, part) for part in parts]


class _Condition:
    """White principal components of the conditions of a fold, fitted on the pairs that it keeps."""

    def __init__(self, x: Tensor, held: Tensor, rank: int):
        self.held = held
        fitted = x[~held]
        centre = fitted.mean(0)
        self.variance, basis = leading_components(fitted - centre, rank)
        white = basis / self.variance.sqrt()
        self.fitted, self.asked = (fitted - centre) @ white, (x[held] - centre) @ white

    def gains(self, ridge: float) -> Tensor:
        """Shrinkage of every component's slope."""
        return self.variance / (self.variance + ridge * self.variance.mean())


@dataclass(frozen=True)
class _Judged:
    scale: float
    ridge: float
    error: float  # mean squared error of the regression, standardised
    variance: float  # that of the mean field
    kurtosis: float
    energy: float


def _judge(conditions: list[_Condition], y: Tensor, scale: float, seed: int) -> _Judged:
    """The stand-in for fields as they are (scale 0) or compressed, over all folds."""
    data = torch.asinh(y / scale) if scale else y
    folds = [_Fold(one, data) for one in conditions]
    errors = [sum(fold.error(ridge) for fold in folds) / len(folds) for ridge in _RIDGES]
    best = min(range(len(_RIDGES)), key=errors.__getitem__)
    # A plateau, where nothing is to be learned, counts as its end: no slope at all.
    ridge = _RIDGES[best] if errors[best] < errors[-1] * (1 - 1e-3) else _RIDGES[-1]
    energies, kurtosis = [], 0.0
    for one, fold in zip(conditions, folds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        residual = fold.residual(ridge)
        kurtosis += _kurtosis(residual) / len(folds)
        sampled, rows = fold.draw(ridge, residual, generator)
        natural = torch.sinh(sampled) * scale if scale else sampled
        low, high = y[~one.held].amin((0, 2, 3)), y[~one.held].amax((0, 2, 3))
        natural = torch.minimum(torch.maximum(natural, low[:, None, None]), high[:, None, None])
        energies.append(energy_score(natural, y[one.held][rows]))
    variance = sum(float(fold.asked.square().mean()) for fold in folds) / len(folds)
    return _Judged(scale, ridge, min(errors), variance, kurtosis, float(torch.cat(energies).mean()))


class _Fold:
    """One fold's regression and residual Gaussian, of standardised fields."""

    def __init__(self, condition: _Condition, data: Tensor):
        self.condition = condition
        fitted = data[~condition.held]
        self.std, self.mean = torch.std_mean(fitted, (0, 2, 3), keepdim=True)
        self.shape = data.shape[1:]
        flat = ((data - self.mean) / self.std.clamp(min=1e-12)).flatten(1)
        self.offset = flat[~condition.held].mean(0)
        self.fitted, self.asked = flat[~condition.held] - self.offset, flat[condition.held] - self.offset
        self.slopes = condition.fitted.T @ self.fitted / len(self.fitted)
        # Errors of all ridges from three small products, as in the linear-Gaussian baseline.
        self._linear = (self.slopes @ self.asked.T * condition.asked.T).sum(1)
        self._quadratic = (self.slopes @ self.slopes.T) * (condition.asked.T @ condition.asked)

    def error(self, ridge: float) -> float:
        """Mean squared error of the pairs held out."""
        gains = self.condition.gains(ridge)
        change = gains @ self._quadratic @ gains - 2 * gains @ self._linear
        return float(self.asked.square().mean() + change / self.asked.numel())

    def residual(self, ridge: float) -> Tensor:
        """Residuals of the regression on the pairs fitted on."""
        return self.fitted - self.condition.fitted @ (self.condition.gains(ridge)[:, None] * self.slopes)

    def draw(self, ridge: float, residual: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Samples (n, rows, c, h, w), unstandardised, and which of the pairs held out they are for."""
        rows = torch.arange(min(_SCORED, len(self.asked))) * len(self.asked) // min(_SCORED, len(self.asked))
        mean = self.condition.asked[rows] @ (self.condition.gains(ridge)[:, None] * self.slopes) + self.offset
        variance, basis = leading_components(residual, min(_RANK, max(1, len(residual) // 4)))
        size = residual.shape[1]
        left = float(residual.square().sum() / len(residual) - variance.sum()) / max(1, size - len(variance))
        codes = torch.randn(_DRAWS, len(rows), len(variance), generator=generator) * variance.sqrt()
        noise = torch.randn(_DRAWS, len(rows), size, generator=generator) * math.sqrt(max(left, 0.0))
        fields = (mean + codes @ basis.T + noise).view(_DRAWS, len(rows), *self.shape)
        return fields * self.std + self.mean, rows


def leading_components(x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Variances (rank,) and directions (size, rank) of centred rows x (n, size), those that are not nothing.

    Two rounds of subspace iteration from a fixed start [Halko, Martinsson and Tropp 2011].
    """
    width = min(rank + 16, *x.shape)
    basis = torch.randn(x.shape[1], width, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    code = x @ basis
    values, vectors = torch.linalg.eigh((code.T @ code / len(x)).double())
    values, vectors = values.flip(0)[:rank].float(), vectors.flip(1)[:, :rank].float()
    kept = values > 1e-6 * values[0].clamp(min=1e-12)
    return values[kept], (basis @ vectors)[:, kept]


def _kurtosis(residual: Tensor) -> float:
    variance, basis = leading_components(residual, 16)
    codes = residual @ basis / variance.sqrt()
    return float(codes.pow(4).mean() / codes.square().mean().square())
