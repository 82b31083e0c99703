"""The photo's own field in what samples vary: what they hold still cancels in the difference, exactly."""

import pytest
import torch

from coembed.models.base import CounterpartSampler
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig, MixtureTieConfig
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import PRESETS, preset


def linear(tie=None, codes=(3, 6)):
    torch.manual_seed(0)
    ladder = LadderConfig("linear", codes, ())
    tie = tie or MixtureTieConfig("mixture", "hier", components=3, hidden=8)
    model = CDVAE(CDVAEConfig((1, 6, 6), (1, 6, 6), ladder, ladder, tie))
    condition, field = torch.rand(40, 1, 6, 6), torch.rand(40, 1, 6, 6)
    model.initialise(condition, field)
    return model.eval(), condition[:4], field[:4]


def test_samples_are_those_of_sample():
    model, condition, field = linear()
    samples, own = model.sample_beside(condition, field, 5, generator=3, temperature=0.7)
    assert torch.equal(samples, model.sample(condition, 5, generator=3, temperature=0.7))
    assert own.shape == samples.shape and isinstance(model, CounterpartSampler)


@pytest.mark.parametrize("name", PRESETS)
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


def test_the_change_lies_in_what_samples_vary_and_is_all_of_it_there():
    model, condition, field = linear()
    model = model.with_sampling(n_active_dims=2, temperatures=(1.0, 0.0))
    samples, own = model.sample_beside(condition, field, 6, generator=1)
    of_samples = model.latents(condition.repeat(6, 1, 1, 1), samples.flatten(0, 1))[1][0]
    of_own = model.latents(condition.repeat(6, 1, 1, 1), own.flatten(0, 1))[1][0]
    truth = model.latents(condition, field)[1][0].repeat(6, 1)
    moved = (of_samples - of_own).abs().mean(0)
    assert moved[2] < 1e-4 * moved[:2].min()  # the third dimension of the top latent is held still
    # In those that vary the counterpart is the field's own, up to the encoder's shrinkage of a decoded field.
    around = torch.corrcoef(torch.stack([of_own[:, 0], truth[:, 0]]))[0, 1]
    assert around > 0.99


def test_a_lower_layer_without_noise_is_what_is_expected_under_the_own_top():
    model, condition, field = linear(GaussianTieConfig("gaussian", "top"))
    model = model.with_sampling(temperatures=(1.0, 0.0))
    own = model.sample_beside(condition, field, 4, generator=1)[1]
    enc, top = model.encode(condition), model.latents(condition, field)[1][0]
    below = model.conditional([top], enc).mean
    wanted = model.to_natural(model.decode([top, below], enc, torch.zeros(4, 0)))
    torch.testing.assert_close(own, wanted.expand_as(own), rtol=1e-4, atol=1e-5)


def test_a_temperature_asked_for_holds_nothing_still():
    model, condition, field = linear()
    cold = model.sample_beside(condition, field, 2, generator=1, temperature=0.0)[1]
    warm = model.sample_beside(condition, field, 2, generator=1)[1]
    torch.testing.assert_close(cold, warm)


def test_counterparts_do_not_depend_on_how_many_are_drawn():
    model, condition, field = linear()
    model = model.with_sampling(n_active_dims=1, temperatures=(1.0, 0.0))
    few, many = (model.sample_beside(condition, field, n, generator=1)[1] for n in (2, 7))
    assert torch.equal(few, many[:2])
