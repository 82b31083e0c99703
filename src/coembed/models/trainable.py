"""What the training loop asks of a model and of the pairs it is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from coembed.numerics.random import Streams

Rows = slice | Sequence[int] | Tensor
Codes = tuple[list[Tensor], list[Tensor]]
"""Posterior means of the condition's and of the field's codes, coarse to fine, (batch, ...) a layer."""


class Pairs(Protocol):
    """Pairs of (condition, field) by row; ``coembed.data.store.store.PairStore`` is one."""

    def __len__(self) -> int: ...

    def condition(self, rows: Rows) -> Tensor:
        """Conditions (batch, c, h, w), float32, natural units."""
        ...

    def field(self, rows: Rows) -> Tensor:
        """Fields (batch, c, h, w), float32, natural units."""
        ...


class Trainable(Protocol):
    """A torch module with a loss in nats; ``coembed.models.cdvae.CDVAE`` is one.

    Every random draw takes the generator it is given, so that a resumed run repeats a whole one.
    """

    @property
    def config(self) -> Any:
        """A frozen dataclass of JSON values that rebuilds the module."""
        ...

    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Set statistics and starting values from training pairs; called once, before the first step."""
        ...

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Named parts in nats, each (batch,); "total" is minimised, with KL and tie times ``warmup``."""
        ...

    def diagnostics(self, condition: Tensor, field: Tensor, *, generator: torch.Generator) -> Mapping[str, Any]:
        """Numbers and lists (one number per layer) for the log: KL, active units, tie, components."""
        ...

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """Fields (n, batch, c, h, w) in natural units."""
        ...

    # What follows is nn.Module's own; only what the loop uses.

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As ``nn.Module``."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """As ``nn.Module``."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """As ``nn.Module``."""
        ...

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """As ``nn.Module``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """As ``nn.Module``."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """As ``nn.Module``."""
        ...

    def to(self, device: torch.device) -> Any:
        """As ``nn.Module``."""
        ...

    def train(self) -> Any:
        """As ``nn.Module``."""
        ...

    def eval(self) -> Any:
        """As ``nn.Module``."""
        ...


@runtime_checkable
class Scored(Protocol):
    """What a proper score of samples asks of a ``Trainable`` beside."""

    def scored_draws(
        self, condition: Tensor, field: Tensor, n: int, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """``(draws, truth)``, (n, batch, c, h, w) and (batch, c, h, w), in the same units, a channel's being
        about 1; drawn as ``sample`` draws, but differentiable."""
        ...


@runtime_checkable
class Guided(Protocol):
    """What guidance asks of a ``Trainable`` beside."""

    def loss_and_codes(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> tuple[dict[str, Tensor], Codes]:
        """As ``loss``, with the posterior means it came by, through which gradients flow."""
        ...

    def codes(self, condition: Tensor, field: Tensor) -> Codes:
        """Posterior means without any noise, for looking at."""
        ...

    def code_scales(self) -> Codes:
        """The prior's standard deviation of every dimension, one (size,) tensor a layer."""
        ...
