"""The part of the field that the condition decides: regressions in closed form, a U-Net that begins at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import RegressionConfig
from coembed.models.cdvae.patch_features import Patches
from coembed.models.cdvae.towers import principal_components
from coembed.models.nn import UNet, full_precision
from coembed.numerics.ridge import Moments, reduced

_ROWS = 4096
_HELD = 0.1  # of the rows, the last: stores keep views of one photo together
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of patch features of unit variance
_PAYS = 0.995  # error of the rows held out, over the one without patches, below which patches are used
_LEAST_DEVIATION = 1e-3


class Regression(nn.Module):
    """Conditional mean of the standardised field, and features of the condition.

    ``forward(xc)`` gives ``(mean (batch, c, h, w), features (batch, feature_size))``.
    """

    centre: Tensor
    basis: Tensor

    def __init__(
        self, config: RegressionConfig, condition_shape: tuple[int, int, int], shape: tuple[int, int, int]
    ):
        super().__init__()
        self.config, self.shape = config, shape
        size = condition_shape[0] * condition_shape[1] * condition_shape[2]
        rank, outputs = min(config.rank, size), shape[0] * shape[1] * shape[2]
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, rank))
        self.linear = nn.Linear(rank, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.patches = _PatchRegression(config, condition_shape, rank, outputs) if config.patches else None
        self.unet = (
            UNet(condition_shape, shape, config.channels, config.features, config.dropout)
            if config.channels
            else None
        )
        self.no_unet_features = None if config.channels else nn.Linear(rank, config.features)

    @property
    def rank(self) -> int:
        """Number of principal components of the condition that are read."""
        return self.basis.shape[1]

    @property
    def feature_size(self) -> int:
        """Length of the vector of features."""
        return self.config.features + (self.patches.codes if self.patches is not None else 0)

    @torch.no_grad()
    def initialize_from_data(
        self, condition: Tensor, field: Tensor, components: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Ridge regressions in closed form (standardised data).

        Args:
            condition: (n, c, h, w).
            field: (n, c, h, w).
            components: the condition's ``principal_components``, at least ``rank``, if known.

        Returns:
            Their means for these conditions, (n, c, h, w): those of ``forward``, as long as the U-Net is zero.
        """
        x, y = condition.flatten(1), field.flatten(1)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        known = principal_components(x, self.rank) if components is None else components
        variance, basis = known[0][: self.rank], known[1][:, : self.rank]
        self.basis.copy_(basis / (variance.sqrt() + 1e-6))
        codes, offset = x @ self.basis, y.mean(0)
        del x
        gram = codes.T @ codes / len(codes)
        # Codes are white, so the penalty on a component is the ridge over its variance.
        penalty = self.config.ridge * variance.mean() / variance.clamp(min=1e-6)
        weights = torch.linalg.solve(
            (gram + torch.diag(penalty)).double(), (codes.T @ (y - offset) / len(y)).double()
        )
        self.linear.weight.copy_(weights.T.float())
        self.linear.bias.copy_(offset)
        mean = torch.cat([self.linear(part) for part in codes.split(_ROWS)])
        if self.patches is not None:
            mean = mean + self.patches.start(condition, codes, y - mean, penalty)
        return mean.view(-1, *self.shape)

    def ridge(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """White principal components of the condition and the mean that is linear in them."""
        with full_precision(condition):
            codes = (condition.flatten(1) - self.centre) @ self.basis
            return codes, self.linear(codes).view(-1, *self.shape)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, c, h, w), standardised, to mean and features."""
        codes, mean = self.ridge(condition)
        features = []
        if self.patches is not None:
            more, found = self.patches(condition, codes)
            mean = mean + more.view_as(mean)
            features.append(found)
        if self.unet is None:
            features.append(self.no_unet_features(codes).float())  # type: ignore[misc]
        else:
            more, found = self.unet(condition)
            mean = mean + more
            features.append(found)
        return mean, torch.cat(features, 1)


class _PatchRegression(nn.Module):
    """What patches and principal components together say of the field that is left, at low rank."""

    mean: Tensor
    scale: Tensor
    axes: Tensor

    def __init__(self, config: RegressionConfig, shape: tuple[int, int, int], rank: int, outputs: int):
        super().__init__()
        self.patches = Patches(shape, config.patches)
        size = self.patches.size
        self.codes = min(config.patch_rank, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("axes", torch.zeros(size, self.codes))
        narrow = min(config.patch_rank, outputs, rank + size)
        self.narrow = nn.Linear(rank + size, narrow, bias=False)
        self.widen = nn.Linear(narrow, outputs, bias=False)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.widen.weight)

    @torch.no_grad()
    def start(self, condition: Tensor, codes: Tensor, left: Tensor, penalty: Tensor) -> Tensor:
        """Set everything, from conditions (n, c, h, w) and what a linear regression left of their fields.

        The penalty is the best for the last rows; where patches don't lower their error, the mean stays as it
        is, and only the features are set.

        Args:
            condition: standardised.
            codes: their white principal components, (n, rank).
            left: (n, outputs), of zero mean.
            penalty: of the principal components, (rank,).

        Returns:
            What it adds to the mean, (n, outputs).
        """
        self.patches.start(condition)
        found = torch.cat([self.patches(part).half() for part in condition.split(_ROWS)])
        held = max(1, int(_HELD * len(found)))
        rows = list(torch.arange(len(found)).split(_ROWS))
        parts: list[list[Moments]] = [[], []]
        for part in rows:
            for index, some in enumerate((part[part < len(found) - held], part[part >= len(found) - held])):
                if len(some):
                    a = torch.cat([codes[some], found[some].float()], 1)
                    parts[index].append(Moments.of(a, left[some]))
        zero = Moments(0, *(parts[1][0].inputs * 0, parts[1][0].gram * 0, parts[1][0].cross * 0), 0.0)
        fitted, judged = (sum(some, zero) for some in parts)
        rank = codes.shape[1]
        self._standardise(fitted + judged, rank)
        mean = torch.cat([self.mean.new_zeros(rank), self.mean]).double()
        scale = torch.cat([self.scale.new_ones(rank), self.scale]).double()
        fitted, judged = fitted.standardised(mean, scale), judged.standardised(mean, scale)
        choices = {}
        for of_patches in _PENALTIES:
            both = torch.cat([penalty, penalty.new_full((self.patches.size,), of_patches)]).double()
            choices[of_patches] = (judged.error(fitted.solve(both)), both)
        error, both = min(choices.values(), key=lambda choice: choice[0])
        if not error < _PAYS * judged.square / judged.count:
            return torch.zeros_like(left)
        every = fitted + judged
        weights = every.solve(both)
        narrow, widen = reduced(weights, every.gram / every.count + torch.diag(both), self.narrow.out_features)
        self.narrow.weight.copy_(narrow.T)
        self.widen.weight.copy_(widen.T)
        return torch.cat([self._mean(codes[part], self._white(found[part])) for part in rows])

    def forward(self, condition: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the mean, (batch, outputs), and white principal components of the features."""
        with full_precision(condition):
            found = self._white(self.patches(condition))
            return self._mean(codes, found), found @ self.axes

    def _white(self, found: Tensor) -> Tensor:
        return (found.float() - self.mean) * self.scale

    def _mean(self, codes: Tensor, found: Tensor) -> Tensor:
        return self.widen(self.narrow(torch.cat([codes, found], 1)))

    def _standardise(self, moments: Moments, rank: int) -> None:
        """Mean, deviation and principal axes of the patches' features, the last of the inputs."""
        mean = moments.inputs[rank:] / moments.count
        covariance = moments.gram[rank:, rank:] / moments.count - torch.outer(mean, mean)
        scale = 1 / (covariance.diagonal().clamp(min=0).sqrt() + _LEAST_DEVIATION)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        variance, axes = torch.linalg.eigh(covariance * torch.outer(scale, scale))
        variance, axes = variance.flip(0)[: self.codes], axes.flip(1)[:, : self.codes]
        self.axes.copy_(axes / variance.clamp(min=1e-4).sqrt())
