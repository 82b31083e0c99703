import pytest

from coembed.editing.options import EditOptions
from coembed.editing.steering.options import ControlOptions
from coembed.errors import ConfigError


def test_options_that_do_not_go_together_are_named():
    with pytest.raises(ConfigError, match="hint is given without mask"):
        ControlOptions(hint="a.png")
    with pytest.raises(ConfigError, match="mask is given without hint"):
        ControlOptions(mask="a.png")
    with pytest.raises(ConfigError, match="between does not go with like, hint or keep"):
        ControlOptions(between=(1, 2), like="a.png")


@pytest.mark.parametrize("closeness", [-0.1, 1.1, float("nan")])
def test_a_closeness_outside_its_range_is_named(closeness):
    with pytest.raises(ConfigError, match=f"closeness is {closeness}, expected 0 to 1"):
        ControlOptions(closeness=closeness)


@pytest.mark.parametrize("between", [(3, 3), (-1, 2)])
def test_a_path_goes_between_two_draws(between):
    with pytest.raises(ConfigError, match=f"between is {between[0]} and {between[1]}"):
        ControlOptions(between=between)


def test_an_unknown_way_to_pick_is_named():
    with pytest.raises(ConfigError, match="pick is 'odd', expected one of typical, spread"):
        EditOptions(pick="odd")  # type: ignore[arg-type]


def test_nothing_is_asked_by_default_and_closeness_alone_asks_nothing():
    assert not ControlOptions().asked and not ControlOptions(closeness=0.9).asked
    assert ControlOptions(like="a.png").asked and not ControlOptions(like="a.png").holds
    assert ControlOptions(keep="a.png").holds
