"""Preparing from photos: right numbers, the same bytes however it is run, fatal only what should be."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coembed.cli.prepare import parse_size, run_prepare
from coembed.cli.prepare_options import PrepareCoco, PrepareFolder
from coembed.data.store.store import open_pairs
from coembed.errors import ConfigError, DataError, PhotoError
from coembed.tasks import get_task


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_pairs_are_the_area_means_of_the_tasks_layers_at_full_size(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(rgb).save(tmp_path / "a" / "x.png")
    run_prepare(PrepareFolder(tmp_path / "a", tmp_path / "out", size="12x8", val_fraction=0, workers=1))
    store = open_pairs(tmp_path / "out", "train")
    for layer, stored in zip(
        get_task("resaturation").split((rgb / 255).astype(np.float32)),
        (store.condition([0]), store.field([0])),
        strict=True,
    ):
        means = layer[..., 0].astype(np.float64).reshape(12, 4, 8, 8).mean((1, 3))
        np.testing.assert_allclose(stored[0, 0].numpy(), means, atol=2**-11)
    assert store.index.source.name == "a"
    assert str(tmp_path) not in (tmp_path / "out/train/index.json").read_text()


def test_one_and_four_workers_write_the_same_bytes(tmp_path, photos):
    src = photos(70)
    for workers in (1, 4):
        run_prepare(
            PrepareFolder(
                src, tmp_path / f"{workers}", size="8", val_fraction=0, workers=workers, shard_pairs=40
            )
        )
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "4")
    assert "train/shard-00001.safetensors" in bytes_of(tmp_path / "1")


def test_coco_takes_photos_without_annotations(tmp_path, photos):
    photos(5, "coco/train2014")
    photos(3, "coco/val2014", first=5)
    summary = run_prepare(PrepareCoco(tmp_path / "coco", tmp_path / "out", size="8", workers=1))
    assert [s.pairs for s in summary.stores] == [5, 3]
    assert open_pairs(tmp_path / "out", "val").names == [f"photo-{i:03d}.jpg" for i in (5, 6, 7)]
    assert open_pairs(tmp_path / "out", "val").index.source.split == "val2014"


def test_coco_says_what_it_found_instead(tmp_path, photos):
    photos(1, "coco/train2014")
    with pytest.raises(DataError, match=r"no folder val2014; .* It holds train2014/.* prepare folder"):
        run_prepare(PrepareCoco(tmp_path / "coco", tmp_path / "out", workers=1))


def test_unreadable_photos_are_listed_and_strict_makes_them_fatal(tmp_path, photos):
    src = photos(6)
    whole = (src / "photo-002.jpg").read_bytes()
    (src / "photo-002.jpg").write_bytes(whole[: len(whole) // 2])
    (src / "photo-004.jpg").write_bytes(b"")
    (src / "text.png").write_text("not a photo")
    config = PrepareFolder(src, tmp_path / "out", size="8", val_fraction=0, workers=1)
    summary = run_prepare(config)
    index = open_pairs(tmp_path / "out", "train").index
    assert index.names == tuple(f"photo-{i:03d}.jpg" for i in (0, 1, 3, 5))
    assert [s.name for s in index.skipped] == ["photo-002.jpg", "photo-004.jpg", "text.png"]
    assert all(s.reason and str(tmp_path) not in s.reason for s in index.skipped)
    assert "3 skipped" in summary.text() and "photo-002.jpg" in summary.text()
    strict = PrepareFolder(src, tmp_path / "strict", size="8", val_fraction=0, workers=1, strict=True)
    with pytest.raises(PhotoError, match=r"photo-002\.jpg: .*--strict"):
        run_prepare(strict)
    again = PrepareFolder(src, tmp_path / "out", size="8", val_fraction=0, workers=1, strict=True)
    with pytest.raises(PhotoError, match=r"photo-002\.jpg"):
        run_prepare(again)


def test_hostile_names_and_links(tmp_path, photos):
    src = photos(1)
    jpeg = (src / "photo-000.jpg").read_bytes()
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(jpeg)
    names = [
        b"new\nline.jpg",
        b"[red]x[red].jpg",
        b"-rf.jpg",
        b"caf\xe9.JPG",
        b"a;b $(c) '\".jpg",
        b".hidden.jpg",
    ]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(src), name))).write_bytes(jpeg)
    (src / "sub").mkdir()
    (src / "sub" / "deep.jpeg").write_bytes(jpeg)
    (src / "out.jpg").symlink_to(outside)
    (src / "in.jpg").symlink_to("photo-000.jpg")
    (src / "loop").symlink_to(src)
    (src / "gone.jpg").symlink_to(src / "nowhere.jpg")
    os.mkfifo(src / "pipe.jpg")
    summary = run_prepare(PrepareFolder(src, tmp_path / "out", size="4", val_fraction=0, workers=1))
    store = open_pairs(tmp_path / "out", "train")
    expected = ["-rf.jpg", "[red]x[red].jpg", "a;b $(c) '\".jpg", "caf\\udce9.JPG", "in.jpg", "new\nline.jpg"]
    assert store.names == [*expected, "photo-000.jpg", "sub/deep.jpeg"]
    assert sorted(s.name for s in store.index.skipped) == ["gone.jpg", "out.jpg", "pipe.jpg"]
    assert "\nline" not in summary.text()


def test_other_options_or_photos_in_the_same_folder_are_refused(tmp_path, photos):
    src = photos(4)
    run_prepare(PrepareFolder(src, tmp_path / "out", size="8", workers=1))
    before = bytes_of(tmp_path / "out")
    with pytest.raises(DataError, match=r"prepared with size \[8, 8\], now \[16, 16\]"):
        run_prepare(PrepareFolder(src, tmp_path / "out", size="16", workers=1))
    Image.new("RGB", (50, 60)).save(src / "photo-001.jpg")
    with pytest.raises(DataError, match="prepared with other photos"):
        run_prepare(PrepareFolder(src, tmp_path / "out", size="8", workers=1))
    assert bytes_of(tmp_path / "out") == before
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "mine" / "train" / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"holds 'thesis\.txt'"):
        run_prepare(PrepareFolder(src, tmp_path / "mine", size="8", workers=1))


def test_again_keeps_all_and_a_damaged_or_missing_shard_is_made_anew(tmp_path, photos):
    config = PrepareFolder(photos(12), tmp_path / "out", size="8", val_fraction=0, workers=1, shard_pairs=5)
    run_prepare(config)
    before = bytes_of(tmp_path / "out")
    assert run_prepare(config).stores[0].kept == 12
    shard = tmp_path / "out/train/shard-00001.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    (tmp_path / "out/train/shard-00002.safetensors").unlink()
    assert run_prepare(config).stores[0].kept == 5
    assert bytes_of(tmp_path / "out") == before


_SLOW_TASK = """
import os
import time
from coembed.tasks.resaturation import Resaturation
class Slow(Resaturation):
    def split(self, rgb):
        time.sleep(float(os.environ.get("SECONDS_A_PHOTO", 0)))
        return super().split(rgb)
