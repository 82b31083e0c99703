"""The ties by name."""

from __future__ import annotations

from coembed.models.cdvae.config import TieConfig
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie import Tie
from coembed.models.cdvae.tie_flow import HierarchicalFlow, JointFlow, TopFlow
from coembed.models.cdvae.tie_gaussian import GaussianTie
from coembed.models.cdvae.tie_mixture import HierarchicalMixture, JointMixture, TopMixture

_FAMILIES: dict[str, dict[str, type[Tie]]] = {
    "none": {"top": Tie, "all": Tie, "hier": Tie},
    "gaussian": {"top": GaussianTie, "all": GaussianTie, "hier": GaussianTie},
    "mixture": {"top": TopMixture, "all": JointMixture, "hier": HierarchicalMixture},
    "flow": {"top": TopFlow, "all": JointFlow, "hier": HierarchicalFlow},
}


def build_tie(config: TieConfig, condition: LadderVAE, field: LadderVAE, feature_size: int) -> Tie:
    """The tie that ``config.family`` and ``config.layers`` name; features are read where the config says so."""
    tie = _FAMILIES[config.family][config.layers]
    return tie(config, condition, field, feature_size if config.features else 0)
