"""Guidance as a loss: targets on a device, and the distance of codes from them (paper eq. 8, 9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from coembed.data.names import clip_of
from coembed.data.similarity.embedding import Targets, make_targets
from coembed.data.similarity.features import Block, mirrored_layout
from coembed.data.similarity.files import store_blocks
from coembed.data.store.store import PairStore
from coembed.errors import TrainingError
from coembed.models.base import Latents
from coembed.serialization import write_bytes
from coembed.training.config import GuidanceConfig

FILE = "guidance.safetensors"


class Guide:
    """Targets of the codes of the training pairs.

    Args:
        config: the options.
        targets: rows are training pairs.
        scales: standard deviation of the prior, one (size,) tensor per layer, of the condition's codes and of
            the field's; by default 1.
    """

    def __init__(self, config: GuidanceConfig, targets: Targets, scales: Latents | None = None):
        self.config = config
        self._tables: dict[str, Tensor] = {
            "condition": torch.from_numpy(targets.condition),
            "field": torch.from_numpy(targets.field),
        }
        condition, field = scales or ([], [])
        self._scales: dict[str, list[Tensor]] = {"condition": condition, "field": field}

    def __len__(self) -> int:
        return self._tables["condition"].shape[1]

    def to(self, device: torch.device) -> Guide:
        """Move the targets to a device; return itself."""
        self._tables = {name: table.to(device) for name, table in self._tables.items()}
        self._scales = {name: [s.to(device) for s in scales] for name, scales in self._scales.items()}
        return self

    def at(self, progress: float, rows: Tensor, mirrored: Tensor | None) -> Callable[[Latents], Tensor]:
        """The guidance term of one step, as a function of the codes' posterior means.

        Args:
            progress: fraction of the run that is done.
            rows: (batch,) training pairs.
            mirrored: (batch,) which of them are mirrored, or None.

        Returns:
            Gives nats, (batch,): lambda times the squared distance to the targets, meant over guided
            dimensions, or what ``contrast`` finds, summed over the sides that are guided.
        """
        strength = self.config.strength(progress)
        measure = self.contrast if self.config.form == "contrastive" else self.distance
        sides = [s for s in ("condition", "field") if self.config.sides in ("both", s)]

        def term(codes: Latents) -> Tensor:
            total = torch.zeros(len(rows), device=codes[0][0].device)
            if strength == 0:
                return total
            for side, means in zip(("condition", "field"), codes, strict=True):
                if side in sides:
                    total = total + strength * measure(side, means, rows, mirrored)
            return total

        return term

    def distance(self, side: str, means: Sequence[Tensor], rows: Tensor, mirrored: Tensor | None) -> Tensor:
        """Mean squared distance of one side's codes to their targets, prior variances, (batch,)."""
        got, wanted = self._guided(side, means, rows, mirrored)
        return (got - wanted).square().mean(1)

    def contrast(self, side: str, means: Sequence[Tensor], rows: Tensor, mirrored: Tensor | None) -> Tensor:
        """Divergence of one side's neighbours within the batch from those of its targets, nats, (batch,)."""
        return contrast(*self._guided(side, means, rows, mirrored), self.config.temperature)

    def _guided(
        self, side: str, means: Sequence[Tensor], rows: Tensor, mirrored: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The guided dimensions of one side's codes, in prior deviations, and their targets, (batch, k)."""
        table = self._tables[side]
        where = torch.as_tensor(rows, device=table.device)
        if mirrored is not None and len(table) > 1:
            target = table[mirrored.to(table.device).long(), where]
        else:
            target = table[0, where]
        vectors = [_vector(mean).float() for mean in means]
        counts = allocate([v.shape[1] for v in vectors], target.shape[1], self.config.layers)
        scales = self._scales[side] or [torch.ones(v.shape[1], device=table.device) for v in vectors]
        got = [v[:, :n] / scale[:n] for v, n, scale in zip(vectors, counts, scales, strict=True)]
        return torch.cat(got, 1), target[:, : sum(counts)]

    def save(self, run: Path) -> None:
        """Write the targets beside a run's record, for its resumption, unless they are there."""
        if (run / FILE).exists():
            return
        tables = {name: table.cpu().clone() for name, table in self._tables.items()}
        write_bytes(run / FILE, safetensors.torch.save(tables))

    @classmethod
    def load(cls, run: Path, config: GuidanceConfig, count: int, scales: Latents | None = None) -> Guide:
        """The guide a run began with.

        Raises:
            TrainingError: the file is damaged or belongs to another number of pairs.
        """
        try:
            tensors = safetensors.torch.load((run / FILE).read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainingError(f"{run / FILE}: cannot be read ({error})") from None
        sides = [tensors.get(name) for name in ("condition", "field")]
        if any(t is None or t.ndim != 3 or t.shape[1] != count for t in sides):
            got = {name: tuple(t.shape) for name, t in tensors.items()}
            raise TrainingError(f"{run / FILE}: holds {got}, expected targets of {count} training pairs")
        condition, field = (t.numpy() for t in sides if t is not None)
        return cls(config, Targets(condition, field, np.ones(condition.shape[2])), scales)


def allocate(widths: Sequence[int], components: int, layers: str) -> list[int]:
    """Number of dimensions of the embedding that guide each code, coarse to fine.

    >>> allocate([16, 32, 64], 24, "spread"), allocate([16, 32], 24, "top"), allocate([4, 4], 24, "spread")
    ([16, 8, 0], [16, 0], [4, 4])
    """
    counts = []
    for layer, width in enumerate(widths):
        counts.append(min(width, components) if layer == 0 or layers == "spread" else 0)
        components -= counts[-1]
    return counts


def contrast(codes: Tensor, targets: Tensor, temperature: float) -> Tensor:
    r"""Divergence of the neighbours by code from those by target, for every pair of a batch.

    Fixed targets say where in code space a pair has to be. All that guidance wants is that similar pairs lie
    close and different ones apart; the contrastive form asks for that alone, so that codes may turn, and the
    two sides of a tie cannot be drawn apart by embeddings that disagree. Like InfoNCE (van den Oord et al.
    2018) with soft targets in place of one positive, or a parametric SNE (van der Maaten 2009) on the batch.

    .. math:: \sum_{j \ne i} p_{ij} \log \frac{p_{ij}}{q_{ij}}, \quad
        p_{ij} \propto e^{-|t_i - t_j|^2 / (k \tau)}, \quad q_{ij} \propto e^{-|z_i - z_j|^2 / (k \tau)}

    Args:
        codes: (b, k) in standard deviations of the prior.
        targets: (b, k) in the same unit; no gradient flows to them.
        temperature: tau, a squared distance per dimension; two pairs taken at random are about 2 apart.

    Returns:
        (b,) nats, 0 where both agree and for a batch of one; at most about log b where codes say nothing.
    """
    if len(codes) < 2:
        return codes.sum(1) * 0
    wanted = _neighbours(targets.detach(), temperature)
    got = _neighbours(codes, temperature)
    # A row itself has probability 0 in both, and takes no part.
    return (wanted.exp() * (wanted - got).nan_to_num(0.0)).sum(1)


def store_guide(
    store: PairStore, rows: np.ndarray, config: GuidanceConfig, *, flips: bool, scales: Latents | None = None
) -> Guide:
    """The guide for some rows of a store: those that are trained on.

    Args:
        store: the pairs, with features beside their shards or in their names.
        rows: (n,) row numbers, in the order of the training pairs.
        config: the options.
        flips: whether training mirrors pairs.
        scales: see ``Guide``.

    Raises:
        DataError: see ``store_blocks`` and ``make_targets``.
    """
    blocks = {name: block.rows(rows) for name, block in store_blocks(store, config.wanted, config.own).items()}
    groups = [clip_of(store.names[i]) for i in rows]
    mirrored = _mirrored(blocks, store) if flips else None
    return Guide(config, make_targets(blocks, mirrored, config, groups), scales)


def _mirrored(blocks: dict[str, Block], store: PairStore) -> dict[str, Block]:
    """The features of the same pairs in a mirror; a user's own features are taken to stay the same."""
    height, width = (min(side, 32) for side in store.index.size)
    out = dict(blocks)
    if "layout" in out:
        out["layout"] = mirrored_layout(out["layout"])
    for name, layer in (("pixels", store.index.condition), ("field_pixels", store.index.field)):
        if name in out:
            maps = np.asarray(out[name].values).reshape(-1, layer.channels, height, width)[..., ::-1].copy()
            if layer.vector:  # in a mirror a displacement to the right is one to the left
                maps[:, 0] *= -1
            out[name] = Block(maps.reshape(len(maps), -1))
    return out


def _vector(mean: Tensor) -> Tensor:
    """A code as a vector: a map by its sums over space, since a dimension of a map is a place in the photo.

    Divided by the root of the number of places, so that sums too have variance 1 under the prior.
    """
    return mean.sum((2, 3)) / (mean.shape[2] * mean.shape[3]) ** 0.5 if mean.ndim == 4 else mean.flatten(1)


def _neighbours(points: Tensor, temperature: float) -> Tensor:
    """(b, b) log probabilities of each other row as a neighbour, -inf for a row itself."""
    points = points.float()
    centred = points - points.mean(0)  # the product below loses digits far from 0
    lengths = centred.square().sum(1)
    squared = (lengths[:, None] + lengths - 2 * centred @ centred.T).clamp_min(0) / points.shape[1]
    itself = torch.eye(len(points), dtype=torch.bool, device=points.device)
    return torch.log_softmax((-squared / temperature).masked_fill(itself, -torch.inf), 1)
