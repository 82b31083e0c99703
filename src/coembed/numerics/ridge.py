"""Ridge regression from sums over rows: any number of rows, and a penalty chosen on rows held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Sum over rows of inputs a and outputs b, double: all that a ridge regression and its errors need."""

    count: int
    inputs: Tensor
    """Sum of a, (p,)."""
    gram: Tensor
    """Sum of a a', (p, p)."""
    cross: Tensor
    """Sum of a b', (p, q)."""
    square: float
    """Sum of |b|^2."""

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> Moments:
        """Of rows (n, p) and (n, q)."""
        return cls(
            len(a), a.sum(0).double(), (a.T @ a).double(), (a.T @ b).double(), float(b.double().square().sum())
        )

    def __add__(self, other: Moments) -> Moments:
        """Of both sets of rows."""
        return Moments(
            self.count + other.count,
            self.inputs + other.inputs,
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
        )

    def standardised(self, mean: Tensor, scale: Tensor) -> Moments:
        """Of inputs ``(a - mean) * scale``, for outputs that sum to about 0."""
        outer = torch.outer(self.inputs, mean)
        gram = self.gram - outer - outer.T + self.count * torch.outer(mean, mean)
        return Moments(
            self.count,
            (self.inputs - self.count * mean) * scale,
            gram * torch.outer(scale, scale),
            self.cross * scale[:, None],
            self.square,
        )

    def solve(self, penalty: Tensor) -> Tensor:
        """Weights (p, q) of the least mean squared error plus ``penalty`` (p,) x squares of the weights."""
        return torch.linalg.solve(self.gram / self.count + torch.diag(penalty), self.cross / self.count)

    def error(self, weights: Tensor) -> float:
        """Mean squared length of b - weights' a."""
        fitted = (weights * (self.gram @ weights)).sum() - 2 * (weights * self.cross).sum()
        return (self.square + float(fitted)) / self.count


def reduced(weights: Tensor, gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best weights of lower rank: ``narrow`` (p, rank) times ``widen`` (rank, q) [reduced-rank regression].

    Args:
        weights: (p, q).
        gram: mean of a a', (p, p), positive definite.
        rank: at most p and q.
    """
    root = torch.linalg.cholesky(gram)
    predicted = root.T @ weights  # its singular vectors are the predictions' principal directions
    if predicted.shape[1] <= predicted.shape[0]:
        directions = torch.linalg.eigh(predicted.T @ predicted)[1].flip(1)[:, :rank]
    else:
        left = torch.linalg.eigh(predicted @ predicted.T)[1].flip(1)[:, :rank]
        directions = torch.linalg.qr(predicted.T @ left)[0]
    return weights @ directions, directions.T
