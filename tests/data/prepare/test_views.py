import itertools

import cv2
import numpy as np
import pytest
import torch

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareCoco, PrepareFolder
from coembed.data.names import MAX_CROP, MIN_CROP, crop_of
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


def test_neither_workers_nor_a_lost_shard_change_the_bytes(photos, tmp_path, monkeypatch):
    # 15 items in chunks of 4: for one chunk alone no worker process starts. Shard 1 begins amid a photo.
    monkeypatch.setattr(build, "_CHUNK", 4)
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        run_prepare(PrepareCoco(photos, tmp_path / name, size="8", workers=workers, views=3, shard_pairs=8))
    (tmp_path / "two/train/shard-00001.safetensors").unlink()
    repaired = PrepareCoco(photos, tmp_path / "two", size="8", workers=2, views=3, shard_pairs=8)
    assert [s.kept for s in run_prepare(repaired).stores] == [8, 3]
    files = sorted(p.name for p in (tmp_path / "one/train").iterdir())
    assert files == ["index.json", "shard-00000.safetensors", "shard-00001.safetensors"]
    for other, file in itertools.product(("again", "two"), files):
        assert (tmp_path / "one/train" / file).read_bytes() == (tmp_path / other / "train" / file).read_bytes()


@pytest.mark.parametrize("verb", [PrepareCoco, PrepareFolder])
def test_validation_has_no_crops(photos, tmp_path, verb):
    for name, views in (("whole", 1), ("views", 3)):
        run_prepare(verb(photos, tmp_path / name, size="8", workers=1, views=views))
    train, val = (open_pairs(tmp_path / "views", split) for split in ("train", "val"))
    assert len(train) == 3 * len(open_pairs(tmp_path / "whole", "train"))
    assert len(set(train.names)) == len(train)
    assert val.names and not any("#" in name for name in val.names)
    for file in ("index.json", "shard-00000.safetensors"):
        assert (tmp_path / "views/val" / file).read_bytes() == (tmp_path / "whole/val" / file).read_bytes()


def test_views_are_recorded_and_another_number_is_refused(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, views=2))
    options = read_index(tmp_path / "x/train").options
    assert options["views"] == 2 and options["crops"] == [MIN_CROP, MAX_CROP]
    with pytest.raises(DataError, match="views 2, now 3"):
        run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, views=3))


def test_stores_from_before_views_are_those_of_one_view(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1))
    assert not {"views", "crops"} & set(read_index(tmp_path / "x/train").options)
    assert run_prepare(PrepareCoco(photos, tmp_path / "x", size="8", workers=1, views=1)).stores[0].kept == 5


def test_a_crop_smaller_than_the_cells_is_enlarged(photos, tmp_path):
    run_prepare(PrepareCoco(photos, tmp_path / "x", size="96", workers=1, views=2))
    crops = open_pairs(tmp_path / "x", "train").condition(slice(1, None, 2))
    assert crops.shape == (5, 1, 96, 96) and crops.min() >= 0 and crops.max() <= 1 and crops.std() > 0


def test_crops_stay_inside_and_keep_the_aspect():
    shares = []
    for i in range(300):
        rows, columns = crop_of(f"{i}.jpg#1", (60, 80))
        assert 0 <= rows.start < rows.stop <= 60 and 0 <= columns.start < columns.stop <= 80
        share = (rows.stop - rows.start) / 60
        assert share == pytest.approx((columns.stop - columns.start) / 80, abs=0.02)
        shares.append(share)
    assert min(shares) == pytest.approx(MIN_CROP, abs=0.02) and max(shares) == pytest.approx(MAX_CROP, abs=0.02)


@pytest.mark.parametrize("verb", [PrepareCoco, PrepareFolder])
@pytest.mark.parametrize("views", [0, 65])
def test_a_number_of_views_out_of_range_is_refused(photos, tmp_path, verb, views):
    with pytest.raises(ConfigError, match=f"views is {views}, expected 1 to 64"):
        run_prepare(verb(photos, tmp_path / "x", views=views))
