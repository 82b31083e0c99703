import pytest
import torch
from toy_models import SHAPE, conditions, linear, paper

from coembed.editing.steering.example import code_of, sample_near
from coembed.editing.steering.inpaint import Hint, sample_hint
from coembed.errors import ConfigError, DataError, ModelError
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams

EVERY = {
    "hierarchical": linear,
    "joint": lambda: linear("all"),
    "top": lambda: linear("top"),
    "gaussian": lambda: linear(kind="gaussian"),
    "paper": paper,
}
every_model = pytest.mark.parametrize("build", EVERY.values(), ids=list(EVERY))


def left_half(batch=2):
    mask = torch.zeros(batch, 1, 4, 4)
    mask[..., :2] = 1
    return mask


def posterior_by_weighting(model: CDVAE, condition, hint: Hint, draws=300_000):
    """Mean and deviation of the decoder's mean by weighting draws of the prior with the pixels' likelihood."""
    fields = model.sample(condition, draws, generator=11)[:, 0]
    standard = (fields - 0.4) / 0.5
    held, wanted = hint.covered[0], (hint.field[0] - 0.4) / 0.5
    variance = 0.3**2 + hint.variance[0][held]
    weights = torch.softmax((-0.5 * (standard[:, held] - wanted[held]).square() / variance).sum(1), 0)
    effective = 1 / weights.square().sum().item()
    mean = (weights[:, None, None, None] * fields).sum(0)
    spread = (weights[:, None, None, None] * (fields - mean).square()).sum(0).sqrt()
    return mean, spread, effective


@pytest.mark.parametrize("build", [linear, EVERY["joint"], EVERY["gaussian"]])
@pytest.mark.parametrize("cells, tolerance", [(4, 0.3), (8, 1.0)])
def test_samples_have_the_mean_and_spread_of_the_posterior_that_weighting_finds(build, cells, tolerance):
    model, condition = build(), conditions(1)
    mask = torch.zeros(1, 1, 4, 4)
    mask.view(-1)[:cells] = 1
    mask.view(-1)[cells - 1] = 0.7  # covered in part
    hint = Hint(model.sample(condition, 8, generator=9)[7], mask, tolerance)
    mean, spread, effective = posterior_by_weighting(model, condition, hint)
    assert effective > 1_000  # otherwise the comparison says nothing
    drawn = sample_hint(model, condition, 6_000, hint, generator=2)[:, 0]
    free = ~hint.covered[0]
    torch.testing.assert_close(drawn.mean(0)[free], mean[free], rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(0)[free], spread[free], rtol=0.06, atol=0.01)


@every_model
def test_held_cells_are_held_exactly_and_the_others_move_to_meet_them(build):
    model, condition = build(), conditions()
    hint = Hint(model.sample(condition, 1, generator=9)[0] + 0.3, left_half())
    drawn = sample_hint(model, condition, 5, hint, generator=2)
    torch.testing.assert_close(drawn[:, hint.covered], hint.field[hint.covered].expand(5, -1))
    plain = model.sample(condition, 5, generator=2)
    assert (drawn - plain)[:, ~hint.covered].abs().max() > 1e-3


@every_model
def test_nothing_covered_is_plain_sampling_bit_for_bit(build):
    model, condition = build(), conditions()
    hint = Hint(torch.full((2, *SHAPE), torch.nan), torch.full((2, 1, 4, 4), 0.4))
    drawn = sample_hint(model, condition, 5, hint, generator=2)
    assert torch.equal(drawn, model.sample(condition, 5, generator=2))


@every_model
def test_one_condition_of_a_batch_may_be_free(build):
    model, condition = build(), conditions()
    mask = left_half()
    mask[1] = 0
    hint = Hint(torch.full((2, *SHAPE), 0.6), mask)
    drawn = sample_hint(model, condition, 4, hint, generator=2)
    plain = model.sample(condition, 4, generator=2)
    torch.testing.assert_close(drawn[:, 1], plain[:, 1])
    assert (drawn - plain)[:, 0].abs().max() > 1e-3


