import hashlib
import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from coembed.cli import main as cli
from coembed.cli.motion import MotionConfig, run_motion
from coembed.cli.output.motion_pictures import arrow_picture, as_seen, scale_of, wheel_picture
from coembed.editing.motion import predict_motion
from coembed.errors import ConfigError, ModelError
from coembed.imaging.flow.files import read_flo
from coembed.imaging.flow.picture import color_wheel
from coembed.imaging.io.photo import read_photo
from coembed.models import files
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE

FAST = {"draws": 8, "animation_size": 48, "animation_frames": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A real model as it starts, in a folder."""
    one = LadderConfig(codes=(4,), hidden=(8,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cdvae = CDVAE(CDVAEConfig((3, 8, 8), (2, 8, 8), one, one, GaussianTieConfig("gaussian", "top"))).eval()
    return str(files.save_pretrained(cdvae, tmp_path_factory.mktemp("model"), task="motion"))


def make(path: Path, size=(64, 48), channels=3) -> Path:
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size[::-1], channels)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_a_frame_gives_pictures_flows_animations_page_and_settings(model, tmp_path):
    frame, out = make(tmp_path / "a.png"), tmp_path / "out"
    result = run_motion(MotionConfig((frame,), n=2, seed=3, model=model, out=out, **FAST))
    assert not result.failures
    each = [f"a-{k}{end}" for k in (1, 2) for end in ("-arrows.jpg", "-colors.png", ".flo", ".webp")]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*each, "index.html", "previews", "samples.json", "sheet.jpg", "wheel.png"]
    )
    settings = json.loads((out / "samples.json").read_text())
    assert (settings["task"], settings["seed"], settings["n"], settings["draws"]) == ("motion", 3, 2, 8)
    (record,) = settings["photos"]
    expected = predict_motion(frame, n=2, seed=3, draws=8, model=model)
    for sample, motion in zip(record["samples"], expected, strict=True):
        assert (sample["draw"], sample["share"]) == (motion.draw, motion.share)
        flow, valid = read_flo(out / sample["flow"])
        assert valid.all() and (flow == motion.flow).all()  # at the frame's size, to the bit
        with Image.open(out / sample["animation"]) as image:
            assert image.format == "WEBP" and image.size == (48, 36) and image.n_frames == 4
        assert 0 < sample["seconds_shown"] <= 1
    assert sum(s["share"] for s in record["samples"]) == pytest.approx(1)


def test_the_page_is_whole_offline_and_says_shares_as_per_cent(model, tmp_path, parse_page):
    name = "a #1 100% <b>&\"q' ?x=é"
    frame = make(tmp_path / f"{name}.png")
    result = run_motion(MotionConfig((frame,), n=2, model=model, out=tmp_path / "out", **FAST))
    page = (result.folder / "index.html").read_text(encoding="utf-8")
    links = parse_page(page)
    assert links.tags.isdisjoint({"script", "link", "b>&\"q'"})
    assert "http:" not in page and "https:" not in page and "url(" not in page
    assert f"{name}.png" in links.text
    for k, shown in enumerate(result.entries[0].motions, start=1):
        assert f"motion {k}: {shown.share:.0%}" in links.text
    assert len(links.found) == 2 + 1 + 2 * 7 + 2  # frame; key; three pictures and the flow a motion; footer
    for link in links.found:
        assert link.startswith("./") and (result.folder / unquote(link)).is_file(), link


def test_animations_and_flows_can_be_left_out_or_be_gifs(model, tmp_path, parse_page):
    frame = make(tmp_path / "a.png")
    bare = run_motion(
        MotionConfig((frame,), n=1, model=model, out=tmp_path / "bare", animation="none", flo=False, **FAST)
    )
    assert {p.suffix for p in bare.folder.glob("a-*")} == {".jpg", ".png"}
    for link in parse_page((bare.folder / "index.html").read_text()).found:
        assert (bare.folder / unquote(link)).is_file()
    gif = run_motion(MotionConfig((frame,), n=1, model=model, out=tmp_path / "gif", animation="gif", **FAST))
    with Image.open(gif.folder / "a-1.gif") as image:
        assert image.format == "GIF" and image.n_frames == 4


def test_same_seed_same_bytes_alone_or_among_others(model, tmp_path):
    frame, other = make(tmp_path / "a.png"), make(tmp_path / "other.png", (40, 50))
    run_motion(MotionConfig((frame,), n=2, model=model, out=tmp_path / "one", **FAST))
    run_motion(MotionConfig((other, frame), n=2, model=model, out=tmp_path / "two", **FAST))
    for path in (tmp_path / "one").glob("a-*"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_bad_frame_is_reported_and_the_others_are_done(model, tmp_path, capsys):
    good, bad = make(tmp_path / "good.png"), tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff nothing more")
    config = MotionConfig((bad, tmp_path / "none.png", good), n=1, model=model, out=tmp_path / "out", **FAST)
    result = run_motion(config)
    assert [path for path, _ in result.failures] == [bad, tmp_path / "none.png"]
    assert [subject.name for subject in result.entries] == ["good.png"]
    errors = capsys.readouterr().err
    assert str(bad) in errors and "none.png: no such file" in errors
    failed = json.loads((tmp_path / "out" / "samples.json").read_text())["failed"]
    assert [f["photo"] for f in failed] == [str(bad), str(tmp_path / "none.png")]


def test_no_input_is_written_over(model, tmp_path):
    names = ["a.png", "a-1-colors.png", "a_2-1-arrows.jpg", "b/a.png", "previews/A-original.jpg"]
    frames = tuple(make(tmp_path / name) for name in names)
    before = [hashlib.sha256(frame.read_bytes()).digest() for frame in frames]
    result = run_motion(MotionConfig(frames, n=1, model=model, out=tmp_path, **FAST))
    assert not result.failures
    assert [hashlib.sha256(frame.read_bytes()).digest() for frame in frames] == before
    files = [file for subject in result.entries for file in subject.motions[0].files.values()]
    assert len({file.casefold() for file in files}) == 4 * len(names)
    for name in ("sheet_2.png", "wheel.png"):
        with pytest.raises(ConfigError, match="would be overwritten"):
            run_motion(MotionConfig((make(tmp_path / name),), model=model, out=tmp_path, **FAST))


def test_a_model_of_another_task_is_refused_before_anything_is_written(tiny, tmp_path):
    folder = files.save_pretrained(tiny, tmp_path / "model", task="resaturation")
    with pytest.raises(ModelError, match="a model for 'resaturation', expected one for 'motion'"):
        run_motion(MotionConfig((make(tmp_path / "a.png"),), model=str(folder), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"frames": ()}, "frames: got none"),
        ({"n": 0}, "n: got 0"),
        ({"animation_size": 4}, "animation-size: got 4"),
        ({"animation_frames": 1}, "animation-frames: got 1"),
    ],
)
def test_options_outside_their_range_are_refused_at_once(options, message):
    with pytest.raises(ConfigError, match=message):
        MotionConfig(**{"frames": (Path("x.jpg"),), **options})


def test_the_verb(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.png")
    options = ["-n", "2", "--draws", "6", "--animation", "none", "--no-flo", "--model", model]
    assert cli.main(["motion", "a.png", *options]) == 0
    said = capsys.readouterr().out
    assert "2 motions (" in said and "%" in said and str(Path("out/a-motion/index.html")) in said
    assert cli.main(["motion", "a.png", "missing.png", *options]) == 1
    assert "missing.png: no such file" in capsys.readouterr().err
    assert cli.main(["motion", "a.png", "--draws", "1", "--model", model]) == 1
    assert "draws is 1, expected n" in capsys.readouterr().err


def test_pictures_of_one_frame_share_a_scale_and_stillness_stays_pale():
    slow, fast = (np.full((30, 40, 2), v, np.float32) for v in (1.0, 4.0))
    scale = scale_of([slow, fast])
    assert scale.full_color == pytest.approx(4 * 2**0.5) and scale.stretch == 1
    still = scale_of([np.zeros((30, 40, 2), np.float32)])
    assert still.full_color == pytest.approx(0.4) and still.stretch == 4


def test_arrows_lie_on_what_moves_and_small_frames_are_enlarged():
    flow = np.zeros((120, 160, 2), np.float32)
    flow[40:80, 60:100, 0] = 16
    grey = np.full((120, 160, 3), 128, np.uint8)
    drawn = arrow_picture(grey, flow, 1.0)
    assert drawn.shape == (480, 640, 3)
    rows, columns = np.nonzero((drawn != 128).any(-1))
    assert 150 < rows.min() < rows.max() < 330 and 230 < columns.min() < columns.max() < 480
    assert (arrow_picture(grey, 0 * flow, 1.0) == 128).all()


def test_the_key_shows_each_direction_in_its_colour():
    key = wheel_picture()
    side = len(key)
    assert (key[0, 0] == 255).all() and key[side // 2, side // 2].min() > 240  # no motion is white
    right = key[side // 2, side - 8].astype(int)
    assert np.abs(color_wheel()[0].astype(int) - right).max() < 25  # red


def test_transparent_parts_are_shown_on_white(tmp_path):
    rgba = np.zeros((10, 12, 4), np.uint8)
    rgba[:5, :, 3] = 255
    seen = as_seen(read_photo(rgba), (10, 12))
    assert (seen[:5] == 0).all() and (seen[5:] == 255).all()
