r"""Samples that agree with a hint where the decoder is not linear: randomised maximum a posteriori.

A sample's noise e0 is moved to the e that minimises

    1/2 |e - e0|^2  +  1/2 sum over what is held of  (field(e) + error - held)^2 / variance

by gradient descent, ``error`` being a draw of the observation's noise [Bardsley 2014]. For a linear field this
is a draw of the posterior exactly; here it is near it. The mixture's component stays the one that was drawn:
its weights are not updated by the evidence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.models.cdvae.given import Given, draw_codes
from coembed.numerics.pull import Pull

_STEPS, _RATE = 150, 0.05


def search(
    given: Given,
    index: Tensor,
    noise: Tensor,
    values: Tensor,
    covered: Tensor,
    variance: Tensor,
    doubt: float,
    errors: Tensor,
    pull: Pull | None,
    temperatures: list[float],
) -> tuple[Tensor, Tensor]:
    """Fields near those of the noise that agree with what is held.

    Args:
        given: the conditions.
        index: (rows,), which of them each row is for.
        noise: (rows, size), of a plain draw.
        values: (rows, c, h, w), standardised; what is held.
        covered: of the same shape, bool.
        variance: how loosely it is held, squared standard deviations.
        doubt: standard deviations, added to the pixels' own noise.
        errors: standard normals.
        pull: on the top code besides, for all conditions.
        temperatures: one per layer: they scale the noise to start from.

    Returns:
        Standardised fields (rows, c, h, w), and the share of a pixel's difference that its own noise explains.
    """
    pulled = None if pull is None else pull.rows(index)
    flat = [1.0] * len(temperatures)
    for_condition, for_tie, for_pixels = given.parts(noise)
    sizes = [1, *given.model.tie.sizes]
    scaled = [part * t for part, t in zip(for_tie.split(sizes, -1), [1.0, *temperatures], strict=True)]
    start = torch.cat([for_condition, *scaled], -1)
    cut = for_condition.shape[1]

    def codes_of(at: Tensor) -> list[Tensor]:
        # The component is picked by a number that has no gradient, so it stays.
        tie_noise = torch.cat([for_tie[:, :1], at[:, cut + 1 :]], -1)
        return draw_codes(given.model, given.context(index, at[:, :cut]), tie_noise, flat, pulled)

    def fields_of(codes: list[Tensor]) -> Tensor:
        return given.standardised(codes, index, for_pixels, temperatures[-1])

    context = given.context(index, start[:, :cut])
    pixels = given.model.field_ladder.decode(codes_of(start), context.seen).log_var.exp() + doubt**2
    wanted = values - errors * (pixels + variance).sqrt()
    weight = covered / (pixels + variance)
    with torch.enable_grad():
        at = start.clone().requires_grad_()
        adam = torch.optim.Adam([at], lr=_RATE)
        for step in range(_STEPS):
            adam.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
            missed = (fields_of(codes_of(at)) - wanted).square() * weight
            loss = 0.5 * (at - start).square().sum() + 0.5 * missed.sum()
            (at.grad,) = torch.autograd.grad(loss, at)
            adam.step()
    return fields_of(codes_of(at.detach())), pixels / (pixels + variance)
