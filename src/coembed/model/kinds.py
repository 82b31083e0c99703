r"""The kinds of field that a condition may have, as maps: a mixture of regressions, set in closed form.

Where the modes of a field are global (light from the left, or from the right), each is often nearly linear in
the condition, and a network finds in many thousands of steps what expectation maximisation finds in seconds.
So a tower that sees the condition is shown the field of every regression, and has only to choose between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.model.experts import fit_experts
from coembed.model.towers import full_precision, principal_components

INPUTS = 128  # principal components of the condition that a regression reads, at most
_OUTPUTS = 64  # principal components of the field that it predicts, at most
_ROUNDS = 20


class Kinds(nn.Module):
    """``forward(xc)``: (batch, count * c, h, w) fields for standardised conditions; zero before ``start``.

    Args:
        count: number of regressions.
        condition_shape: (channels, height, width) of the condition.
        shape: the same of the field.
    """

    centre: Tensor
    basis: Tensor
    weight: Tensor
    bias: Tensor
    fields: Tensor
    offset: Tensor

    def __init__(self, count: int, condition_shape: tuple[int, int, int], shape: tuple[int, int, int]):
        super().__init__()
        self.count, self.shape = count, shape
        size, values = _product(condition_shape), _product(shape)
        inputs, outputs = min(INPUTS, size), min(_OUTPUTS, values)
        for name, sizes in {
            "centre": (size,),
            "basis": (size, inputs),
            "weight": (count, inputs, outputs),
            "bias": (count, outputs),
            "fields": (outputs, values),
            "offset": (values,),
        }.items():
            self.register_buffer(name, torch.zeros(sizes))

    @torch.no_grad()
    def start(self, condition: Tensor, field: Tensor) -> None:
        """Finds the regressions of fields (n, c, h, w) on conditions, both standardised."""
        x, y = condition.flatten(1), field.flatten(1)
        self.centre.copy_(x.mean(0))
        x = x - self.centre
        variance, basis = principal_components(x, self.basis.shape[1])
        self.basis.copy_(basis / (variance.sqrt() + 1e-6))
        self.offset.copy_(y.mean(0))
        y = y - self.offset
        scale2, fields = principal_components(y, len(self.fields))
        scale = scale2.sqrt().clamp(min=1e-6)
        self.fields.copy_((fields * scale).T)
        codes = y @ (fields / scale)
        found = fit_experts(x @ self.basis, codes, _nearest_centres(codes, self.count))
        self.weight[: len(found.bias)].copy_(found.weight)
        self.bias[: len(found.bias)].copy_(found.bias)

    def forward(self, xc: Tensor) -> Tensor:
        """Standardised conditions (batch, c, h, w) to the field of every kind."""
        with full_precision(xc):
            codes = (xc.flatten(1).float() - self.centre) @ self.basis
            found = torch.einsum("bi,kio->bko", codes, self.weight) + self.bias
            return (found @ self.fields + self.offset).view(len(xc), -1, *self.shape[1:])


def _nearest_centres(codes: Tensor, count: int) -> Tensor:
    """Which of ``count`` k-means centres of the leading codes every row is nearest to, (n,)."""
    lead = codes[:, :16]  # distances in many white dimensions say nothing
    centres = lead[torch.randperm(len(lead), generator=torch.Generator().manual_seed(0))[:count]].clone()
    nearest = torch.cdist(lead, centres).argmin(1)
    for _ in range(_ROUNDS):
        for k in range(len(centres)):
            members = lead[nearest == k]
            if len(members):
                centres[k] = members.mean(0)
        nearest = torch.cdist(lead, centres).argmin(1)
    return nearest


def _product(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
