r"""A tie: p(zg | zc), what a condition's latents say of a field's latents (paper sec. 3.2 and 3.3).

Every tie answers the same questions, whatever its family; a subclass overrides what it knows better:

* ``conditional``: p(next latent | latents above, zc), a Gaussian or a mixture of them, layer by layer;
* ``sample``: latents of the field, from noise handed in, ``noise_size`` numbers per sample;
* ``log_prob``: log p(zg | zc) of given latents, normalised: the model as it is sampled;
* ``rate``: E_q[log q(zg) - log p(zg | zc)] and what the tie adds to the rate of zc, one value per example;
* ``condition_log_prior``: log p(zc) of the joint; ``latent_scales``: its standard deviations, and the field's;
* ``diagnostics``: numbers for the log.

There is no p(zg | zc) as one distribution object: it is sampled and judged layer by layer, along the way down
the field's ladder, which these take. Latents are lists, coarse to fine.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.inference import Inference, TopDownState, total
from coembed.models.cdvae.ladder import LadderVAE
from coembed.numerics.distributions import Gaussian, Mixture


class Tie(nn.Module):
    """No tie: the field's latents come from its ladder's own prior. The base of every other tie.

    Args:
        config: of the family.
        condition: the condition's ladder.
        field: the field's ladder.
    """

    leaves_lower_layers: bool = True
    """Latents below the top one are told by the ladder's own prior alone."""
    is_joint = False
    """One mixture holds the latents of every layer."""

    config: Any  # of the family's own class

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE):
        super().__init__()
        self.config = config
        self.condition_sizes, self.sizes = condition.code_sizes, field.code_sizes
        self.shapes = field.code_shapes

    @property
    def noise_size(self) -> int:
        """Standard normals a sample uses: one per dimension, and one that picks a mixture's component."""
        return sum(self.sizes) + 1

    def top_conditional(
        self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition
    ) -> Gaussian | Mixture:
        """p(top latent | zc), flat where it is a mixture; see ``conditional``."""
        return ladder.tower.prior(state)

    def lower_conditional(self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition) -> Gaussian:
        """p(next latent | latents above, zc) below the top; see ``conditional``."""
        return ladder.tower.prior(state)

    def conditional(self, ladder: LadderVAE, state: TopDownState, enc: EncodedCondition) -> Gaussian | Mixture:
        """p(next latent | latents above, zc), flat where it is a mixture.

        Args:
            ladder: the field's.
            state: its way down so far.
            enc: conditions with latents, one per row.
        """
        told = self.lower_conditional if state.layer else self.top_conditional
        return told(ladder, state, enc)

    def lower_conditionals(
        self, ladder: LadderVAE, latents: list[Tensor], enc: EncodedCondition
    ) -> Iterator[Gaussian]:
        """``lower_conditional`` of every layer below the top, given the latents above it."""
        state = top_down(ladder, enc)
        for latent in latents[:-1]:
            state = ladder.tower.step(state, latent)
            yield self.lower_conditional(ladder, state, enc)

    def sample(
        self,
        ladder: LadderVAE,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
    ) -> TopDownState:
        """Latents of fields, at the end of the ladder's way down, from ``noise`` (batch, noise_size).

        Args:
            ladder: the field's.
            enc: conditions with latents, one per row.
            noise: standard normals; the first picks a mixture's component.
            temperatures: scale of the noise of every layer, top first.
        """
        uniform, state = torch.special.ndtr(noise[:, 0]), top_down(ladder, enc)
        for i, part in enumerate(noise[:, 1:].split(self.sizes, -1)):
            part = part.view(-1, *self.shapes[i])
            found = self.conditional(ladder, state, enc)
            if isinstance(found, Mixture):
                latent = found.sample(uniform, part.flatten(1), temperatures[i]).view_as(part)
            else:
                latent = found.sample(part * temperatures[i])
            state = ladder.tower.step(state, latent)
        return state

    def counterpart(
        self,
        ladder: LadderVAE,
        enc: EncodedCondition,
        sampled: list[Tensor],
        own: list[Tensor],
        held: Set[int],
    ) -> list[Tensor]:
        """Latents of given fields in what samples vary; layers that samples hold still are as the samples have
        it.

        A layer below the top that is held still is what is expected given the layers above it.

        Args:
            ladder: the field's.
            enc: conditions with latents, one per row.
            sampled: latents of samples, coarse to fine, each (rows, ...).
            own: latents of the given fields, alike.
            held: numbers of the layers that samples hold still.
        """
        state, latents = top_down(ladder, enc), []
        for layer, (sample, given) in enumerate(zip(sampled, own, strict=True)):
            latent = given
            if layer in held:
                expected = None if layer == 0 or self.is_joint else self.conditional(ladder, state, enc)
                latent = expected.mean if isinstance(expected, Gaussian) else sample
            latents.append(latent)
            state = ladder.tower.step(state, latent)
        return latents

    def log_prob(self, ladder: LadderVAE, latents: list[Tensor], enc: EncodedCondition) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        top = self.top_conditional(ladder, top_down(ladder, enc), enc)
        first = latents[0].flatten(1) if isinstance(top, Mixture) else latents[0]
        lower = zip(latents[1:], self.lower_conditionals(ladder, latents, enc), strict=True)
        return total([top.log_prob(first), *(p.log_prob(z) for z, p in lower)])

    def rate(
        self, ladder: LadderVAE, field: Inference, condition: Inference, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """``(rate, tie)`` in nats, each (batch,): their sum is E_q[log q(zg) - log p(zg | zc)]."""
        rate = total(field.kl())
        return rate, torch.zeros_like(rate)

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """log p(zc) of the joint, (batch,)."""
        return condition.log_prior()

    def latent_scales(self) -> tuple[list[Tensor], list[Tensor]]:
        """Standard deviations of the joint's prior, of both sides: (size,) per layer, top first."""
        return [torch.ones(size) for size in self.condition_sizes], [torch.ones(size) for size in self.sizes]

    def diagnostics(self, field: Inference, enc: EncodedCondition) -> dict[str, float]:
        """Numbers for the log of a training run."""
        return {}


def top_down(ladder: LadderVAE, enc: EncodedCondition) -> TopDownState:
    """The field ladder's way down for conditions, before the top latent."""
    return ladder.tower.top_down(enc.condition)
