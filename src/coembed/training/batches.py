"""Batches of pairs: those of a step are a function of (seed, step) alone."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, load_all
from coembed.errors import DataError
from coembed.numerics.random import epoch_order

MAX_HELD_BYTES = 2 << 30  # pairs up to this size are held in memory, larger ones are read row by row


class Batches:
    """Every pair once per epoch, in an order that depends on (seed, epoch) alone.

    The pairs that do not fill a last batch are left out; another order leaves out others in the next epoch.

    Args:
        pairs: what to train on.
        batch_size: pairs per step; with fewer pairs than that, every step sees them all.
        seed: of the order.
        device: where batches go.
        vectors: whether the condition and the field are displacements (``Layer.vector``).

    Raises:
        DataError: no pairs at all.
    """

    def __init__(
        self,
        pairs: Pairs,
        batch_size: int,
        seed: int,
        device: torch.device,
        vectors: tuple[bool, bool] = (False, False),
    ):
        if len(pairs) == 0:
            raise DataError("training pairs: got 0, expected at least 1")
        values = (pairs.condition([0]).numel() + pairs.field([0]).numel()) * len(pairs)
        self.pairs: Pairs = load_all(pairs, device) if 4 * values <= MAX_HELD_BYTES else pairs
        self.size = min(batch_size, len(pairs))
        self.per_epoch = len(pairs) // self.size
        self._seed, self._device, self._vectors = seed, device, vectors
        self._epoch, self._order = -1, torch.empty(0)

    def indices(self, step: int) -> Tensor:
        """The pairs of a step, (batch,) int64."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self._seed, epoch, len(self.pairs))
        return self._order[index * self.size : (index + 1) * self.size]

    def get(self, indices: Tensor, flip: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Conditions, fields, and which pairs are mirrored.

        Args:
            indices: (batch,) int64.
            flip: mirrors half of the pairs, condition and field together; None: no pair.

        Returns:
            (batch, c, h, w) twice and (batch,) bool or, without ``flip``, None; on the device.
        """
        mirrored = None
        condition, field = (x.to(self._device, non_blocking=True) for x in self.pairs.batch(indices))
        if flip is not None:
            mirrored = (torch.rand(len(indices), generator=flip) < 0.5).to(self._device)
            where = mirrored[:, None, None, None]
            condition = torch.where(where, mirror(condition, self._vectors[0]), condition)
            field = torch.where(where, mirror(field, self._vectors[1]), field)
        return condition, field, mirrored


def mirror(layer: Tensor, vector: bool = False) -> Tensor:
    """A layer (batch, c, h, w) left to right; in a mirror a displacement to the right is one to the left."""
    layer = layer.flip(-1)
    return torch.cat([-layer[:, :1], layer[:, 1:]], 1) if vector else layer
