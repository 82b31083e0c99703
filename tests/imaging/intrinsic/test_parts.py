"""The pieces under the two decompositions, each against another way to the same answer."""

import numpy as np
import pytest
from scipy import ndimage, optimize

from coembed.errors import ConfigError
from coembed.imaging.intrinsic import bell2014 as bell
from coembed.imaging.intrinsic.bell2014 import Bell2014Options
from coembed.imaging.intrinsic.retinex import STEP_AT_128, RetinexOptions, poisson, retinex


def differences(h, w):
    """D as a dense matrix, row by row of the definition."""
    rows = []
    for y in range(h):
        for x in range(w):
            for dy, dx in ((1, 0), (0, 1)):
                if y + dy < h and x + dx < w:
                    row = np.zeros((h, w))
                    row[y, x], row[y + dy, x + dx] = -1, 1
                    rows.append(row.ravel())
    return np.array(rows).reshape(-1, h * w)


@pytest.mark.parametrize("size", [(5, 7), (1, 6), (6, 1), (8, 8)])
@pytest.mark.parametrize("screen", [0.0, 0.3])
def test_the_cosine_solve_is_the_least_squares_solution(size, screen):
    d = differences(*size)
    steps = np.random.default_rng(0).normal(size=(2, len(d)))
    right = (steps @ d).reshape(2, *size)
    found = poisson(right, screen).reshape(2, -1)
    normal = d.T @ d + screen * np.eye(d.shape[1])
    wanted = (np.linalg.pinv(normal) @ (steps @ d).T).T
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_float32_is_good_enough_at_512_pixels():
    truth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(512, 512)), 3)
    truth = 3 * (truth - truth.mean()) / truth.std()
    right = (
        4 * truth - sum(np.roll(np.pad(truth, 1, "edge"), s, a) for s in (1, -1) for a in (0, 1))[1:-1, 1:-1]
    )
    assert np.abs(poisson(right) - truth).max() < 1e-9
    assert np.abs(poisson(right.astype(np.float32)) - truth).max() < 2e-3


def test_the_kernel_is_the_published_one_symmetrically_normalised():
    rgb = np.random.default_rng(0).uniform(0.05, 1, (4, 6, 3)).astype(np.float32)
    grey, chroma, diagonal = rgb.mean(2), rgb[..., :2] / rgb.sum(2, keepdims=True), np.hypot(4, 6)
    n = 24
    plain = np.empty((n, n))
    for p in range(n):
        for q in range(n):
            (py, px), (qy, qx) = divmod(p, 6), divmod(q, 6)
            distance = ((grey[py, px] - grey[qy, qx]) / 0.1) ** 2
            distance += (((chroma[py, px] - chroma[qy, qx]) / 0.025) ** 2).sum()
            distance += ((py - qy) ** 2 + (px - qx) ** 2) / (0.1 * diagonal) ** 2
            plain[p, q] = np.exp(-distance / 2)
    norm = np.sqrt(plain.sum(1))
    np.testing.assert_allclose(bell._kernel(grey, chroma, diagonal), plain / np.outer(norm, norm), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_mean_field_is_the_textbook_update(seed):
    rng = np.random.default_rng(seed)
    h, w, n = 14, 16, 14 * 16
    grey = (rng.choice([0.1, 0.15, 0.2, 0.6], (h, w)) * rng.uniform(0.9, 1.1, (h, w))).astype(np.float32)
    chroma = (1 / 3 + rng.normal(size=(h, w, 2)) * 0.01).astype(np.float32)
    kernel = bell._kernel(grey, chroma, np.hypot(h, w))
    paint, paint_chroma = np.log(rng.uniform(0.1, 1, 6)), 1 / 3 + rng.normal(size=(6, 2)) * 0.02
    target = rng.normal(-0.7, 0.1, (h, w))
    colours = np.log(3 * np.exp(paint)[:, None] * np.column_stack([paint_chroma, 1 - paint_chroma.sum(1)]))
    unary = np.empty((n, 6))
    for pixel in range(n):
        shading = np.log(grey.ravel()[pixel]) - paint
        unary[pixel] = 500 * np.abs(shading - np.log(0.5)) + 20000 * (shading - target.ravel()[pixel]) ** 2
    cost = 10000 * np.abs(colours[:, None] - colours[None]).sum(2)

    def normalised(energy):
        odds = np.exp(energy.min(1, keepdims=True) - energy)
        return odds / odds.sum(1, keepdims=True)

    belief = normalised(unary)
    for rounds in range(1, 11):
        belief = normalised(unary + kernel @ belief @ cost)
        found = bell._label(np.log(grey), paint, paint_chroma, target, kernel, rounds)
        assert (found == belief.argmax(1)).all()
    assert len(np.unique(found)) > 1
    assert (found != unary.argmin(1)).any()


def test_stage_two_reaches_the_least_sum_of_steps_and_keeps_the_median():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (9, 9))
    log_grey, paint = rng.normal(size=(9, 9)), rng.normal(size=5)

    def steps(log_paint):
        shading = log_grey - log_paint[labels]
        return sum(np.abs(np.diff(shading, axis=a))[np.diff(labels, axis=a) != 0].sum() for a in (0, 1))

    found = bell._smooth_shading(labels, paint, log_grey)
    # The same as a linear programme: least sum of t with -t <= steps <= t.
    rows, wanted = [], []
    for a in (0, 1):
        here, there = (np.take(labels, range(*r), axis=a) for r in ((0, 8), (1, 9)))
        change = np.diff(log_grey, axis=a)
        for p, q, c in zip(here.ravel(), there.ravel(), change.ravel(), strict=True):
            if p != q:
                rows.append(np.eye(5)[q] - np.eye(5)[p])
                wanted.append(c)
    a, b, n = np.array(rows), np.array(wanted), len(rows)
    box = np.block([[a, -np.eye(n)], [-a, -np.eye(n)]])
    best = optimize.linprog(np.r_[np.zeros(5), np.ones(n)], box, np.r_[b, -b], bounds=(None, None))
    assert best.fun <= steps(found) + 1e-9
    assert steps(found) < best.fun * (1 + 2e-3)
    assert np.median(np.exp(found)) == pytest.approx(np.median(np.exp(paint)))


