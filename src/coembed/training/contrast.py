r"""Guidance by neighbourhoods: codes shall be neighbours as their targets are, wherever they lie.

Fixed targets say where in code space a pair has to be. All that guidance wants is that similar pairs lie close
and different ones apart; the contrastive form asks for that alone, so that codes may turn, and the two sides
of a tie cannot be drawn apart by embeddings that disagree. Like InfoNCE (van den Oord et al. 2018) with soft
targets in place of one positive, or a parametric SNE (van der Maaten 2009) on the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def contrast(codes: Tensor, targets: Tensor, temperature: float) -> Tensor:
    r"""How far the neighbours by code are from those by target, for every pair of a batch.

    .. math:: \sum_{j \ne i} p_{ij} \log \frac{p_{ij}}{q_{ij}}, \quad
        p_{ij} \propto e^{-|t_i - t_j|^2 / (k \tau)}, \quad q_{ij} \propto e^{-|z_i - z_j|^2 / (k \tau)}

    Args:
        codes: (b, k) in standard deviations of the prior.
        targets: (b, k) in the same unit; no gradient flows to them.
        temperature: tau, a squared distance a dimension; two pairs taken at random are about 2 apart.

    Returns:
        (b,) nats, 0 where both agree and for a batch of one; at most about log b where codes say nothing.
    """
    if len(codes) < 2:
        return codes.sum(1) * 0
    wanted = _neighbours(targets.detach(), temperature)
    got = _neighbours(codes, temperature)
    # A row itself has probability 0 in both, and takes no part.
    return (wanted.exp() * (wanted - got).nan_to_num(0.0)).sum(1)


def _neighbours(points: Tensor, temperature: float) -> Tensor:
    """(b, b) log probabilities of each other row as a neighbour, -inf for a row itself."""
    points = points.float()
    centred = points - points.mean(0)  # the product below loses digits far from 0
    lengths = centred.square().sum(1)
    squared = (lengths[:, None] + lengths - 2 * centred @ centred.T).clamp_min(0) / points.shape[1]
    itself = torch.eye(len(points), dtype=torch.bool, device=points.device)
    return torch.log_softmax((-squared / temperature).masked_fill(itself, -torch.inf), 1)
