import itertools
import math

import cv2
import numpy as np
import pytest
import torch

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareCoco, PrepareFolder
from coembed.data.names import CROP_AREA, CROP_ASPECT, crop_of
from coembed.data.prepare import build
from coembed.data.store.index import read_index
from coembed.data.store.store import open_pairs
from coembed.errors import ConfigError, DataError


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
    run_prepare(PrepareCoco(photos, tmp_path / "three", size="8", workers=1, crops=2))
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


def test_neither_workers_nor_a_lost_shard_change_the_bytes(photos, tmp_path, monkeypatch):
    # 15 items in chunks of 4: for one chunk alone no worker process starts. Shard 1 begins amid a photo.
    monkeypatch.setattr(build, "_CHUNK", 4)
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        run_prepare(PrepareCoco(photos, tmp_path / name, size="8", workers=workers, crops=2, shard_pairs=8))
    (tmp_path / "two/train/shard-00001.safetensors").unlink()
    repaired = PrepareCoco(photos, tmp_path / "two", size="8", workers=2, crops=2, shard_pairs=8)
    assert [s.kept for s in run_prepare(repaired).stores] == [8, 3]
    files = sorted(p.name for p in (tmp_path / "one/train").iterdir())
    assert files == ["index.json", "shard-00000.safetensors", "shard-00001.safetensors"]
    for other, file in itertools.product(("again", "two"), files):
        assert (tmp_path / "one/train" / file).read_bytes() == (tmp_path / other / "train" / file).read_bytes()


@pytest.mark.parametrize("verb", [PrepareCoco, PrepareFolder])
def test_validation_has_no_crops(photos, tmp_path, verb):
    for name, crops in (("whole", 0), ("views", 2)):
        run_prepare(verb(photos, tmp_path / name, size="8", workers=1, crops=crops))
    train, val = (open_pairs(tmp_path / "views", split) for split in ("train", "val"))
    assert len(train) == 3 * len(open_pairs(tmp_path / "whole", "train"))
    assert len(set(train.names)) == len(train)
    assert val.names and not any("#" in name for name in val.names)
    for file in ("index.json", "shard-00000.safetensors"):
        assert (tmp_path / "views/val" / file).read_bytes() == (tmp_path / "whole/val" / file).read_bytes()


def test_views_are_recorded_and_another_number_is_refused(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, crops=1))
    options = read_index(tmp_path / "x/train").options
    assert options["crops"] == {"number": 1, "area": list(CROP_AREA), "aspect": CROP_ASPECT, "seed": 0}
    with pytest.raises(DataError, match="'number': 1"):
        run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, crops=2))


def test_stores_from_before_crops_are_those_without_any(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1))
    assert "crops" not in set(read_index(tmp_path / "x/train").options)
    assert run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, crops=0)).stores[0].kept == 5


def test_a_crop_smaller_than_the_cells_is_enlarged(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="96", workers=1, crops=1))
    crops = open_pairs(tmp_path / "x", "train").condition(slice(1, None, 2))
    assert crops.shape == (5, 3, 96, 96) and crops.min() >= -1 and crops.max() <= 1 and crops.std() > 0


def test_crops_stay_inside_and_vary_in_area_and_aspect():
    areas, aspects = [], []
    for i in range(1000):
        rows, columns = crop_of(f"{i}.jpg#1", (600, 800))
        assert 0 <= rows.start < rows.stop <= 600 and 0 <= columns.start < columns.stop <= 800
        height, width = (rows.stop - rows.start) / 600, (columns.stop - columns.start) / 800
        areas.append(height * width)
        aspects.append(math.log(height / width))
    assert min(areas) == pytest.approx(CROP_AREA[0], abs=0.01) and 0.95 < max(areas) <= 1
    assert max(aspects) == pytest.approx(CROP_ASPECT, abs=0.01)
    assert min(aspects) == pytest.approx(-CROP_ASPECT, abs=0.01)


def test_another_seed_gives_other_crops_of_the_same_photos(photos, tmp_path):
    for seed in (0, 1):
        run_prepare(PrepareCoco(photos, tmp_path / str(seed), size="8", workers=1, crops=1, seed=seed))
    first, second = (open_pairs(tmp_path / str(seed), "train") for seed in (0, 1))
    same = [torch.equal(a, b) for a, b in zip(first.field(slice(None)), second.field(slice(None)), strict=True)]
    assert same == [True, False] * 5


@pytest.mark.parametrize("verb", [PrepareCoco, PrepareFolder])
@pytest.mark.parametrize("crops", [-1, 64])
def test_a_number_of_crops_out_of_range_is_refused(photos, tmp_path, verb, crops):
    with pytest.raises(ConfigError, match=f"crops is {crops}, expected 0 to 63"):
        run_prepare(verb(photos, tmp_path / "x", crops=crops))
