"""Codes of fields: what a field is encoded as, and what the tie says a condition's fields are encoded as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coembed.models.cdvae.importance import noise_from
from coembed.numerics.random import Streams

if TYPE_CHECKING:
    from coembed.models.cdvae.model import CDVAE


@torch.no_grad()
def encode_fields(
    model: CDVAE, condition: Tensor, field: Tensor, *, generator: torch.Generator | Streams
) -> list[Tensor]:
    """One draw of q(zg | xg) for every pair, flattened, coarse to fine: each (batch, size).

    The condition is needed where a regression takes its part off the field first. The model should be in
    evaluation mode.
    """
    xc, xg, mean, _ = model._inputs(condition, field)
    ladder = model.field_ladder
    inference = ladder.infer(xg - mean, noise_from(generator, xc.device), seen=model._look(xc, mean))
    return [code.flatten(1) for code in inference.codes]


@torch.no_grad()
def draw_field_codes(model: CDVAE, condition: Tensor, *, generator: torch.Generator | Streams) -> list[Tensor]:
    """One draw of p(zg | zc), zc ~ q(zc | xc), for every condition, flattened, coarse to fine.

    Each is (batch, size). At temperature 1, whatever the model's own layer temperatures are: this is the
    distribution that was learned.
    """
    model._check(condition, model.config.condition_shape, "condition")
    xc = model._standardise(condition, "condition")
    mean, features = model._regress(xc)
    noise, ladder = noise_from(generator, xc.device), model.field_ladder
    context = model._context(model.condition_ladder.infer(xc, noise), features, xc, mean, model._look(xc, mean))
    drawn = model.tie.draw(ladder, context, noise((len(xc), model.tie.noise_size)), [1.0] * ladder.layers)
    return [code.flatten(1) for code in drawn]
