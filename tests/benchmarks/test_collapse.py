import math

import pytest
import torch
from collapse import code_collapse
from toy_models import with_linear_towers

from coembed.errors import ConfigError
from coembed.evaluation.synthetic.worlds import Regions
from coembed.models.cdvae.config import CDVAEConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.pca import principal_components


@pytest.fixture(scope="module")
def fitted():
    """Codes that are principal components, and a tie of their own Gaussian."""
    world = Regions(16)
    torch.manual_seed(0)
    ladder = LadderConfig((12, 24), (8, 8), sigma=0.1)
    config = CDVAEConfig(world.condition_shape, world.field_shape, ladder, ladder, condition_code="mean")
    model = with_linear_towers(CDVAE(config))
    condition, field = world.pairs(600, seed=1)
    model.initialise(condition, field)
    with torch.no_grad():
        for side, data in (("condition", condition), ("field", field)):
            tower = getattr(model, f"{side}_ladder").tower
            flat = model._standardise(data, side).flatten(1)
            tower.offset.copy_(flat.mean(0))
            variance, axes = principal_components(flat - flat.mean(0), 36)
            tower.basis.copy_(axes)
            tower.log_scale.copy_(0.5 * variance.log())
            tower.message_log_var.copy_(2 * math.log(0.1) - variance.log())
    return world, model.train()


def values(found):
    return {key: estimate.value for key, estimate in found.items()}


def test_codes_of_a_linear_encoder_hold_the_modes(fitted):
    world, model = fitted
    found = values(code_collapse(model, world, conditions=3, samples=50))
    assert model.training
    assert set(found) == {p + k for p in ("", "top_") for k in ("code_spread", "code_modes", "code_distance")}
    assert found["top_code_modes"] > 0.5
    assert found["top_code_spread"] > 0.3


def test_an_encoder_that_forgets_shows_in_the_modes_and_a_narrow_tie_in_the_spread(fitted, monkeypatch):
    world, model = fitted
    before = values(code_collapse(model, world, conditions=3, samples=60))
    sample = model.tie.sample
    monkeypatch.setattr(model.tie, "sample", lambda *a: sample(*a[:3], [0.1 * t for t in a[3]]))
    narrow = values(code_collapse(model, world, conditions=3, samples=60))
    assert narrow["code_spread"] < 0.5 * before["code_spread"]
    assert narrow["code_distance"] > before["code_distance"]
    with torch.no_grad():
        saved = model.field_ladder.tower.message_log_var.clone()
        model.field_ladder.tower.message_log_var.fill_(8.0)  # q(zg | xg) is the prior, whatever the field
        blind = values(code_collapse(model, world, conditions=3, samples=60))
        model.field_ladder.tower.message_log_var.copy_(saved)
    assert blind["code_modes"] < 0.1 < before["top_code_modes"]


def test_few_samples_are_refused(fitted):
    with pytest.raises(ConfigError, match="got 5 of 2 conditions, expected at least 20"):
        code_collapse(fitted[1], fitted[0], conditions=2, samples=5)
