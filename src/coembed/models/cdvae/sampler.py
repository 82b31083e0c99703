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

    def _sample(
        self,
        enc: EncodedCondition,
        n: int,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float],
        field: Tensor | None = None,
    ) -> list[Tensor]:
        """Samples, and decoded latents of the conditions' own fields: where samples vary in all, what
        ``reconstruct`` gives."""
        own = None if field is None else self.infer_field(field).means
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
