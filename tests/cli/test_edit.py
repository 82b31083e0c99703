import dataclasses
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from coembed.cli.edit import EditConfig, RelightConfig, ResaturateConfig, run_batch, stems
from coembed.errors import ConfigError, ModelError
from coembed.models import files
from coembed.tasks import get_task


@pytest.fixture
def model(tiny, tmp_path):
    return str(files.save_pretrained(tiny, tmp_path / "model", task="resaturation"))


def make(path: Path, size=(40, 30), **options) -> Path:
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_one_photo_gives_versions_sheet_page_and_settings(model, tmp_path):
    photo = make(tmp_path / "a.jpg", (64, 48))
    out = tmp_path / "out"
    result = run_batch(ResaturateConfig(photos=(photo,), n=3, seed=9, model=model, out=out))
    assert not result.failures
    names = ["a-1.jpg", "a-2.jpg", "a-3.jpg", "index.html", "previews", "samples.json", "sheet.jpg"]
    assert sorted(p.name for p in out.iterdir()) == names
    for k in (1, 2, 3):
        with Image.open(out / f"a-{k}.jpg") as image:
            assert image.format == "JPEG" and image.size == (64, 48)
    settings = json.loads((out / "samples.json").read_text())
    assert (settings["seed"], settings["n"], settings["model"]) == (9, 3, model)
    (record,) = settings["photos"]
    assert [s["file"] for s in record["samples"]] == names[:3]
    assert sum(s["weight"] for s in record["samples"]) == pytest.approx(1)
    with Image.open(out / "sheet.jpg") as sheet:
        assert sheet.width > 4 * 64 and sheet.height > 48


@pytest.mark.parametrize(
    "verb, task, made",
    [
        (ResaturateConfig, "resaturation", "resaturated"),
        (RelightConfig, "relighting", "relit"),
        (EditConfig, "relighting-grey", "edited"),
    ],
)
def test_every_verb_names_its_task_and_what_it_made(tiny, tmp_path, verb, task, made):
    channels = get_task(task).condition.channels
    model = type(tiny)(dataclasses.replace(tiny.config, condition_shape=(channels, 8, 8)))
    folder = files.save_pretrained(model, tmp_path / "model", task=task)
    photo = make(tmp_path / "a.png")
    result = run_batch(verb(photos=(photo,), n=2, model=str(folder), out=tmp_path / "out"))
    assert not result.failures
    settings = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert settings["task"] == task and settings["model"] == str(folder)
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"<title>a.png, {made}</title>" in page
    before = np.asarray(Image.open(photo))
    assert any((np.asarray(Image.open(tmp_path / "out" / f"a-{k}.png")) != before).any() for k in (1, 2))


