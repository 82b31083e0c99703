import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from coembed.errors import DataError, PhotoError
from coembed.imaging.resize import area_average
from coembed.imaging.upsampling.interpolate import Interpolator


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured discs on a gradient, with a little noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([80 + 60 * rows / height, 90 + 50 * columns / width, np.full(rows.shape, 120.0)], -1)
    for _ in range(8):
        y, x = rng.random(2) * (height, width)
        radius = rng.uniform(0.06, 0.2) * min(height, width)
        picture[np.hypot(rows - y, columns - x) < radius] = rng.uniform(0, 255, 3)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


SHAPES = [
    ((128, 128), (8, 8)),
    ((97, 160), (8, 8)),
    ((700, 240), (16, 12)),
    ((40, 900), (8, 8)),
    ((400, 8), (32, 4)),
]


def at_working_size(up, fields):
    """Fields before they are refined to the photo's size."""
    offsets, working = up._solve(fields.reshape(-1, fields.shape[-2] * fields.shape[-1]))
    return (working + offsets[:, None, None]).reshape(*fields.shape[:-2], *up.working_size)


@pytest.mark.parametrize(("size", "low"), SHAPES)
def test_area_means_of_the_result_are_the_field(size, low):
    fields = np.random.default_rng(1).random((2, *low), np.float32)
    up = Interpolator(scene(*size), low, working_pixels=40_000)
    working = at_working_size(up, fields)
    means = area_average(np.moveaxis(working, 0, -1), low)
    assert np.abs(np.moveaxis(means, -1, 0) - fields).max() < 1e-3


@pytest.mark.parametrize(("size", "low"), [*SHAPES, ((5, 3), (8, 8)), ((1, 1), (4, 4)), ((300, 2), (8, 8))])
def test_a_constant_comes_back_exactly(size, low):
    up = Interpolator(scene(*size), low, working_pixels=20_000)
    result = up(np.full((3, *low), 0.3, np.float32))
    assert result.shape == (3, *size)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32(0.3))


def test_linear_in_the_field():
    first, second = np.random.default_rng(2).normal(size=(2, 8, 8)).astype(np.float32)
    up = Interpolator(scene(150, 200), (8, 8), working_pixels=20_000, overshoot=None)
    np.testing.assert_allclose(up(2 * first - 3 * second), 2 * up(first) - 3 * up(second), atol=2e-4)


