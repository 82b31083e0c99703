import numpy as np
import pytest

from coembed.imaging import color
from coembed.imaging.relight import KNEE, SHOULDER, add_light, signal_confidence

every_depth = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])


def levels(dtype):
    """Every level against itself turned round and shifted: (rows, 256, 3)."""
    ramp = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    return np.stack([ramp, ramp[::-1], np.roll(ramp, 77)], axis=-1).reshape(-1, 256, 3)


def lit(pixels, delta):
    out = np.empty_like(pixels)
    add_light(pixels, np.broadcast_to(np.float32(delta), (1, *pixels.shape[:2])), [out])
    return out


def linear(pixels):
    return color.srgb_to_linear(pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float64)


@every_depth
def test_no_change_gives_back_every_bit_of_every_level(dtype):
    pixels = levels(dtype)
    assert (lit(pixels, 0.0) == pixels).all()
    grey = np.repeat(pixels[..., :1], 3, axis=2)
    assert (lit(grey, -0.0) == grey).all()


@every_depth
@pytest.mark.parametrize("delta", [-6.0, -0.7, -0.01, 0.01, 0.5, 2.0, 30.0])
def test_light_is_scaled_by_one_factor_a_pixel_that_rolls_off_below_white(dtype, delta):
    pixels = levels(dtype)
    before, top = linear(pixels), np.iinfo(dtype).max
    brightest = before.max(axis=2, keepdims=True)
    gain = np.exp(min(delta, 10.0))
    power = SHOULDER if delta > 0 else KNEE
    gain = gain / (1 + (gain**power - 1) * brightest**power) ** (1 / power)  # the docstring's, term by term
    wanted = color.linear_to_srgb(np.minimum(before * gain, 1)) * np.float64(top)
    slack = 0.54 if dtype == np.uint8 else 0.8  # of a level: rounding, and that of the tables
    assert np.abs(lit(pixels, delta) - wanted).max() < slack


def test_black_stays_black_whatever_the_light():
    for delta in (-3.0, 0.4, 3.0, 50.0):
        assert not lit(np.zeros((2, 3, 3), np.uint8), delta).any()


@every_depth
def test_brighter_levels_stay_brighter_and_only_white_becomes_white(dtype):
    ramp = np.arange(256, dtype=dtype) * (np.iinfo(dtype).max // 255)
    grey = np.repeat(ramp[None, :, None], 3, axis=2)
    for delta in (0.2, 0.7, 1.2):
        result = lit(grey, delta)[0, :, 0].astype(int)
        assert (np.diff(result) >= 0).all()
        assert (result >= ramp).all()
        assert result[-1] == np.iinfo(dtype).max
    gentle = lit(grey, 0.4)[0, :, 0].astype(int)
    assert gentle[248] < np.iinfo(dtype).max  # clipping would whiten all from level 216 on
    if dtype == np.uint16:
        assert (np.diff(gentle) > 0).all()


@every_depth
def test_darker_light_keeps_the_order_of_levels_and_white_white(dtype):
    ramp = np.arange(256, dtype=dtype) * (np.iinfo(dtype).max // 255)
    grey = np.repeat(ramp[None, :, None], 3, axis=2)
    for delta in (-0.2, -0.7, -1.2):
        result = lit(grey, delta)[0, :, 0].astype(int)
        assert (np.diff(result) >= 0).all() and (result <= ramp).all()
        assert result[-1] == np.iinfo(dtype).max
    plain = color.linear_to_srgb(linear(grey) * np.exp(-0.7)) * 255
    dark = lit(grey, -0.7)[0, :, 0] / (np.iinfo(dtype).max / 255)
    assert dark[245] > plain[0, 245, 0] + 20 and abs(dark[60] - plain[0, 60, 0]) < 1


def test_near_black_is_trusted_little_and_brightened_accordingly():
    rng = np.random.default_rng(0)
    pixels = np.full((128, 256, 3), 120, np.uint8)
    pixels[:, :128] = rng.integers(0, 9, (128, 128, 3))
    confidence = signal_confidence(pixels)
    assert confidence[:, :15].max() < 0.2 and confidence[:, 17:].min() > 0.98
    full = np.repeat(np.repeat(confidence, 8, axis=0), 8, axis=1)
    for delta in (0.8, -0.8):
        change, out = np.full((1, 128, 256), delta, np.float32), [np.empty_like(pixels)]
        add_light(pixels, change, out, full)
        moved = np.abs(out[0].astype(int) - pixels).mean(axis=(0, 2))
        if delta > 0:
            assert moved[:120].mean() < 0.5 < 20 < moved[140:].mean()
        else:
            assert np.array_equal(out[0], lit(pixels, delta))  # darkening needs no trust


def test_roll_off_keeps_the_proportions_of_a_colour():
    pixels = np.full((1, 1, 3), (230, 160, 90), np.uint8)
    before, after = linear(pixels)[0, 0], linear(lit(pixels, 0.6))[0, 0]
    assert after[0] < 1
    assert after / after[0] == pytest.approx(before / before[0], rel=0.02)


def test_several_changes_at_once_are_each_as_alone_and_fill_views():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    deltas = np.random.default_rng(1).normal(0, 0.5, (3, 9, 11)).astype(np.float32)
    whole = [np.zeros((20, 11, 3), np.uint8) for _ in deltas]
    add_light(pixels, deltas, [result[4:13] for result in whole])
    for result, delta in zip(whole, deltas, strict=True):
        alone = np.empty_like(pixels)
        add_light(pixels, delta[None], [alone])
        assert (result[4:13] == alone).all() and not result[:4].any() and not result[13:].any()