@every_model
def test_sample_k_is_the_same_alone_and_among_others(build):
    model, condition = build(), conditions()
    hint = Hint(torch.full((2, *SHAPE), 0.6), left_half())
    among = sample_hint(model, condition, 6, hint, generator=2)
    alone = sample_hint(model, condition[1:], 3, Hint(hint.field[1:], hint.mask[1:]), generator=Streams(2, [1]))
    torch.testing.assert_close(alone[:, 0], among[:3, 1], rtol=1e-4, atol=1e-4)
    streams = Streams(2, range(2))
    parts = [sample_hint(model, condition, n, hint, generator=streams) for n in (2, 4)]
    torch.testing.assert_close(torch.cat(parts), among, rtol=1e-4, atol=1e-4)


def test_a_hint_moves_what_draws_of_few_dimensions_leave_alone():
    model, condition = linear(), conditions(1)
    hint = Hint(torch.full((1, *SHAPE), 0.9), left_half(1), tolerance=0.05)
    plain = model.sample(condition, 40, generator=2, n_active_dims=1, temperature=[1.0, 0.0])
    drawn = sample_hint(model, condition, 40, hint, generator=2, n_active_dims=1, temperature=[1.0, 0.0])
    ranks = [torch.linalg.matrix_rank(x.flatten(1) - x.flatten(1).mean(0), atol=1e-3) for x in (plain, drawn)]
    assert ranks[0] <= 3 + 2  # three components, one direction each
    off = (drawn - hint.field)[:, hint.covered].square().mean()
    assert off < 0.1 * (plain - hint.field)[:, hint.covered].square().mean()


def test_a_tolerance_lets_samples_depart_that_far():
    model, condition = linear(), conditions(1)
    field = model.sample(condition, 1, generator=9)[0]
    found = []
    for tolerance in (0.0, 0.1, 0.5):
        hint = Hint(field, left_half(1), tolerance)
        drawn = sample_hint(model, condition, 500, hint, generator=2)
        found.append(((drawn - field)[:, hint.covered].square().mean().sqrt() / 0.5).item())
    assert found[0] < 1e-6 and found[0] < found[1] < found[2]
    assert found[1] < 0.1 and found[2] < 0.5


def test_a_hint_and_an_example_work_together():
    model, condition = linear(), conditions(1)
    hint = Hint(torch.full((1, *SHAPE), 0.6), left_half(1))
    target = code_of(model, condition, model.sample(condition, 1, generator=4)[0])
    drawn = sample_hint(model, condition, 200, hint, generator=2, target=target, closeness=0.9)
    free = sample_hint(model, condition, 200, hint, generator=2)
    near = sample_near(model, condition, 200, target, 0.9, generator=2)
    assert drawn.std(0).sum() < free.std(0).sum() and drawn.std(0).sum() < near.std(0).sum()


def test_search_also_moves_to_the_posteriors_mean_where_that_is_known(monkeypatch):
    """On a linear field with one component, the search is exact: it must agree with the closed form."""
    model, condition = linear(kind="gaussian"), conditions(1)
    hint = Hint(torch.full((1, *SHAPE), 0.6), left_half(1), tolerance=0.3)
    exact = sample_hint(model, condition, 20, hint, generator=2)
    monkeypatch.setattr("coembed.editing.steering.inpaint.is_linear", lambda _: False)
    searched = sample_hint(model, condition, 20, hint, generator=2)
    torch.testing.assert_close(searched, exact, rtol=0, atol=0.02)


def test_mistakes_are_named():
    model, condition = linear(), conditions(1)
    field, mask = torch.full((1, *SHAPE), 0.6), left_half(1)
    with pytest.raises(ConfigError, match="tolerance is -1"):
        Hint(field, mask, -1)
    with pytest.raises(DataError, match="mask has shape"):
        Hint(field, mask[..., :2])
    with pytest.raises(DataError, match="outside 0 to 1"):
        Hint(field, 2 * mask)
    with pytest.raises(DataError, match="not finite"):
        Hint(field * torch.nan, mask)
    with pytest.raises(DataError, match=r"field has shape \(1, 1, 4, 4\), expected \(2, 1, 4, 4\)"):
        sample_hint(model, conditions(2), 1, Hint(field, mask), generator=0)
    with pytest.raises(ModelError, match="n: got 0"):
        sample_hint(model, condition, 0, Hint(field, mask), generator=0)
