import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from coembed import edit, hub
from coembed.errors import ConfigError, ModelError, PhotoError
from coembed.imaging import color
from coembed.imaging.photo import read_photo
from coembed.imaging.resize import area_average
from coembed.tasks import get_task


def photo_of(h=90, w=120, dtype=np.uint8, channels=3, seed=0):
    """Smooth colours with a little grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.1, 0.9, (5, 6, channels)).astype(np.float32)
    fine = area_average(coarse, (h, w)) + rng.normal(0, 0.01, (h, w, channels))
    return (np.clip(fine, 0, 1) * np.iinfo(dtype).max).astype(dtype)


class Same(torch.nn.Module):
    """Samples are the reconstruction."""

    def __init__(self, tiny):
        super().__init__()
        self.config = tiny.config

    def sample(self, condition, n, *, generator, temperature=1.0):
        return torch.full((n, 1, *self.config.field_shape), 0.3)

    def reconstruct(self, condition, field):
        return torch.full((1, *self.config.field_shape), 0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sample_equal_to_the_reconstruction_gives_the_photo_back_bit_for_bit(tiny, dtype):
    photo = read_photo(photo_of(dtype=dtype))
    plan = edit.plan(photo, Same(tiny), 2, 0)
    assert not plan.deltas.any()
    for pixels in edit.render(photo, plan.deltas):
        assert pixels.dtype == dtype and (pixels == photo.pixels).all()


def test_strength_zero_gives_the_photo_back_bit_for_bit(tiny):
    pixels = photo_of()
    for image in edit.resaturate(pixels, n=2, strength=0, model=tiny):
        assert (np.asarray(image) == pixels).all()


def test_low_layers_are_the_area_means_of_the_full_size_layers():
    photo = read_photo(photo_of(777, 130))  # several strips, and a ratio that is no integer
    task = get_task("resaturation")
    condition, field = edit.low_layers(photo, task, (1, 32, 16), (1, 8, 24))
    for low, layer, size in zip(
        (condition, field), task.split(photo.as_float()), ((32, 16), (8, 24)), strict=True
    ):
        assert low.shape == (1, 1, *size) and low.dtype == torch.float32
        assert np.abs(low[0, 0].numpy() - area_average(layer, size)[..., 0]).max() < 1e-6


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
    few = edit.plan(photo, tiny, 2, 7, distinct=False)
    many = edit.plan(photo, tiny, 6, 7, distinct=False)
    assert few.draws == (0, 1) and few.weights == (0.5, 0.5)
    assert (few.deltas == many.deltas[:2]).all()
    chosen = edit.plan(photo, tiny, 3, 7)
    plain = edit.plan(photo, tiny, max(chosen.draws) + 1, 7, distinct=False)
    assert (chosen.deltas == plain.deltas[list(chosen.draws)]).all()


def test_distinct_results_show_every_kind_most_common_first(tiny):
    with torch.no_grad():
        tiny.levels.copy_(torch.tensor([[0.1], [0.5], [0.9]]))
    plan = edit.plan(read_photo(photo_of()), tiny, 3, 0)
    means = plan.deltas.mean(axis=(1, 2, 3))
    assert np.ptp(means) == pytest.approx(0.8, abs=0.02)
    assert list(plan.weights) == sorted(plan.weights, reverse=True) and sum(plan.weights) == pytest.approx(1)


def test_more_results_than_are_held_in_memory_at_once(tiny):
    photo = read_photo(photo_of())
    deltas = edit.plan(photo, tiny, 6, 0, distinct=False).deltas
    whole = list(edit.render(photo, deltas))
    assert len(whole) == 6
    assert (whole[5] == next(edit.render(photo, deltas[5:]))).all()


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


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 3), (300, 2)])
def test_tiny_and_thin_photos_work(tiny, size):
    for image in edit.resaturate(photo_of(*size), n=2, model=tiny):
        assert image.size == size[::-1]


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
    ],
)
def test_options_outside_their_range_are_named(tiny, options, message):
    with pytest.raises(ConfigError, match=message):
        edit.resaturate(photo_of(), model=tiny, **options)


def test_a_model_for_another_task_or_shape_is_refused(tiny, tmp_path):
    folder = hub.save_pretrained(tiny, tmp_path / "m", task="relighting")
    with pytest.raises(ModelError, match="a model for 'relighting', expected one for 'resaturation'"):
        edit.resaturate(photo_of(), model=folder)
    with pytest.raises(PhotoError, match=r"missing\.jpg"):
        edit.resaturate(tmp_path / "missing.jpg", model=tiny)
