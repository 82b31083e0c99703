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

from coembed.models.cdvae.encoded import EncodedCondition, Noise
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.latent_target import LatentTarget

_STEPS, _RATE = 150, 0.05


def search(
    model: CDVAE,
    enc: EncodedCondition,
    noise: Tensor,
    values: Tensor,
    covered: Tensor,
    variance: Tensor,
    model_std: float,
    errors: Tensor,
    latent_target: LatentTarget | None,
    temperatures: list[float],
) -> tuple[Tensor, Tensor]:
    """Fields near those of the noise that agree with what is held.

    Args:
        model: any co-embedding model.
        enc: the conditions, one per row.
        noise: (rows, size), of a plain draw.
        values: (rows, c, h, w), standardised; what is held.
        covered: of the same shape, bool.
        variance: how loosely it is held, squared standard deviations.
        model_std: standard deviations, added to the pixels' own noise.
        errors: standard normals.
        pull: on the top code besides, of as many rows.
        temperatures: one per layer: they scale the noise to start from.

    Returns:
        Standardised fields (rows, c, h, w), and the share of a pixel's difference that its own noise explains.
    """
    flat = [1.0] * len(temperatures)
    for_condition, for_tie, for_pixels = model.split_noise(noise)
    sizes = [1, *model.tie.sizes]
    scaled = [part * t for part, t in zip(for_tie.split(sizes, -1), [1.0, *temperatures], strict=True)]
    start = torch.cat([for_condition, *scaled], -1)
    cut = for_condition.shape[1]

    def read(at: Tensor) -> tuple[EncodedCondition, Noise, Gaussian | Mixture | None]:
        # The component is picked by a number that has no gradient, so it stays.
        tie_noise = torch.cat([for_tie[:, :1], at[:, cut + 1 :]], -1)
        rows = model.with_latents(enc, at[:, :cut])
        top = None if latent_target is None else latent_target.on(model.top(rows))
        return rows, Noise(at[:, :cut], tie_noise, temperatures[-1] * for_pixels), top

    def fields_of(at: Tensor) -> Tensor:
        rows, parts, top = read(at)
        return model.sample_fields(rows, parts, flat, top)

    rows, parts, top = read(start)
    latents = model.sample_latents(rows, parts.tie, flat, top)
    pixels = model.field_ladder.decode_latents(latents, enc.context_maps).log_var.exp() + model_std**2
    wanted = values - errors * (pixels + variance).sqrt()
    weight = covered / (pixels + variance)
    with torch.enable_grad():
        at = start.clone().requires_grad_()
        adam = torch.optim.Adam([at], lr=_RATE)
        for step in range(_STEPS):
            adam.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
            missed = (fields_of(at) - wanted).square() * weight
            loss = 0.5 * (at - start).square().sum() + 0.5 * missed.sum()
            (at.grad,) = torch.autograd.grad(loss, at)
            adam.step()
    return fields_of(at.detach()), pixels / (pixels + variance)
