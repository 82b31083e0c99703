r"""Fields that cover: n of them of which, whatever the true field is, one is as near as n can be made.

Plain draws are right for a mean, an interval or a proper score, and wasteful where only the nearest of n
counts: their detail is an accident that can only miss. Rate-distortion theory says what n can do instead
[Cover and Thomas 2006, sec. 10.3.3]. Of a Gaussian with variances :math:`\lambda_i`, :math:`\log n` nats buy

.. math:: \tfrac12 \sum_i \max(0, \log(\lambda_i / \theta)) = \log n,

so only components with :math:`\lambda_i > \theta` are worth telling apart (6 to 9 of them for a hundred fields
of 1,024 values), and the others are best left at their mean. Within these components the n fields are the
centres of k-means on a larger draw [Lloyd 1982], which are means of draws: smoother than any draw, and not to
be taken for one. Any sampler can be made to cover.
"""

from __future__ import annotations

import math

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.base import Sampler
from coembed.numerics.random import Streams

DRAWS_PER_FIELD = 20
MIN_DRAWS = 200
MAX_ROUNDS = 10  # of Lloyd's


class Covering:
    """A sampler of n fields per condition that cover what another sampler draws.

    Which fields cover depends on how many there are: the first of many are not those of few. Field k of a
    condition depends on (seed, condition, n, draws).

    Args:
        sampler: what draws.
        draws: of the sampler, per condition; by default 20 for every field asked for, 200 at least.

    >>> from coembed.models.registry import fit_closed_form
    >>> random = fit_closed_form("random", (torch.rand(50, 1, 8, 8), torch.rand(50, 1, 8, 8)))
    >>> Covering(random).sample(torch.rand(2, 1, 8, 8), 5, generator=0).shape
    torch.Size([5, 2, 1, 8, 8])
    """

    def __init__(self, sampler: Sampler, draws: int | None = None):
        self.sampler, self.draws = sampler, draws

    @torch.no_grad()
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w), natural units, in no order.

        Args:
            condition: (batch, c, h, w), natural units.
            n: fields per condition, at least 1; 1 gives the mean of the draws.
            generator: as for the sampler.

        Raises:
            ModelError: n below 1, or fewer draws than n.
        """
        draws = max(DRAWS_PER_FIELD * n, MIN_DRAWS) if self.draws is None else self.draws
        if not 1 <= n <= draws:
            raise ModelError(f"n: got {n}, expected 1 to {draws}, the number of draws")
        streams, covers = Streams.of(generator, len(condition)), []
        for row, stream in enumerate(streams.ids):
            own = Streams(streams.seed, [stream])
            samples = self.sampler.sample(condition[row : row + 1], draws, generator=own)[:, 0]
            covers.append(cover(samples.flatten(1), n).view(n, *samples.shape[1:]))
        return torch.stack(covers, 1) if covers else self.sampler.sample(condition, n, generator=streams)


def cover(samples: Tensor, n: int) -> Tensor:
    """n rows (n, size) that cover draws (draws, size): least mean squared distance to the nearest."""
    mean = samples.mean(0)
    apart = (samples - mean).double()
    draws, size = apart.shape  # principal components by the smaller of the two matrices of products
    variance, vectors = torch.linalg.eigh((apart.T @ apart if size <= draws else apart @ apart.T) / draws)
    variance, vectors = variance.flip(0).clamp(min=0), vectors.flip(1)
    kept = worth_telling(variance, n)
    if not kept:
        return mean.expand(n, -1).clone()
    vectors = vectors[:, :kept]
    basis = vectors if size <= draws else apart.T @ (vectors / (draws * variance[:kept]).sqrt())
    codes = apart @ basis
    lloyd = KMeans(n, init=codes[:n].cpu().numpy(), n_init=1, max_iter=MAX_ROUNDS)  # type: ignore[arg-type]
    found = lloyd.fit(codes.cpu().numpy())
    return mean + (torch.from_numpy(found.cluster_centers_).to(basis) @ basis.T).to(mean)


def worth_telling(variance: Tensor, n: int) -> int:
    r"""Count the components that n fields can tell apart (reverse water-filling): :math:`\lambda_i > \theta`.

    Args:
        variance: (components,), largest first, not negative.
        n: fields.
    """
    variance = variance[variance > 1e-9 * variance[:1].clamp(min=1e-300)]
    logs = variance.log()
    count = torch.arange(1, len(logs) + 1, dtype=logs.dtype)
    level = (logs.cumsum(0) - 2 * math.log(n)) / count  # log theta, were so many components told apart
    return int((logs > level).sum())