def test_many_fields_at_once_equal_one_by_one():
    fields = np.random.default_rng(3).random((2, 3, 8, 8), np.float32)
    up = Interpolator(scene(120, 130), (8, 8))
    together = up(fields)
    assert together.shape == (2, 3, 120, 130)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(together[index], up(fields[index]), atol=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_strips_join_to_exactly_the_whole(rows):
    fields = np.random.default_rng(4).random((2, 8, 8), np.float32)
    up = Interpolator(scene(203, 151), (8, 8), working_pixels=9_000)
    parts = list(up.strips(fields, rows))
    assert [part.start for part, _ in parts] == list(range(0, 203, rows))
    np.testing.assert_array_equal(np.concatenate([strip for _, strip in parts], axis=-2), up(fields))


def test_an_edge_of_the_photo_becomes_an_edge_of_the_field():
    # A disc of another colour; the field is 1 on it and 0 elsewhere, known only as 16 x 16 means.
    rows, columns = np.mgrid[:256, :256]
    disc = np.hypot(rows - 120, columns - 141) < 70
    photo = np.where(disc[..., None], (200, 60, 40), (60, 120, 160)).astype(np.uint8)
    truth = disc.astype(np.float32)
    low = area_average(truth, (16, 16))
    result = Interpolator(photo, (16, 16))(low)
    assert np.sqrt(np.mean((result - truth) ** 2)) < 0.02
    assert result.min() > -0.05
    assert result.max() < 1.05


@pytest.mark.parametrize("overshoot", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    "photo", [scene(130, 170), np.random.default_rng(3).integers(0, 256, (96, 96), np.uint8)]
)
def test_no_pixel_leaves_the_cells_around_it_by_more_than_the_limit(photo, overshoot):
    # Noise, which no photo explains: without a limit it would swing far beyond its range.
    low = np.random.default_rng(9).random((12, 12), np.float32)
    result = Interpolator(photo, (12, 12), overshoot=overshoot)(low)
    row, column = (((2 * np.arange(n) + 1) * 12) // (2 * n) for n in photo.shape[:2])
    lowest, highest = (f(low, 3, mode="nearest")[row][:, column] for f in (minimum_filter, maximum_filter))
    margin = overshoot * (highest - lowest) + 1e-6
    assert (result <= highest + margin).all() and (result >= lowest - margin).all()
    if overshoot >= 0.25:
        assert np.abs(area_average(result, (12, 12)) - low).max() < 1e-3
    free = Interpolator(photo, (12, 12), overshoot=None)(low)
    assert np.abs(area_average(free, (12, 12)) - low).max() < 1e-4


def test_a_negative_limit_is_refused():
    with pytest.raises(DataError, match="overshoot is -1"):
        Interpolator(scene(24, 24), (4, 4), overshoot=-1)


def test_scales_and_shifts_with_the_field():
    low = np.random.default_rng(8).normal(size=(12, 12)).astype(np.float32)
    up = Interpolator(scene(100, 100), (12, 12))
    np.testing.assert_allclose(up(2 - 3 * low), 2 - 3 * up(low), atol=1e-4)


def test_refinement_never_leaves_the_range_of_the_working_size():
    fields = np.random.default_rng(5).random((1, 8, 8), np.float32)
    up = Interpolator(scene(311, 407), (8, 8), working_pixels=10_000)
    working, full = at_working_size(up, fields), up(fields)
    assert full.min() >= working.min() - 1e-5
    assert full.max() <= working.max() + 1e-5


def test_no_edge_in_the_photo_no_edge_in_the_field():
    # On a flat photo a ramp must come back without steps from cell to cell or segment to segment.
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32), (16, 16))
    result = Interpolator(np.full((256, 256, 3), 128, np.uint8), (16, 16))(ramp)
    inner = result[48:-48, 48:-48]
    steps = np.diff(inner, axis=1)
    assert steps.min() > 0
    assert steps.max() < 3 * (1 / 240)


@pytest.mark.parametrize("dtype", [np.uint16, np.float16, np.float32, np.float64])
def test_every_pixel_type_gives_about_the_same(dtype):
    photo = scene(90, 120)
    other = photo.astype(dtype) * np.asarray(257, dtype) if dtype == np.uint16 else (photo / 255).astype(dtype)
    field = np.add.outer(np.linspace(0, 0.3, 8), np.linspace(0, 0.7, 8)).astype(np.float32)
    gap = Interpolator(photo, (8, 8), working_pixels=5_000)(field) - Interpolator(
        other, (8, 8), working_pixels=5_000
    )(field)
    assert np.sqrt(np.mean(gap**2)) < 0.02


def test_grey_photos():
    grey = scene(90, 120)[..., 0]
    assert Interpolator(grey, (8, 8))(np.ones((8, 8), np.float32)).shape == (90, 120)


@pytest.mark.parametrize(
    ("guide", "text"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((4,), np.uint8), r"\(4,\)"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
        (np.zeros((4, 4), np.int32), "int32"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.broadcast_to(np.uint8(0), (8001, 8001)), "64,016,001"),
    ],
)
def test_guides_that_cannot_be_used_are_refused(guide, text):
    with pytest.raises(PhotoError, match=text):
        Interpolator(guide, (2, 2))


def test_fields_that_cannot_be_used_are_refused():
    up = Interpolator(scene(40, 40), (4, 5))
    with pytest.raises(DataError, match=r"\(5, 4\).*\(\.\.\., 4, 5\)"):
        up(np.zeros((5, 4), np.float32))
    with pytest.raises(DataError, match="1 values"):
        up(np.where(np.arange(20).reshape(4, 5) == 3, np.nan, 0))
    with pytest.raises(DataError, match="low_shape"):
        Interpolator(scene(40, 40), (0, 5))
