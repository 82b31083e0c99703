"""Photos too small to be clean are counted, by how they are stored; and left out where that is asked for."""

import cv2
import numpy as np
import pytest
from PIL import Image

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareFolder
from coembed.data.prepare.cleanliness import PIXELS_PER_CELL, QUALITIES, is_clean, take_census
from coembed.data.store.index import read_index
from coembed.data.store.store import open_pairs
from coembed.imaging.io.origin import Origin


def save(path, width, height, **options):
    rough = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(cv2.resize(rough, (width, height))).save(path, **options)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [75, 90])
def test_what_counts_is_pixels_per_cell_and_halved_colour_and_low_quality_need_more(sampling, quality):
    side = PIXELS_PER_CELL[sampling][QUALITIES.index(quality)] * 32
    large, small = (Origin(round(side) + d, round(side) + d, sampling, quality) for d in (1, -1))
    assert is_clean(large, (32, 32)) and not is_clean(small, (32, 32)) and is_clean(small, (16, 16))
    wide = Origin(round(2 * side) + 2, round(side / 2) + 2, sampling, quality)  # its area counts
    assert is_clean(wide, (32, 32))


def test_quality_goes_between_and_what_is_unknown_is_taken_for_the_worse():
    between = Origin(165, 165, "4:2:0", 82)  # 5.2 pixels per cell
    assert not is_clean(between, (32, 32)) and is_clean(Origin(165, 165, "4:2:0", 88), (32, 32))
    assert not is_clean(Origin(165, 165, "4:2:0", None), (32, 32))
    assert is_clean(Origin(64, 64), (32, 32)) and not is_clean(Origin(20, 20), (32, 32))


def test_small_photos_are_counted_and_the_summary_says_what_leaves_them_out(tmp_path):
    for i in range(3):
        save(tmp_path / f"small/{i}.jpg", 40, 40 + i, quality=75, subsampling=2)
        save(tmp_path / f"large/{i}.jpg", 300, 200, quality=90, subsampling=2)
    (tmp_path / "small/broken.jpg").write_bytes(b"\xff\xd8\xff")
    census = take_census([str(p) for p in sorted(tmp_path.rglob("*.jpg"))], (16, 16))
    assert (census.photos, census.small, census.side, census.sampling) == (6, 3, 40, "4:2:0")
    text = run_prepare(PrepareFolder(tmp_path, tmp_path / "pairs", size="16", workers=1, val_fraction=0)).text()
    assert "3 of 6 photos are too small to be clean (median 40 px on the shorter side, JPEG 4:2:0)" in text
    least = 41  # the small ones have 40 pixels on the shorter side
    assert f"--min-side {least} leaves them out" in text
    kept = PrepareFolder(tmp_path, tmp_path / "kept", size="16", workers=1, val_fraction=0, min_side=least)
    summary = run_prepare(kept)
    assert summary.stores[0].left_out == {f"below {least} px": 3} and "too small" not in summary.text()
    assert list(open_pairs(tmp_path / "kept", "train").names) == [f"large/{i}.jpg" for i in range(3)]
    assert read_index(tmp_path / "kept/train").options["min_side"] == least


def test_clean_photos_say_nothing_and_stores_without_the_option_are_as_before(tmp_path):
    for i in range(2):
        save(tmp_path / f"photos/{i}.png", 60, 40)
    options = PrepareFolder(tmp_path / "photos", tmp_path / "x", size="16", workers=1, val_fraction=0)
    assert "too small" not in run_prepare(options).text()
    assert "min_side" not in read_index(tmp_path / "x/train").options
    assert run_prepare(options).stores[0].kept == 2


def test_a_photo_left_out_takes_its_crops_with_it(tmp_path):
    save(tmp_path / "photos/a.png", 200, 150)
    save(tmp_path / "photos/b.png", 60, 50)
    options = {"size": "16", "workers": 1, "val_fraction": 0, "crops": 2, "min_side": 100}
    run_prepare(PrepareFolder(tmp_path / "photos", tmp_path / "x", **options))
    assert list(open_pairs(tmp_path / "x", "train").names) == ["a.png", "a.png#1", "a.png#2"]
