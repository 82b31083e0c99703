import pytest
import torch
from toy_models import conditions, linear, paper

from coembed.editing.steering.interpolate import interpolate, turn
from coembed.errors import ConfigError

EVERY = {
    "hierarchical": linear,
    "joint": lambda: linear("all"),
    "gaussian": lambda: linear(kind="gaussian"),
    "drawn pixels": lambda: linear(decode="draw"),
    "paper": paper,
    "paper-gauss": lambda: paper("paper-gauss"),
}
every_model = pytest.mark.parametrize("build", EVERY.values(), ids=list(EVERY))


@every_model
def test_both_ends_are_the_draws_themselves(build):
    model, condition = build(), conditions()
    path = interpolate(model, condition, 1, 4, 5, generator=2)
    draws = model.sample(condition, 5, generator=2)
    assert path.shape == (5, *draws.shape[1:])
    torch.testing.assert_close(path[0], draws[1])
    torch.testing.assert_close(path[-1], draws[4])
    torch.testing.assert_close(interpolate(model, condition, 4, 1, 5, generator=2), path.flip(0))


def test_every_step_leads_away_from_the_one_and_towards_the_other():
    model, condition = linear(), conditions(1)
    for second in (1, 2, 3, 4, 5):
        path = interpolate(model, condition, 0, second, 9, generator=2)
        for end, signs in ((path[0], 1), (path[-1], -1)):
            away = (path - end).flatten(1).norm(dim=1)
            assert (signs * away.diff() > 0).all()


def test_the_middle_is_as_long_as_the_ends():
    """Noise of many dimensions: half way on a line it would be 0.7 as long, which no draw is."""
    a, b = torch.randn(2, 3, 400, generator=torch.Generator().manual_seed(0))
    middle = turn(a, b, 0.5).norm(dim=1)
    torch.testing.assert_close(middle, (a.norm(dim=1) + b.norm(dim=1)) / 2, rtol=0.02, atol=0)
    assert (torch.lerp(a, b, 0.5).norm(dim=1) < 0.8 * middle).all()


def test_where_there_is_no_arc_it_goes_straight():
    a = torch.tensor([[1.0, 0.0], [2.0, 1.0]])
    b = torch.tensor([[-1.0, 0.0], [4.0, 2.0]])
    torch.testing.assert_close(turn(a, b, 0.5), torch.lerp(a, b, 0.5))


def test_mistakes_are_named():
    model, condition = linear(), conditions(1)
    with pytest.raises(ConfigError, match="n is 1, expected at least 2 steps"):
        interpolate(model, condition, 0, 1, 1, generator=0)
    for first, second in ((2, 2), (-1, 2), (0, 10**6)):
        with pytest.raises(ConfigError, match=f"between is {first} and {second}, expected two different"):
            interpolate(model, condition, first, second, 3, generator=0)
