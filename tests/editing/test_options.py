import dataclasses

import pytest

import coembed
from coembed.editing.options import EditKeywords, EditOptions, SampleOptions, SteeringOptions
from coembed.errors import ConfigError


def test_options_that_do_not_go_together_are_named():
    with pytest.raises(ConfigError, match="hint is given without mask"):
        SteeringOptions(hint="a.png")
    with pytest.raises(ConfigError, match="mask is given without hint"):
        SteeringOptions(mask="a.png")
    with pytest.raises(ConfigError, match="between does not go with like, hint or keep"):
        SteeringOptions(between=(1, 2), like="a.png")


@pytest.mark.parametrize("closeness", [-0.1, 1.1, float("nan")])
def test_a_closeness_outside_its_range_is_named(closeness):
    with pytest.raises(ConfigError, match=f"closeness is {closeness}, expected 0 to 1"):
        SteeringOptions(closeness=closeness)


@pytest.mark.parametrize("between", [(3, 3), (-1, 2)])
def test_a_path_goes_between_two_draws(between):
    with pytest.raises(ConfigError, match=f"between is {between[0]} and {between[1]}"):
        SteeringOptions(between=between)


def test_an_unknown_way_to_pick_is_named():
    with pytest.raises(ConfigError, match="pick is 'odd', expected one of typical, spread"):
        SampleOptions(pick="odd")  # type: ignore[arg-type]


def test_nothing_is_asked_by_default_and_closeness_alone_asks_nothing():
    assert not SteeringOptions().steers and not SteeringOptions(closeness=0.9).steers
    assert SteeringOptions(like="a.png").steers and not SteeringOptions(like="a.png").has_fixed_region
    assert SteeringOptions(keep="a.png").has_fixed_region


def test_keywords_of_the_functions_are_the_options_of_the_command_line():
    fields = {field.name for field in dataclasses.fields(EditOptions)} - {"n", "seed"}
    assert set(EditKeywords.__annotations__) == fields - {"all"} | {"distinct"}
    assert all(name in coembed.resaturate.__doc__ for name in EditKeywords.__annotations__)


@pytest.mark.parametrize("function", [coembed.resaturate, coembed.relight])
def test_an_unknown_keyword_is_named(function):
    with pytest.raises(TypeError, match="strenght"):
        function("photo.jpg", strenght=0.5)
