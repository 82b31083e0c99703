import numpy as np
import pytest

from coembed.imaging import color
from coembed.imaging.recolor import HALF_CONFIDENCE, MAX_GAIN, add_saturation, hue_confidence, rows_of


def noise(dtype, size=(40, 50), seed=0):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top + 1, (*size, 3)).astype(dtype)


def changed(pixels, delta, confidence=1.0):
    out = np.empty_like(pixels)
    size = pixels.shape[:2]
    full = np.full(size, confidence, np.float32)
    add_saturation(pixels, np.broadcast_to(np.float32(delta), (1, *size)), full, [out])
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_change_gives_back_every_bit(dtype):
    pixels = noise(dtype)
    pixels[:3] = pixels[:3, :, :1]
    pixels[3], pixels[4] = 0, np.iinfo(dtype).max
    for confidence in (0.0, 0.3, 1.0):
        assert (changed(pixels, 0.0, confidence) == pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("delta", [-0.9, -0.2, 0.05, 0.4])
def test_saturation_moves_by_delta_and_hue_and_value_stay(dtype, delta):
    top = np.iinfo(dtype).max
    pixels = noise(dtype)
    old = color.rgb_to_hsv(pixels / np.float32(top))
    new = color.rgb_to_hsv(changed(pixels, delta) / np.float32(top))
    assert (new[..., 2] == old[..., 2]).all()
    wanted = np.clip(old[..., 1] + delta, 0, np.minimum(1, MAX_GAIN * old[..., 1]))
    step = 1 / np.maximum(old[..., 2] * top, 1)  # one level, in units of saturation
    assert (np.abs(new[..., 1] - wanted) <= 0.5 * step + 1e-5).all()
    strong = new[..., 1] * new[..., 2] * top > 20
    turn = np.abs(new[..., 0] - old[..., 0])
    assert (np.minimum(turn, 1 - turn)[strong] < 1 / 20).all()


def test_greys_stay_grey_and_weak_colour_grows_by_a_bounded_factor():
    grey = np.full((4, 4, 3), 90, np.uint8)
    assert (changed(grey, 1.0) == grey).all()
    weak = grey.copy()
    weak[..., 0] = 92
    assert int(np.ptp(changed(weak, 1.0), axis=2).max()) == 2 * MAX_GAIN


def test_confidence_scales_more_saturation_but_not_less():
    pixels = np.full((2, 2, 3), (200, 120, 100), np.uint8)  # saturation 0.5
    assert color.saturation(changed(pixels, 0.2, 0.5) / 255).max() == pytest.approx(0.6, abs=0.003)
    assert color.saturation(changed(pixels, -0.2, 0.5) / 255).max() == pytest.approx(0.3, abs=0.003)


def test_noise_of_changing_hue_earns_less_confidence_than_an_equally_strong_tint():
    rng = np.random.default_rng(0)
    grain = np.clip(128 + rng.normal(0, 8, (160, 160, 3)), 0, 255).astype(np.uint8)
    tint = np.full((160, 160, 3), (128, 128, 108), np.uint8)
    assert hue_confidence(grain).mean() < 0.05
    assert hue_confidence(tint) == pytest.approx(0.5, abs=1e-5)  # its chroma is HALF_CONFIDENCE
    assert HALF_CONFIDENCE * 255 == 20
    deep = tint.astype(np.uint16) * 257
    assert hue_confidence(deep) == pytest.approx(0.5, abs=1e-5)


def test_rows_of_an_enlarged_grid_do_not_depend_on_the_strip():
    grid = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    whole = rows_of(grid, slice(0, 103), (103, 64))
    assert whole.shape == (103, 64) and grid.min() <= whole.min() and whole.max() <= grid.max()
    parts = [rows_of(grid, slice(a, b), (103, 64)) for a, b in ((0, 30), (30, 31), (31, 103))]
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-6
    assert (rows_of(grid[:1, :1], slice(0, 4), (4, 3)) == grid[0, 0]).all()
