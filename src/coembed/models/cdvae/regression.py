"""The part of the field that the condition decides: regressions in closed form, a U-Net that begins at zero."""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import RegressionConfig
from coembed.models.cdvae.patch_features import Patches
from coembed.models.nn import UNet, full_precision, zero_init
from coembed.numerics.pca import principal_components
from coembed.numerics.ridge import Moments, reduced

ROWS = 4096  # examples at a time
HOLDOUT_FRACTION = 0.1  # of the examples, the last: stores keep views of one photo together
PATCH_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of patch features of unit variance
MAX_ERROR_RATIO = 0.995  # of held-out examples with patches, over without, for which patches are used
MIN_DEVIATION = 1e-3  # added to the patch features' deviations


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
        self.linear = zero_init(nn.Linear(rank, outputs))
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
        return self.config.features + (self.patches.components if self.patches is not None else 0)

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
        white, offset = x @ self.basis, y.mean(0)
        del x
        gram = white.T @ white / len(white)
        # Inputs are white, so the penalty on a component is the ridge over its variance.
        penalty = self.config.ridge * variance.mean() / variance.clamp(min=1e-6)
        cross = white.T @ (y - offset) / len(y)
        weights = torch.linalg.solve((gram + torch.diag(penalty)).double(), cross.double())
        self.linear.weight.copy_(weights.T.float())
        self.linear.bias.copy_(offset)
        mean = torch.cat([self.linear(part) for part in white.split(ROWS)])
        if self.patches is not None:
            mean = mean + self.patches.initialize_from_data(condition, white, y - mean, penalty)
        return mean.view(-1, *self.shape)

    def ridge(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """White principal components of the condition and the mean that is linear in them."""
        with full_precision(condition):
            white = (condition.flatten(1) - self.centre) @ self.basis
            return white, self.linear(white).view(-1, *self.shape)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, c, h, w), standardised, to mean and features."""
        white, mean = self.ridge(condition)
        features = []
        if self.patches is not None:
            more, found = self.patches(condition, white)
            mean = mean + more.view_as(mean)
            features.append(found)
        if self.unet is not None:
            more, found = self.unet(condition)
            mean = mean + more
            features.append(found)
        if self.no_unet_features is not None:
            features.append(self.no_unet_features(white).float())
        return mean, torch.cat(features, 1)


class _PatchRegression(nn.Module):
    """Regression of what is left of the field on patches and principal components together, at low rank.

    Attributes:
        components: number of principal components of the patches' features that are features in turn.
    """

    mean: Tensor
    scale: Tensor
    axes: Tensor

    def __init__(self, config: RegressionConfig, shape: tuple[int, int, int], rank: int, outputs: int):
        super().__init__()
        self.patches = Patches(shape, config.patches)
        size = self.patches.size
        self.components = min(config.patch_rank, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("axes", torch.zeros(size, self.components))
        narrow = min(config.patch_rank, outputs, rank + size)
        self.narrow = zero_init(nn.Linear(rank + size, narrow, bias=False))
        self.widen = zero_init(nn.Linear(narrow, outputs, bias=False))

    @torch.no_grad()
    def initialize_from_data(
        self, condition: Tensor, white: Tensor, residual: Tensor, penalty: Tensor
    ) -> Tensor:
        """Set everything, from conditions and what a linear regression left of their fields.

        The penalty is the best for the last examples; where patches don't lower their error, the mean stays as
        it is, and only the features are set.

        Args:
            condition: (n, c, h, w), standardised.
            white: their white principal components, (n, rank).
            residual: (n, outputs), of zero mean.
            penalty: of the principal components, (rank,).

        Returns:
            The part that is added to the mean, (n, outputs).
        """
        self.patches.initialize_from_data(condition)
        averages = torch.cat([self.patches(part).half() for part in condition.split(ROWS)])

        def moments(examples: Tensor) -> Moments:
            parts = examples.split(ROWS)
            inputs = (torch.cat([white[part], averages[part].float()], 1) for part in parts)
            return reduce(add, (Moments.of(a, residual[part]) for a, part in zip(inputs, parts, strict=True)))

        examples = torch.arange(len(averages))
        n_held_out = max(1, int(HOLDOUT_FRACTION * len(examples)))
        fitted, held_out = moments(examples[:-n_held_out]), moments(examples[-n_held_out:])
        rank = white.shape[1]
        self._standardise(fitted + held_out, rank)
        mean = torch.cat([self.mean.new_zeros(rank), self.mean]).double()
        scale = torch.cat([self.scale.new_ones(rank), self.scale]).double()
        fitted, held_out = fitted.standardised(mean, scale), held_out.standardised(mean, scale)
        penalties = [
            torch.cat([penalty, penalty.new_full((self.patches.size,), of_patches)]).double()
            for of_patches in PATCH_PENALTIES
        ]
        errors = [held_out.error(fitted.solve(both)) for both in penalties]
        if not min(errors) < MAX_ERROR_RATIO * held_out.square / held_out.count:
            return torch.zeros_like(residual)
        self._set_weights(fitted + held_out, penalties[errors.index(min(errors))])
        parts = examples.split(ROWS)
        return torch.cat([self._predict(white[part], self._whiten(averages[part])) for part in parts])

    def forward(self, condition: Tensor, white: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is added to the mean, (batch, outputs), and white components of the features."""
        with full_precision(condition):
            features = self._whiten(self.patches(condition))
            return self._predict(white, features), features @ self.axes

    def _whiten(self, averages: Tensor) -> Tensor:
        return (averages.float() - self.mean) * self.scale

    def _predict(self, white: Tensor, features: Tensor) -> Tensor:
        return self.widen(self.narrow(torch.cat([white, features], 1)))

    def _set_weights(self, moments: Moments, penalty: Tensor) -> None:
        """The ridge regression from standardised moments, at the networks' rank."""
        weights, gram = moments.solve(penalty), moments.gram / moments.count + torch.diag(penalty)
        narrow, widen = reduced(weights, gram, self.narrow.out_features)
        self.narrow.weight.copy_(narrow.T)
        self.widen.weight.copy_(widen.T)

    def _standardise(self, moments: Moments, rank: int) -> None:
        """Mean, deviation and principal axes of the patches' features, the last of the inputs."""
        mean = moments.inputs[rank:] / moments.count
        covariance = moments.gram[rank:, rank:] / moments.count - torch.outer(mean, mean)
        scale = 1 / (covariance.diagonal().clamp(min=0).sqrt() + MIN_DEVIATION)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        variance, axes = torch.linalg.eigh(covariance * torch.outer(scale, scale))
        variance, axes = variance.flip(0)[: self.components], axes.flip(1)[:, : self.components]
        self.axes.copy_(axes / variance.clamp(min=1e-4).sqrt())
