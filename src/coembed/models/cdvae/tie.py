r"""A tie: p(zg | zc), what a condition's codes say of a field's codes (paper sec. 3.2 and 3.3).

Every tie answers the same four questions, whatever its family:

* ``rate``: E_q[log q(zg) - log p(zg | zc)] (and what the tie adds to the rate of zc), one value an example;
* ``log_prob``: log p(zg | zc), normalised, of given codes: the model as it is sampled;
* ``sample``: latents of the field, from noise handed in;
* ``noise_size``: how many numbers a sample uses.

Codes are lists, coarse to fine; each is flattened where a tie needs vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.ladder import Inference, LadderVAE
from coembed.models.cdvae.towers_conv import Path
from coembed.numerics.distributions import Gaussian, Mixture


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
    def is_joint(self) -> bool:
        """One mixture holds the latents of every layer."""
        return False

    @property
    def noise_size(self) -> int:
        """Standard normals a draw uses: one per code dimension, and one that picks a mixture component."""
        return sum(self.sizes) + 1

    def conditional(
        self, layer: int, ladder: LadderVAE, above: list[Tensor], enc: EncodedCondition
    ) -> Gaussian | Mixture:
        """p(zg_layer | zg above, zc); ``ladder`` is the field's, whose own prior it may start from."""
        return self._own(layer, ladder, above, enc)

    def _own(self, layer: int, ladder: LadderVAE, above: list[Tensor], enc: EncodedCondition) -> Gaussian:
        like = enc.mean.new_zeros(len(enc), *self.shapes[layer])
        return ladder.prior(layer, above, like=like, seen=enc.context_maps)

    def rate(
        self, field: Inference, condition: Inference, ladder: LadderVAE, enc: EncodedCondition
    ) -> tuple[Tensor, Tensor]:
        """``(rate, tie)`` in nats, each (batch,): their sum is E_q[log q(zg) - log p(zg | zc)]."""
        del condition, ladder, enc
        total = sum(field.kl())
        return total, torch.zeros_like(total)  # type: ignore[return-value, arg-type]

    def log_prob(self, codes: list[Tensor], ladder: LadderVAE, enc: EncodedCondition) -> Tensor:
        """log p(zg | zc) of the model as sampled, (batch,)."""
        total = torch.zeros(len(codes[0]), device=codes[0].device)
        for i, code in enumerate(codes):
            found = self.conditional(i, ladder, codes[:i], enc)
            total = total + found.log_prob(code.flatten(1) if isinstance(found, Mixture) else code)
        return total

    def condition_log_prior(self, condition: Inference) -> Tensor:
        """log p(zc) of the joint, (batch,)."""
        return condition.log_prior()

    def top(self, ladder: LadderVAE, enc: EncodedCondition) -> Gaussian | Mixture:
        """p(top latent | zc), of all latents at once where one mixture joins them, in closed form.

        Raises:
            ModelError: a tie that has no closed form.
        """
        return self.conditional(0, ladder, [], enc)

    def sample(
        self,
        ladder: LadderVAE,
        enc: EncodedCondition,
        noise: Tensor,
        temperatures: list[float],
        top: Gaussian | Mixture | None = None,
    ) -> list[Tensor]:
        """Latents of fields, coarse to fine, from ``noise`` (batch, noise_size).

        Args:
            ladder: the field's.
            enc: conditions with latents, one per row.
            noise: standard normals; the first picks a mixture's component.
            temperatures: scale of the noise of every layer, top first.
            top: sampled in place of what the tie says of the top latent.
        """
        uniform = torch.special.ndtr(noise[:, 0])
        codes = Path()
        for i, part in enumerate(noise[:, 1:].split(self.sizes, -1)):
            part = part.view(-1, *self.shapes[i])
            found = top if top is not None and i == 0 else self.conditional(i, ladder, codes, enc)
            if isinstance(found, Mixture):
                code = found.sample(uniform, part.flatten(1), temperatures[i]).view_as(part)
            else:
                code = found.sample(part * temperatures[i])
            codes.append(code)
        return codes
