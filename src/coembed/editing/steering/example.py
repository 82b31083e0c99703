"""Sampling near an example: its field's code, and fields of another condition drawn near that code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coembed.errors import ConfigError, ModelError
from coembed.models.base import Sampler
from coembed.models.cdvae.model import CDVAE
from coembed.models.nn import eval_mode
from coembed.numerics.latent_target import LatentTarget
from coembed.numerics.random import Streams


def latent_model(model: Sampler) -> CDVAE:
    """The model as one whose latents can be steered.

    Raises:
        ModelError: a model without latents.
    """
    if not isinstance(model, CDVAE):
        raise ModelError(f"a {type(model).__name__} has no code space to steer in, expected a CDVAE")
    return model


def code_of(model: CDVAE, condition: Tensor, field: Tensor) -> Tensor:
    """The code of given fields that a tie speaks of first, (batch, size): the posterior's mean.

    That is the top code, or all of them where one mixture holds them all.

    In a model with a regression this is the code of what the condition does not decide: how the field departs
    from what was to be expected of it.

    Raises:
        ModelError: a model without codes, or shapes that are not the model's.
    """
    codes = [code.flatten(1) for code in latent_model(model).latents(condition, field)[1]]
    return torch.cat(codes, -1) if model.tie.is_joint else codes[0]


def sample_near(
    model: CDVAE,
    condition: Tensor,
    n: int,
    target: Tensor,
    closeness: float = 0.7,
    *,
    generator: Streams | torch.Generator | int,
    dims: int | None = None,
    temperature: float | list[float] = 1.0,
    n_active_dims: int | None = None,
) -> Tensor:
    """Draw n fields per condition from the model pulled towards a code: p(code | condition) N(code; target,
    tau^2).

    Exact for every tie: Gaussians and mixtures stay what they are (``LatentTarget``). Only the top code is
    pulled; lower ones, the fine structure, follow it and the condition as ever.

    Args:
        model: any co-embedding model.
        condition: (batch, c, h, w), natural units.
        n: samples per condition.
        target: (batch, size) or (1, size), as ``code_of`` gives it.
        closeness: 0, plain samples, bit for bit, to 1, on the target (see ``LatentTarget``).
        generator, temperature, n_active_dims: as for ``CDVAE.sample``.
        dims: so many leading dimensions are pulled, at least 1; all of them by default.

    Returns:
        (n, batch, c, h, w), natural units.

    Raises:
        ConfigError: a closeness outside [0, 1], or no dimensions.
        ModelError: a model without codes, a target that is not of its size, or what ``CDVAE.sample`` refuses.
    """
    sampling = {"generator": generator, "temperature": temperature, "n_active_dims": n_active_dims}
    return _near(latent_model(model), condition, None, n, target, closeness, dims, **sampling)[0]


def sample_near_beside(
    model: CDVAE,
    condition: Tensor,
    n: int,
    target: Tensor,
    closeness: float = 0.7,
    *,
    field: Tensor,
    generator: Streams | torch.Generator | int,
    dims: int | None = None,
    temperature: float | list[float] = 1.0,
) -> tuple[Tensor, Tensor]:
    """Draw as ``sample_near`` does, and the counterparts of the conditions' own fields beside.

    Args:
        field: (batch, c', h', w'), the conditions' own fields, natural units.

    The other arguments and errors are those of ``sample_near``.

    Returns:
        Samples and counterparts (``CDVAE.sample_beside``), (n, batch, c', h', w') each, natural units.
    """
    sampling = {"generator": generator, "temperature": temperature}
    found = _near(latent_model(model), condition, field, n, target, closeness, dims, **sampling)
    return found[0], found[1]


@torch.no_grad()
def _near(
    model: CDVAE,
    condition: Tensor,
    field: Tensor | None,
    n: int,
    target: Tensor,
    closeness: float,
    dims: int | None,
    **sampling: Any,
) -> list[Tensor]:
    with eval_mode(model):
        enc = model.encode(condition)
        latent_target = pull_of(model, target, closeness, dims, len(enc))
        own = None if field is None else model.infer_field(enc, field).means
        return model.sample_encoded(enc, n, target=latent_target if closeness else None, own=own, **sampling)


def pull_of(model: CDVAE, target: Tensor, closeness: float, dims: int | None, batch: int) -> LatentTarget:
    """A pull for a batch of conditions, checked against the model.

    Raises:
        ConfigError: a closeness outside [0, 1], or no dimensions.
        ModelError: a target that is not of the top code's size.
    """
    size = sum(model.tie.sizes) if model.tie.is_joint else model.tie.sizes[0]
    if target.dim() != 2 or target.shape[1] != size or len(target) not in (1, batch):
        raise ModelError(f"target: got shape {tuple(target.shape)}, expected (1 or {batch}, {size})")
    if dims is not None and dims < 1:
        raise ConfigError(f"dims is {dims}, expected at least 1")
    return LatentTarget(target.expand(batch, -1)[:, :dims].float(), closeness)
