import json

import cv2
import numpy as np
import pytest
import torch

from coembed.data.photos import LARGEST_CROP, SMALLEST_CROP, crop_of
from coembed.data.prepare import PrepareCoco, run_prepare
from coembed.data.shards import open_pairs
from coembed.errors import ConfigError


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train2014", 5), ("val2014", 3)):
        (tmp_path / "coco" / split).mkdir(parents=True)
        for i in range(count):
            photo = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (80, 60))
            cv2.imwrite(str(tmp_path / "coco" / split / f"{i}.png"), photo)
    return tmp_path / "coco"


def test_views_are_the_whole_photo_and_crops_of_it(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "one", size="8", workers=1))
    run_prepare(PrepareCoco(photos, tmp_path / "three", size="8", workers=1, views=3))
    one, three = open_pairs(tmp_path / "one", "train"), open_pairs(tmp_path / "three", "train")
    assert list(three.names[:4]) == ["0.png", "0.png#1", "0.png#2", "1.png"] and len(three) == 15
    assert torch.equal(three.field(slice(0, 15, 3)), one.field(slice(None)))
    crops = three.condition(slice(None)).view(5, 3, -1)
    assert all(not torch.equal(photo[a], photo[b]) for photo in crops for a, b in ((0, 1), (0, 2), (1, 2)))
    # A crop is of the same photo: closer to it than to the others, on average.
    whole = crops[:, 0]
    near = (crops[:, 1] - whole).square().mean()
    far = (crops[:, 1] - whole.roll(1, 0)).square().mean()
    assert near < 0.8 * far


def test_validation_has_no_crops_and_workers_do_not_matter(photos, tmp_path):
    for name, workers in (("a", 1), ("b", 2)):
        run_prepare(PrepareCoco(photos, tmp_path / name, size="8", workers=workers, views=2))
    assert list(open_pairs(tmp_path / "a", "val").names) == ["0.png", "1.png", "2.png"]
    for file in ("index.json", "shard-00000.safetensors"):
        assert (tmp_path / "a/train" / file).read_bytes() == (tmp_path / "b/train" / file).read_bytes()
    assert json.loads((tmp_path / "a/train/index.json").read_text())["options"]["views"] == 2


def test_crops_stay_inside_and_keep_the_aspect():
    shares = []
    for i in range(300):
        rows, columns = crop_of(f"{i}.jpg#1", (60, 80))
        assert 0 <= rows.start < rows.stop <= 60 and 0 <= columns.start < columns.stop <= 80
        share = (rows.stop - rows.start) / 60
        assert share == pytest.approx((columns.stop - columns.start) / 80, abs=0.02)
        shares.append(share)
    assert min(shares) == pytest.approx(SMALLEST_CROP, abs=0.02) and max(shares) == pytest.approx(
        LARGEST_CROP, abs=0.02
    )


def test_a_number_of_views_out_of_range_is_refused(photos, tmp_path):
    with pytest.raises(ConfigError, match="views is 0, expected 1 to 64"):
        run_prepare(PrepareCoco(photos, tmp_path / "x", views=0))
