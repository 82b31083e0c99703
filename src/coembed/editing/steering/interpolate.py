r"""Between two draws: a path through codes that stays where draws usually are.

A draw is a component of the tie (m, s) and noise e, code = m + s e. In many dimensions noise has a length,
about sqrt(size), and a straight line cuts through the middle, where no draw is: fields there are too smooth
and too alike. So noise turns from the one draw's to the other's (spherically, a layer at a time), while the
component's mean and scale go straight: between Gaussians of one shape that is the optimal transport of one to
the other. Lower layers are evaluated anew at every step, so fine structure follows the coarse at each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.editing.steering.example import latent_model
from coembed.errors import ConfigError
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.model import CDVAE
from coembed.models.nn import eval_mode
from coembed.numerics.distributions import Mixture
from coembed.numerics.random import Streams

MAX_DRAWS = 100_000  # every draw up to the later one is made, and let go


@torch.no_grad()
def interpolate(
    model: CDVAE,
    condition: Tensor,
    first: int,
    second: int,
    steps: int,
    *,
    generator: Streams | torch.Generator | int,
    temperature: float | list[float] = 1.0,
    n_active_dims: int | None = None,
) -> Tensor:
    """Fields on the way from one draw to another, both ends included; see ``interpolate_beside``."""
    sampling = {"generator": generator, "temperature": temperature, "n_active_dims": n_active_dims}
    return interpolate_beside(model, condition, None, first, second, steps, **sampling)[0]


@torch.no_grad()
def interpolate_beside(
    model: CDVAE,
    condition: Tensor,
    field: Tensor | None,
    first: int,
    second: int,
    steps: int,
    *,
    generator: Streams | torch.Generator | int,
    temperature: float | list[float] = 1.0,
    n_active_dims: int | None = None,
) -> list[Tensor]:
    """Fields on the way from one draw to another, and the counterparts of the conditions' own fields beside.

    Args:
        model: any co-embedding model.
        condition: (batch, c, h, w), natural units.
        field: the conditions' own fields (batch, c', h', w'), natural units; None for no counterparts.
        first, second: numbers of the draws, from 0: those that ``model.sample`` of the same generator gives.
        steps: fields, at least 2.
        generator, temperature, n_active_dims: as for ``CDVAE.sample``.

    Returns:
        Fields, and with ``field`` counterparts (``CDVAE.sample_beside``), each (steps, batch, c', h', w'),
        natural units.

    Raises:
        ConfigError: fewer than 2 steps, or draws that are not two.
        ModelError: a model without codes, or what ``CDVAE.sample`` refuses.
    """
    check_path(first, second, steps)
    with eval_mode(latent_model(model)):
        enc = model.encode(condition)
        temperatures, streams = model.temperatures(temperature), Streams.of(generator, len(enc))
        wanted: dict[int, _Draw] = {}
        for draw in range(max(first, second) + 1):
            row = model.noise(streams, 1, n_active_dims)
            if draw in (first, second):
                wanted[draw] = _Draw.of(model, row)
        own = None if field is None else model.infer_field(enc, field).means
        made: list[list[Tensor]] = []
        for step in range(steps):
            codes, rows, pixels = _between(
                model, enc, wanted[first], wanted[second], step / (steps - 1), temperatures
            )
            fields = [model.decode(codes, rows, pixels, temperatures[-1])]
            if own is not None:
                fields.append(model.decode_counterpart(codes, own, rows, n_active_dims))
            made.append([model.to_natural(f) for f in fields])
        return [torch.stack(steps) for steps in zip(*made, strict=True)]


def check_path(first: int, second: int, steps: int) -> None:
    """Raise ConfigError unless two draws and a number of steps between them make sense."""
    if steps < 2:
        raise ConfigError(f"n is {steps}, expected at least 2 steps between two draws")
    if not (0 <= first < MAX_DRAWS and 0 <= second < MAX_DRAWS and first != second):
        raise ConfigError(
            f"between is {first} and {second}, expected two different draws, 0 to {MAX_DRAWS - 1}"
        )


def turn(a: Tensor, b: Tensor, t: float) -> Tensor:
    """From a to b (rows, size) along the arc between them, t in [0, 1]; straight where there is no one arc.

    Lengths go from the one's to the other's.
    """
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    sine = angle.sin()
    arc = torch.sin((1 - t) * angle) / sine * a + torch.sin(t * angle) / sine * b
    return torch.where(sine > 1e-3, arc, torch.lerp(a, b, t))


@dataclass(frozen=True, eq=False)
class _Draw:
    """Noise of one draw per condition, by what it is for.

    Attributes:
        condition: (batch, size) per layer of the condition's latents; one of size 0 where they have no noise.
        component: (batch,) in [0, 1], picks the component of a mixture.
        tie: (batch, size) per layer, or one for all where the tie is joint.
        pixels: (batch, size), 0 where pixels have no noise.
    """

    condition: tuple[Tensor, ...]
    component: Tensor
    tie: tuple[Tensor, ...]
    pixels: Tensor

    @classmethod
    def of(cls, model: CDVAE, noise: Tensor) -> _Draw:
        condition, tie, pixels = model.split_noise(noise)
        sizes = model.condition_ladder.code_sizes if condition.shape[1] else [0]
        widths = [tie.shape[1] - 1] if model.tie.is_joint else model.tie.sizes
        component, tie = torch.special.ndtr(tie[:, 0]), tie[:, 1:].split(widths, -1)
        return cls(condition.split(sizes, -1), component, tie, pixels)

    def lerp(self, other: _Draw, t: float) -> _Draw:
        """Turn the noise of every part towards another draw's; the component stays this one's."""
        condition, tie = (
            tuple(turn(x, y, t) if x.shape[1] else x for x, y in zip(a, b, strict=True))
            for a, b in ((self.condition, other.condition), (self.tie, other.tie))
        )
        pixels = turn(self.pixels, other.pixels, t) if self.pixels.shape[1] else self.pixels
        return _Draw(condition, self.component, tie, pixels)


def _between(
    model: CDVAE, enc: EncodedCondition, first: _Draw, second: _Draw, t: float, temperatures: list[float]
) -> tuple[list[Tensor], EncodedCondition, Tensor]:
    """Latents of fields, coarse to fine, a share t of the way from the first draw to the second; the conditions
    with latents, and the pixels' noise."""
    noise = first.lerp(second, t)
    enc = model.with_latents(enc, torch.cat(noise.condition, -1))
    found = model.top(enc)
    if isinstance(found, Mixture):
        rows = torch.arange(len(found.mean), device=found.mean.device)
        log_var = found.log_var.expand_as(found.mean)
        picks = (found.pick(draw.component) for draw in (first, second))
        ends = [(found.mean[rows, k], (0.5 * log_var[rows, k]).exp()) for k in picks]
        mean, scale = (torch.lerp(x, y, t) for x, y in zip(*ends, strict=True))
    else:
        mean, scale = (v.flatten(1) for v in (found.mean, (0.5 * found.log_var).exp()))
    code = mean + scale * temperatures[0] * noise.tie[0]
    if model.tie.is_joint:
        codes = list(code.split(model.tie.sizes, -1))
    else:
        codes = [code]
        for i in range(1, len(noise.tie)):
            codes[-1] = codes[-1].view(-1, *model.tie.shapes[i - 1])
            below = model.conditional(codes, enc)
            part = noise.tie[i].view(-1, *model.tie.shapes[i])
            codes.append(below.sample(temperatures[i] * part))  # type: ignore[call-arg, arg-type]
    codes = [c.view(-1, *shape) for c, shape in zip(codes, model.tie.shapes, strict=True)]
    return codes, enc, noise.pixels
