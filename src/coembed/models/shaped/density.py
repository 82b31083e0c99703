r"""p(field | condition) of the photo-shaped model in closed form: code, noise and mixture are summed out.

.. math:: y = \mu + L z + W^T \mathrm{diag}(s_k) e, \quad
   z_r \sim \sum_j \rho_{krj} N(m_{krj}, t_{krj}^2), \quad k \sim \pi

With one mode per factor (J = 1), V = W L and D_k = diag(s_k^2), component k is N(V m_k, V T_k^2 V' + D_k). By
the Woodbury identity and the determinant lemma it needs one Cholesky factor of R x R, of I + T_k V' D_k^-1 V
T_k; s_k is s times one factor a group of wavelets, so that V' D_k^-1 V is a weighted sum of one matrix a group.

With more modes a factor there are J^R of them together. Jensen's inequality over the modes, with independent
weights gamma_kr that are improved by coordinate ascent, makes every factor one Gaussian again (of precision
sum_j gamma_j / t_j^2), and what is left is the case above: a lower bound, tight where the field says which mode
each factor is in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from coembed.models.shaped.network import Drawing
from coembed.numerics.distributions import LOG_2PI
from coembed.numerics.wavelets import Wavelets

ROUNDS = 3  # of coordinate ascent on the weights of a factor's modes


@dataclass(frozen=True)
class CodePosterior:
    """p(code, component | field, condition) of a batch: exact with one mode per factor, else its approximation.

    Attributes:
        log_joint: log p(field, component | condition), nats, (batch, K), of standardised fields; a lower bound
            with more than one mode per factor.
        mean: of the code in every component, (batch, K, R).
        scale: lower triangular (batch, K, R, R), float64: ``mean + scale @ e`` is a draw of the code.
    """

    log_joint: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def log_weights(self) -> Tensor:
        """Of the components, (batch, K)."""
        return torch.log_softmax(self.log_joint, -1)

    def log_prob(self) -> Tensor:
        """log p(field | condition), nats, (batch,)."""
        return torch.logsumexp(self.log_joint, -1)

    def expected_code(self) -> Tensor:
        """E[z | y, x], (batch, R)."""
        return (self.log_weights.exp()[..., None] * self.mean).sum(1)


@dataclass(frozen=True)
class CodeLikelihood:
    """p(observation of a field | code): a Gaussian function of the code, for every component.

    Attributes:
        information: A, (batch, K, R, R), float64.
        shift: b, (batch, K, R): the best code without a prior is A^-1 b.
        squared: squared distance of what is observed from the mean, in deviations of its noise, (batch, K).
        volume: log determinant of the noise's covariance, (batch, K).
        values: numbers observed.
    """

    information: Tensor
    shift: Tensor
    squared: Tensor
    volume: Tensor
    values: int

    def solve(self, centre: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Codes given the observation, where each has the prior N(centre, std^2), (batch, K, R) float64.

        Returns:
            The posterior's means, (batch, K, R) without gradient, and the Cholesky factor of the precision of
            ``(z - centre) / std``.
        """
        eye = torch.eye(std.shape[-1], dtype=std.dtype, device=std.device)
        # A diverged network's matrix has no factor: not a number, which training skips, in place of an error.
        cholesky, failed = torch.linalg.cholesky_ex(std[..., None] * self.information * std[..., None, :] + eye)
        cholesky = torch.where((failed > 0)[..., None, None], torch.nan, cholesky)
        with torch.no_grad():  # at the best code the quadratic form does not depend on it to first order
            shifted = std * (self.shift - (self.information @ centre[..., None]).squeeze(-1))
            return centre + std * torch.cholesky_solve(shifted[..., None], cholesky).squeeze(-1), cholesky

    def missed(self, code: Tensor) -> Tensor:
        """Squared distance (batch, K) of what is observed from what a code (batch, K, R) decodes to."""
        bent = (self.information @ code[..., None]).squeeze(-1)
        return self.squared - 2 * (self.shift * code).sum(-1) + (bent * code).sum(-1)

    def log_joint(self, modes: Modes, gamma: Tensor, logits: Tensor) -> Tensor:
        """log p(observation, component), nats, (batch, K), or its bound by the modes' weights ``gamma``."""
        return self.parts(*modes.together(gamma), logits, self.missed)[0]

    def parts(
        self,
        centre: Tensor,
        std: Tensor,
        constant: Tensor,
        logits: Tensor,
        missed: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``log_joint`` with the prior N(centre, std^2) of mass ``constant``, codes' means, Cholesky
        factors."""
        best, cholesky = self.solve(centre, std)
        quadratic = missed(best) + ((best - centre) / std).square().sum(-1)
        volume = self.volume + 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_joint = torch.log_softmax(logits.double(), -1) + constant
        return log_joint - 0.5 * (quadratic + volume + self.values * LOG_2PI), best, cholesky


@dataclass(frozen=True)
class _Whole:
    """A whole field as an observation, and how far it is from what codes decode to, without loss of digits.

    Attributes:
        factors: V / s, (batch, R, values).
        residual: W (y - mu) / s, (batch, values).
        weights: 1 / gain^2, (batch, K, groups), float64.
        wavelets: of the field, which tell the groups of coefficients apart.
        likelihood: of the field.
    """

    factors: Tensor
    residual: Tensor
    weights: Tensor
    wavelets: Wavelets
    likelihood: CodeLikelihood

    @classmethod
    def of(cls, drawing: Drawing, wavelets: Wavelets, field: Tensor) -> _Whole:
        inverse = torch.exp(-drawing.log_noise)
        factors = wavelets(drawing.factors) * inverse[:, None]
        residual = wavelets(field - drawing.mean) * inverse
        weights = torch.exp(-2 * drawing.gain).double()
        groups, left = wavelets.split(factors), wavelets.split(residual)
        # In float32 the matrix of a sharp field may be indefinite.
        gram = torch.stack([part.double() @ part.double().mT for part in groups], 1)
        pairs = zip(groups, left, strict=True)
        shift = torch.stack([(part @ off[..., None]).squeeze(-1) for part, off in pairs], 1).double()
        squared = torch.stack([off.square().sum(-1) for off in left], 1).double()
        counts = torch.tensor(wavelets.sizes, dtype=torch.float64, device=weights.device)
        likelihood = CodeLikelihood(
            torch.einsum("bkg,bgrs->bkrs", weights, gram),
            torch.einsum("bkg,bgr->bkr", weights, shift),
            torch.einsum("bkg,bg->bk", weights, squared),
            2 * (drawing.log_noise.double().sum(1)[:, None] + (drawing.gain * counts).sum(-1)),
            residual.shape[-1],
        )
        return cls(factors, residual, weights, wavelets, likelihood)

    def missed(self, code: Tensor) -> Tensor:
        """As ``CodeLikelihood.missed``, by the residual itself."""
        off = (self.residual[:, None] - code.float() @ self.factors).square()
        return (self.weights * torch.stack([part.sum(-1) for part in self.wavelets.split(off)], -1)).sum(-1)


def code_posterior(drawing: Drawing, wavelets: Wavelets, field: Tensor) -> CodePosterior:
    """Condition codes on standardised fields (batch, c, h, w); gradients flow through ``log_joint``."""
    whole, modes = _Whole.of(drawing, wavelets, field), Modes.of(drawing)
    centre, std, constant = modes.together(responsibilities(modes, whole.likelihood))
    log_joint, best, cholesky = whole.likelihood.parts(centre, std, constant, drawing.logits, whole.missed)
    with torch.no_grad():
        eye = torch.eye(std.shape[-1], dtype=std.dtype, device=std.device).expand_as(cholesky)
        scale = std[..., None] * torch.linalg.solve_triangular(cholesky.mT, eye, upper=True)
    return CodePosterior(log_joint.float(), best.float(), scale)


def log_likelihood(drawing: Drawing, wavelets: Wavelets, field: Tensor, code: Tensor) -> Tensor:
    """log p(field | code, component, condition) of codes (batch, K, R), nats, (batch, K)."""
    whole = _Whole.of(drawing, wavelets, field)
    return -0.5 * (whole.missed(code) + whole.likelihood.volume + whole.likelihood.values * LOG_2PI).float()


@torch.no_grad()
def responsibilities(modes: Modes, likelihood: CodeLikelihood) -> Tensor:
    """Weights of the modes of every factor given an observation, (batch, K, R, J), by coordinate ascent on the
    bound."""
    if modes.mean.shape[-1] == 1:
        return torch.ones_like(modes.mean)
    centre, std = modes.moments()
    gamma = modes.log_weights.exp()
    for _ in range(ROUNDS):
        best, cholesky = likelihood.solve(centre, std)
        variance = std.square() * torch.cholesky_inverse(cholesky).diagonal(dim1=-2, dim2=-1)
        off = (best[..., None] - modes.mean).square() + variance[..., None]
        gamma = torch.softmax(modes.log_weights - modes.std.log() - 0.5 * off / modes.std.square(), -1)
        centre, std, _ = modes.together(gamma)
    return gamma


@dataclass(frozen=True)
class Modes:
    """The prior of a code's numbers in every component: (batch, K, R, J) each, float64.

    Attributes:
        log_weights: normalised over J.
        mean: of a mode.
        std: of a mode.
    """

    log_weights: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, drawing: Drawing) -> Modes:
        """Those that a network has drawn."""
        log_weights = torch.log_softmax(drawing.mode_logits.double(), -1)
        return cls(log_weights, drawing.code_mean.double(), drawing.code_log_std.double().exp())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation over the modes, (batch, K, R)."""
        weights = self.log_weights.exp()
        mean = (weights * self.mean).sum(-1)
        return mean, (weights * (self.std.square() + (self.mean - mean[..., None]).square())).sum(-1).sqrt()

    def overall(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the code over components of these logits (batch, K), too: (batch, R) each,
        float32."""
        mean, std = (part.float() for part in self.moments())
        weights = torch.softmax(logits, -1)[..., None]
        expected = (weights * mean).sum(1)
        return expected, (weights * (std.square() + (mean - expected[:, None]).square())).sum(1)

    def together(self, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The one Gaussian that modes weighted by ``gamma`` (batch, K, R, J) are in Jensen's bound.

        Returns:
            Mean and deviation (batch, K, R), and the log of its mass, (batch, K): 0 for one mode.
        """
        if gamma.shape[-1] == 1:
            return self.mean[..., 0], self.std[..., 0], gamma.new_zeros(())
        precision = gamma / self.std.square()
        total = precision.sum(-1)
        centre = (precision * self.mean).sum(-1) / total
        spread = (precision * (self.mean - centre[..., None]).square()).sum(-1)
        entropy = torch.special.entr(gamma)
        log_mass = (gamma * (self.log_weights - self.std.log()) + entropy).sum(-1) - 0.5 * (
            spread + total.log()
        )
        return centre, total.rsqrt(), log_mass.sum(-1)

    def log_prob(self, code: Tensor) -> Tensor:
        """Log density of codes (batch, K, R) in every component, (batch, K)."""
        off = (code.double()[..., None] - self.mean) / self.std
        found = self.log_weights - self.std.log() - 0.5 * (off.square() + LOG_2PI)
        return torch.logsumexp(found, -1).sum(-1)
