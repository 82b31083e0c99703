"""A normalising flow between a mixture's codes and the field's: a tie of any shape with an exact density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coembed.errors import ModelError
from coembed.models.cdvae.config import FlowTieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie_mixture import HierarchicalMixture, JointMixture, MixtureTie, TopMixture
from coembed.models.nn import zero_init
from coembed.numerics.distributions import Mixture

MAX_LOG_SCALE = 2.0  # per layer: bounds what a latent far from all that was trained on can be stretched by


@dataclass(frozen=True)
class FlowMixture(Mixture):
    """A mixture behind an invertible map: z = T(u), u ~ mixture.

    The mixture's own tensors are those of u. ``known`` (batch, size) is what the map is conditioned on.
    """

    couplings: Couplings
    known: Tensor

    def component_log_probs(self, z: Tensor) -> Tensor:
        """log (weight x density) of every component at z (batch, dim): (batch, K)."""
        u, log_det = self.couplings.inverse(z, self.known)
        return super().component_log_probs(u) + log_det[:, None]

    def sample(self, uniform: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw from the component that ``uniform`` (batch,) picks, with ``noise`` (batch, dim)."""
        return self.couplings(super().sample(uniform, noise, temperature), self.known)


class FlowTie(MixtureTie):
    r"""A mixture tie whose tied latents go through conditional affine couplings [RealNVP, Dinh et al. 2017].

    .. math:: \log p(z_g \mid z_c) = \log \sum_k \pi_k N(T^{-1}(z_g); m_k, S_k) +
              \log |\det \partial T^{-1} / \partial z_g|

    The couplings begin as the identity, so a flow begins as the mixture that closed form gives. One pass
    samples, as before. The density is no mixture of Gaussians, so what is closed form for those (hints,
    examples, paths between samples) is not for a flow.
    """

    def __init__(self, config: FlowTieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int = 0):
        super().__init__(config, condition, field, feature_size)
        self.couplings = Couplings(self.dim, config.hidden, config.couplings, config.hidden // 2)

    def top(self, ladder: LadderVAE, enc: EncodedCondition) -> Mixture:
        """Raise ModelError: what steers samples is closed form for Gaussians and their mixtures alone."""
        raise ModelError("tie: got a flow, expected a gaussian or a mixture, whose draws can be steered")

    def density(self, h: Tensor, enc: EncodedCondition) -> FlowMixture:
        """The mixture from the trunk's hidden vector h (batch, hidden), behind the couplings."""
        base = super().density(h, enc)
        return FlowMixture(base.logits, base.mean, base.log_var, self.couplings, h)


class TopFlow(FlowTie, TopMixture):
    """A flow over the top latent; the ladder's own prior tells those below."""


class JointFlow(FlowTie, JointMixture):
    """A flow over all latents at once."""


class HierarchicalFlow(FlowTie, HierarchicalMixture):
    """A flow over the top latent; every lower one is Gaussian given those above and the condition."""


class Couplings(nn.Module):
    """Affine couplings: each moves and scales every second dimension by what the others are.

    Args:
        dim: of the codes, at least 1; a code of one dimension is moved and scaled by the condition alone.
        known: length of the vector that every coupling is conditioned on.
        layers: number of couplings; even and odd dimensions take turns.
        hidden: width of the networks.
    """

    moved: Tensor  # (layers, dim), 1 where a layer moves a dimension

    def __init__(self, dim: int, known: int, layers: int, hidden: int):
        super().__init__()
        moved = [torch.arange(dim) % 2 == (layer + dim) % 2 for layer in range(layers)]
        self.register_buffer("moved", torch.stack(moved).float(), persistent=False)
        self.networks = nn.ModuleList(_network(dim + known, hidden, 2 * dim) for _ in range(layers))

    def forward(self, u: Tensor, known: Tensor) -> Tensor:
        """From u (batch, dim) to codes."""
        for moved, network in self._layers():
            shift, log_scale = self._of(u, moved, known, network)
            u = u * torch.exp(log_scale) + shift
        return u

    def inverse(self, z: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """From codes (batch, dim) to ``(u, log |det du / dz|)``, the latter (batch,)."""
        log_det = torch.zeros(len(z), device=z.device)
        for moved, network in reversed(self._layers()):
            shift, log_scale = self._of(z, moved, known, network)
            z = (z - shift) * torch.exp(-log_scale)
            log_det = log_det - log_scale.sum(-1)
        return z, log_det

    def _layers(self) -> list[tuple[Tensor, nn.Module]]:
        return list(zip(self.moved, self.networks, strict=True))

    def _of(self, z: Tensor, moved: Tensor, known: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
        # A code far out must not throw the others out: networks see it squashed.
        kept = 3 * torch.tanh((1 - moved) * z / 3)
        shift, raw = network(torch.cat([kept, known.to(kept)], -1)).float().chunk(2, -1)
        return moved * shift, moved * MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    last = zero_init(nn.Linear(hidden, outputs))
    first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
    return nn.Sequential(first, nn.LeakyReLU(0.01), second, nn.LeakyReLU(0.01), last)
