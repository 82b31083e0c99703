"""Sampling of a co-embedding model: fields of conditions, and the conditions' own fields beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.network import CoEmbedding
from coembed.models.cdvae.tie import Held, top_down
from coembed.models.nn import eval_mode
from coembed.numerics.latent_target import LatentTarget
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
        n_active_dims: int | None = None,
    ) -> Tensor:
        """Sample n fields per condition in one pass.

        Args:
            condition: (batch, c, h, w), natural units.
            n: samples per condition, at least 1.
            generator: sample k of condition i depends on (seed, i, k) alone (see ``Streams``).
            temperature: scales the standard deviation of every latent; or one number per layer, top first. It
                multiplies the model's own (``sampling``).
            n_active_dims: samples vary in so many leading dimensions of the top latent, 0 for all; None for the
                config's.

        Returns:
            (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape, n below 1, ``n_active_dims`` below 0, or temperatures of
                the wrong number or sign.
        """
        with eval_mode(self):
            return self.sample_encoded(
                self.encode(condition),
                n,
                generator=generator,
                temperature=temperature,
                n_active_dims=n_active_dims,
            )[0]

    @torch.no_grad()
    def sample_beside(
        self,
        condition: Tensor,
        field: Tensor,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
        n_active_dims: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sample as ``sample`` does, and reconstruct a true field in what each sample varies (eq. 10).

        A sample less its counterpart changes nothing that the model's samples hold still: latents that its own
        profile (``sampling``) gives no noise are the same in both, whatever temperature is asked for. Where
        samples vary in everything, every counterpart is what ``reconstruct`` gives.

        Args:
            condition: (batch, c, h, w), natural units.
            field: (batch, c', h', w'), the conditions' own fields, natural units.
            n, generator, temperature, n_active_dims: as for ``sample``.

        Returns:
            Samples and counterparts, (n, batch, c', h', w') each, natural units.

        Raises:
            ModelError: as for ``sample``, or a field of another shape.
        """
        with eval_mode(self):
            enc = self.encode(condition)
            own = self.infer_field(enc, field).means
            found = self.sample_encoded(
                enc, n, generator=generator, temperature=temperature, n_active_dims=n_active_dims, own=own
            )
            return found[0], found[1]

    def sample_encoded(
        self,
        enc: EncodedCondition,
        n: int,
        *,
        generator: Streams | torch.Generator | int,
        temperature: float | list[float] = 1.0,
        n_active_dims: int | None = None,
        target: LatentTarget | None = None,
        own: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Sample fields of conditions that are read, and the counterparts of their own fields beside.

        Args:
            enc: the conditions.
            n, generator, temperature, n_active_dims: as for ``sample``.
            target: pulls the top latent.
            own: latents of the conditions' own fields, coarse to fine, each (batch, ...).

        Returns:
            Samples (n, batch, c, h, w), natural units, and with ``own`` the counterparts (``sample_beside``).
        """
        temperatures, streams = self.temperatures(temperature), Streams.of(generator, len(enc))
        parts: list[list[Tensor]] = []
        for count in enc.chunks(n):
            index, noise = enc.index(count), self.split_noise(self.noise(streams, count, n_active_dims))
            rows = self.with_latents(enc[index], noise.condition)
            top = None if target is None else target.rows(index).on(self.top(rows))
            state = self.tie.sample(self.field_ladder, rows, noise.tie, temperatures, top)
            fields = [self._decode(state, rows, noise.pixels, temperatures[-1])]
            if own is not None:
                mine = [latent[index] for latent in own]
                fields.append(self.decode_counterpart(list(state.latents), mine, rows, n_active_dims))
            parts.append([self.to_natural(f).view(count, len(enc), *f.shape[1:]) for f in fields])
        return [torch.cat(chunks) for chunks in zip(*parts, strict=True)]

    def decode_counterpart(
        self,
        sampled: list[Tensor],
        own: list[Tensor],
        enc: EncodedCondition,
        n_active_dims: int | None = None,
    ) -> Tensor:
        """Standardised fields (rows, c, h, w) of ``own`` latents in what samples vary (``Tie.counterpart``)."""
        profile = self.sampling.default
        dims = profile.n_active_dims if n_active_dims is None else n_active_dims
        held = Held(frozenset(i for i, scale in enumerate(profile.temperatures) if scale == 0), dims)
        latents = self.tie.counterpart(self.field_ladder, enc, sampled, own, held)
        state = self.field_ladder.through(latents, top_down(self.field_ladder, enc))
        return self.field_ladder.decode(state).mean + enc.mean

    @torch.no_grad()
    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        """The decoder's mean at the latents of a true field (D(zo) of eq. 10), natural units, not clipped."""
        with eval_mode(self):
            enc = self._read(condition)
            return self._natural(self.field_ladder.decode(self.infer_field(enc, field).state).mean + enc.mean)
