import dataclasses

import pytest
import torch

from coembed.errors import ConfigError
from coembed.models.cdvae.config import CDVAEConfig, LadderConfig
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.mode_proposals import ModeProposals
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset

SEES = LadderConfig("conv", (3, 2, 2), (16, 16, 8), (8, 4, 2), conditional=True)


def shaken(module):
    """Networks that start at zero hide what lies before them."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g))
    return module.eval()


def small(condition, field, **changes):
    config = preset("conv", condition, field)
    narrow = dataclasses.replace(config.field, hidden=(16, 16, 16, 8), codes=(4, 2, 2, 1))
    regression = dataclasses.replace(config.regression, rank=16, features=8, patches=0)
    tie = dataclasses.replace(config.tie, hidden=16, components=3)
    parts = {"field": narrow, "regression": regression, "tie": tie, "n_proposals": 3} | changes
    return CDVAE(dataclasses.replace(config, **parts))


@pytest.mark.parametrize("size", [16, 32, 64, 24])
@pytest.mark.slow
def test_condition_and_field_may_have_any_sizes(size):
    """The photo may be larger than the field, also by no whole number, or smaller."""
    model = small((3, size, size), (2, 16, 16))
    condition, field = torch.rand(12, 3, size, size), torch.rand(12, 2, 16, 16)
    model.initialise(condition, field)
    model.loss(condition, field, generator=torch.Generator().manual_seed(0))["total"].mean().backward()
    assert model.sample(condition[:2], 3, generator=0).shape == (3, 2, 2, 16, 16)
    assert model.reconstruct(condition[:2], field[:2]).shape == (2, 2, 16, 16)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (128, 128), (48, 64)])
def test_codes_run_from_the_whole_image_to_half_the_fields_size(height, width):
    model = small((1, height, width), (1, height, width))
    first, *_, last = model.field_ladder.code_shapes
    assert last[1:] == (height // 2, width // 2)
    assert first[1:] == ((1, 1) if height == width else (3, 4))


def test_what_is_seen_moves_prior_posterior_and_pixels_at_that_place():
    torch.manual_seed(0)
    ladder = shaken(LadderVAE(SEES, (1, 16, 16), (3, 16, 16)))
    condition, mean = torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    other = condition.clone()
    other[..., :4, :4] = 3.0
    x = torch.randn(1, 1, 16, 16)
    maps = [ladder.tower.encode_context(c, mean, None) for c in (condition, other)]
    inferred = [ladder.tower.infer(x, None, context_maps=m) for m in maps]
    latents = inferred[0].latents
    for layer in (1, 2):
        states = [ladder.through(latents[:layer], ladder.tower.top_down(x, m)) for m in maps]
        priors = [ladder.tower.prior(state) for state in states]
        assert not torch.allclose(priors[0].mean, priors[1].mean)
    assert not torch.allclose(inferred[0].posteriors[0].mean, inferred[1].posteriors[0].mean)
    moved = (ladder.decode_latents(latents, maps[0]).mean - ladder.decode_latents(latents, maps[1]).mean).abs()
    assert moved[..., :4, :4].mean() > 2 * moved[..., 12:, 12:].mean()


def test_the_way_down_goes_on_where_it_stands_and_gives_what_a_list_gives():
    ladder = shaken(LadderVAE(SEES, (1, 16, 16), (3, 16, 16)))
    maps = ladder.tower.encode_context(torch.randn(2, 3, 16, 16), torch.zeros(2, 1, 16, 16), None)
    latents, runs = [torch.randn(2, *shape) for shape in ladder.code_shapes], []
    ladder.tower.mix[0].register_forward_hook(lambda *_: runs.append(1))
    begin = ladder.tower.top_down(latents[0], maps)
    state = begin
    for layer, latent in enumerate(latents):
        found = ladder.tower.prior(state)
        wanted = ladder.tower.prior(ladder.through(latents[:layer], begin))
        assert torch.equal(found.mean, wanted.mean) and torch.equal(found.log_var, wanted.log_var)
        state = ladder.tower.step(state, latent)
    runs.clear()
    assert torch.equal(ladder.decode(state).mean, ladder.decode_latents(latents, maps).mean)
    assert len(runs) == 1  # the list's; the state had gone there


def test_kinds_are_the_regressions_that_made_the_fields():
    g = torch.Generator().manual_seed(0)
    condition = torch.randn(3000, 1, 4, 4, generator=g)
    maps = torch.randn(2, 16, 16, generator=g) / 4
    which = torch.randint(2, (3000,), generator=g)
    field = torch.einsum("ni,nij->nj", condition.flatten(1), maps[which]).view(-1, 1, 4, 4)
    proposals = ModeProposals(2, 16, (1, 4, 4))
    assert not proposals(condition[:5].flatten(1)).any()
    proposals.initialize_from_data(condition.flatten(1), field)
    found = proposals(condition[:500].flatten(1))
    error = (found - field[:500]).square().flatten(2).mean(2)
    nearest = error.min(1).values.mean()
    assert found.shape == (500, 2, 4, 4) and nearest < 0.05 * field.var()


def test_the_decoder_chooses_between_kinds():
    torch.manual_seed(0)
    config = dataclasses.replace(SEES, likelihood="pixel")
    ladder = shaken(LadderVAE(config, (1, 16, 16), (3, 16, 16), 2))
    condition, mean = torch.randn(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    proposals = torch.stack([torch.zeros(1, 16, 16), torch.full((1, 16, 16), 100.0)], 1)
    maps = ladder.tower.encode_context(condition, mean, proposals)
    latents = [torch.zeros(1, *shape) for shape in ladder.code_shapes]
    with torch.no_grad():
        ladder.tower.choose.bias.copy_(torch.tensor([20.0, -20.0]))
        without = ladder.decode_latents(latents, maps).mean
        ladder.tower.choose.bias.copy_(torch.tensor([-20.0, 20.0]))
        torch.testing.assert_close(ladder.decode_latents(latents, maps).mean, without + 100)


def test_what_a_layer_may_keep_for_free_costs_that_and_has_no_gradient():
    """The top code's share is what rate and tie say of it together: its mixture's, not N(0, I)'s."""
    model = shaken(small((1, 16, 16), (1, 16, 16), free_bits=1e4))
    condition, field = torch.rand(4, 1, 16, 16), torch.rand(4, 1, 16, 16)
    parts = model.loss(condition, field, generator=torch.Generator().manual_seed(0))
    layers = len(model.config.field.codes)
    torch.testing.assert_close(parts["rate_field"] + parts["tie"], torch.full((4,), layers * 1e4))
    (parts["rate_field"] + parts["tie"]).sum().backward()
    assert model.tie.logits.weight.grad is None or model.tie.logits.weight.grad.abs().max() < 1e-4
    free = small((1, 16, 16), (1, 16, 16), free_bits=0.0)
    free.load_state_dict(model.state_dict())
    kept = free.eval().loss(condition, field, generator=torch.Generator().manual_seed(0))
    assert (kept["rate_field"] + kept["tie"]).max() < 1e4 and torch.equal(
        kept["distortion_field"], parts["distortion_field"]
    )


def test_what_only_a_tower_that_sees_can_be_given_is_refused_elsewhere():
    with pytest.raises(ConfigError, match="conditional: is of a conv tower, got tower 'fc'"):
        LadderConfig(conditional=True)
    with pytest.raises(ConfigError, match=r"n_proposals: got 4, expected 0, or more with field\.condi"):
        CDVAEConfig((1, 8, 8), (1, 8, 8), n_proposals=4)
    with pytest.raises(ConfigError, match="n_proposals: needs a regression"):
        CDVAEConfig((1, 16, 16), (1, 16, 16), field=SEES, n_proposals=2)
    with pytest.raises(ConfigError, match="n_proposals: got -1"):
        small((1, 16, 16), (1, 16, 16), n_proposals=-1)
