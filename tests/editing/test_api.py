import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from coembed.editing import api as edit
from coembed.editing import loading
from coembed.editing.draw import plan
from coembed.editing.layers import low_layers
from coembed.editing.options import SampleOptions
from coembed.editing.render import render
from coembed.errors import ConfigError, DataError, ModelError, PhotoError
from coembed.imaging import color
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average, shrink_photo
from coembed.models import files
from coembed.models import pretrained as hub
from coembed.tasks import Layer, get_task


def photo_of(h=90, w=120, dtype=np.uint8, channels=3, seed=0):
    """Smooth colours with a little grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.1, 0.9, (5, 6, channels)).astype(np.float32)
    fine = area_average(coarse, (h, w)) + rng.normal(0, 0.01, (h, w, channels))
    return (np.clip(fine, 0, 1) * np.iinfo(dtype).max).astype(dtype)


class Warmth:
    """A user's own task, whose ``compose`` is lossy: red less blue is the field."""

    name = "warmth"
    condition = Layer("green", 1, 0.0, 1.0)
    field = Layer("warmth", 1, -1.0, 1.0)

    def split(self, rgb):
        return rgb[..., 1:2].copy(), rgb[..., :1] - rgb[..., 2:]

    def compose(self, rgb, field):
        half = (field - (rgb[..., :1] - rgb[..., 2:])) / 2
        moved = np.concatenate([rgb[..., :1] + half, rgb[..., 1:2], rgb[..., 2:] - half], axis=2)
        return np.clip(np.round(moved * 300) / 300, 0, 1).astype(np.float32)


class WholeWarmth(Warmth):
    """The same, from the whole photo at a working size."""

    name = "whole-warmth"
    pointwise = False
    working_size = 40

    def split(self, rgb):
        assert max(rgb.shape[:2]) <= 40
        condition, field = super().split(rgb)
        return condition, field - field.mean() / 2

    def compose(self, rgb, field):
        return super().compose(rgb, np.clip(field, -1, 1))


TASKS = {name: get_task(name) for name in ("resaturation", "relighting", "relighting-grey")}
TASKS |= {task.name: task for task in (Warmth(), WholeWarmth())}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))


def model_for(task, tiny):
    """A tiny model with the task's channels."""
    config = dataclasses.replace(
        tiny.config,
        condition_shape=(task.condition.channels, 8, 8),
        field_shape=(task.field.channels, 8, 8),
    )
    return type(tiny)(config).eval()


class Same(torch.nn.Module):
    """Samples are the reconstruction."""

    temperature_layers = 1

    def __init__(self, config):
        super().__init__()
        self.config = config

    def sample(self, condition, n, *, generator, temperature=1.0):
        return torch.full((n, 1, *self.config.field_shape), 0.3)

    def reconstruct(self, condition, field):
        return torch.full((1, *self.config.field_shape), 0.3)


