r"""Do samples look like real fields of such photos, and are they new? Sets of pairs compared.

Precision, recall [Kynkaanniemi et al. 2019], density and coverage [Naeem et al. 2020] compare neighbourhoods of
real and of generated (condition, field) pairs. A generated pair shares its condition with a real one, and would
always find it near; so the real pairs of one half of the photos are compared with the generated pairs of the
other half, and the real pairs of that other half, put through the same comparison, say what value is possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, chunks
from coembed.errors import ConfigError

NEIGHBOURS = 5
DIRECTIONS = 32  # principal components kept of every layer
_ROWS = 512  # rows of a table of distances in memory at a time


@dataclass(frozen=True)
class PairFeatures:
    """Conditions and fields in their leading principal components, each layer scaled to a variance of 1 in all.

    Attributes:
        centres: of condition and field, flattened.
        bases: (values, directions) of both.
    """

    centres: tuple[Tensor, Tensor]
    bases: tuple[Tensor, Tensor]

    @classmethod
    def fit(cls, condition: Tensor, field: Tensor, directions: int = DIRECTIONS) -> PairFeatures:
        """From real pairs, (count, c, h, w) each, count >= 2."""
        centres, bases = [], []
        for layer in (condition, field):
            flat = layer.flatten(1).float()
            centre = flat.mean(0)
            flat = flat - centre
            keep = min(directions, *flat.shape)
            generator = torch.Generator().manual_seed(0)
            probe = torch.randn(flat.shape[1], min(keep + 8, flat.shape[1]), generator=generator)
            for _ in range(4):  # subspace iteration: a decomposition of 40,000 fields would be minutes
                probe = torch.linalg.qr(flat.T @ (flat @ probe))[0]
            _, _, turned = torch.linalg.svd(flat @ probe, full_matrices=False)
            basis = (probe @ turned.T)[:, :keep]
            spread = (flat @ basis).square().sum(1).mean().sqrt().clamp(min=1e-12)
            centres.append(centre)
            bases.append(basis / spread)
        return cls((centres[0], centres[1]), (bases[0], bases[1]))

    def __call__(self, condition: Tensor, field: Tensor) -> Tensor:
        """(count, 2 x directions) float32."""
        parts = zip((condition, field), self.centres, self.bases, strict=True)
        return torch.cat([(layer.flatten(1).float() - centre) @ basis for layer, centre, basis in parts], 1)


def prdc(real: Tensor, generated: Tensor, neighbours: int = NEIGHBOURS) -> dict[str, Tensor]:
    """Precision and density of every generated point, recall and coverage of every real one; take means.

    Args:
        real: (r, features), r > neighbours.
        generated: (g, features), g > neighbours.
        neighbours: k; a point's neighbourhood reaches to its k-th nearest neighbour of its own kind.

    Returns:
        ``precision`` (g,): 1 where the point lies in some real neighbourhood; ``density`` (g,): how many real
        neighbourhoods it lies in, over k; ``recall`` (r,): 1 where the point lies in some generated
        neighbourhood; ``coverage`` (r,): 1 where its own neighbourhood holds a generated point.

    Raises:
        ConfigError: too few points for that many neighbours.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ConfigError(
            f"neighbours: got {neighbours} with {len(real)} real and {len(generated)} generated points, "
            "expected more points than neighbours"
        )
    of_real, of_generated = _radii(real, neighbours), _radii(generated, neighbours)
    inside, holds = torch.zeros(len(generated)), torch.zeros(len(real), dtype=torch.bool)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    for start in range(0, len(generated), _ROWS):
        rows = slice(start, start + _ROWS)
        distance = torch.cdist(generated[rows], real)
        within = distance <= of_real
        inside[rows] = within.sum(1).float()
        holds |= within.any(0)
        recalled |= (distance <= of_generated[rows, None]).any(0)
    return {
        "precision": (inside > 0).float(),
        "density": inside / neighbours,
        "recall": recalled.float(),
        "coverage": holds.float(),
    }


def nearest_distance(fields: Tensor, pairs: Pairs) -> Tensor:
    """Root mean squared distance of every field to the nearest field of ``pairs``, exact, in bounded memory.

    Args:
        fields: (count, c, h, w).
        pairs: training pairs; their fields are read once, in pieces, and the nearest once more.

    Returns:
        (count,), in units of the field.
    """
    flat = fields.flatten(1).float()
    best, row = torch.full((len(flat),), float("inf")), torch.zeros(len(flat), dtype=torch.int64)
    for rows in chunks(pairs):
        others = pairs.field(rows).flatten(1).float()
        for start in range(0, len(flat), _ROWS):
            part = slice(start, start + _ROWS)
            found = torch.cdist(flat[part], others).min(1)
            closer = found.values < best[part]
            best[part] = torch.where(closer, found.values, best[part])
            row[part] = torch.where(closer, found.indices + rows.start, row[part])
    # Distances of matrix products leave a copy a little way off; the difference itself is exactly zero.
    exact = [
        (flat[start : start + _ROWS] - pairs.field(row[start : start + _ROWS]).flatten(1).float())
        .square()
        .mean(1)
        for start in range(0, len(flat), _ROWS)
    ]
    return torch.cat(exact).sqrt()


def _radii(points: Tensor, neighbours: int) -> Tensor:
    radii = [
        torch.cdist(part, points).kthvalue(neighbours + 1, dim=1).values  # the nearest is the point itself
        for part in points.split(_ROWS)
    ]
    return torch.cat(radii)
