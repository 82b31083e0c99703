"""Samples have the moments of the density, and the photo's own field beside them is what samples vary."""

import dataclasses

import pytest
import torch
from toy_models import SHAPE, conditions, shaped

from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, ModelError
from coembed.models.base import CounterpartSampler, DensityBound, Guided, Scored
from coembed.models.sampling_config import SamplingConfig
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.density import Modes
from coembed.models.shaped.model import PhotoShaped
from coembed.models.shaped.presets import adapt
from coembed.models.shaped.presets import shaped as preset
from coembed.models.steering import Steerable


@pytest.mark.parametrize("modes", [1, 3])
def test_samples_have_the_mean_and_covariance_of_the_model(modes):
    model, condition = shaped(modes=modes), conditions(1)
    drawing = model.encode(condition)
    fields = model.standardise_field(model.sample(condition, 60_000, generator=0)[:, 0]).flatten(1).double()
    weights = torch.softmax(drawing.logits[0].double(), -1)
    mean, std = (part[0] for part in Modes.of(drawing).moments())
    factors = drawing.factors[0].flatten(1).double().T
    centre = drawing.mean[0].flatten().double() + factors @ (weights @ mean)
    matrix = model.wavelets(torch.eye(16).view(16, *SHAPE)).double().T
    covariance = torch.zeros(16, 16, dtype=torch.float64)
    for k, weight in enumerate(weights):
        scale = (drawing.log_noise[0] + model.wavelets.expand(drawing.gain[0, k])).exp().double()
        off = factors @ (mean[k] - weights @ mean)
        own = factors @ torch.diag(std[k].square()) @ factors.T + matrix.T @ torch.diag(scale.square()) @ matrix
        covariance += weight * (own + torch.outer(off, off))
    torch.testing.assert_close(fields.mean(0), centre, rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(fields.T), covariance, rtol=0.05, atol=0.05)


def test_it_keeps_the_contracts_of_what_it_can_do():
    model = shaped()
    for protocol in (CounterpartSampler, Steerable, DensityBound, Guided, Scored):
        assert isinstance(model, protocol)


def test_draws_that_vary_in_all_are_compared_with_the_field_itself_and_others_with_what_the_code_holds():
    model, condition = shaped(), conditions(2)
    field = model.sample(condition, 1, generator=9)[0]
    samples, own = model.sample_beside(condition, field, 3, generator=1)
    assert torch.equal(samples, model.sample(condition, 3, generator=1))
    torch.testing.assert_close(own, field.expand_as(own))
    quiet = model.with_sampling(SamplingConfig((1.0, 0.0)))
    samples, own = quiet.sample_beside(condition, field, 3, generator=1)
    torch.testing.assert_close(own, quiet.reconstruct(condition, field).expand_as(own), rtol=1e-4, atol=1e-5)
    drawing = model.encode(condition)
    rows = (samples - own).flatten(2)[:, 0] / 0.5
    factors = drawing.factors[0].flatten(1)
    left = rows - rows @ torch.linalg.pinv(factors) @ factors  # the change lies in what the factors can do
    assert left.abs().max() < 1e-4


def test_scored_draws_are_those_of_the_components_with_gradients():
    model, condition = shaped(modes=2), conditions(2)
    field = model.sample(condition, 1, generator=9)[0]
    g = torch.Generator().manual_seed(0)
    _, (before, after), draws = model.loss_and_draws(condition, field, 4000, generator=g)
    assert draws.samples.shape == (2, 4000, 2, *SHAPE) and before[0].shape == after[0].shape == (2, 3)
    torch.testing.assert_close(draws.weights.sum(1), torch.ones(2))
    mixed = (draws.weights.T[..., None, None, None] * draws.samples.mean(1)).sum(0)
    plain = model.standardise_field(model.sample(condition, 8000, generator=4).mean(0))
    torch.testing.assert_close(mixed, plain, rtol=0, atol=0.08)
    draws.samples.square().mean().backward()
    assert model.network.start_factors.grad is not None and model.network.start_code.grad is not None


def test_a_heavy_tailed_field_comes_back_and_its_density_is_in_natural_units():
    g = torch.Generator().manual_seed(0)
    condition, field = conditions(60), 0.1 * torch.sinh(2 * torch.randn(60, *SHAPE, generator=g))
    model = PhotoShaped(dataclasses.replace(shaped().config, field_scale=0.1))
    model.initialise(condition, field)
    plain = PhotoShaped(dataclasses.replace(model.config, field_scale=0.0))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k != "field_peak"})
    assert model.sample(condition[:5], 50, generator=0).abs().max() <= field.abs().max()
    mine = model.log_conditional(condition, field, generator=g)
    theirs = plain.log_conditional(condition, torch.asinh(field / 0.1), generator=g)
    slope = -0.5 * (field.square() + 0.01).log().flatten(1).sum(1)
    torch.testing.assert_close(mine, theirs + slope, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ((3, 64, 64), (1, 32, 32)),
        ((1, 15, 15), (2, 15, 15)),
        ((2, 30, 50), (1, 24, 16)),
        ((1, 1, 1), (3, 1, 1)),
    ],
)
def test_any_sizes_train_and_sample(condition, field):
    model = PhotoShaped(preset(condition, field))
    x, y = torch.rand(20, *condition), torch.rand(20, *field)
    model.initialise(x, y)
    assert model.loss(x[:4], y[:4], generator=torch.Generator().manual_seed(0))["total"].isfinite().all()
    assert model.sample(x[:2], 3, generator=0).shape == (3, 2, *field)


def test_few_scenes_and_heavy_tails_change_the_preset_and_say_so():
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 1, 8, 8, generator=g), torch.randn(60, 1, 8, 8, generator=g)
    config, reasons = adapt(
        preset((1, 8, 8), (1, 8, 8)), PairStore.from_arrays(x, y), [str(i) for i in range(60)]
    )
    assert (config.components, config.factors, config.field_scale) == (5, 15, 0.0) and "60 scenes" in reasons[0]
    tails = y * torch.rand(60, 1, 1, 1, generator=g).pow(-2)
    config, reasons = adapt(config, PairStore.from_arrays(x, tails), [str(i) for i in range(60)])
    assert config.field_scale > 0 and "heavy tails" in reasons[-1]


def test_options_out_of_range_are_named():
    with pytest.raises(ConfigError, match="field_shape: got 12 x 12, expected multiples of 8"):
        ShapedConfig((1, 12, 12), (1, 12, 12), levels=2)
    with pytest.raises(ConfigError, match="modes: got 0"):
        ShapedConfig((1, 16, 16), (1, 16, 16), modes=0, levels=2)
    with pytest.raises(ModelError, match="expected a number >= 0 or two"):
        shaped().sample(conditions(), 2, generator=0, temperature=[1.0, 1.0, 1.0])
    with pytest.raises(ModelError, match="n: got 0"):
        shaped().sample(conditions(), 0, generator=0)
    with pytest.raises(ModelError, match=r"condition: got shape \(2, 1, 3, 4\)"):
        shaped().sample(torch.zeros(2, 1, 3, 4), 1, generator=0)
