"""One step of training: loss, gradient, and the refusal to learn from a number that is not one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.models.base import Guided, Latents, Scored, Trainable
from coembed.numerics.scoring_rules import mixture_energy_score
from coembed.training.config import ScoreConfig, TrainConfig
from coembed.training.machine import autocast

_MAX_NAMED = 8


@dataclass(frozen=True)
class NonFinite:
    """The cause of a skipped step: the parts that were not finite, and where in the batch they were."""

    terms: tuple[str, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class StepResult:
    """Means of the loss parts in nats per pair, the gradient's norm, and the cause if the step was skipped."""

    parts: dict[str, float]
    gradient_norm: float
    non_finite: NonFinite | None = None


def make_optimizer(model: Trainable, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; biases and norms (fewer than 2 axes) get no weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)


def train_step(
    model: Trainable,
    optimizer: torch.optim.Optimizer,
    condition: Tensor,
    field: Tensor,
    config: TrainConfig,
    *,
    generator: torch.Generator,
    warmup: float,
    learning_rate: float,
    guidance: Callable[[Latents], Tensor] | None = None,
    scores: ScoreConfig | None = None,
) -> StepResult:
    """Make one step, or none: a loss or gradient that is not finite changes no weight and no moment.

    ``scores``: judge samples too, as these options say.
    """
    with autocast(config, condition.device):
        if scores is None:
            parts = loss_parts(model, condition, field, generator, warmup, guidance)
        else:
            parts = _scored_parts(model, condition, field, generator, guidance, scores)
        parts = {name: value.float() for name, value in parts.items()}
    table = torch.stack([value.detach() for value in parts.values()])
    if not bool(table.isfinite().all()):
        return StepResult({}, float("nan"), _find(parts))
    optimizer.zero_grad(set_to_none=True)
    # Nats per value rather than a pair: clipping then means the same for every size of field.
    values = condition[0].numel() + field[0].numel()
    (parts["total"].mean() / values).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    length = torch.nn.utils.get_total_norm(gradients)  # before clipping, which would spread a NaN everywhere
    norm = float(length)
    if not math.isfinite(norm):
        broken = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        return StepResult({}, norm, NonFinite(tuple(f"gradient of {n}" for n in broken[:_MAX_NAMED]), ()))
    if config.gradient_clip:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), config.gradient_clip, length)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return StepResult(dict(zip(parts, table.mean(1).tolist(), strict=True)), norm)


def loss_parts(
    model: Trainable,
    condition: Tensor,
    field: Tensor,
    generator: torch.Generator,
    warmup: float,
    guidance: Callable[[Latents], Tensor] | None = None,
) -> dict[str, Tensor]:
    """The model's loss, with its own contract checked once here: a "total" and one value per pair.

    Args:
        model: what is trained.
        condition: (batch, c, h, w).
        field: the same.
        generator: for the model's draws.
        warmup: weight of KL and tie.
        guidance: a further part of the loss, (batch,), from the posterior means of the codes; "guidance".

    Raises:
        TypeError: a model that breaks the contract (a programmer's error, not a user's).
    """
    if guidance is None:
        parts = model.loss(condition, field, generator=generator, warmup=warmup)
    elif isinstance(model, Guided):
        parts, latents = model.loss_and_latents(condition, field, generator=generator, warmup=warmup)
        parts = _guided(parts, latents, guidance)
    else:
        raise TypeError(f"{type(model).__name__}: has no loss_and_latents, which guidance needs")
    return _checked(model, parts, len(condition))


def _guided(
    parts: dict[str, Tensor], latents: Latents, guidance: Callable[[Latents], Tensor]
) -> dict[str, Tensor]:
    """The parts with "guidance", which adds to the total."""
    extra = guidance(latents)
    return {**parts, "total": parts["total"] + extra, "guidance": extra}


def _checked(model: Trainable, parts: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
    """The parts, once they keep to the contract: a "total" and one value per pair."""
    wrong = [name for name, value in parts.items() if value.shape != (batch,)]
    if wrong or "total" not in parts:
        raise TypeError(
            f'{type(model).__name__}.loss: expected "total" and (batch,) parts, got {wrong or list(parts)}'
        )
    return parts


def _scored_parts(
    model: Trainable,
    condition: Tensor,
    field: Tensor,
    generator: torch.Generator,
    guidance: Callable[[Latents], Tensor] | None,
    options: ScoreConfig,
) -> dict[str, Tensor]:
    """The parts of the loss with "score", the energy score of samples; "total" weighs both as it is asked."""
    if not isinstance(model, Scored):
        raise TypeError(f"{type(model).__name__}: has no loss_and_draws, which a score of samples needs")
    parts, latents, draws = model.loss_and_draws(condition, field, options.samples, generator=generator)
    samples, truth = draws.samples.float(), draws.truth.float()
    if not options.level:
        samples, truth = (part - part.mean((-2, -1), keepdim=True) for part in (samples, truth))
    score = mixture_energy_score(samples, truth, draws.weights, options.pools)
    total = options.likelihood * parts["total"] + options.weight * field[0].numel() * score
    found = {**parts, "total": total, "score": score}
    return _checked(model, found if guidance is None else _guided(found, latents, guidance), len(condition))


def _find(parts: dict[str, Tensor]) -> NonFinite:
    broken = {name: ~value.detach().isfinite() for name, value in parts.items()}
    indices = torch.stack(list(broken.values())).any(0).nonzero().flatten().tolist()
    terms = tuple(name for name, where in broken.items() if bool(where.any()))
    return NonFinite(terms, tuple(indices[:_MAX_NAMED]))
