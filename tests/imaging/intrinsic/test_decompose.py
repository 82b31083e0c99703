import numpy as np
import pytest

from coembed.errors import ConfigError, PhotoError
from coembed.imaging.intrinsic.bell2014 import Bell2014Options
from coembed.imaging.intrinsic.decompose import decompose, decompose_batch
from coembed.imaging.intrinsic.retinex import RetinexOptions

METHODS = ["retinex", "bell2014"]
QUICK = Bell2014Options(working_side=32, rounds=8)


def run(rgb, method, **options):
    chosen = {"retinex": RetinexOptions(**options), "bell2014": QUICK}[method]
    return decompose(rgb, method, options=chosen)


def mondrian(side=64, patches=4, seed=3, slope=0.8):
    """Patches of paint under light that falls off smoothly: (photo, albedo, shading)."""
    paints = np.random.default_rng(seed).uniform(0.1, 0.9, (patches, patches, 3))
    albedo = paints.repeat(side // patches, 0).repeat(side // patches, 1).astype(np.float32)
    y, x = np.mgrid[:side, :side] / side
    shading = (0.8 * np.exp(-slope * x - slope / 2 * (y - 0.5) ** 2)).astype(np.float32)
    return albedo * shading[..., None], albedo, shading


def off(found, true):
    """Standard deviation of the log ratio: 0 where they are equal up to one factor."""
    return float(np.std(np.log(found) - np.log(true)))


def test_retinex_recovers_a_mondrian_under_smooth_light():
    photo, albedo, shading = mondrian()
    parts = decompose(photo)
    # What is left is the light's own change across the lines where paints meet: retinex gives it to the paint.
    assert off(parts.albedo, albedo) < 0.03
    assert off(parts.shading, shading) < 0.03
    assert off(photo.mean(2), shading) > 0.15


@pytest.mark.parametrize("seed", [0, 1])
def test_bell2014_recovers_a_mondrian_of_few_lightnesses(seed):
    # Any hue, but three lightnesses: the method clusters lightnesses, and its start merges those close by.
    rng = np.random.default_rng(seed)
    hue = np.exp(0.3 * rng.normal(size=(4, 4, 3)))
    paints = hue / hue.mean(2, keepdims=True) * rng.choice([0.04, 0.2, 0.9], (4, 4, 1))
    albedo = paints.repeat(16, 0).repeat(16, 1).astype(np.float32)
    shading = mondrian()[2]
    photo = albedo * shading[..., None]
    parts = decompose(photo, "bell2014", options=Bell2014Options(working_side=64, rounds=6))
    assert off(parts.shading, shading) < 0.02
    assert off(parts.albedo, albedo) < 0.02
    assert off(photo.mean(2), shading) > 1
    # The same at three times the size: solved as small as before, then upsampled.
    big, light = (layer.repeat(3, 0).repeat(3, 1) for layer in (photo, shading))
    parts = decompose(big, "bell2014", options=Bell2014Options(working_side=64, rounds=6))
    assert off(parts.shading, light) < 0.05


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_one_brightness_and_colour_step_is_paint_to_the_last_bit_of_the_solve(norm):
    photo = np.full((16, 20, 3), 0.2, np.float32)
    photo[:, 10:] = 0.8
    parts = run(photo, "retinex", norm=norm, noise_floor=0.0)
    assert np.ptp(parts.shading) < 1e-4 * parts.shading.mean()
    assert parts.albedo[0, 0, 0] / parts.albedo[0, -1, 0] == pytest.approx(0.25, rel=1e-4)


def test_a_faint_grey_step_is_light_and_an_equally_faint_coloured_one_is_paint():
    photo = np.full((16, 20, 3), 0.4, np.float32)
    photo[:, 10:] *= 0.85
    grey = run(photo, "retinex", noise_floor=0.0)
    assert np.ptp(grey.albedo) < 1e-4
    assert grey.shading[0, -1] / grey.shading[0, 0] == pytest.approx(0.85, rel=1e-4)
    photo[:, 10:] = 0.4 * np.array([0.72, 0.98, 0.85], np.float32)
    coloured = run(photo, "retinex", noise_floor=0.0)
    assert np.ptp(coloured.shading) < 1e-4


def test_l1_leaves_a_blurred_piece_of_an_edge_wrong_where_l2_bends_everything():
    albedo = np.full((64, 64, 3), 0.2, np.float32)
    albedo[:, 32:] = 0.8
    photo = albedo.copy()
    # Twelve rows of the border between the two paints are out of focus, and their steps too small to be paint.
    photo[20:32, 22:42] = np.geomspace(0.2, 0.8, 20)[:, None]
    far = np.ones((64, 64), bool)
    far[16:36, 18:46] = False
    bent, straight = (off(run(photo, "retinex", norm=norm).albedo[far], albedo[far]) for norm in ("l2", "l1"))
    assert straight < 0.005
    assert bent > 0.05


def test_screen_leaves_wide_changes_of_light_in_the_albedo():
    photo, _, shading = mondrian(slope=0.8)
    plain, screened = (run(photo, "retinex", screen=screen).shading for screen in (0.0, 1.0))
    assert np.std(np.log(screened)) < 0.2 * np.std(np.log(plain))
    assert off(plain, shading) < 0.03


@pytest.mark.parametrize("method", METHODS)
def test_doubling_the_exposure_changes_the_shading_and_not_the_albedo(method):
    photo = mondrian()[0] * 0.4 + np.random.default_rng(0).uniform(0, 0.02, (64, 64, 3)).astype(np.float32)
    one, two = run(photo, method), run(2 * photo, method)
    np.testing.assert_allclose(two.albedo, one.albedo, atol=1e-5)
    np.testing.assert_allclose(two.shading, 2 * one.shading, rtol=1e-4)


def photos():
    rng = np.random.default_rng(1)
    noise = rng.uniform(0, 1, (40, 56, 3)).astype(np.float32)
    half_black, half_white = noise.copy(), noise.copy()
    half_black[:20], half_white[:, :30] = 0, 1
    lamp = np.zeros((40, 56, 3), np.float32)
    lamp[20, 30] = 1
    pure = np.zeros((12, 12, 3), np.float32)
    pure[..., 0], pure[6:, :, 0], pure[6:, :, 2] = 1, 0, 1
    grey = np.repeat(noise[..., :1], 3, 2)
    return {
        "noise": noise,
        "half black": half_black,
        "half white": half_white,
        "one lamp in the dark": lamp,
        "pure red and blue": pure,
        "grey": grey,
        "black": np.zeros((20, 30, 3), np.float32),
        "white": np.ones((20, 30, 3), np.float32),
        "all but black": np.full((20, 30, 3), 1e-7, np.float32),
        "one pixel wide": noise[:, :1],
        "one pixel high": noise[:1],
        "one pixel": noise[:1, :1],
        "high dynamic range": 50 * noise**3,
        "larger than the working side": np.tile(noise, (3, 3, 1)),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", photos())
def test_any_photo_is_finite_in_range_and_returned_by_its_parts(name, method):
    photo = photos()[name]
    parts = run(photo, method)
    assert parts.albedo.shape == photo.shape and parts.shading.shape == photo.shape[:2]
    assert parts.albedo.dtype == parts.shading.dtype == np.float32
    assert np.isfinite(parts.albedo).all() and np.isfinite(parts.shading).all()
    assert parts.albedo.min() >= 0 and parts.albedo.max() <= 1 + 1e-6
    assert parts.shading.min() >= 0
    assert np.abs(parts.compose() - photo).max() <= 1e-4 * max(1, photo.max())
    white = np.percentile(parts.albedo.max(2), 99, method="higher")
    mostly_black = np.percentile(photo.max(2), 99, method="higher") == 0
    assert white == (0 if mostly_black else pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_photo_has_a_grey_albedo_and_black_is_black_paint(method):
    grey = run(photos()["grey"], method).albedo
    np.testing.assert_allclose(grey, grey[..., :1].repeat(3, 2), atol=1e-6)
    black = run(photos()["half black"], method)
    assert not black.albedo[:20].any() and (black.shading > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_photos_one_by_one(method):
    batch = np.stack([mondrian(32, seed=seed)[0] * gain for seed, gain in ((0, 1.0), (1, 0.1), (2, 0.5))])
    chosen = {"retinex": RetinexOptions(norm="l1"), "bell2014": QUICK}[method]
    together = decompose_batch(batch, method, options=chosen)
    for i, photo in enumerate(batch):
        alone = decompose(photo, method, options=chosen)
        np.testing.assert_allclose(together.albedo[i], alone.albedo, atol=2e-6)
        np.testing.assert_allclose(together.shading[i], alone.shading, rtol=1e-5)


def test_what_cannot_be_taken_apart_is_refused_by_name():
    with pytest.raises(PhotoError, match=r"\(4, 5\)"):
        decompose(np.zeros((4, 5), np.float32))
    with pytest.raises(PhotoError, match="none of them 0"):
        decompose(np.zeros((0, 5, 3), np.float32))
    for bad in (np.nan, -0.1, np.inf):
        with pytest.raises(PhotoError, match="negative or not finite"):
            decompose(np.full((4, 5, 3), bad, np.float32))
    photo = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ConfigError, match="'sirfs'"):
        decompose(photo, "sirfs")
    with pytest.raises(ConfigError, match="expected those of retinex"):
        decompose(photo, options=QUICK)