"""
_RUN = """
import sys
from pathlib import Path
from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareFolder
if __name__ == "__main__":
    run_prepare(
        PrepareFolder(
            Path("photos"), Path("out"), "slow_task_xyz:Slow", "8", val_fraction=0, workers=2, shard_pairs=16
        )
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, photos, monkeypatch, how):
    src = photos(64)
    (tmp_path / "slow_task_xyz.py").write_text(_SLOW_TASK)
    (tmp_path / "go.py").write_text(_RUN)
    slow = {**os.environ, "SECONDS_A_PHOTO": "0.1"}  # the signal comes before the end on a busy machine, too
    process = subprocess.Popen(
        [sys.executable, "go.py"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=slow,
        # Tests that run in the background inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    notes = tmp_path / "out/train/.preparing"
    deadline = time.monotonic() + 60
    while not list(notes.glob("block-*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    error = process.communicate(timeout=60)[1]  # ends only when the workers, who share the pipe, have ended too
    assert process.returncode != 0
    assert not (tmp_path / "out/train/index.json").exists()
    if how == signal.SIGINT:
        assert "the same command goes on from there" in error
    with pytest.raises(DataError, match="was not finished"):
        open_pairs(tmp_path / "out", "train")

    monkeypatch.syspath_prepend(tmp_path)
    options = {"task": "slow_task_xyz:Slow", "size": "8", "val_fraction": 0, "workers": 1, "shard_pairs": 16}
    resumed = run_prepare(PrepareFolder(src, tmp_path / "out", **options))
    assert 16 <= resumed.stores[0].kept < 64
    assert run_prepare(PrepareFolder(src, tmp_path / "never stopped", **options)).stores[0].kept == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "never stopped")


def test_a_task_that_fails_names_the_photo(tmp_path, photos, monkeypatch):
    (tmp_path / "bad_task_xyz.py").write_text(
        "from coembed.tasks.resaturation import Resaturation\n"
        "class Bad(Resaturation):\n"
        "    def split(self, rgb): return 1 / 0\n"
        "class Small(Resaturation):\n"
        "    def split(self, rgb): return rgb[:2], rgb[:2]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    src = photos(2)
    with pytest.raises(DataError, match=r"photo-000\.jpg: task 'bad_task_xyz:Bad' failed: ZeroDivisionError"):
        run_prepare(PrepareFolder(src, tmp_path / "a", task="bad_task_xyz:Bad", val_fraction=0, workers=1))
    with pytest.raises(DataError, match=r"gave a condition of shape \(2, 41, 3\), expected \(37, 41, 3\)"):
        run_prepare(PrepareFolder(src, tmp_path / "b", task="bad_task_xyz:Small", val_fraction=0, workers=1))


@pytest.mark.parametrize("size", ["0", "257", "8x", "x8", "8x8x8", "-4", "big", "²"])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(ConfigError, match="size is"):
        parse_size(size)


def test_an_empty_folder_says_what_it_holds(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no photo; it holds notes\.txt"):
        run_prepare(PrepareFolder(tmp_path / "a", tmp_path / "out", workers=1))
