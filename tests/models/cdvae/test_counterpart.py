"""The photo's own field in what samples vary: what they hold still cancels in the difference, exactly."""

import pytest
import torch
from toy_models import with_linear_towers

from coembed.models.base import CounterpartSampler
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import PAPER_PRESETS, preset
from coembed.models.sampling_config import SamplingConfig


def linear_model(tie=None):
    torch.manual_seed(0)
    ladder = LadderConfig((3, 6), (8, 8))
    tie = tie or GaussianTieConfig(layers="top")
    model = with_linear_towers(CDVAE(CDVAEConfig((1, 6, 6), (1, 6, 6), ladder, ladder, tie)))
    condition, field = torch.rand(40, 1, 6, 6), torch.rand(40, 1, 6, 6)
    model.initialise(condition, field)
    return model.eval(), condition[:4], field[:4]


def test_samples_are_those_of_sample():
    model, condition, field = linear_model()
    samples, own = model.sample_beside(condition, field, 5, generator=3, temperature=0.7)
    assert torch.equal(samples, model.sample(condition, 5, generator=3, temperature=0.7))
    assert own.shape == samples.shape and isinstance(model, CounterpartSampler)


@pytest.mark.parametrize("name", PAPER_PRESETS)
def test_where_all_varies_the_counterpart_is_the_reconstruction(name):
    torch.manual_seed(0)
    model = CDVAE(preset(name, (1, 8, 8), (1, 8, 8)))
    condition, field = torch.rand(24, 1, 8, 8), torch.rand(24, 1, 8, 8)
    model.initialise(condition, field)
    model.eval()
    own = model.sample_beside(condition[:2], field[:2], 3, generator=0)[1]
    whole = model.reconstruct(condition[:2], field[:2])
    if model.config.clip:
        whole = whole.clamp(*model.config.clip)
    torch.testing.assert_close(own, whole.expand_as(own), rtol=1e-4, atol=1e-5)


def test_a_lower_layer_without_noise_is_what_is_expected_under_the_own_top():
    model, condition, field = linear_model()
    model = model.with_sampling(SamplingConfig((1.0, 0.0)))
    own = model.sample_beside(condition, field, 4, generator=1)[1]
    top = model.latents(condition, field)[1][0]
    below = model.conditional([top], model.encode(condition)).mean
    wanted = model.to_natural(model.field_ladder.decode_latents([top, below]).mean)
    torch.testing.assert_close(own, wanted.expand_as(own), rtol=1e-4, atol=1e-5)


def test_a_temperature_asked_for_holds_nothing_still():
    model, condition, field = linear_model()
    cold = model.sample_beside(condition, field, 2, generator=1, temperature=0.0)[1]
    warm = model.sample_beside(condition, field, 2, generator=1)[1]
    torch.testing.assert_close(cold, warm)


def test_counterparts_do_not_depend_on_how_many_are_drawn():
    model, condition, field = linear_model()
    model = model.with_sampling(SamplingConfig((1.0, 0.0)))
    few, many = (model.sample_beside(condition, field, n, generator=1)[1] for n in (2, 7))
    assert torch.equal(few, many[:2])
