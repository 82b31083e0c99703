r"""Code space collapse, measured: the loss looks good, but the codes no longer hold what the fields differ in.

The authors' later paper gives the failure this name. Where the truth can be drawn, it shows in three numbers:
encode many true fields of one condition, draw as many codes from the tie, and compare the two clouds.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from coembed.errors import ConfigError
from coembed.evaluation.likelihood import estimate
from coembed.evaluation.results import Estimate
from coembed.evaluation.synthetic.scores import nearest_modes
from coembed.evaluation.synthetic.worlds import World
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams


def code_collapse(
    model: CDVAE, world: World, *, conditions: int = 50, samples: int = 100, seed: int = 0
) -> dict[str, Estimate]:
    """Compare the codes that the tie draws with the codes of true fields, condition by condition.

    Args:
        model: trained on the world.
        world: the truth.
        conditions: new ones, from ``seed``.
        samples: true fields and drawn codes per condition, at least 20.
        seed: of every draw.

    Returns:
        Means over conditions, of all codes together and (``top_...``) of the top code alone:

        * ``code_spread``: variance of the drawn codes over that of the true fields' codes; near 0 if the tie
          has collapsed onto one code.
        * ``code_modes``: share of the variance of the true fields' codes that tells their modes apart (adjusted
          R^2 of a regression on the modes of all parts); near 0 if the encoder has collapsed.
        * ``code_distance``: energy distance of the two clouds over the mean distance within the true one; 0 if
          they are the same.

    Raises:
        ConfigError: fewer than 20 samples, or no conditions.
    """
    if samples < 20 or conditions < 1:
        raise ConfigError(
            f"samples: got {samples} of {conditions} conditions, expected at least 20 of at least 1"
        )
    generator = torch.Generator().manual_seed((1 << 33) + seed)
    condition = world.conditions(conditions, generator=generator)
    columns: dict[str, list[float]] = {}
    was_training = model.training
    model.eval()
    try:
        for i in range(conditions):
            one = condition[i : i + 1]
            fields = world.sample(one, samples, generator=Streams((1 << 33) + seed, [i]))[:, 0]
            repeated = one.expand(samples, -1, -1, -1)
            true = model.sample_posterior(repeated, fields, generator=generator)
            sampled = model.sample_prior(repeated, generator=generator)
            labels = _labels(world, one, fields)
            for prefix, a, b in (
                ("", torch.cat(true, 1), torch.cat(sampled, 1)),
                ("top_", true[0], sampled[0]),
            ):
                for key, value in _compared(a.double(), b.double(), labels).items():
                    columns.setdefault(prefix + key, []).append(value)
    finally:
        model.train(was_training)
    return {key: estimate(torch.tensor(values, dtype=torch.float64)) for key, values in columns.items()}


def _compared(true: Tensor, sampled: Tensor, labels: Tensor) -> dict[str, float]:
    spread = (sampled.var(0).sum() / true.var(0).sum()).item()
    apart = torch.pdist(true).mean()
    distance = (2 * torch.cdist(true, sampled).mean() - apart - torch.pdist(sampled).mean()) / apart
    centred = true - true.mean(0)
    left = centred - labels @ (torch.linalg.pinv(labels) @ centred)
    rank = int(torch.linalg.matrix_rank(labels))
    count = len(true)
    unexplained = (left.square().sum() / centred.square().sum()).item() * (count - 1) / max(count - 1 - rank, 1)
    return {"code_spread": spread, "code_modes": 1 - unexplained, "code_distance": distance.item()}


def _labels(world: World, condition: Tensor, fields: Tensor) -> Tensor:
    """(fields, indicators) of the modes of all parts that have a choice, centred, float64."""
    nearest, _, judged = nearest_modes(world, condition, fields[:, None])
    modes = world.modes(condition).weights.shape[-1]
    hot = F.one_hot(nearest[:, 0, judged[0]], modes).flatten(1).double()
    return hot - hot.mean(0) if math.prod(hot.shape) else torch.zeros(len(fields), 1, dtype=torch.float64)
