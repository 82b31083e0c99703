import pytest
import torch

from coembed.errors import ConfigError
from coembed.models.baselines.residuals import ResidualsConfig
from coembed.models.registry import fit_closed_form


def made(count=600):
    """Fields that are linear in the condition, with noise that is wide where the condition is high."""
    g = torch.Generator().manual_seed(0)
    condition = torch.rand(count, 1, 1, 1, generator=g).expand(-1, 1, 4, 4) + 0.01 * torch.randn(
        count, 1, 4, 4, generator=g
    )
    wide = torch.where(condition.mean((1, 2, 3)) > 0.5, 0.5, 0.05).view(-1, 1, 1, 1)
    return condition, 2 * condition + wide * torch.randn(count, 1, 1, 1, generator=g)


def test_samples_have_the_regressions_mean_and_the_spread_of_what_is_predicted_alike():
    condition, field = made()
    model = fit_closed_form("residuals", (condition, field), neighbours=100)
    asked = torch.stack([torch.full((1, 4, 4), 0.2), torch.full((1, 4, 4), 0.8)])
    samples = model.sample(asked, 4000, generator=0)
    assert samples.mean((0, 2, 3, 4)).tolist() == pytest.approx([0.4, 1.6], abs=0.2)
    assert samples.mean((2, 3, 4)).std(0).tolist() == pytest.approx([0.05, 0.5], rel=0.35)


def test_samples_are_clipped_and_options_checked():
    fields = fit_closed_form("residuals", made(), clip=(0.0, 1.0)).sample(
        torch.rand(3, 1, 4, 4), 9, generator=0
    )
    assert fields.min() >= 0 and fields.max() <= 1
    with pytest.raises(ConfigError, match="neighbours: got 0"):
        ResidualsConfig((1, 4, 4), (1, 4, 4), neighbours=0)
