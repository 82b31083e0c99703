"""Pairs of clips: true motion in fractions of the frame per second, validity, samples, views."""

import numpy as np
import pytest
from clip_files import HEIGHT, WIDTH, drift, write_clip

from coembed.data.prepare.clips import ClipRecipe, cells_of, fill, flow_over
from coembed.data.sources.items import Item
from coembed.errors import PhotoError

SPEED, FPS = (1.0, 0.5), 8.0
TRUTH = np.array([SPEED[0] * FPS / WIDTH, SPEED[1] * FPS / HEIGHT])


@pytest.fixture
def clip(tmp_path):
    write_clip(tmp_path / "a.avi", drift(20, SPEED), FPS)
    return Item("a.avi", (str(tmp_path / "a.avi"),))


def recipe(**options):
    return ClipRecipe(**({"task": "motion", "size": (6, 8), "samples": 3} | options))


@pytest.mark.parametrize("via", ["auto", "direct", "chain"])
def test_the_motion_is_the_true_one_in_fractions_of_the_frame_a_second(clip, via):
    pairs, left_out = recipe(via=via).pairs_of(clip)
    assert [p.name for p in pairs] == ["a.avi@0", "a.avi@1", "a.avi@2"]
    assert left_out == {}
    for pair in pairs:
        assert pair.condition.shape == (6, 8, 3)
        assert pair.field.shape == (6, 8, 2)
        # A third of a pixel over the second, and more at the borders, where contents leave.
        assert np.abs(pair.field[1:-1, 1:-1] - TRUTH).mean() < 0.35 / WIDTH
        assert np.abs(pair.field - TRUTH).max() < 1.5 / HEIGHT
    assert not np.array_equal(pairs[0].condition, pairs[1].condition)


def test_a_gap_of_a_rounded_number_of_frames_is_scaled_to_a_second(tmp_path):
    write_clip(tmp_path / "a.avi", drift(20, SPEED), fps=8.5)  # 8 frames are 0.94 s
    pairs, _ = recipe().pairs_of(Item("a.avi", (str(tmp_path / "a.avi"),)))
    assert np.abs(pairs[0].field[1:-1, 1:-1] - TRUTH * 8.5 / FPS).mean() < 0.35 / WIDTH


def test_a_crop_shows_the_same_motion_as_a_larger_share(clip):
    pairs, _ = recipe(samples=1, crops=1).pairs_of(clip)
    whole, crop = pairs
    assert crop.name == "a.avi@0#1"
    ratio = crop.field.mean((0, 1)) / whole.field.mean((0, 1))
    assert (ratio > 1 / 0.96).all()
    assert (ratio < 1 / 0.69).all()
    assert ratio[0] == pytest.approx(ratio[1], rel=0.05)


def test_frames_that_have_nothing_in_common_are_left_out_and_counted(tmp_path):
    noise = np.random.default_rng(0)
    write_clip(tmp_path / "a.avi", [noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(12)])
    item = Item("a.avi", (str(tmp_path / "a.avi"),))
    pairs, left_out = recipe().pairs_of(item)
    assert pairs == []
    assert left_out == {"unreliable motion": 3}


def test_clips_of_a_second_or_less_are_refused(tmp_path):
    write_clip(tmp_path / "a.avi", drift(8), FPS)
    with pytest.raises(PhotoError, match="8 frames at 8 a second, expected more than a second"):
        recipe().pairs_of(Item("a.avi", (str(tmp_path / "a.avi"),)))


def test_a_clip_with_few_frames_gives_fewer_samples_and_none_twice(tmp_path):
    write_clip(tmp_path / "a.avi", drift(10), FPS)
    pairs, _ = recipe(samples=8).pairs_of(Item("a.avi", (str(tmp_path / "a.avi"),)))
    assert [p.name for p in pairs] == ["a.avi@0", "a.avi@1"]


def test_a_truncated_clip_is_sampled_over_what_it_has(clip, tmp_path):
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: int(len(data) * 0.8)])
    pairs, _ = recipe().pairs_of(clip)
    assert len(pairs) == 3
    assert np.abs(pairs[-1].field - TRUTH).max() < 1.5 / HEIGHT


def test_a_photo_task_sees_the_frames(clip):
    pairs, left_out = recipe(task="resaturation", crops=1).pairs_of(clip)
    assert [p.name for p in pairs][:3] == ["a.avi@0", "a.avi@0#1", "a.avi@1"]
    assert pairs[0].condition.shape == (6, 8, 3) and pairs[0].field.shape == (6, 8, 1)
    assert left_out == {}
    assert "via" not in recipe(task="resaturation").options()


def test_cells_average_trusted_pixels_only_and_fill_the_rest_from_neighbours():
    motion = np.zeros((8, 12, 2), np.float32)
    motion[:, :6] = 0.1
    motion[:4, :3] = 0.9  # wrong, and known to be
    valid = np.ones((8, 12), bool)
    valid[:4, :3] = False
    valid[4:, 3:5] = False  # two thirds of one cell
    cells = cells_of(motion, valid, (2, 4))
    assert cells[:, :2] == pytest.approx(0.1, abs=0.02)
    assert cells[1, 1] == pytest.approx(0.1, abs=1e-6)
    assert (cells[:, 2:] == 0).all()


def test_cells_stay_in_the_range_of_the_task():
    assert cells_of(np.full((4, 4, 2), 3.0, np.float32), np.ones((4, 4), bool), (2, 2)).max() == 1


def test_filling_reaches_everything_from_one_cell_and_changes_nothing_known():
    cells = np.zeros((40, 30, 2), np.float32)
    known = np.zeros((40, 30), bool)
    cells[0, 0], known[0, 0] = (0.25, -0.5), True
    filled = fill(cells, known)
    assert np.array_equal(filled[0, 0], cells[0, 0])
    assert filled[..., 0] == pytest.approx(0.25, rel=1e-4)
    assert filled[..., 1] == pytest.approx(-0.5, rel=1e-4)


def test_what_leaves_the_frame_cannot_be_trusted():
    frames = [f[..., ::-1] for f in drift(9, (2.0, 0.0))]
    _, valid = flow_over([frames[n] for n in (0, 2, 4, 6, 8)], 1.0, "auto")
    assert not valid[:, -14:].any()
    assert valid[:, 8:-20].mean() > 0.95