def test_a_model_of_another_task_is_refused_before_anything_is_written(model, tmp_path):
    photo = make(tmp_path / "a.png")
    with pytest.raises(ModelError, match="a model for 'resaturation', expected one for 'relighting'"):
        run_batch(RelightConfig(photos=(photo,), model=model, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_task_of_ones_own_edits_and_its_failures_are_reported(one_channel, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_task.py").write_text(_OWN_TASK)
    monkeypatch.syspath_prepend(tmp_path)
    folder = files.save_pretrained(one_channel, tmp_path / "m", task="own_task:Blue")
    good, bad = make(tmp_path / "good.png"), make(tmp_path / "bad.png", (31, 30))
    config = EditConfig(photos=(bad, good), n=1, model=str(folder), task="own_task:Blue", out=tmp_path / "out")
    result = run_batch(config)
    assert [path for path, _ in result.failures] == [bad]
    assert "task 'blue' failed: ValueError: 31 wide" in capsys.readouterr().err
    before, after = (np.asarray(Image.open(p)).astype(int) for p in (good, tmp_path / "out" / "good-1.png"))
    assert (after[..., :2] == before[..., :2]).all() and (after[..., 2] != before[..., 2]).any()


_OWN_TASK = """
import numpy as np
from coembed.tasks import Layer

class Blue:
    name = "blue"
    condition = Layer("green", 1, 0.0, 1.0)
    field = Layer("blue", 1, 0.0, 1.0)

    def split(self, rgb):
        if rgb.shape[1] == 31:
            raise ValueError("31 wide")
        return rgb[..., 1:2].copy(), rgb[..., 2:].copy()

    def compose(self, rgb, field):
        return np.concatenate([rgb[..., :2], np.clip(field, 0, 1)], axis=2)
"""


@pytest.mark.parametrize(
    "options, message",
    [({"strength": 9}, "strength is 9"), ({"n": 0}, "n is 0"), ({"photos": ()}, "photos: got none")],
)
def test_options_outside_their_range_are_refused_at_once(options, message):
    with pytest.raises(ConfigError, match=message):
        RelightConfig(**{"photos": (Path("x.jpg"),), **options})
    with pytest.raises(ConfigError, match="model: got none"):
        EditConfig(photos=(Path("x.jpg"),))


def test_the_page_is_whole_offline_and_safe_for_odd_names(model, tmp_path, parse_page):
    name = "a #1 100% <b>&\"q' ?x=é"
    photo = make(tmp_path / f"{name}.png")
    result = run_batch(ResaturateConfig(photos=(photo,), n=2, model=model, out=tmp_path / "out"))
    page = (result.folder / "index.html").read_text(encoding="utf-8")
    links = parse_page(page)
    assert links.tags.isdisjoint({"script", "link", "b>&\"q'"})
    assert "http:" not in page and "https:" not in page and "url(" not in page
    assert f"{name}.png" in links.text
    assert len(links.found) == 2 * 3 + 2
    for link in links.found:
        assert link.startswith("./") and (result.folder / unquote(link)).is_file(), link


@pytest.mark.skipif(os.name == "nt", reason="names of arbitrary bytes")
def test_a_name_that_is_not_unicode_and_one_that_is_too_long_work(model, tmp_path, parse_page):
    odd = make(tmp_path / "plain.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    long = make(tmp_path / ("x" * 250 + ".png"))
    result = run_batch(ResaturateConfig(photos=(odd, long), n=1, model=model, out=tmp_path / "out"))
    assert not result.failures
    for link in parse_page((result.folder / "index.html").read_text(encoding="utf-8")).found:
        assert (result.folder / unquote(link)).is_file()


def test_a_bad_photo_is_named_and_the_others_are_done(model, tmp_path, capsys):
    good, bad = make(tmp_path / "good.png"), tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    photos = (bad, good, tmp_path / "missing.jpg")
    result = run_batch(ResaturateConfig(photos=photos, n=1, model=model, out=tmp_path / "out"))
    assert [path for path, _ in result.failures] == [bad, tmp_path / "missing.jpg"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and str(bad) in errors[0] and "missing.jpg" in errors[1]
    assert (tmp_path / "out" / "good-1.png").is_file()
    failed = json.loads((tmp_path / "out" / "samples.json").read_text())["failed"]
    assert [f["photo"] for f in failed] == [str(bad), str(tmp_path / "missing.jpg")]


def test_equal_stems_do_not_collide(model, tmp_path):
    photos = (make(tmp_path / "a/x.jpg"), make(tmp_path / "b/x.png"), make(tmp_path / "c/X.jpg"))
    out = tmp_path / "out"
    run_batch(ResaturateConfig(photos=photos, n=1, model=model, out=out))
    assert {p.name for p in out.glob("*-1.*")} == {"x-1.jpg", "x_2-1.png", "X_3-1.jpg"}


def test_no_input_is_written_over(model, tmp_path):
    photos = (make(tmp_path / "x.jpg"), make(tmp_path / "x-1.jpg"))
    digests = [hashlib.sha256(p.read_bytes()).digest() for p in photos]
    run_batch(ResaturateConfig(photos=photos, n=2, model=model, out=tmp_path))
    assert [hashlib.sha256(p.read_bytes()).digest() for p in photos] == digests
    assert stems(photos, tmp_path, 2) == ["x_2", "x-1"]
    with pytest.raises(ConfigError, match=r"sheet\.jpg would be overwritten"):
        run_batch(ResaturateConfig(photos=(make(tmp_path / "sheet.jpg"),), model=model, out=tmp_path))


def test_results_of_a_former_run_are_replaced(model, tmp_path):
    photo, out = make(tmp_path / "x.png"), tmp_path / "out"
    out.mkdir()
    (out / "x-1.png").write_bytes(b"old")
    run_batch(ResaturateConfig(photos=(photo,), n=1, model=model, out=out))
    with Image.open(out / "x-1.png") as image:
        assert image.size == (40, 30)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("wanted, suffix", [("keep", ".png"), ("jpg", ".jpg"), ("png", ".png")])
def test_the_format_is_kept_or_as_asked(model, tmp_path, wanted, suffix):
    photo = tmp_path / "x.png"
    Image.fromarray(np.full((20, 20, 4), 99, np.uint8)).save(photo)
    run_batch(ResaturateConfig(photos=(photo,), n=1, model=model, out=tmp_path / "out", format=wanted))
    with Image.open(tmp_path / "out" / f"x-1{suffix}") as image:
        assert image.mode == ("RGB" if suffix == ".jpg" else "RGBA")


def test_a_photo_alone_among_others_and_again_gives_the_same_bytes(model, tmp_path):
    a, b = make(tmp_path / "a.png"), make(tmp_path / "bb.png")
    for out, photos in (("1", (b,)), ("2", (a, b))):
        run_batch(ResaturateConfig(photos=photos, n=2, model=model, out=tmp_path / out))
    for k in (1, 2):
        assert (tmp_path / f"1/bb-{k}.png").read_bytes() == (tmp_path / f"2/bb-{k}.png").read_bytes()


def test_a_missing_model_stops_before_anything_is_written(model, tmp_path):
    photo = make(tmp_path / "x.png")
    with pytest.raises(ModelError, match="no such model"):
        run_batch(ResaturateConfig(photos=(photo,), model="nothing", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
