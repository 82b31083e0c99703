r"""A tie: p(zg | zc), what a condition's codes say of a field's codes (paper sec. 3.2 and 3.3).

Every tie answers the same four questions, whatever its family:

* ``rate``: E_q[log q(zg) - log p(zg | zc)] (and what the tie adds to the rate of zc), one value an example;
* ``log_prob``: log p(zg | zc), normalised, of given codes: the model as it is sampled;
* ``draw``: codes of the field, from noise handed in;
* ``noise_size``: how many numbers per draw uses.

Codes are lists, coarse to fine; each is flattened where a tie needs vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.ladder import Inference, LadderVAE
from coembed.models.cdvae.towers_conv import Path
from coembed.numerics.distributions import Gaussian, Mixture


@dataclass(frozen=True)
class TieContext:
    """What a tie may read of the condition: codes coarse to fine, and the regression's features and mean.

    ``condition`` and ``mean`` are standardised maps (batch, c, h, w); ``seen`` are the maps that the field's
    ladder sees of the condition, coarse to fine.
    """

    codes: list[Tensor]
    features: Tensor | None = None
    condition: Tensor | None = None
    mean: Tensor | None = None
    seen: list[Tensor] | None = None

    def flat(self) -> Tensor:
        """Everything in one vector, (batch, size)."""
        parts = [c.flatten(1) for c in self.codes]
        return torch.cat(parts if self.features is None else [*parts, self.features], -1)

    def rows(self, index: Tensor) -> TieContext:
        """The context of other examples, chosen and repeated by ``index``."""
        pick = lambda t: None if t is None else t[index]  # noqa: E731
        codes = [c[index] for c in self.codes]
        seen = seen_rows(self.seen, index)
        return TieContext(codes, pick(self.features), pick(self.condition), pick(self.mean), seen)


def seen_rows(seen: list[Tensor] | None, index: Tensor) -> list[Tensor] | None:
    """What is seen of other examples, chosen and repeated by ``index``; None where nothing is seen."""
    return None if seen is None else [maps[index] for maps in seen]


class Tie(nn.Module):
    """No tie: the field's codes come from the field ladder's own prior. The base of every other tie."""

    def __init__(self, config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__()
        del feature_size
        self.config = config
        self.condition_sizes, self.sizes = condition.code_sizes, field.code_sizes
        self.shapes = field.code_shapes

    @property
    def leaves_lower_layers(self) -> bool:
        """Whether codes below the top one are told by the ladder's own prior alone."""
        return self.config.kind == "none" or self.config.layers == "top"

    @property
    def noise_size(self) -> int:
        """Standard normals a draw uses: one per code dimension, and one that picks a mixture component."""
        return sum(self.sizes) + 1

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext
    ) -> Gaussian | Mixture:
        """p(zg_layer | zg above, zc); ``ladder`` is the field's, whose own prior it may start from."""
        return self._own(layer, ladder, above, context)

    def _own(self, layer: int, ladder: LadderVAE, above: list[Tensor], context: TieContext) -> Gaussian:
        like = context.codes[0].new_zeros(len(context.codes[0]), *self.shapes[layer])
        return ladder.prior(layer, above, like=like, seen=context.seen)

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, context: TieContext
    ) -> tuple[Tensor, Tensor]:
        """``(rate, tie)`` in nats, each (batch,): their sum is E_q[log q(zg) - log p(zg | zc)]."""
        del condition, ladder, context
        total = sum(field.kl())
        return total, torch.zeros_like(total)  # type: ignore[return-value, arg-type]

    def log_prob(self, codes: list[Tensor], ladder: LadderVAE, context: TieContext) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        total = torch.zeros(len(codes[0]), device=codes[0].device)
        for i, code in enumerate(codes):
            found = self.conditional(i, ladder, codes[:i], context)
            total = total + found.log_prob(code.flatten(1) if isinstance(found, Mixture) else code)
        return total

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """log p(zc) of the joint, (batch,)."""
        return condition.log_prior()

    def draw(
        self, ladder: LadderVAE, context: TieContext, noise: Tensor, temperatures: list[float]
    ) -> list[Tensor]:
        """Field codes, coarse to fine, from ``noise`` (batch, noise_size)."""
        uniform = torch.special.ndtr(noise[:, 0])
        parts = noise[:, 1:].split(self.sizes, -1)
        codes = Path()
        for i, part in enumerate(parts):
            part = part.view(-1, *self.shapes[i])
            found = self.conditional(i, ladder, codes, context)
            if isinstance(found, Mixture):
                code = found.sample(uniform, part.flatten(1), temperatures[i]).view_as(part)
            else:
                code = found.sample(part * temperatures[i])
            codes.append(code)
        return codes
