"""Laws that every preset obeys."""

import copy
import dataclasses
import json

import pytest
import torch

from coembed import serialization as configs
from coembed.models.base import Sampler
from coembed.models.cdvae import encoded
from coembed.models.cdvae.model import CDVAE
from coembed.models.registry import PRESETS, class_for, preset_config
from coembed.models.shaped import sampler
from coembed.numerics.random import Streams

SHAPE = (1, 16, 16)


@pytest.fixture(scope="module", params=PRESETS)
def model(request):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    config = preset_config(request.param, SHAPE, SHAPE)
    model = class_for(config)(config)
    condition = torch.rand(300, *SHAPE, generator=g)
    field = torch.sigmoid(condition + torch.randn(300, 1, 1, 1, generator=g))
    model.initialise(condition, field + 0.02 * torch.randn(300, *SHAPE, generator=g))
    return model


def batch(n=8, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=g), torch.rand(n, *SHAPE, generator=g)


def test_every_parameter_gets_a_gradient(model):
    model = copy.deepcopy(model).train()
    with torch.no_grad():
        for p in model.parameters():  # networks that start at zero hide what lies before them
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    model.loss(*batch(), generator=torch.Generator().manual_seed(0))["total"].mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


def test_loss_parts_are_one_number_an_example_and_add_up(model):
    model.train()
    parts = model.loss(*batch(), generator=torch.Generator().manual_seed(0), warmup=1.0)
    assert all(part.shape == (8,) and part.isfinite().all() for part in parts.values())
    total = sum(part for name, part in parts.items() if name != "total")
    torch.testing.assert_close(parts["total"], total)


def test_sample_k_of_photo_i_depends_on_seed_i_and_k_alone(model, monkeypatch):
    condition, _ = batch(5)
    whole = model.sample(condition, 7, generator=Streams(3, range(5)))
    assert whole.shape == (7, 5, *SHAPE) and isinstance(model, Sampler)
    alone = model.sample(condition[2:3], 4, generator=Streams(3, [2]))
    torch.testing.assert_close(alone[:, 0], whole[:4, 2], rtol=1e-4, atol=1e-5)
    for module in (encoded, sampler):
        monkeypatch.setattr(module, "CHUNK_VALUES", 1)
    torch.testing.assert_close(
        model.sample(condition, 7, generator=Streams(3, range(5))), whole, rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(whole, model.sample(condition, 7, generator=Streams(4, range(5))))


def test_sampling_leaves_the_mode_and_the_global_generator_alone(model):
    for mode in (True, False):
        model.train(mode)
        before = torch.get_rng_state()
        model.sample(batch(2)[0], 3, generator=0)
        model.loss(*batch(4), generator=torch.Generator().manual_seed(0))
        assert model.training is mode and torch.equal(before, torch.get_rng_state())


def test_config_survives_json_and_weights_survive_a_new_model(model):
    text = json.dumps(configs.to_dict(model.config))
    config = configs.from_dict(type(model.config), json.loads(text), "test")
    assert config == model.config
    other = type(model)(config)
    other.load_state_dict(model.state_dict())
    condition, _ = batch(2)
    assert torch.equal(other.sample(condition, 3, generator=0), model.sample(condition, 3, generator=0))


def test_more_particles_tighten_the_bounds(model):
    model.eval()
    condition, field = batch(16)
    bounds = [model.log_conditional, *([model.log_joint] if isinstance(model, CDVAE) else [])]
    for bound in bounds:
        one, many = (
            bound(condition, field, particles=k, generator=torch.Generator().manual_seed(0)).mean()
            for k in (1, 30)
        )
        assert one < many and many.isfinite()


def test_diagnostics_name_every_layer(model):
    found = model.diagnostics(*batch(32), generator=torch.Generator().manual_seed(0))
    layers = len(model.latent_scales()[1])
    assert len(found["kl_field"]) == len(found["active_field"]) == layers
    config = model.config.tie if isinstance(model, CDVAE) else model.config
    if hasattr(config, "components"):
        assert 1 <= found["components_effective"] <= config.components


def test_configs_are_frozen(model):
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.config.clip = None
