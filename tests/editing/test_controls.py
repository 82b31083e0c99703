"""Control of edits of photos, in Python and on the command line, with a small model that has codes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import coembed
from coembed.cli.main import main
from coembed.editing.api import versions
from coembed.editing.controls import Controls
from coembed.editing.draw import plan
from coembed.editing.layers import low_layers
from coembed.editing.options import SampleOptions, SteeringOptions
from coembed.errors import ConfigError, DataError, ModelError, PhotoError
from coembed.imaging.io.photo import read_photo
from coembed.models import files
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.model import PhotoShaped
from coembed.tasks import get_task

SATURATION = get_task("resaturation")


@pytest.fixture(scope="module")
def model():
    """Fields of 12 x 12 cells, a little trained on smooth random ones."""
    torch.manual_seed(0)
    options = {"factors": 6, "components": 3, "channels": (16,), "hidden": 16, "levels": 1, "dropout": 0.0}
    found = PhotoShaped(ShapedConfig((3, 12, 12), (1, 12, 12), clip=(0.0, 1.0), **options))
    rough = torch.rand(400, 4, 3, 3)
    smooth = torch.nn.functional.interpolate(rough, (12, 12), mode="bilinear")
    condition, field = smooth[:, :3], (smooth[:, 3:] + 0.02 * torch.randn(400, 1, 12, 12)).clamp(0, 1)
    found.initialise(condition, field)
    optimizer, g = torch.optim.Adam(found.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        found.loss(condition, field, generator=g)["total"].mean().backward()
        optimizer.step()
    return found.eval()


def picture(seed=0, h=60, w=84, channels=3):
    rng = np.random.default_rng(seed)
    rough = torch.tensor(rng.uniform(0.1, 0.9, (1, channels, 4, 5)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(rough, (h, w), mode="bilinear")[0].permute(1, 2, 0).numpy()
    return np.rint(smooth * 255).astype(np.uint8)


def left(h=60, w=84, share=0.5):
    mask = np.zeros((h, w), np.uint8)
    mask[:, : round(w * share)] = 255
    return mask


def low_fields(model, photo, options, control):
    """Change of the field a result, (n, 12, 12)."""
    controls = Controls(control, model, SATURATION)
    return plan(read_photo(photo), model, SATURATION, options, controls).deltas[:, 0]


def test_what_is_kept_does_not_change_at_all(model):
    deltas = low_fields(model, picture(), SampleOptions(3), SteeringOptions(keep=left()))
    assert not deltas[:, :, :6].any() and deltas[:, :, 6:].any(axis=(1, 2)).all()


def test_a_hint_is_held_as_a_change_of_the_photos_own_field(model):
    photo, retouched = picture(), picture()
    grey = retouched.max(axis=2, keepdims=True)
    retouched[:, :42] = (0.5 * retouched + 0.5 * grey)[:, :42].astype(np.uint8)  # half as saturated
    own, wanted = (
        low_layers(read_photo(p), SATURATION, (3, 12, 12), (1, 12, 12))[1][0, 0] for p in (photo, retouched)
    )
    deltas = low_fields(model, photo, SampleOptions(3), SteeringOptions(hint=retouched, mask=left()))
    assert np.abs(deltas - (wanted - own).numpy())[:, :, :6].max() < 1e-5
    assert (wanted - own)[:, :6].abs().max() > 0.1


def test_a_hint_goes_before_what_is_kept_where_both_cover_a_cell(model):
    photo = picture()
    retouched = picture(seed=1)
    control = SteeringOptions(hint=retouched, mask=left(share=0.25), keep=left())
    deltas = low_fields(model, photo, SampleOptions(2, all=True), control)
    assert np.abs(deltas[:, :, :3]).min(axis=(1, 2)).max() > 0 and not deltas[:, :, 4:6].any()


def test_results_like_an_example_come_nearer_to_its_saturation(model):
    photo, example = read_photo(picture()), picture(seed=3)
    grey = example.max(axis=2, keepdims=True)
    levels = []
    for share in (0.1, 1.0):  # pale, and as it is
        pale = (share * example + (1 - share) * grey).astype(np.uint8)
        deltas = low_fields(model, picture(), SampleOptions(8, all=True), SteeringOptions(pale, closeness=0.9))
        levels.append(deltas.mean())
    assert levels[0] < levels[1] - 0.05
    plain = plan(photo, model, SATURATION, SampleOptions(8, all=True)).deltas[:, 0]
    none = low_fields(model, picture(), SampleOptions(8, all=True), SteeringOptions(example, closeness=0.0))
    assert (none == plain).all()


def test_strength_0_gives_the_photo_back_whatever_is_asked(model):
    photo = picture()
    for control in ({"like": picture(2)}, {"keep": left()}, {"between": (0, 3)}):
        for image in coembed.resaturate(photo, 2, strength=0, model=model, **control):
            assert (np.asarray(image) == photo).all()


def test_a_path_begins_and_ends_at_the_draws_that_it_names(model):
    steps = low_fields(model, picture(), SampleOptions(5), SteeringOptions(between=(1, 6)))
    plain = plan(read_photo(picture()), model, SATURATION, SampleOptions(7, all=True)).deltas[:, 0]
    assert len(steps) == 5
    np.testing.assert_allclose(steps[0], plain[1], atol=1e-5)
    np.testing.assert_allclose(steps[-1], plain[6], atol=1e-5)


def test_spread_results_differ_more_than_typical_ones(model):
    def least(pick):
        deltas = plan(read_photo(picture()), model, SATURATION, SampleOptions(5, pick=pick)).deltas
        apart = np.linalg.norm((deltas[:, None] - deltas[None]).reshape(25, -1), axis=1).reshape(5, 5)
        return apart[np.triu_indices(5, 1)].min()

    assert least("spread") > 1.1 * least("typical")


def test_pictures_that_do_not_fit_are_named(model):
    photo = picture()
    with pytest.raises(DataError, match=r"84 x 30 pixels, expected those of .*: 84 x 60"):
        coembed.resaturate(photo, 1, model=model, keep=left(h=30))
    speck = np.zeros((60, 84), np.uint8)
    speck[0, 0] = 255
    with pytest.raises(DataError, match="covers no more than"):
        coembed.resaturate(photo, 1, model=model, keep=speck)
    with pytest.raises(PhotoError, match=r"nowhere\.png"):
        coembed.resaturate(photo, 1, model=model, like="nowhere.png")
    with pytest.raises(ConfigError, match="at least 2 steps"):
        coembed.resaturate(photo, 1, model=model, between=(0, 1))


def test_a_model_that_cannot_be_steered_says_so(tiny):
    with pytest.raises(ModelError, match="a Tiny cannot be steered"):
        coembed.resaturate(picture(), 1, model=tiny, like=picture(1))


@pytest.mark.parametrize("channels", [2, 4])
def test_a_mask_may_be_drawn_in_transparency(model, channels):
    mask = np.full((60, 84, channels), 255, np.uint8)
    mask[..., -1] = left()
    deltas = low_fields(model, picture(), SampleOptions(1), SteeringOptions(keep=mask))
    assert not deltas[:, :, :6].any() and deltas[:, :, 6:].any()


def test_the_command_line_does_the_same_and_records_what_was_asked(model, tmp_path, capsys):
    files.save_pretrained(model, tmp_path / "model", task="resaturation")
    for name, pixels in (("a", picture()), ("example", picture(2)), ("mask", left()), ("look", picture(4))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    path = lambda name: str(tmp_path / f"{name}.png")  # noqa: E731
    verb = [
        "resaturate",
        path("a"),
        "-n",
        "3",
        "--model",
        str(tmp_path / "model"),
        "--out",
        str(tmp_path / "out"),
    ]
    asked = {
        "--like": [path("example"), "--closeness", "0.8"],
        "--hint": [path("look"), "--mask", path("mask")],
        "--keep": [path("mask"), "--pick", "spread"],
        "--between": ["2", "5"],
    }
    for option, values in asked.items():
        assert main([*verb, option, *values]) == 0, capsys.readouterr().err
        found = json.loads((tmp_path / "out" / "samples.json").read_text())
        assert option[2:] in found and option[2:] in (tmp_path / "out" / "index.html").read_text()
        assert len(found["photos"][0]["samples"]) == 3
    draws = [s["draw"] for s in found["photos"][0]["samples"]]
    assert draws == ["2 to 5, 0%", "2 to 5, 50%", "2 to 5, 100%"]
    controls = Controls(SteeringOptions(between=(2, 5)), model, SATURATION)
    pictures = versions(read_photo(path("a")), model, SATURATION, SampleOptions(3), controls)[1]
    for k, pixels in enumerate(pictures, start=1):
        assert (np.asarray(Image.open(tmp_path / "out" / f"a-{k}.png")) == pixels).all()


def test_one_mask_is_for_one_photo(tmp_path, capsys):
    assert main(["resaturate", "a.png", "b.png", "--keep", "mask.png"]) == 1
    assert "photos: got 2, expected the one that --hint or --keep is for" in capsys.readouterr().err
    assert main(["relight", "a.png", "--hint", "b.png"]) == 1
    assert "hint is given without mask" in capsys.readouterr().err
