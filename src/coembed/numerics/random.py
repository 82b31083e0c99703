"""Random streams and named generators: every draw is a function of a seed and of what it is for.

Sample k of photo i depends on (seed, i, k) alone: not on how photos are batched, how samples are
chunked, or how many are drawn. Each photo owns one random stream; each sample consumes one row of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from coembed.errors import ConfigError

_BLOCK = 16  # torch fills normals in blocks of 16; whole blocks make a longer draw extend a shorter one


class Streams:
    """One random stream a condition; row k of stream i is a function of (seed, i, k) alone.

    Args:
        seed: any integer.
        ids: the identity of every condition in the batch, in order. Photo 7 keeps its samples whether
            it is sampled alone (``ids=[7]``) or among a hundred (``ids=range(100)``).

    >>> alone = Streams(0, [7]).normal(2, 3)
    >>> among = Streams(0, range(10)).normal(5, 3)
    >>> bool((alone[:, 0] == among[:2, 7]).all())
    True
    """

    def __init__(self, seed: int, ids: Iterable[int]):
        self.seed = int(seed)
        self.ids = [int(i) for i in ids]
        self._generators = [named_generator(self.seed, str(i)) for i in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def normal(self, n: int, dim: int) -> Tensor:
        """The next n rows of every stream, standard normal, shape (n, batch, dim), float32.

        Consecutive calls with the same ``dim`` continue the streams: drawing 3 rows and then 2 gives
        the same 5 rows as drawing 5 at once.
        """
        if not self._generators:
            return torch.empty(n, 0, dim)
        padded = -(-dim // _BLOCK) * _BLOCK
        rows = [torch.randn(n, padded, generator=g)[:, :dim] for g in self._generators]
        return torch.stack(rows, dim=1)

    def pick(self, n: int, count: int) -> Tensor:
        """The next n picks of every stream among ``count`` things, all alike likely, (n, batch) int64."""
        uniform = torch.special.ndtr(self.normal(n, 1)[..., 0].double())
        return (uniform * count).long().clamp_(max=count - 1)

    @classmethod
    def of(cls, generator: Streams | torch.Generator | int, batch: int) -> Streams:
        """Streams for a batch, from whatever the caller holds.

        An integer is a seed for conditions 0..batch-1. A ``torch.Generator`` gives the seed (and moves on).

        Raises:
            ConfigError: streams whose number differs from ``batch``.
        """
        if isinstance(generator, Streams):
            if len(generator) != batch:
                raise ConfigError(
                    f"generator has {len(generator)} streams, expected one per condition: {batch}"
                )
            return generator
        if isinstance(generator, torch.Generator):
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device).item())
        else:
            seed = int(generator)
        return cls(seed, range(batch))


def named_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose: a function of (seed, name), independent of every other name's."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def epoch_order(seed: int, epoch: int, count: int) -> Tensor:
    """A permutation of ``count`` indices, (count,) int64, that depends on (seed, epoch) alone."""
    return torch.randperm(count, generator=named_generator(seed, f"epoch/{epoch}"))


def global_generators(seed: int, device: torch.device) -> dict[str, torch.Generator]:
    """Torch's own, for layers such as dropout that take no generator; seeded here, kept in checkpoints."""
    torch.manual_seed(seed)
    found = {"torch": torch.default_generator}
    if device.type == "cuda":
        found["torch_cuda"] = torch.cuda.default_generators[device.index or torch.cuda.current_device()]
    return found
