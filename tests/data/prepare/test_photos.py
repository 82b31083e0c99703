"""A photo is decoded and split once for all its views, at the size that the task wants."""

import json
import shutil

import numpy as np
import pytest

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareFolder
from coembed.data.prepare import photos as recipes
from coembed.data.prepare.photos import PhotoRecipe
from coembed.data.sources.items import Item
from coembed.data.store.index import read_index
from coembed.data.store.store import open_pairs
from coembed.errors import ConfigError, DataError, PhotoError
from coembed.imaging.color import linear_to_srgb, srgb_to_linear
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average
from coembed.tasks import get_task
from coembed.tasks.task import settings_of


def prepare(src, dest, **options):
    return run_prepare(PrepareFolder(src, dest, val_fraction=0.0, size="8", workers=1, **options))


def test_a_photo_is_decoded_once_for_all_its_views(photos, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(recipes, "read_photo", lambda p, **o: decoded.append(p) or read_photo(p, **o))
    prepare(photos(5), tmp_path / "x", crops=3)
    assert len(decoded) == len(set(decoded)) == 5


def test_a_photo_that_changed_between_two_runs_is_read_again(photos, tmp_path):
    folder = photos(1)
    prepare(folder, tmp_path / "x", crops=1)
    shutil.copy(photos(2, "other") / "photo-001.jpg", folder / "photo-000.jpg")
    prepare(folder, tmp_path / "y", crops=1)
    before, after = (open_pairs(tmp_path / name, "train").field(slice(None)) for name in "xy")
    assert not (before == after).all(3).all(2).any()


def test_an_unreadable_photo_is_listed_once_and_progress_counts_photos(photos, tmp_path, capsys):
    folder = photos(4)
    (folder / "photo-001.jpg").write_bytes(b"\xff\xd8\xff nothing")
    summary = prepare(folder, tmp_path / "x", crops=4).stores[0]
    assert summary.pairs == 15 and [s.name for s in summary.skipped] == ["photo-001.jpg"]
    assert [s.name for s in read_index(tmp_path / "x/train").skipped] == ["photo-001.jpg"]
    assert "train: 4/4 (100%)" in capsys.readouterr().err
    with pytest.raises(PhotoError, match=r"photo-001\.jpg"):
        prepare(folder, tmp_path / "y", crops=4, strict=True)


def test_the_skipped_photo_is_listed_once_after_repair_too(photos, tmp_path):
    folder = photos(4)
    (folder / "photo-001.jpg").write_bytes(b"\xff\xd8\xff nothing")
    prepare(folder, tmp_path / "x", crops=2, shard_pairs=4)
    index = (tmp_path / "x/train/index.json").read_bytes()
    (tmp_path / "x/train/shard-00000.safetensors").unlink()
    prepare(folder, tmp_path / "x", crops=2, shard_pairs=4)
    assert (tmp_path / "x/train/index.json").read_bytes() == index


def test_photos_are_reduced_to_the_working_size_in_linear_light(photos):
    path = str(photos(1) / "photo-000.jpg")  # 41 x 37
    rgb = read_photo(path).as_float()
    small = linear_to_srgb(area_average(srgb_to_linear(rgb), (18, 20)))
    expected = get_task("relighting").split(small)
    made = PhotoRecipe("relighting", (6, 5), working_size=20).make(Item("a", (path,)))
    for layer, whole in zip(made, expected, strict=True):
        np.testing.assert_allclose(layer, area_average(whole, (6, 5)), atol=1e-6)


def test_the_fields_cells_are_geometric_means_of_the_light(photos):
    path = str(photos(1) / "photo-000.jpg")
    log_shading = get_task("relighting").split(read_photo(path).as_float())[1]
    field = PhotoRecipe("relighting", (1, 1)).make(Item("a", (path,)))[1]
    assert field.item() == pytest.approx(float(log_shading.mean()), abs=1e-5)


@pytest.mark.parametrize("task", ["relighting", "relighting-grey"])
def test_relighting_is_prepared_and_what_decides_its_numbers_is_recorded(photos, tmp_path, task):
    prepare(photos(3), tmp_path / "x", task=task, crops=1)
    index = read_index(tmp_path / "x/train")
    assert index.options["working_size"] == 256 and index.options["settings"]["step_at_128"] == 0.35
    assert index.options["settings"] == json.loads(json.dumps(settings_of(get_task(task))))
    assert index.field.unit == "ln" and index.condition.channels == (3 if task == "relighting" else 1)
    pairs = open_pairs(tmp_path / "x", "train")
    assert len(pairs) == 6 and pairs.field(slice(None)).std() > 0.01
    with pytest.raises(DataError, match="working_size 256, now 32"):
        prepare(photos(3), tmp_path / "x", task=task, crops=1, working_size=32)


def test_other_tasks_record_no_working_size(photos, tmp_path):
    prepare(photos(2), tmp_path / "x")
    assert not {"working_size", "settings"} & set(read_index(tmp_path / "x/train").options)


@pytest.mark.parametrize("size", [7, 4097])
def test_a_working_size_out_of_range_is_refused(photos, tmp_path, size):
    with pytest.raises(ConfigError, match=f"working_size is {size}, expected 8 to 4096"):
        prepare(photos(1), tmp_path / "x", working_size=size)
