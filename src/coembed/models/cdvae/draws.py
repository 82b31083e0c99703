"""Fields from noise: the one path that samples take, and by which a score of samples is differentiated."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coembed.models.cdvae.tie import TieContext

if TYPE_CHECKING:
    from coembed.models.cdvae.model import CDVAE


def with_draws(model: Any, **changes: Any) -> Any:
    """The same model, weights shared and unchanged, with other values in its config of how it draws."""
    other = copy.copy(model)
    other.config = dataclasses.replace(model.config, **changes)
    return other


def drawn(
    model: CDVAE,
    xc: Tensor,
    mean: Tensor,
    features: Tensor | None,
    fixed: list[Tensor] | None,
    seen: list[Tensor] | None,
    noise: Tensor,
    index: Tensor,
    temperatures: list[float],
) -> Tensor:
    """Standardised fields (rows, c, h, w), each from one row of noise for the condition that ``index`` names.

    Args:
        model: what draws.
        xc: conditions (batch, c, h, w), standardised.
        mean: the regression's fields for them.
        features: the regression's vectors for them, if the tie reads any.
        fixed: their codes; None where a draw begins with a code of the condition.
        seen: what the field's ladder sees of them.
        noise: (rows, size), standard normal.
        index: (rows,), which condition a row is for.
        temperatures: scale of the noise, one number per layer, top first.
    """
    sizes = model.condition_ladder.code_sizes if fixed is None else []
    for_condition, for_tie, for_pixels = noise.split(
        [sum(sizes), model.tie.noise_size, noise.shape[1] - sum(sizes) - model.tie.noise_size], -1
    )
    context = TieContext(fixed or [], features, xc, mean, seen).rows(index)
    if fixed is None:
        pieces = iter(for_condition.split(sizes, -1))
        inference = model.condition_ladder.infer(xc[index], lambda shape: next(pieces).reshape(shape))
        context = dataclasses.replace(context, codes=inference.codes)
    codes = model.tie.draw(model.field_ladder, context, for_tie, temperatures)
    pixels = model.field_ladder.decode(codes, context.seen)
    residual = pixels.mean
    if model.config.decode == "draw":
        residual = pixels.sample(temperatures[-1] * for_pixels.view_as(residual))
    return residual + mean[index]


def hold(model: CDVAE, noise: Tensor, leading: int) -> Tensor:
    """Take the noise (rows, size) off the top code after its leading dimensions, in place; 0: off none."""
    if leading:
        first = model._noise_size_condition + 1  # the tie's first number picks the component
        noise[:, first + leading : first + model.tie.sizes[0]] = 0
    return noise


def scored_draws(
    model: CDVAE, condition: Tensor, field: Tensor, n: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """n fields per condition as ``CDVAE.sample`` draws them, differentiable, and the fields that were seen.

    Noise is reparameterised, so that every Gaussian's mean and scale have gradients; the weights that a
    mixture's component is picked by have none. Temperatures, leading dimensions, pixel noise and the range of
    samples are the config's: what is scored is what a user gets. Lower codes are told from the decoded draw of
    the top code, so their networks learn to go on from draws, not from codes of true fields alone. Networks are
    as in use, without dropout: noise that no sample has would be taken for spread.

    Args:
        model: left in the mode it is in.
        condition: (batch, c, h, w), natural units.
        field: (batch, c, h, w), natural units.
        n: fields per condition.
        generator: of the draws, on any device.

    Returns:
        ``(draws, truth)``, (n, batch, c, h, w) and (batch, c, h, w), both standardised.
    """
    was_training = model.training
    model.eval()
    try:
        xc, truth, mean, features = model._inputs(condition, field)
        fixed = None if model._sampled_condition else model.condition_ladder.infer(xc, None).codes
        noise = torch.randn(n * len(xc), model._noise_size, generator=generator, device=generator.device)
        noise = hold(model, noise.to(xc.device), model.config.leading)
        index = torch.arange(len(xc), device=xc.device).repeat(n)
        seen = model._look(xc, mean)
        fields = drawn(model, xc, mean, features, fixed, seen, noise, index, model._temperatures(1.0))
        return _within(model, fields).view(n, len(xc), *model.config.field_shape), truth
    finally:
        model.train(was_training)


def _within(model: CDVAE, fields: Tensor) -> Tensor:
    """Standardised fields (rows, c, h, w) held to the range that samples are clipped to, if any."""
    if not model.config.clip:
        return fields
    for bound, nearer in zip(model.config.clip, (torch.maximum, torch.minimum), strict=True):
        level = fields.new_full((1, model.config.field_shape[0], 1, 1), bound)
        fields = nearer(fields, model._standardise(level, "field"))
    return fields
