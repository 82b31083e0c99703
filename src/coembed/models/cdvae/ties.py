"""The ties by name."""

from __future__ import annotations

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import Tie
from coembed.models.cdvae.tie_gaussian import GaussianTie
from coembed.models.cdvae.tie_mixture import JointMixture, TopMixture

_MIXTURES: dict[str, type[Tie]] = {"top": TopMixture, "all": JointMixture}


def build_tie(config: TieConfig, condition: LadderVAE, field: LadderVAE) -> Tie:
    """The tie that ``config.family`` and ``config.layers`` name."""
    families = {"none": Tie, "gaussian": GaussianTie}
    tie = _MIXTURES[config.layers] if config.family == "mixture" else families[config.family]
    return tie(config, condition, field)
