"""Which pairs each step sees: a function of (seed, step) alone."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from coembed.data.pairs import Pairs
from coembed.data.rows import spread
from coembed.errors import DataError
from coembed.numerics.random import epoch_order

HELD_BYTES = 2 << 30  # pairs up to this size are held in memory, larger ones are read row by row
_CHUNK = 4096


class Subset:
    """Some rows of other pairs, in a given order."""

    def __init__(self, pairs: Pairs, rows: Tensor):
        self._pairs, self._rows = pairs, rows

    @property
    def rows(self) -> Tensor:
        """The rows of the other pairs, (count,)."""
        return self._rows

    @property
    def names(self) -> list[str]:
        """Names of these pairs; an AttributeError where the other pairs have none."""
        names = self._pairs.names  # type: ignore[attr-defined]
        return [names[int(row)] for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def condition(self, rows) -> Tensor:
        """Conditions (batch, c, h, w) of these rows of the subset."""
        return self._pairs.condition(self._rows[rows])

    def field(self, rows) -> Tensor:
        """Fields (batch, c, h, w) of these rows of the subset."""
        return self._pairs.field(self._rows[rows])


class Held:
    """Pairs held on a device, in float16 where that loses nothing (prepared pairs are float16) else float32."""

    def __init__(self, pairs: Pairs, device: torch.device):
        self._condition = _hold(pairs.condition, len(pairs), device)
        self._field = _hold(pairs.field, len(pairs), device)

    def __len__(self) -> int:
        return len(self._condition)

    def condition(self, rows) -> Tensor:
        """Conditions (batch, c, h, w) float32."""
        return self._condition[rows].float()

    def field(self, rows) -> Tensor:
        """Fields (batch, c, h, w) float32."""
        return self._field[rows].float()


class Batches:
    """Every pair once an epoch, in an order that depends on (seed, epoch) alone.

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
        self.pairs: Pairs = Held(pairs, device) if 4 * values <= HELD_BYTES else pairs
        self.size = min(batch_size, len(pairs))
        self.an_epoch = len(pairs) // self.size
        self._seed, self._device, self._vectors = seed, device, vectors
        self._epoch, self._order = -1, torch.empty(0)

    def rows(self, step: int) -> Tensor:
        """The rows of a step's batch, (batch,) int64."""
        epoch, index = divmod(step, self.an_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self._seed, epoch, len(self.pairs))
        return self._order[index * self.size : (index + 1) * self.size]

    def get(self, rows: Tensor, flip: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The condition and field of these rows; with ``flip``, half of the pairs are mirrored."""
        return self.draw(rows, flip)[:2]

    def draw(self, rows: Tensor, flip: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """As ``get``, and which pairs are mirrored, (batch,) bool on the device, or None without ``flip``."""
        mirrored = None
        condition = self.pairs.condition(rows).to(self._device, non_blocking=True)
        field = self.pairs.field(rows).to(self._device, non_blocking=True)
        if flip is not None:
            mirrored = (torch.rand(len(rows), generator=flip) < 0.5).to(self._device)
            where = mirrored[:, None, None, None]
            condition = torch.where(where, mirror(condition, self._vectors[0]), condition)
            field = torch.where(where, mirror(field, self._vectors[1]), field)
        return condition, field, mirrored


def mirror(layer: Tensor, vector: bool = False) -> Tensor:
    """A layer (batch, c, h, w) left to right; in a mirror a displacement to the right is one to the left."""
    layer = layer.flip(-1)
    return torch.cat([-layer[:, :1], layer[:, 1:]], 1) if vector else layer


def fingerprint(pairs: Pairs) -> str:
    """A digest of the number of pairs and of 64 of them: tells other pairs from the ones a run began with."""
    rows = spread(len(pairs), 64)
    digest = hashlib.blake2b(str(len(pairs)).encode(), digest_size=16)
    for layer in (pairs.condition(rows), pairs.field(rows)):
        digest.update(str(tuple(layer.shape)).encode() + layer.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _hold(read, count: int, device: torch.device) -> Tensor:
    held = torch.empty(0)
    for start in range(0, count, _CHUNK):
        chunk = read(slice(start, min(start + _CHUNK, count)))
        if start == 0:
            held = torch.empty((count, *chunk.shape[1:]), dtype=torch.float16)
        if held.dtype == torch.float16 and not torch.equal(chunk.half().float(), chunk.float()):
            held = held.float()
        held[start : start + len(chunk)] = chunk
    return held.to(device)
