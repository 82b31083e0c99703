r"""Proposals for the modes of a field, as maps: a mixture of regressions, set in closed form.

Where the modes of a field are global (light from the left, or from the right), each is often nearly linear in
the condition, and a network finds in many thousands of steps what expectation maximisation finds in seconds.
So a conditional tower is shown the field of every regression, and has only to choose between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.models.nn import full_precision
from coembed.numerics.mixture_of_regressions import fit_experts, kmeans
from coembed.numerics.pca import principal_components

MAX_INPUTS = 128  # principal components of the condition that a regression reads
MAX_OUTPUTS = 64  # principal components of the field that it predicts


class ModeProposals(nn.Module):
    """Regressions of fields on white principal components of conditions; zero before ``initialize_from_data``.

    Args:
        count: number of regressions.
        inputs: number of principal components; the leading ``MAX_INPUTS`` are read.
        shape: (channels, height, width) of the field.
    """

    weight: Tensor
    bias: Tensor
    fields: Tensor
    offset: Tensor

    def __init__(self, count: int, inputs: int, shape: tuple[int, int, int]):
        super().__init__()
        self.count, self.shape = count, shape
        values = shape[0] * shape[1] * shape[2]
        inputs, outputs = min(MAX_INPUTS, inputs), min(MAX_OUTPUTS, values)
        self.register_buffer("weight", torch.zeros(count, inputs, outputs))
        self.register_buffer("bias", torch.zeros(count, outputs))
        self.register_buffer("fields", torch.zeros(outputs, values))
        self.register_buffer("offset", torch.zeros(values))

    @torch.no_grad()
    def initialize_from_data(self, components: Tensor, field: Tensor) -> None:
        """Find the regressions of fields (n, c, h, w), standardised, on components (n, inputs)."""
        y = field.flatten(1)
        self.offset.copy_(y.mean(0))
        y = y - self.offset
        variance, directions = principal_components(y, len(self.fields))
        scale = variance.sqrt().clamp(min=1e-6)
        self.fields.copy_((directions * scale).T)
        white = y @ (directions / scale)
        _, nearest = kmeans(white, self.count, torch.Generator().manual_seed(0))
        found = fit_experts(components[:, : self.weight.shape[1]], white, nearest)
        self.weight[: len(found.bias)].copy_(found.weight)
        self.bias[: len(found.bias)].copy_(found.bias)

    def forward(self, components: Tensor) -> Tensor:
        """(batch, inputs) to the field of every regression, (batch, count * c, h, w)."""
        with full_precision(components):
            known = components[:, : self.weight.shape[1]].float()
            white = torch.einsum("bi,kio->bko", known, self.weight) + self.bias
            return (white @ self.fields + self.offset).view(len(known), -1, *self.shape[1:])
