"""The registry, and layers that refuse nonsense."""

import numpy as np
import pytest

from coembed.errors import ConfigError
from coembed.tasks import Layer, get_task, register_task, task, task_names


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown task 'nope'; known: .*resaturation"):
        get_task("nope")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:Task", "cannot import 'no_such_module_here'"),
        ("coembed.tasks.resaturation:Nope", "has no class 'Nope'"),
        ("coembed.errors:CoEmbedError", "lacks name, condition, field, split, compose"),
        (":Task", "unknown task"),
    ],
)
def test_a_wrong_module_and_class_says_what_is_wrong(name, message):
    with pytest.raises(ConfigError, match=message):
        get_task(name)


def test_a_users_own_class_is_found_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_own_task_xyz.py").write_text(
        "from coembed.tasks import Layer\n"
        "class Mine:\n"
        "    name = 'mine'\n"
        "    condition = field = Layer('x', 3, 0.0, 1.0)\n"
        "    def split(self, rgb): return rgb, rgb\n"
        "    def compose(self, rgb, field): return field\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p])
    assert get_task("my_own_task_xyz:Mine").name == "mine"
    assert "mine" not in task_names()


def test_a_name_cannot_be_taken_twice_but_a_class_can_be_run_again(monkeypatch):
    monkeypatch.setattr(task, "_TASKS", dict(task._TASKS))

    def define():
        class Own:
            name = "own"
            condition = field = Layer("x", 1, 0.0, 1.0)

            def split(self, rgb):
                return rgb[..., :1], rgb[..., :1]

            def compose(self, rgb, field):
                return rgb

        return Own

    first = get_task(register_task(define()).name)
    second = get_task(register_task(define()).name)
    assert first is not second

    class Thief(define()):
        name = "resaturation"

    with pytest.raises(ConfigError, match="already registered by Resaturation"):
        register_task(Thief)


@pytest.mark.parametrize("low_high", [(1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_layer_refuses_a_range_that_is_none(low_high):
    with pytest.raises(ConfigError, match="layer 'x' has the range"):
        Layer("x", 1, *low_high)


def test_a_vector_has_two_channels():
    assert Layer("flow", 2, -1, 1, vector=True).vector
    with pytest.raises(ConfigError, match="vector of 3 channels, expected 2"):
        Layer("flow", 3, -1, 1, vector=True)
