r"""Draws that agree with linear observations of a field: cells that are held, means that come near an
example's.

What is asked is v = O y + noise of covariance Q. In every component y is Gaussian, so conditioning is exact:
with S = O W^T D W O^T + Q, what the code may be follows from S and O L by the same R x R algebra as for whole
fields (``density``), components are weighed by their evidence, and a plain draw y0 of the picked component
moves by

.. math:: y = y_0 + (L T^2 L^T + W^T D W)\, O^T (O L T^2 L^T O^T + S)^{-1} (v - O y_0 - \epsilon)

(Matheron's rule). Modes of factors are weighed by the same coordinate ascent: exact with one mode per factor.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.models.shaped.density import CodeLikelihood, Modes, responsibilities
from coembed.models.shaped.network import Drawing
from coembed.models.shaped.sampling import DrawNoise, Picked, pick
from coembed.numerics.wavelets import Wavelets

LARGE_CELLS = 4  # per side, whose means an example speaks of
_SWEEPS = 40  # of Gibbs sampling over the modes of factors
_EXACT = 1e-6  # variance of what is held exactly, squared standard deviations


@dataclass(frozen=True)
class Asked:
    """Linear observations that one condition's fields shall agree with.

    Attributes:
        rows: O, (m, values), float64, of standardised fields.
        values: v, (m,).
        covariance: Q, (m, m).
    """

    rows: Tensor
    values: Tensor
    covariance: Tensor

    @classmethod
    def of(
        cls,
        drawing: Drawing,
        wavelets: Wavelets,
        hint: tuple[Tensor, Tensor, Tensor] | None,
        example: tuple[Tensor, float] | None,
    ) -> Asked | None:
        """Observations of one condition.

        Args:
            drawing: of one condition.
            wavelets: of the fields.
            hint: values (c, h, w), standardised; which of them are held, bool; and their variance.
            example: standardised field (c, h, w) and closeness, above 0.

        Returns:
            None where nothing is asked.
        """
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        if hint is not None and bool(hint[1].any()):
            values, held, variance = (part.flatten() for part in hint)
            rows = torch.eye(len(values), dtype=torch.float64, device=values.device)[held]
            parts.append((rows, values[held].double(), torch.diag(variance[held].double())))
        if example is not None:
            field, closeness = example
            rows = large_cells(field.shape).to(field.device)
            looseness = (1 - closeness) / closeness
            parts.append((rows, rows @ field.flatten().double(), looseness * _prior(drawing, wavelets, rows)))
        if not parts:
            return None
        rows, values, covariances = zip(*parts, strict=True)
        covariance = torch.block_diag(*covariances)
        exact = _EXACT * torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
        return cls(torch.cat(rows), torch.cat(values), covariance + exact)


class Conditioned:
    """p(field | condition, what is asked) of one condition, ready to be drawn from.

    Args:
        drawing: of the one condition.
        wavelets: of the fields.
        asked: observations.
    """

    def __init__(self, drawing: Drawing, wavelets: Wavelets, asked: Asked):
        self.drawing, self.wavelets, self.asked = drawing, wavelets, asked
        self.by_code, self.by_wavelet, self.variance = _seen(drawing, wavelets, asked.rows)
        residual = asked.values - asked.rows @ drawing.mean[0].flatten().double()
        noise = (self.by_wavelet * self.variance[:, None]) @ self.by_wavelet.T + asked.covariance
        self.cholesky = torch.linalg.cholesky(noise)  # (K, m, m)
        solved = torch.cholesky_solve(self.by_code.expand(len(noise), -1, -1), self.cholesky)
        of_residual = torch.cholesky_solve(residual[:, None].expand(len(noise), -1, 1), self.cholesky)
        likelihood = CodeLikelihood(
            information=(self.by_code.T @ solved)[None],
            shift=(solved.mT @ residual)[None],
            squared=(residual @ of_residual).squeeze(-1)[None],
            volume=2 * self.cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)[None],
            values=len(residual),
        )
        modes = Modes.of(drawing)
        gamma = responsibilities(modes, likelihood)
        log_joint = likelihood.log_joint(modes, gamma, drawing.logits)
        self.likelihood = likelihood
        self.information, self.shift = likelihood.information[0], likelihood.shift[0]
        self.posterior = dataclasses.replace(
            drawing, logits=log_joint, mode_logits=gamma.clamp(min=1e-30).log()
        )

    def pick(self, noise: DrawNoise) -> tuple[Tensor, Picked]:
        """The components (rows,) and the Gaussians that noise picks among what agrees with what is asked."""
        component, picked = Picked.numbered(self.posterior, noise)
        if self.drawing.mode_logits.shape[-1] == 1:
            return component, picked
        # Bounds picked these; sweeps of Gibbs sampling (code, component, modes, each given the others) mend
        # them.
        modes = Modes.of(self.drawing)
        for sweep in errors_of(noise, _SWEEPS * (1 + 2 * picked.mean.shape[1])).double().chunk(_SWEEPS, 1):
            for_component, rest = sweep[:, 0], sweep[:, 1:]
            code = self._code(component, picked, rest[:, ::2])
            component = pick(self._component_log_weights(modes, code), for_component)
            log_weights, mean, std = (part[0, component] for part in (modes.log_weights, modes.mean, modes.std))
            off = (code[..., None] - mean) / std
            mode = pick(log_weights - std.log() - 0.5 * off.square(), rest[:, 1::2])[..., None]
            centre, spread = (part.gather(-1, mode)[..., 0].float() for part in (mean, std))
            picked = Picked(centre, spread, self.drawing.gain[0, component])
        return component, picked

    def _component_log_weights(self, modes: Modes, code: Tensor) -> Tensor:
        """log p(component | code, observations) up to a constant, (rows, K), of codes (rows, R)."""
        repeated = code[:, None].expand(-1, len(self.information), -1)
        fits = -0.5 * (self.likelihood.missed(repeated) + self.likelihood.volume)
        return torch.log_softmax(self.drawing.logits.double(), -1) + modes.log_prob(repeated) + fits

    def _code(self, component: Tensor, picked: Picked, noise: Tensor) -> Tensor:
        """Draws of the code given the observations and one Gaussian prior a row, (rows, R)."""
        variance = picked.std.double().square()
        precision = torch.diag_embed(1 / variance) + self.information[component]
        cholesky = torch.linalg.cholesky(precision)
        best = torch.cholesky_solve((self.shift[component] + picked.mean / variance)[..., None], cholesky)
        return (best + torch.linalg.solve_triangular(cholesky.mT, noise[..., None], upper=True)).squeeze(-1)

    def move(self, fields: Tensor, component: Tensor, picked: Picked, errors: Tensor) -> Tensor:
        """Plain draws of the picked Gaussians, moved to agree: standardised (rows, c, h, w).

        Args:
            fields: the draws, standardised.
            component: (rows,), each draw's.
            picked: each draw's Gaussian of the code.
            errors: standard normals (rows, m), the noise of what is asked.
        """
        moved = torch.empty_like(fields)
        noise_of = torch.linalg.cholesky(self.asked.covariance)
        missed = (
            self.asked.values - fields.flatten(1).double() @ self.asked.rows.T - errors.double() @ noise_of.T
        )
        factors = self.drawing.factors[0].flatten(1).double()
        for k in component.unique().tolist():
            own = component == k
            variance = picked.std[own].double().square()  # (rows, R)
            solved = torch.cholesky_solve(missed[own].T, self.cholesky[k]).T  # S^-1 (v - ...)
            reach = torch.cholesky_solve(self.by_code, self.cholesky[k])  # S^-1 O L
            inner = torch.diag_embed(1 / variance) + self.information[k]
            inside = torch.linalg.solve(inner, (solved @ self.by_code)[..., None]).squeeze(-1)
            weight = solved - inside @ reach.T
            of_code = (variance * (weight @ self.by_code)) @ factors
            of_noise = self.wavelets.inverse((self.variance[k] * (weight @ self.by_wavelet)).float())
            moved[own] = fields[own] + of_code.float().view_as(of_noise) + of_noise
        return moved


def large_cells(shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Rows that average a field (c, h, w) over ``LARGE_CELLS`` a side, (c * cells, values), float64."""
    channels, height, width = shape
    eye = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    sides = min(LARGE_CELLS, height), min(LARGE_CELLS, width)
    rows = torch.nn.functional.adaptive_avg_pool2d(eye, sides).flatten(1).T
    return torch.block_diag(*[rows] * channels)


