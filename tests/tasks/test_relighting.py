"""Relighting: known light is found and put back; new light changes no colour, blackness or untouched pixel."""

import numpy as np
import pytest

from coembed.errors import DataError
from coembed.imaging.color import linear_to_srgb, rgb_to_hsv, srgb_to_linear
from coembed.imaging.intrinsic.decompose import decompose
from coembed.imaging.relight import add_light
from coembed.tasks import get_task
from coembed.tasks.relighting import CEILING, FLOOR
from coembed.tasks.task import is_pointwise, working_size_of

TASKS = ("relighting", "relighting-grey")


def noise(shape, seed=0, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def lit_patches(side=64):
    """Patches of paint under a slope of light: the photo, the true albedo and the true log shading."""
    paints = np.random.default_rng(3).uniform(0.1, 0.9, (4, 4, 3))
    albedo = paints.repeat(side // 4, 0).repeat(side // 4, 1).astype(np.float32)
    log_shading = np.broadcast_to(-0.8 * np.arange(side) / side, (side, side)).astype(np.float32)
    return linear_to_srgb(albedo * np.exp(log_shading)[..., None]), albedo, log_shading


def test_split_gives_the_parts_of_the_decomposition_encoded():
    photo = noise((12, 17, 3))
    parts = decompose(srgb_to_linear(photo))
    albedo, field = get_task("relighting").split(photo)
    np.testing.assert_allclose(srgb_to_linear(albedo), parts.albedo, atol=1e-5)
    np.testing.assert_allclose(np.exp(field[..., 0]), np.clip(parts.shading, FLOOR, CEILING), rtol=1e-5)
    grey, same = get_task("relighting-grey").split(photo)
    np.testing.assert_allclose(srgb_to_linear(grey[..., 0]), parts.albedo.mean(2), atol=1e-5)
    assert np.array_equal(same, field)


def test_the_light_of_painted_patches_is_found():
    photo, albedo, log_shading = lit_patches()
    found, field = get_task("relighting").split(photo)
    assert np.std(field[..., 0] - log_shading) < 0.03 < 0.1 < np.std(log_shading)
    ratio = np.log(srgb_to_linear(found)) - np.log(albedo)
    assert np.std(ratio) < 0.03


def test_condition_does_not_know_the_exposure_but_the_field_does():
    photo = noise((24, 24, 3), low=0.3, high=0.7)
    darker = linear_to_srgb(srgb_to_linear(photo) / 2)
    bright, dark = (get_task("relighting").split(p) for p in (photo, darker))
    np.testing.assert_allclose(bright[0], dark[0], atol=1e-3)
    np.testing.assert_allclose(bright[1] - dark[1], np.log(2), atol=1e-3)


def test_composing_is_a_factor_on_linear_light():
    photo = noise((9, 8, 3), low=0.1, high=0.3)
    task = get_task("relighting")
    own = task.split(photo)[1]
    for change in (-1.0, -0.1, 0.1, 0.5):  # all stays far below white, where nothing is rolled off
        lit = task.compose(photo, own + np.float32(change))
        np.testing.assert_allclose(
            srgb_to_linear(lit), np.exp(change) * srgb_to_linear(photo), rtol=2e-3, atol=1e-6
        )


@pytest.mark.parametrize("name", TASKS)
def test_where_the_field_is_the_photos_own_not_a_bit_changes(name):
    photo = noise((16, 20, 3))
    field = get_task(name).split(photo)[1]
    field[:8] += 0.7
    lit = get_task(name).compose(photo, field)
    assert np.array_equal(lit[8:], photo[8:]) and not np.array_equal(lit[:8], photo[:8])


def test_blown_out_light_keeps_hue_and_saturation_and_order():
    photo = noise((30, 30, 3), low=0.2)
    task = get_task("relighting")
    own = task.split(photo)[1]
    lit = [task.compose(photo, own + np.float32(change)) for change in (1.0, 2.0, 6.0)]
    before = rgb_to_hsv(photo)[..., 0]
    for result in lit:
        assert result.max() <= 1
        turn = np.abs(rgb_to_hsv(result)[..., 0] - before)
        assert np.minimum(turn, 1 - turn).max() < 0.01
        ratio = srgb_to_linear(result) / srgb_to_linear(photo)
        assert np.ptp(ratio, axis=2).max() < 0.01 * ratio.max()
    assert (lit[0] <= lit[1] + 1e-6).all() and (lit[1] <= lit[2] + 1e-6).all()


def test_it_agrees_with_what_whole_photos_get():
    pixels = np.random.default_rng(5).integers(0, 256, (20, 25, 3), dtype=np.uint8)
    rgb = (pixels / 255).astype(np.float32)
    task = get_task("relighting")
    own = task.split(rgb)[1]
    for change in (-2.0, -0.3, 0.2, 1.0, 3.0):
        whole = [np.empty_like(pixels)]
        add_light(pixels, np.full((1, 20, 25), change, np.float32), whole)
        lit = task.compose(rgb, own + np.float32(change))
        assert np.abs(lit - whole[0] / 255).max() < 1 / 255


def test_black_stays_black_in_any_light():
    photo = noise((10, 10, 3))
    photo[:3] = 0
    field = np.full((10, 10, 1), np.log(CEILING), np.float32)
    assert not get_task("relighting").compose(photo, field)[:3].any()


def test_it_says_that_it_needs_the_whole_photo_and_at_which_size():
    for name in TASKS:
        assert not is_pointwise(get_task(name)) and working_size_of(get_task(name)) == 256
    assert is_pointwise(get_task("resaturation")) and working_size_of(get_task("resaturation")) is None


def test_a_field_of_another_size_is_refused():
    with pytest.raises(DataError, match=r"field has shape \(2, 2, 1\), expected \(3, 2, 1\)"):
        get_task("relighting").compose(np.zeros((3, 2, 3), np.float32), np.zeros((2, 2, 1), np.float32))