class Plain(torch.nn.Module):
    """A sampler as the baselines are: no temperature, and no code of a field to reconstruct it from."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def sample(self, condition, n, *, generator):
        return torch.full((n, 1, *self.config.field_shape), 0.3)


@every_task
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sample_equal_to_the_reconstruction_gives_the_photo_back_bit_for_bit(task, tiny, dtype):
    photo = read_photo(photo_of(dtype=dtype))
    steps = plan(photo, Same(model_for(task, tiny).config), task, SampleOptions(2))
    assert not steps.deltas.any()
    for pixels in render(photo, task, steps.deltas):
        assert pixels.dtype == dtype and (pixels == photo.pixels).all()


@every_task
def test_strength_zero_gives_the_photo_back_bit_for_bit_alpha_too(task, tiny):
    pixels = photo_of(channels=4)
    for image in edit.edit(pixels, n=2, strength=0, model=model_for(task, tiny), task=task):
        assert (np.asarray(image) == pixels).all()


@every_task
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_the_change_is_zero_the_photo_stays_bit_for_bit(task, dtype):
    photo = read_photo(photo_of(dtype=dtype))
    delta = np.zeros((1, task.field.channels, 8, 8), np.float32)
    delta[..., :3, :3] = 0.4
    (pixels,) = render(photo, task, delta)
    assert (pixels[80:, 110:] == photo.pixels[80:, 110:]).all()
    assert (pixels[:15, :15] != photo.pixels[:15, :15]).any()


@every_task
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 3), (300, 2)])
def test_tiny_and_thin_photos_work(task, tiny, size):
    for image in edit.edit(photo_of(*size), n=2, model=model_for(task, tiny), task=task):
        assert image.size == size[::-1]


@pytest.mark.parametrize("name", ["resaturation", "relighting"])
@pytest.mark.parametrize("level", [0, 255])
def test_black_stays_black_white_stays_bright_and_greys_stay_grey(name, tiny, level):
    pixels = np.full((40, 50, 3), level, np.uint8)
    for image in edit.edit(pixels, n=2, model=model_for(get_task(name), tiny), task=name):
        result = np.asarray(image)
        assert (np.ptp(result, axis=2) == 0).all()
        assert (result == 0).all() if level == 0 else result.min() > 20


def test_relighting_scales_linear_light_by_the_exponential_of_the_change():
    photo = read_photo(photo_of(240, 320) // 3 + 10)
    delta = np.full((2, 1, 8, 8), -0.7, np.float32)
    delta[1] = 0.2
    darker, lighter = render(photo, get_task("relighting"), delta)
    before = color.srgb_to_linear(photo.as_float())
    brightest = before.max(axis=2)
    wanted = color.linear_to_srgb(before * np.float32(math.exp(-0.7))) * 255
    assert np.abs(darker - wanted)[brightest < 0.1].max() < 0.6 and (darker >= np.floor(wanted)).all()
    middle = (brightest > 0.04) & (brightest < 0.25)  # below noise, and above the shoulder, count
    wanted = color.linear_to_srgb(np.minimum(before * np.float32(math.exp(0.2)), 1)) * 255
    assert np.abs(lighter - wanted)[middle].max() < 1.2 and (lighter <= np.ceil(wanted)).all()


def test_the_strips_do_what_relighting_composes():
    task = get_task("relighting")
    photo = read_photo(photo_of(60, 80) // 2 + 110)  # so bright that nothing of it is taken for noise
    (fast,) = render(photo, task, np.full((1, 1, 8, 8), 0.15, np.float32))
    field = task.split(photo.as_float())[1] + np.float32(0.15)
    assert np.abs(fast - task.compose(photo.as_float(), field) * 255).max() < 0.8


def test_a_task_of_ones_own_is_changed_by_the_difference_of_two_compositions():
    photo = read_photo(photo_of(60, 80))
    (warmer,) = render(photo, Warmth(), np.full((1, 1, 8, 8), 0.1, np.float32))
    change = warmer.astype(int) - photo.pixels
    inside = (photo.pixels > 20) & (photo.pixels < 235)
    for channel, wanted in ((0, 12.75), (1, 0), (2, -12.75)):
        assert np.abs(change[..., channel] - wanted)[inside[..., channel]].max() < 1.6


@pytest.mark.parametrize("task", [get_task("resaturation"), Warmth()], ids=["resaturation", "warmth"])
def test_low_layers_of_a_pointwise_task_are_the_area_means_of_the_full_size_layers(task):
    photo = read_photo(photo_of(777, 130))  # several strips, and a ratio that is no integer
    channels = task.condition.channels
    layers = low_layers(photo, task, (channels, 32, 16), (1, 8, 24))
    for low, layer, size in zip(layers, task.split(photo.as_float()), ((32, 16), (8, 24)), strict=True):
        assert low.shape == (1, layer.shape[2], *size) and low.dtype == torch.float32
        assert np.abs(low[0].numpy() - area_average(layer, size).transpose(2, 0, 1)).max() < 1e-6


@pytest.mark.parametrize("size", [(300, 700), (100, 60)])
def test_low_layers_of_relighting_are_those_of_the_photo_at_the_working_size(size):
    photo = read_photo(photo_of(*size))
    task = get_task("relighting")
    condition, field = low_layers(photo, task, (3, 16, 16), (1, 32, 32))
    layers = task.split(shrink_photo(photo.as_float(), 256))
    for low, layer, cells in zip((condition, field), layers, (16, 32), strict=True):
        wanted = area_average(layer, (cells, cells)).transpose(2, 0, 1)
        assert low.dtype == torch.float32 and np.abs(low[0].numpy() - wanted).max() < 2e-4


def test_hue_and_value_stay_and_saturation_follows_the_sample(tiny):
    pixels = photo_of(240, 320)
    before = color.rgb_to_hsv(pixels / np.float32(255))
    mean = float(before[..., 1].mean())
    with torch.no_grad():
        tiny.levels.copy_(torch.tensor([[mean - 0.2], [mean], [mean + 0.1]]))
    images = edit.resaturate(pixels, n=3, seed=1, model=tiny)
    means = []
    for image in images:
        after = color.rgb_to_hsv(np.asarray(image) / np.float32(255))
        assert image.size == (320, 240) and (after[..., 2] == before[..., 2]).all()
        means.append(float(after[..., 1].mean()))
    assert sorted(means) == pytest.approx([mean - 0.2, mean, mean + 0.1], abs=0.03)


def test_same_seed_same_pixels_and_another_seed_others(tiny):
    pixels = photo_of()
    first, again, other = (edit.resaturate(pixels, n=2, seed=s, model=tiny) for s in (5, 5, 6))
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(first, again, strict=True))
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(first, other, strict=True))


def test_plain_draw_k_does_not_depend_on_how_many_are_drawn(tiny):
    photo = read_photo(photo_of())
    task = get_task("resaturation")
    few = plan(photo, tiny, task, SampleOptions(2, 7, all=True))
    many = plan(photo, tiny, task, SampleOptions(6, 7, all=True))
    assert few.draws == (0, 1) and few.weights == (0.5, 0.5)
    assert (few.deltas == many.deltas[:2]).all()
    chosen = plan(photo, tiny, task, SampleOptions(3, 7))
    plain = plan(photo, tiny, task, SampleOptions(max(chosen.draws) + 1, 7, all=True))
    assert (chosen.deltas == plain.deltas[list(chosen.draws)]).all()


def test_distinct_results_show_every_kind_most_common_first(tiny):
    with torch.no_grad():
        tiny.levels.copy_(torch.tensor([[0.1], [0.5], [0.9]]))
    steps = plan(read_photo(photo_of()), tiny, get_task("resaturation"), SampleOptions(3))
    means = steps.deltas.mean(axis=(1, 2, 3))
    assert np.ptp(means) == pytest.approx(0.8, abs=0.02)
    assert list(steps.weights) == sorted(steps.weights, reverse=True) and sum(steps.weights) == pytest.approx(1)


def test_a_sampler_without_reconstruction_changes_the_true_field_to_its_draw(tiny):
    photo, task = read_photo(photo_of()), get_task("resaturation")
    steps = plan(photo, Plain(tiny.config), task, SampleOptions(2))
    own = low_layers(photo, task, (3, 8, 8), (1, 8, 8))[1].numpy()
    assert steps.deltas == pytest.approx(np.repeat(0.3 - own, 2, axis=0), abs=1e-6)
    with pytest.raises(ModelError, match=r"a Plain has no temperature, got 0\.5"):
        plan(photo, Plain(tiny.config), task, SampleOptions(2, temperature=0.5))


def test_more_results_than_are_held_in_memory_at_once(tiny):
    photo = read_photo(photo_of())
    task = get_task("resaturation")
    deltas = plan(photo, tiny, task, SampleOptions(6, all=True)).deltas
    whole = list(render(photo, task, deltas))
    assert len(whole) == 6
    assert (whole[5] == next(render(photo, task, deltas[5:]))).all()


def test_alpha_depth_and_profile_reach_the_image(tiny):
    pixels = photo_of(channels=4, dtype=np.uint16)
    (image,) = edit.resaturate(pixels, n=1, model=tiny)
    assert image.mode == "RGBA"
    assert np.abs(np.asarray(image)[..., 3] - pixels[..., 3] / 257).max() <= 0.51
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = Image.fromarray(photo_of())
    source.info["icc_profile"] = icc
    (image,) = edit.resaturate(source, n=1, model=tiny)
    assert image.mode == "RGB" and image.info["icc_profile"] == icc


def test_a_grey_photo_stays_as_it_is(tiny):
    grey = photo_of(channels=1)
    for image in edit.resaturate(grey, n=2, model=tiny):
        assert (np.asarray(image) == grey).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": 0}, "n is 0"),
        ({"strength": -1}, "strength is -1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"exposure": 1.5}, "exposure is 1.5, expected 0 to 1"),
        ({"exposure": 0.5}, "exposure is 0.5, expected 0: resaturation has none"),
    ],
)
def test_options_outside_their_range_are_named(tiny, options, message):
    with pytest.raises(ConfigError, match=message):
        edit.resaturate(photo_of(), model=tiny, **options)


def test_samples_beyond_the_range_count_as_its_ends(tiny):
    task = get_task("relighting")
    model = model_for(task, tiny)
    with torch.no_grad():
        model.levels.fill_(100.0)
    photo = read_photo(np.full((32, 32, 3), 128, np.uint8))
    own = low_layers(photo, task, (3, 8, 8), (1, 8, 8))[1].mean()
    deltas = plan(photo, model, task, SampleOptions(1, strength=0.5, exposure=1)).deltas
    assert deltas == pytest.approx(0.5 * (task.field.high - float(own)), abs=1e-5)


def test_where_light_falls_changes_and_exposure_does_not_unless_asked(tiny):
    task = get_task("relighting")
    model, photo = model_for(task, tiny), read_photo(photo_of())
    model.scale.fill_(0.3)
    plans = [plan(photo, model, task, SampleOptions(3, all=True, exposure=e)).deltas for e in (0, 0.5, 1)]
    level = plans[2].mean(axis=(1, 2, 3), keepdims=True)
    assert np.abs(level).min() > 0.05 and np.abs(plans[0].mean(axis=(1, 2, 3))).max() < 1e-6
    assert plans[0].std() > 0.2
    for found, share in zip(plans, (0, 0.5, 1), strict=True):
        assert found == pytest.approx(plans[2] - (1 - share) * level, abs=1e-5)


def test_a_model_for_another_task_or_shape_is_refused(tiny, one_channel, tmp_path):
    folder = files.save_pretrained(tiny, tmp_path / "m", task="resaturation")
    with pytest.raises(ModelError, match="a model for 'resaturation', expected one for 'relighting'"):
        edit.relight(photo_of(), model=folder)
    with pytest.raises(ModelError, match="a model for 'resaturation', expected one for 'warmth'"):
        edit.edit(photo_of(), model=hub.load_pretrained(folder), task=Warmth())
    with pytest.raises(ModelError, match="the model's albedo has 1 channels, expected 3"):
        edit.relight(photo_of(), model=one_channel)
    with pytest.raises(ConfigError, match="expected a task, too"):
        edit.edit(photo_of(), model=tiny)
    with pytest.raises(PhotoError, match=r"missing\.jpg"):
        edit.resaturate(tmp_path / "missing.jpg", model=tiny)


def test_the_task_is_that_of_the_model_or_a_variety_of_the_one_asked_for(one_channel, tmp_path):
    folder = files.save_pretrained(one_channel, tmp_path / "m", task="relighting-grey")
    assert loading.load_model(folder)[1].name == "relighting-grey"
    assert loading.load_model(folder, "relighting")[1].name == "relighting-grey"
    own = files.save_pretrained(one_channel, tmp_path / "own", task="warmth")
    with pytest.raises(ModelError, match=r"a model for 'warmth', which is none of .*module:Class"):
        edit.edit(photo_of(), model=own)
    assert len(edit.edit(photo_of(), n=1, model=own, task=Warmth())) == 1


def test_a_file_never_has_a_module_imported(tiny, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    folder = files.save_pretrained(tiny, tmp_path / "m", task="trap:Task")
    with pytest.raises(ModelError, match="a model for 'trap:Task'"):
        edit.edit(photo_of(), model=folder)


@pytest.mark.parametrize("part", ["split", "compose"])
def test_a_task_that_fails_is_named_with_the_photo(one_channel, part):
    class Broken(Warmth):
        name = "broken"

    def fail(self, *_):
        raise ZeroDivisionError("oh")

    setattr(Broken, part, fail)
    with pytest.raises(DataError, match="<array>: task 'broken' failed: ZeroDivisionError: oh"):
        edit.edit(photo_of(), n=1, model=one_channel, task=Broken())
