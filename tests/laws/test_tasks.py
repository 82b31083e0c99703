"""Every registered task keeps the contract; the check catches tasks that break it."""

from typing import ClassVar

import numpy as np
import pytest

from coembed.tasks import Layer, get_task, task_names
from coembed.testing import check_task


@pytest.mark.parametrize("name", task_names())
def test_registered_tasks_keep_the_contract(name):
    check_task(get_task(name))


class Half:
    """Keep the law: the field is the red channel."""

    name = "half"
    condition = Layer("green", 1, 0.0, 1.0)
    field = Layer("red", 1, 0.0, 1.0)

    def split(self, rgb):
        return rgb[..., 1:2].copy(), rgb[..., :1].copy()

    def compose(self, rgb, field):
        return np.concatenate([field, rgb[..., 1:]], axis=-1)


class Modifies(Half):
    def split(self, rgb):
        rgb *= 0.5
        return super().split(rgb)


class WrongShape(Half):
    def split(self, rgb):
        return rgb[..., 1], rgb[..., :1]


class Doubles(Half):
    def split(self, rgb):
        return rgb[..., 1:2].astype(np.float64), rgb[..., :1]


class OutOfRange(Half):
    def split(self, rgb):
        return rgb[..., 1:2] * 2, rgb[..., :1]


class ForgetsField(Half):
    def compose(self, rgb, field):
        return np.concatenate([field * 0.9, rgb[..., 1:]], axis=-1)


class Overshoots(Half):
    field = Layer("red", 1, -1.0, 2.0)


class Random(Half):
    def split(self, rgb):
        return np.random.default_rng().random((*rgb.shape[:2], 1), dtype=np.float32), rgb[..., :1].copy()


class LooksAround(Half):
    """Each value depends on the whole photo."""

    def split(self, rgb):
        return rgb[..., 1:2] * rgb.mean(), rgb[..., :1].copy()


class LooksAroundAndSaysSo(LooksAround):
    pointwise = False
    working_size = 64
    settings: ClassVar = {"radius": 3}


class WrongSize(Half):
    working_size = 0


class WrongSettings(Half):
    settings: ClassVar = {"radius": np.float32(3)}


@pytest.mark.parametrize("task", [Half(), LooksAroundAndSaysSo()])
def test_the_check_passes_a_good_task(task):
    check_task(task)


@pytest.mark.parametrize(
    ("task", "law"),
    [
        (Modifies(), "split modified the photo"),
        (WrongShape(), "condition has shape"),
        (Doubles(), "is float64, expected float32"),
        (OutOfRange(), "outside 0.0 to 1.0"),
        (ForgetsField(), "expected <= 1/255"),
        (Overshoots(), r"left \[0, 1\]"),
        (LooksAround(), "set pointwise = False"),
        (WrongSize(), "working_size is 0"),
        (WrongSettings(), "expected a dict of JSON values"),
        (Random(), "two results for one photo"),
    ],
)
def test_the_check_catches(task, law):
    with pytest.raises(AssertionError, match=law):
        check_task(task)
