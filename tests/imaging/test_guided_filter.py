import numpy as np
import pytest

from coembed.imaging.guided_filter import guided_filter

rng = np.random.default_rng(0)


def test_zero_stays_exactly_zero_and_constants_stay():
    guide = rng.random((9, 12, 3))
    assert not guided_filter(np.zeros((2, 1, 9, 12), np.float32), guide, 2, 1e-3).any()
    assert guided_filter(np.full((1, 9, 12), 0.7, np.float32), guide, 2, 1e-3) == pytest.approx(0.7, abs=1e-6)


def test_grain_on_an_even_guide_goes_and_a_step_that_the_guide_has_stays():
    grain = rng.normal(0, 1, (32, 32)).astype(np.float32)
    even = np.full((32, 32, 3), 0.5)
    assert guided_filter(grain, even, 2, 1e-3).std() < 0.25
    step = np.zeros((32, 32), np.float32)
    step[:, 16:] = 1
    guide = np.repeat(0.2 + 0.5 * step[..., None], 3, axis=2)
    assert np.abs(guided_filter(step, guide, 2, 1e-3) - step).max() < 0.02
    blurred = guided_filter(step, even, 2, 1e-3)
    assert 0.1 < blurred[5, 15] < 0.45


def test_a_field_linear_in_the_guide_stays_nearly_as_it_is():
    guide = rng.random((20, 20, 3))
    field = (guide @ [0.5, -1.0, 2.0] + 3).astype(np.float32)
    assert np.abs(guided_filter(field, guide, 2, 1e-6) - field).max() < 1e-3


def test_each_field_is_filtered_as_alone_and_single_cells_work():
    fields, guide = rng.normal(0, 1, (3, 2, 8, 8)).astype(np.float32), rng.random((8, 8, 3))
    whole = guided_filter(fields, guide, 1, 1e-3)
    assert whole.shape == fields.shape and whole.dtype == np.float32
    assert (whole[1, 1] == guided_filter(fields[1, 1], guide, 1, 1e-3)).all()
    assert guided_filter(np.ones((1, 1), np.float32), rng.random((1, 1, 3)), 1, 1e-3) == pytest.approx(1)
