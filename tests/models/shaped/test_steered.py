"""Samples that agree with what is asked have the posterior that weighting plain draws finds."""

import pytest
import torch
from toy_models import SHAPE, conditions, shaped

from coembed.errors import ConfigError, DataError
from coembed.models.shaped.conditioned import large_cells
from coembed.models.steering import Example, Hint
from coembed.numerics.random import Streams

every_model = pytest.mark.parametrize("modes", [1, 2])


def left_half(batch=2):
    mask = torch.zeros(batch, 1, 4, 4)
    mask[..., :2] = 1
    return mask


def weighed(model, condition, hint, draws=300_000):
    """Mean and deviation by weighting plain draws with the likelihood of what is held."""
    fields = model.sample(condition, draws, generator=11)[:, 0]
    standard, wanted = ((part - 0.4) / 0.5 for part in (fields, hint.field[0]))
    held = hint.covered[0]
    variance = hint.variance[0][held] + hint.model_std**2
    weights = torch.softmax((-0.5 * (standard[:, held] - wanted[held]).square() / variance).sum(1), 0)
    effective = 1 / weights.square().sum().item()
    mean = (weights[:, None, None, None] * fields).sum(0)
    return mean, (weights[:, None, None, None] * (fields - mean).square()).sum(0).sqrt(), effective


@every_model
@pytest.mark.parametrize("cells, tolerance", [(4, 0.5), (8, 1.0)])
def test_samples_have_the_mean_and_spread_of_the_posterior(modes, cells, tolerance):
    model, condition = shaped(modes), conditions(1)
    mask = torch.zeros(1, 1, 4, 4)
    mask.view(-1)[:cells] = 1
    mask.view(-1)[cells - 1] = 0.7  # covered in part
    hint = Hint(model.sample(condition, 8, generator=9)[7], mask, tolerance)
    mean, spread, effective = weighed(model, condition, hint)
    assert effective > 1_000  # otherwise the comparison says nothing
    sampled = model.sample_given(condition, 6_000, hint=hint, generator=2)[:, 0]
    torch.testing.assert_close(sampled.mean(0), mean, rtol=0, atol=0.03 if modes == 1 else 0.08)
    torch.testing.assert_close(sampled.std(0), spread, rtol=0.08, atol=0.02)


@every_model
def test_held_cells_are_held_exactly_and_the_others_move_to_meet_them(modes):
    model, condition = shaped(modes), conditions()
    for model_std in (0.0, 0.25):
        hint = Hint(model.sample(condition, 1, generator=9)[0] + 0.3, left_half(), model_std=model_std)
        sampled = model.sample_given(condition, 5, hint=hint, generator=2)
        torch.testing.assert_close(sampled[:, hint.covered], hint.field[hint.covered].expand(5, -1))
        plain = model.sample(condition, 5, generator=2)
        assert (sampled - plain)[:, ~hint.covered].abs().max() > 1e-3


def test_nothing_asked_is_plain_sampling_bit_for_bit_and_one_of_a_batch_may_be_free():
    model, condition = shaped(), conditions()
    hint = Hint(torch.full((2, *SHAPE), torch.nan), torch.full((2, 1, 4, 4), 0.4))
    plain = model.sample(condition, 5, generator=2)
    none = model.sample_given(condition, 5, hint=hint, example=Example(plain[0, :1], 0.0), generator=2)
    torch.testing.assert_close(none, plain, rtol=0, atol=1e-6)
    mask = left_half()
    mask[1] = 0
    one = model.sample_given(condition, 5, hint=Hint(torch.full((2, *SHAPE), 0.6), mask), generator=2)
    torch.testing.assert_close(one[:, 1], plain[:, 1], rtol=0, atol=1e-6)
    assert (one[:, 0] - plain[:, 0]).abs().max() > 0.01


def test_a_sample_that_is_asked_something_depends_on_seed_photo_and_number_alone():
    model, condition = shaped(2), conditions(3)
    hint = Hint(torch.full((3, *SHAPE), 0.6), left_half(3), 0.2)
    whole = model.sample_given(condition, 5, hint=hint, generator=Streams(4, range(3)))
    part = Hint(hint.field[1:2], hint.mask[1:2], 0.2)
    alone = model.sample_given(condition[1:2], 2, hint=part, generator=Streams(4, [1]))
    torch.testing.assert_close(alone[:, 0], whole[:2, 1], rtol=1e-4, atol=1e-4)


def test_means_of_large_cells_move_the_asked_share_and_keep_the_rest_of_their_variance():
    shape = (1, 8, 8)
    model, condition = shaped(shape=shape, channels=(12, 12), components=1), conditions(1, shape)
    plain = model.sample(condition, 20_000, generator=3)[:, 0]
    rows = large_cells(shape).float()
    means = plain.flatten(1) @ rows.T
    target = plain[7:8]
    for closeness in (0.3, 0.8):
        near = model.sample_given(condition, 8_000, example=Example(target, closeness), generator=2)[:, 0]
        found = near.flatten(1) @ rows.T
        wanted = torch.lerp(means.mean(0), rows @ target.flatten(), closeness)
        torch.testing.assert_close(found.mean(0), wanted, rtol=0, atol=0.03)
        share = found.var(0) / means.var(0)
        torch.testing.assert_close(share, torch.full_like(share, 1 - closeness), rtol=0.12, atol=0)


def test_a_path_goes_from_draw_to_draw_and_keeps_their_spread():
    model, condition = shaped(2), conditions()
    path, plain = model.interpolate(condition, 1, 4, 9, generator=2), model.sample(condition, 5, generator=2)
    torch.testing.assert_close(path[0], plain[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(path[-1], plain[4], rtol=1e-4, atol=0.5)  # but for the mode that was picked
    assert (path.diff(dim=0).flatten(1).norm(dim=1) > 0).all()
    with pytest.raises(ConfigError, match="two different draws"):
        model.interpolate(condition, 1, 1, 3, generator=0)
    with pytest.raises(ConfigError, match="at least 2 steps"):
        model.interpolate(condition, 0, 1, 1, generator=0)


def test_what_does_not_fit_is_named():
    model, condition = shaped(), conditions()
    with pytest.raises(DataError, match=r"the hint's field has shape \(1, 1, 4, 4\)"):
        model.sample_given(condition, 1, hint=Hint(torch.zeros(1, *SHAPE), torch.ones(1, 1, 4, 4)), generator=0)
    with pytest.raises(DataError, match=r"the example's field has shape \(1, 1, 3, 4\)"):
        model.sample_given(condition, 1, example=Example(torch.zeros(1, 1, 3, 4)), generator=0)
    with pytest.raises(ConfigError, match=r"closeness is 1\.5"):
        Example(torch.zeros(1, *SHAPE), 1.5)
    with pytest.raises(DataError, match="not finite where the mask covers"):
        Hint(torch.full((1, *SHAPE), torch.nan), torch.ones(1, 1, 4, 4))
    with pytest.raises(ConfigError, match="tolerance is -1"):
        Hint(torch.zeros(1, *SHAPE), torch.ones(1, 1, 4, 4), tolerance=-1.0)
