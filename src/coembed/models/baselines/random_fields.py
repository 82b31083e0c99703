"""Random training fields, whatever the photo: the marginal, which any use of the condition must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, as_pairs, check_condition
from coembed.numerics.random import Streams


class RandomFields:
    """Draws training fields uniformly, with replacement, without looking at the condition.

    Args:
        pairs: where the fields come from; read when sampling.
    """

    def __init__(self, pairs: Pairs):
        self.pairs = pairs

    @classmethod
    def fit(cls, pairs: Pairs | tuple[Tensor, Tensor]) -> RandomFields:
        """Take the pairs to draw from; nothing is computed.

        Raises:
            DataError: no pairs.
        """
        return cls(as_pairs(pairs))

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w); sample k of photo i depends on (seed, i, k) alone."""
        check_condition(condition, self.pairs)
        streams = Streams.of(generator, len(condition))
        uniform = torch.special.ndtr(streams.normal(n, 1)[..., 0].double())
        rows = (uniform * len(self.pairs)).long().clamp_(max=len(self.pairs) - 1)
        return self.pairs.field(rows.flatten()).unflatten(0, rows.shape)
