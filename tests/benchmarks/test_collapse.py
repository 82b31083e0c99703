import pytest
import torch
from collapse import code_collapse

from coembed.errors import ConfigError
from coembed.evaluation.synthetic.worlds import Regions
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset


@pytest.fixture(scope="module")
def fitted():
    """The default preset as it starts: principal components and a ridge regression, fitted in closed form."""
    world = Regions(16)
    torch.manual_seed(0)
    model = CDVAE(preset("default", world.condition_shape, world.field_shape))
    model.initialise(*world.pairs(600, seed=1))
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
