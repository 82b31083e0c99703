"""The layout of UCF101, its official lists, and the two verbs for clips."""

import hashlib

import numpy as np
import pytest
from clip_files import drift, write_clip, write_ucf101

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareUcf101, PrepareVideo
from coembed.data.sources.ucf101 import group_of, ucf101_splits
from coembed.data.store.index import read_index
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, DataError, PhotoError

TRAIN = ["Archery_g08_c01", "Archery_g08_c02", "YoYo_g09_c01"]
TEST = ["Archery_g01_c01", "YoYo_g02_c01"]


@pytest.fixture
def layout(tmp_path):
    root = tmp_path / "src"
    write_ucf101(root, TRAIN, TEST, listed_only=["YoYo_g09_c01"])
    return root


def options(layout, dest="pairs", **changes):
    given = {"size": "6x8", "samples": 2, "workers": 1}
    return PrepareUcf101(layout, layout.parent / dest, **(given | changes))


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.*"))}


def test_the_official_lists_part_the_clips(layout):
    splits = ucf101_splits(layout, 1)
    assert [i.name for i in splits["train"].items] == ["v_Archery_g08_c01.avi", "v_Archery_g08_c02.avi"]
    assert [i.name for i in splits["val"].items] == ["v_Archery_g01_c01.avi", "v_YoYo_g02_c01.avi"]
    assert [(s.name, s.reason) for s in splits["train"].left_out] == [("v_YoYo_g09_c01.avi", "no such file")]


def test_a_group_on_both_sides_is_an_error_that_names_the_clip(layout):
    path = layout / "ucfTrainTestlist" / "testlist01.txt"
    path.write_text(path.read_text() + "Archery/v_Archery_g08_c03.avi\n")
    with pytest.raises(DataError, match=r"v_Archery_g08_c03\.avi is in the test list .* group Archery_g08"):
        ucf101_splits(layout, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Archery/clip.avi", "line 3 is 'Archery/clip.avi', expected Class/v_Class_gNN_cNN.avi"),
        ("../v_Up_g01_c01.avi", "class '..' is not in classInd.txt"),
        ("Archery/v_Archery_g01_c01.avi", "lists Archery/v_Archery_g01_c01.avi twice"),
    ],
)
def test_a_malformed_list_is_an_error(layout, line, message):
    path = layout / "ucfTrainTestlist" / "testlist01.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=message):
        ucf101_splits(layout, 1)


def test_a_wrong_split_or_folder_is_an_error(layout, tmp_path):
    with pytest.raises(ConfigError, match="split is 4"):
        ucf101_splits(layout, 4)
    with pytest.raises(DataError, match=r"trainlist02\.txt: no such file"):
        ucf101_splits(layout, 2)
    with pytest.raises(DataError, match="has no folder UCF-101"):
        ucf101_splits(tmp_path, 1)
    with pytest.raises(DataError, match="not the name of a clip"):
        group_of("Archery/other.avi")


def test_pairs_of_both_sides_are_prepared(layout):
    (layout / "UCF-101" / "YoYo" / "v_YoYo_g02_c01.avi").write_bytes(b"broken")
    summary = run_prepare(options(layout, crops=1))
    train, val = (PairStore.open(layout.parent / "pairs" / side) for side in ("train", "val"))
    assert train.index.names[:4] == tuple(f"v_Archery_g08_c01.avi@{n}" for n in ("0", "0#1", "1", "1#1"))
    assert len(train) == 8
    assert val.index.names == ("v_Archery_g01_c01.avi@0", "v_Archery_g01_c01.avi@1")
    assert train.index.field.vector
    assert not train.index.condition.vector
    assert tuple(train.field([0]).shape) == (1, 2, 6, 8)
    assert [s.name for s in train.index.skipped] == ["v_YoYo_g09_c01.avi"]
    assert [s.name for s in val.index.skipped] == ["v_YoYo_g02_c01.avi"]
    assert (train.index.source.kind, train.index.source.split) == ("ucf101", "train, official split 1")
    assert "v_YoYo_g02_c01.avi" in summary.text()


def test_strict_refuses_what_is_missing_and_what_is_broken(layout):
    with pytest.raises(PhotoError, match=r"v_YoYo_g09_c01\.avi: no such file"):
        run_prepare(options(layout, strict=True))
    write_clip(layout / "UCF-101" / "YoYo" / "v_YoYo_g09_c01.avi", drift(3))
    with pytest.raises(PhotoError, match=r"v_YoYo_g09_c01\.avi: 3 frames"):
        run_prepare(options(layout, strict=True))


def test_the_bytes_do_not_depend_on_the_workers_and_a_lost_shard_is_made_again(layout, monkeypatch):
    run_prepare(options(layout, "one", shard_pairs=2))
    run_prepare(options(layout, "two", shard_pairs=2, workers=2))
    whole = digests(layout.parent / "one")
    assert len([n for n in whole if n.startswith("shard")]) == 2
    assert digests(layout.parent / "two") == whole
    (layout.parent / "two" / "train" / "shard-00001.safetensors").unlink()
    (store, _) = run_prepare(options(layout, "two", shard_pairs=2)).stores
    assert store.kept == 2
    assert digests(layout.parent / "two") == whole
    with pytest.raises(DataError, match="was prepared with samples 2, now 3"):
        run_prepare(options(layout, "two", shard_pairs=2, samples=3))


def test_unreliable_pairs_are_counted_and_still_are_after_a_repair(layout):
    noise = np.random.default_rng(0).integers(0, 256, (14, 72, 96, 3), np.uint8)
    write_clip(layout / "UCF-101" / "Archery" / "v_Archery_g08_c02.avi", list(noise))
    write_clip(layout / "UCF-101" / "YoYo" / "v_YoYo_g09_c01.avi", list(noise[::-1]))
    folder = layout.parent / "pairs" / "train"
    for _ in range(2):
        (store, _) = run_prepare(options(layout, shard_pairs=2)).stores
        assert store.left_out == read_index(folder).left_out == {"unreliable motion": 4}
        (folder / "shard-00000.safetensors").unlink()
    assert "left out 4 pairs: unreliable motion" in run_prepare(options(layout, shard_pairs=2)).text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"crops": 64}, "crops is 64"),
        ({"min_valid": 0.0}, "min_valid is 0.0"),
        ({"longest_side": 5}, "longest_side is 5"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"task": "nope"}, "unknown task 'nope'"),
    ],
)
def test_an_option_outside_its_range_is_an_error(layout, changes, message):
    with pytest.raises(ConfigError, match=message):
        run_prepare(options(layout, **changes))


def test_any_folder_of_videos(tmp_path):
    for i in range(4):
        write_clip(tmp_path / "src" / f"{i % 2}" / f"{i}.avi", drift(14, seed=i))
    (tmp_path / "src" / "note.txt").write_text("no video")
    run_prepare(
        PrepareVideo(tmp_path / "src", tmp_path / "pairs", size="6x8", samples=1, workers=1, val_fraction=0.25)
    )
    train, val = (read_index(tmp_path / "pairs" / side) for side in ("train", "val"))
    assert (train.count, val.count) == (3, 1)
    assert sorted([*train.names, *val.names]) == ["0/0.avi@0", "0/2.avi@0", "1/1.avi@0", "1/3.avi@0"]
    with pytest.raises(DataError, match="holds no video"):
        (tmp_path / "empty").mkdir()
        run_prepare(PrepareVideo(tmp_path / "empty", tmp_path / "other"))
