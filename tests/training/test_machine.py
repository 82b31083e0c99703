import math

import pytest
import torch

from coembed.training import machine
from coembed.training.config import TrainConfig
from coembed.training.machine import bfloat16_gain

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "gain", "fast"),
    [
        ("auto", 3.0, True),
        ("auto", 0.02, False),
        ("bf16", 0.02, True),
        ("float32", 3.0, False),
    ],
)
def test_bfloat16_is_used_where_it_is_faster_unless_told(monkeypatch, precision, gain, fast):
    monkeypatch.setattr(machine, "bfloat16_gain", lambda device: gain)
    with machine.autocast(TrainConfig("pairs", "run", precision=precision), CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)


def test_the_gain_is_measured_once():
    first = bfloat16_gain(CPU)
    assert 0 < first < math.inf and bfloat16_gain(CPU) == first


@pytest.mark.parametrize(("preset", "batch", "rate"), [("default", 64, 2e-3), ("paper-gauss", 256, 1e-3)])
def test_batch_and_rate_are_what_suits_the_preset_unless_told(preset, batch, rate):
    config = TrainConfig("pairs", "run", preset=preset).resolve()
    assert (config.batch_size, config.learning_rate) == (batch, rate)
    told = TrainConfig("pairs", "run", preset=preset, batch_size=8, learning_rate=0.5).resolve()
    assert (told.batch_size, told.learning_rate) == (8, 0.5)