def test_regions_of_one_label_that_do_not_touch_become_labels_of_their_own():
    labels = np.array([[0, 1, 0], [1, 0, 0]])
    regions, paint = bell._components(labels, np.array([0.1, 0.7]))
    assert len(paint) == 4 and len(np.unique(regions)) == 4
    np.testing.assert_array_equal(paint[regions], np.array([0.1, 0.7])[labels])


def test_clusters_of_separate_points_are_their_means_and_a_seed_repeats_them():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 1]])
    points = (centres[:, None] + rng.normal(size=(3, 50, 3)) * 0.01).reshape(-1, 3)
    found, again = (bell._kmeans(points, 3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(found, again)
    order = np.argsort(found @ [1, 2, 0])
    np.testing.assert_allclose(found[order], points.reshape(3, 50, 3).mean(1), atol=1e-9)


def test_more_clusters_than_colours_gives_one_a_colour():
    assert len(bell._kmeans(np.repeat(np.eye(3), 4, 0), 20, np.random.default_rng(0))) == 3


def test_guided_upsampling_is_exact_where_the_light_is_even():
    paints = np.random.default_rng(0).uniform(0.1, 0.9, (4, 4, 3)).astype(np.float32)
    big = paints.repeat(32, 0).repeat(32, 1)
    small = big[2::4, 2::4]
    found = bell._guided(np.log(small.mean(2)), np.log(small), big, np.float32(1))
    error = found - np.log(big.mean(2))
    assert np.abs(np.median(error)) < 0.01 and error.std() < 0.06


@pytest.mark.parametrize(
    ("kind", "field", "bad"),
    [
        (RetinexOptions, "brightness_step", -1.0),
        (RetinexOptions, "screen", float("nan")),
        (RetinexOptions, "norm", "l3"),
        (Bell2014Options, "working_side", 97),
        (Bell2014Options, "labels", 0),
        (Bell2014Options, "rounds", 0),
    ],
)
def test_options_outside_their_range_are_refused_by_name(kind, field, bad):
    with pytest.raises(ConfigError, match=f"{field} is"):
        kind(**{field: bad})


@pytest.mark.parametrize(
    ("side", "least"), [(64, STEP_AT_128 * 2**0.5), (128, STEP_AT_128), (512, STEP_AT_128 / 2)]
)
def test_steps_are_judged_by_the_photos_size(side, least):
    for height, is_paint in ((0.95 * least, False), (1.05 * least, True)):
        photo = np.full((1, side // 2, side, 3), 0.3, np.float32)
        photo[:, :, side // 2 :] *= np.exp(height)
        found = retinex(photo, RetinexOptions(noise_floor=0.0))
        assert np.ptp(found) == pytest.approx(height if is_paint else 0.0, abs=1e-4)
