"""The probe finds a trace that was put into conditions, and none where there is none."""

import pytest
import torch

from coembed.errors import DataError
from coembed.evaluation.leak.probe import Probe


def rough(count, seed, size=16):
    coarse = torch.rand(count, 1, size // 2, size // 2, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="nearest")


def pairs(count, seed, trace):
    """Fields, and conditions that know nothing of them but a fine trace: field times a checkerboard."""
    field, condition = rough(count, seed), rough(count, seed + 1)
    board = 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2) - 1
    return condition + trace * (field - 0.5) * board, field


@pytest.mark.slow
def test_a_trace_is_found_and_its_gain_is_the_leak():
    probe = Probe.fit(pairs(600, 0, 0.3), steps=500)
    clean, traced = probe.explain(pairs(200, 10, 0.0)), probe.explain(pairs(200, 10, 0.3))
    gain = traced.gain(clean)
    assert traced.r2.value > 0.3 and gain.value > 0.3 and gain.value > 5 * gain.error
    honest = Probe.fit(pairs(600, 0, 0.0), steps=200)
    nothing = honest.explain(pairs(200, 10, 0.3)).gain(honest.explain(pairs(200, 10, 0.0)))
    assert abs(nothing.value) < 3 * nothing.error + 0.02
    assert abs(honest.explain(pairs(200, 10, 0.0)).r2.value) < 0.1


def test_r2_is_within_photos_and_1_for_a_perfect_prediction():
    probe = Probe.fit(pairs(20, 0, 0.3), steps=2)
    condition, field = pairs(30, 5, 0.3)
    found = probe.explain((condition, probe(condition).detach() + torch.rand(30, 1, 1, 1)))
    assert found.r2.value == pytest.approx(1, abs=1e-5)
    assert probe.explain((condition, field)).missed.shape == (30,)


def test_the_same_pairs_and_seed_give_the_same_probe():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (Probe.fit(pairs(20, 0, 0.3), seed=seed, steps=3) for seed in (0, 0, 1))
    condition = pairs(2, 9, 0.0)[0]
    assert torch.equal(one(condition), same(condition)) and not torch.equal(one(condition), other(condition))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_probed_is_refused():
    condition, field = pairs(4, 0, 0.0)
    with pytest.raises(DataError, match=r"layers of one size, got \(16, 16\) and \(8, 8\)"):
        Probe.fit((condition, field[..., ::2, ::2]), steps=1)
    with pytest.raises(DataError, match="field is constant"):
        Probe.fit((condition, torch.zeros_like(field)), steps=1)
    with pytest.raises(DataError, match="without any variation"):
        _ = Probe.fit((condition, field), steps=1).explain((condition, torch.ones_like(field))).r2
