"""From drawings and noise to fields, and the own fields of conditions beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from coembed.models.shaped.network import Drawing
from coembed.numerics.wavelets import Wavelets


@dataclass(frozen=True)
class DrawNoise:
    """Standard normals that draws are made of, a row per draw.

    Attributes:
        component: picks the component, (rows,).
        modes: pick every factor's mode, (rows, R).
        code: (rows, R).
        detail: of the wavelets, (rows, values).
    """

    component: Tensor
    modes: Tensor
    code: Tensor
    detail: Tensor

    @staticmethod
    def size(factors: int, values: int) -> int:
        """Numbers a draw."""
        return 1 + 2 * factors + values

    @classmethod
    def split(cls, noise: Tensor, factors: int) -> DrawNoise:
        """Parts of noise (rows, size): views of it."""
        values = noise.shape[-1] - 1 - 2 * factors
        component, modes, code, detail = noise.split([1, factors, factors, values], -1)
        return cls(component[:, 0], modes, code, detail)

    def rows(self, condition: int, batch: int) -> DrawNoise:
        """The noise of one condition's draws, of noise that is laid out sample by sample."""
        return DrawNoise(*(getattr(self, part.name)[condition::batch] for part in fields(self)))

    def turn(self, other: DrawNoise, t: float) -> DrawNoise:
        """A share t of the way to another's on an arc; what it picks stays this one's."""
        code, detail = turn(self.code, other.code, t), turn(self.detail, other.detail, t)
        return DrawNoise(self.component, self.modes, code, detail)


def drawing_of(drawing: Drawing, row: int) -> Drawing:
    """The drawing of one condition of a batch, as a batch of one."""
    return Drawing(**{part.name: getattr(drawing, part.name)[row : row + 1] for part in fields(Drawing)})


def index_of(drawing: Drawing, rows: int) -> Tensor:
    """The condition that each of so many rows is of, (rows,): draws are laid out sample by sample."""
    batch = len(drawing.mean)
    return torch.arange(batch, device=drawing.mean.device).repeat(rows // max(1, batch))


def pick(log_weights: Tensor, noise: Tensor) -> Tensor:
    """The place (...) that a standard normal (...) falls to among weights (..., K)."""
    edges = torch.softmax(log_weights.double(), -1).cumsum(-1)[..., :-1]
    return (torch.special.ndtr(noise.double())[..., None] > edges).sum(-1)


@dataclass(frozen=True)
class Picked:
    """The one Gaussian that every row's component and modes stand for.

    Attributes:
        mean: of the code, (rows, R).
        std: of the code, (rows, R).
        gain: of the groups of wavelets, (rows, groups).
    """

    mean: Tensor
    std: Tensor
    gain: Tensor

    @classmethod
    def of(cls, drawing: Drawing, noise: DrawNoise) -> Picked:
        """Those that the noise (rows, ...) picks, sample by sample of the drawings."""
        return cls.numbered(drawing, noise)[1]

    @classmethod
    def numbered(cls, drawing: Drawing, noise: DrawNoise) -> tuple[Tensor, Picked]:
        """As ``of``, with the numbers of the components, (rows,)."""
        index = index_of(drawing, len(noise.component))
        component = pick(drawing.logits[index], noise.component)
        mode = pick(drawing.mode_logits[index, component], noise.modes)[..., None]
        parts = (drawing.code_mean, drawing.code_log_std)
        mean, log_std = (part[index, component].gather(-1, mode)[..., 0] for part in parts)
        return component, cls(mean, log_std.exp(), drawing.gain[index, component])

    def lerp(self, other: Picked, t: float) -> Picked:
        """A share t of the way to another's."""
        ends = zip((self.mean, self.std, self.gain), (other.mean, other.std, other.gain), strict=True)
        return Picked(*(torch.lerp(a, b, t) for a, b in ends))


def decode(
    drawing: Drawing,
    wavelets: Wavelets,
    picked: Picked,
    noise: DrawNoise,
    temperatures: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Standardised fields (rows, c, h, w) and their codes (rows, R).

    Args:
        drawing: of a batch of conditions.
        wavelets: of the fields.
        picked: one per row, sample by sample.
        noise: one per row.
        temperatures: of code and of detail.
    """
    code = picked.mean + temperatures[0] * picked.std * noise.code
    index = index_of(drawing, len(code))
    found = drawing.mean[index] + by_factors(drawing, code)
    if temperatures[1]:
        log_scale = drawing.log_noise[index] + wavelets.expand(picked.gain)
        found = found + wavelets.inverse(temperatures[1] * log_scale.exp() * noise.detail)
    return found, code


def by_factors(drawing: Drawing, code: Tensor) -> Tensor:
    """L z, (rows, c, h, w), of codes (rows, R), sample by sample of the drawings."""
    batch, factors = drawing.factors.shape[:2]
    samples = code.view(len(code) // max(1, batch), batch, factors)
    found = torch.einsum("nbr,brv->nbv", samples, drawing.factors.flatten(2))
    return found.reshape(len(code), *drawing.mean.shape[1:])


def component_draws(drawing: Drawing, wavelets: Wavelets, n: int, generator: torch.Generator) -> Tensor:
    """n draws of every component, differentiable, (K, n, batch, c, h, w), standardised.

    Means, deviations and factors have gradients; the modes of factors are picked without.
    """
    batch, components, factors, _ = drawing.code_mean.shape
    device = drawing.mean.device

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=generator.device).to(device)

    mode = pick(
        drawing.mode_logits.detach().expand(n, *drawing.mode_logits.shape),
        normal(n, batch, components, factors),
    )
    mean, log_std = (
        p.expand(n, *p.shape).gather(-1, mode[..., None])[..., 0]
        for p in (drawing.code_mean, drawing.code_log_std)
    )
    code = mean + log_std.exp() * normal(*mean.shape)
    found = drawing.mean.flatten(1)[:, None] + torch.einsum("nbkr,brv->nbkv", code, drawing.factors.flatten(2))
    scale = (drawing.log_noise[:, None] + wavelets.expand(drawing.gain)).exp()
    detail = wavelets.inverse(scale * normal(n, *scale.shape))
    found = found.view_as(detail) + detail
    return found.permute(2, 0, 1, 3, 4, 5)


def turn(a: Tensor, b: Tensor, t: float) -> Tensor:
    """From a to b (rows, size) along the arc between them, t in [0, 1]; straight where there is no one arc.

    Lengths go from the one's to the other's.
    """
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    sine = angle.sin()
    arc = torch.sin((1 - t) * angle) / sine * a + torch.sin(t * angle) / sine * b
    return torch.where(sine > 1e-3, arc, torch.lerp(a, b, t))