def errors_of(noise: DrawNoise, size: int) -> Tensor:
    """Standard normals (rows, size) that are a function of a draw's own noise, and otherwise independent of it.

    The stream itself must not be read further, or a sample that is asked something would begin with other noise
    than a plain one.
    """
    rows = []
    for row in noise.detail:
        digest = hashlib.blake2b(row.cpu().numpy().tobytes(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
        rows.append(torch.randn(size, generator=generator))
    return torch.stack(rows).to(noise.detail.device)


def _seen(drawing: Drawing, wavelets: Wavelets, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows O (m, values) as codes and as wavelets have them, O L (m, R) and O W' (m, values), and the variance
    of the wavelets in every component, (K, values), of one condition, float64."""
    by_code = rows @ drawing.factors[0].flatten(1).double().T
    by_wavelet = wavelets(rows.float().view(-1, *drawing.mean.shape[1:])).double()
    scale = (drawing.log_noise[0] + wavelets.expand(drawing.gain[0])).exp().double()
    return by_code, by_wavelet, scale.square()


def _prior(drawing: Drawing, wavelets: Wavelets, rows: Tensor) -> Tensor:
    """Covariance of rows of the fields of one condition under all its components, (m, m)."""
    weights = torch.softmax(drawing.logits[0].double(), -1)
    mean, std = (part[0] for part in Modes.of(drawing).moments())  # (K, R)
    by_code, by_wavelet, variance = _seen(drawing, wavelets, rows)
    off = mean - weights @ mean
    code = torch.einsum("k,kr,ks->rs", weights, off, off) + torch.diag(weights @ std.square())
    return by_code @ code @ by_code.T + (by_wavelet * (weights @ variance)) @ by_wavelet.T
