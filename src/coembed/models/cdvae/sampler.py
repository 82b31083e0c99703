"""Sampling of a co-embedding model: fields of conditions, and the conditions' own fields beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.network import CoEmbedding
from coembed.models.nn import eval_mode
from coembed.numerics.random import Streams


class CoEmbeddingSampler(CoEmbedding):
    """A co-embedding model as it is used; the arguments are those of ``CoEmbedding``."""

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> Tensor:
        """Sample n fields per condition in one pass.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition, at least 1.
            generator: sample k of condition i depends on (seed, i, k) alone (see ``Streams``).
            temperature: scales the standard deviation of every latent; or one number per layer, top first. It
                multiplies the model's own (``sampling``).

        Returns:
            (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape, n below 1, or temperatures of the wrong number or sign.
        """
        with eval_mode(self):
            return self._sample(self.encode(condition), n, generator, temperature)[0]

    @torch.no_grad()
    def sample_beside(
        self,
        condition: Tensor,
        field: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Sample as ``sample`` does, and reconstruct a true field in what each sample varies (eq. 10).

        A sample less its counterpart changes nothing that the model's samples hold still: latents that its own
        profile (``sampling``) gives no noise are the same in both, whatever temperature is asked for. Where
        samples vary in everything, every counterpart is what ``reconstruct`` gives.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c', h', w'), the conditions' own fields, natural units.
            n, generator, temperature: as for ``sample``.

        Returns:
            Samples and counterparts, (n, batch, c', h', w') each, natural units.

        Raises:
            ModelError: as for ``sample``, or a field of another shape.
        """
        with eval_mode(self):
            own = self.infer_field(field).means
            found = self._sample(self.encode(condition), n, generator, temperature, own)
            return found[0], found[1]

    def _sample(
        self,
        enc: EncodedCondition,
        n: int,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float],
        own: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Samples (n, batch, c, h, w), natural units, and with ``own`` latents of fields their counterparts."""
        temperatures, streams = self.temperatures(temperature), Streams.of(generator, len(enc))
        parts: list[list[Tensor]] = []
        for count in enc.chunks(n):
            index, noise = enc.index(count), self.split_noise(self.noise(streams, count))
            rows = self.with_latents(enc[index], noise.condition)
            state = self.tie.sample(self.field_ladder, rows, noise.tie, temperatures)
            fields = [self._decode(state, noise.pixels, temperatures[-1])]
            if own is not None:
                mine = [latent[index] for latent in own]
                fields.append(self._decode_counterpart(list(state.latents), mine, rows))
            parts.append([self.to_natural(f).view(count, len(enc), *f.shape[1:]) for f in fields])
        return [torch.cat(chunks) for chunks in zip(*parts, strict=True)]

    def _decode_counterpart(self, sampled: list[Tensor], own: list[Tensor], enc: EncodedCondition) -> Tensor:
        """Standardised fields (rows, c, h, w) of ``own`` latents in what samples vary (``Tie.counterpart``)."""
        held = {i for i, scale in enumerate(self.sampling.temperatures) if scale == 0}
        latents = self.tie.counterpart(self.field_ladder, enc, sampled, own, held)
        return self.field_ladder.decode_latents(latents).mean

    @torch.no_grad()
    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """The decoder's mean at the latents of a true field (D(zo) of eq. 10), natural units, not clipped."""
        with eval_mode(self):
            self._check(condition, self.config.condition_shape, "condition")
            return self._natural(self.field_ladder.decode(self.infer_field(field).state).mean)
