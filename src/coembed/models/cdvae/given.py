"""A model that has read its conditions: what every controlled draw begins and ends with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.errors import ModelError
from coembed.models.cdvae.draws import hold
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.tie import seen_rows
from coembed.models.cdvae.tie_gaussian import FlowTie, MixtureTie, TieContext
from coembed.models.cdvae.towers_conv import Path
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.pull import Pull
from coembed.numerics.random import Streams

_CHUNK_VALUES = 2**18  # as in CDVAE.sample: bounds memory, changes no sample


@dataclass(frozen=True)
class Given:
    """A batch of conditions as a model sees them: standardised maps, and codes where those are not drawn."""

    model: CDVAE
    condition: Tensor
    mean: Tensor
    features: Tensor | None
    codes: list[Tensor] | None
    seen: list[Tensor] | None

    @classmethod
    def of(cls, model: CDVAE, condition: Tensor) -> Given:
        """Read conditions (batch, c, h, w), natural units; the model should be in evaluation mode.

        Raises:
            ModelError: a model without codes, or a condition of another shape.
        """
        if not isinstance(model, CDVAE):
            raise ModelError(f"a {type(model).__name__} has no code space to steer in, expected a CDVAE")
        model._check(condition, model.config.condition_shape, "condition")
        xc = model._standardise(condition, "condition")
        mean, features = model._regress(xc)
        codes = None if model._sampled_condition else model.condition_ladder.infer(xc, None).codes
        return cls(model, xc, mean, features, codes, model._look(xc, mean))

    def __len__(self) -> int:
        return len(self.condition)

    def noise(self, streams: Streams, n: int, leading: int | None) -> Tensor:
        """The next n rows of noise of every condition, (n * batch, size): those that ``CDVAE.sample`` uses.

        Raises:
            ModelError: ``leading`` below 0.
        """
        model = self.model
        leading = model.config.leading if leading is None else leading
        if leading < 0:
            raise ModelError(f"leading: got {leading}, expected 0 or more")
        noise = streams.normal(n, model._noise_size).flatten(0, 1).to(self.condition.device)
        return hold(model, noise, leading)

    def index(self, n: int) -> Tensor:
        """Which condition every row of n samples belongs to, (n * batch,)."""
        return torch.arange(len(self), device=self.condition.device).repeat(n)

    def chunks(self, n: int) -> Iterator[int]:
        """Numbers of samples to draw at a time; they sum to n."""
        rows = max(1, _CHUNK_VALUES // (max(1, len(self)) * self.model.config.field_size))
        for start in range(0, n, rows):
            yield min(rows, n - start)

    def parts(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise for the condition's codes, for the tie, and for the pixels."""
        condition, tie = self.model._noise_size_condition, self.model.tie.noise_size
        return noise.split([condition, tie, noise.shape[-1] - condition - tie], -1)  # type: ignore[return-value]

    def context(self, index: Tensor, noise: Tensor | None = None) -> TieContext:
        """What the tie reads, a row an entry of ``index``; with noise where the condition's codes are drawn."""
        context = TieContext(self.codes or [], self.features, self.condition, self.mean, self.seen).rows(index)
        if self.codes is not None or noise is None:
            return context
        ladder = self.model.condition_ladder
        pieces = iter(noise.split(ladder.code_sizes, -1))
        drawn = ladder.infer(self.condition[index], lambda shape: next(pieces).reshape(shape))
        return dataclasses.replace(context, codes=drawn.codes)

    def standardised(
        self, codes: list[Tensor], index: Tensor, pixels: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Standardised fields (rows, c, h, w) at given codes; ``pixels`` is noise, for models that draw it."""
        decoded = self.model.field_ladder.decode(codes, seen_rows(self.seen, index))
        residual = decoded.mean
        if self.model.config.decode == "draw":
            residual = decoded.sample(temperature * pixels.view_as(residual))
        return residual + self.mean[index]

    def natural(self, standardised: Tensor) -> Tensor:
        """The same in natural units, within the model's range."""
        return self.model._finish(standardised)


def draw_codes(
    model: CDVAE, context: TieContext, noise: Tensor, temperatures: list[float], pull: Pull | None
) -> list[Tensor]:
    """The tie's own draw of field codes, coarse to fine, with a pull on the top one.

    Args:
        model: whose tie it is.
        context: (rows, ...).
        noise: (rows, tie.noise_size).
        temperatures: one per layer.
        pull: of as many rows; None draws as the tie does.
    """
    tie, ladder = model.tie, model.field_ladder
    if pull is None or pull.closeness == 0:
        return tie.draw(ladder, context, noise, temperatures)
    uniform, codes = torch.special.ndtr(noise[:, 0]), Path()
    if is_joint(model):
        mixture = pull.on(top(model, context))
        assert isinstance(mixture, Mixture)
        flat = mixture.sample(uniform, noise[:, 1:], temperatures[0])
        parts = zip(flat.split(tie.sizes, -1), tie.shapes, strict=True)
        return [code.view(-1, *shape) for code, shape in parts]
    for i, part in enumerate(noise[:, 1:].split(tie.sizes, -1)):
        found = tie.conditional(i, ladder, codes, context) if i else pull.on(top(model, context))
        if isinstance(found, Mixture):
            code = found.sample(uniform, part, temperatures[i]).view(-1, *tie.shapes[i])
        else:
            code = found.sample(part.view(-1, *tie.shapes[i]) * temperatures[i])
        codes.append(code)
    return codes


def top(model: CDVAE, context: TieContext) -> Gaussian | Mixture:
    """What the tie says of the top code; of all codes at once where it joins them (``is_joint``).

    Raises:
        ModelError: the tie is a flow: what steers draws is closed form for Gaussians and their mixtures alone.
    """
    if isinstance(model.tie, FlowTie):
        raise ModelError("tie: got a flow, expected a gaussian or a mixture, whose draws can be steered")
    if is_joint(model):
        return model.tie.mixture(context)  # type: ignore[operator]
    return model.tie.conditional(0, model.field_ladder, [], context)


def is_joint(model: CDVAE) -> bool:
    """Whether one mixture holds the codes of every layer."""
    return isinstance(model.tie, MixtureTie) and model.tie.config.layers == "all"


@contextmanager
def evaluation(model: CDVAE) -> Iterator[None]:
    """The model in evaluation mode and without gradients, and as it was afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
