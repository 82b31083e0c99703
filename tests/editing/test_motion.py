import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coembed.editing import motion
from coembed.editing.motion import predict_motion
from coembed.errors import ConfigError, ModelError, PhotoError
from coembed.imaging.io.photo import read_photo
from coembed.imaging.resize import area_average
from coembed.models import files
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams

SIZE = (8, 8)


def photo_of(h=90, w=120, dtype=np.uint8, seed=0):
    coarse = np.random.default_rng(seed).uniform(0.1, 0.9, (5, 6, 3)).astype(np.float32)
    return (area_average(coarse, (h, w)) * np.iinfo(dtype).max).astype(dtype)


TURN, ZOOM, SHEAR = (np.array(m, np.float32) for m in (((0, -1), (1, 0)), ((1, 0), (0, 1)), ((0, 1), (1, 0))))


def affine(matrix, amount, pan=(0.0, 0.0)):
    """Motion (2, h, w) about the middle of the frame, and a pan."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in SIZE)
    place = np.stack(np.meshgrid(columns, rows))
    return amount * np.einsum("ij,jhw->ihw", matrix, place) + np.float32(pan)[:, None, None]


class Kinds:
    """Draw one of a few motions, (2,) or (2, h, w), with given chances, and a little noise."""

    config = SimpleNamespace(condition_shape=(3, *SIZE), field_shape=(2, *SIZE))
    temperature_layers = 1

    def __init__(self, motions=((0.2, 0.0), (-0.1, 0.05), (0.0, 0.3)), chances=(0.6, 0.3, 0.1), noise=0.002):
        whole = [np.zeros((2, *SIZE)) + (np.array(m)[:, None, None] if np.ndim(m) == 1 else m) for m in motions]
        self.motions = torch.from_numpy(np.stack(whole).astype(np.float32))
        self.chances, self.noise = np.cumsum(chances), noise
        self.seen = None

    def sample(self, condition, n, *, generator, temperature=1.0):
        self.seen = condition
        rows = Streams.of(generator, len(condition)).normal(n, 1 + 2 * SIZE[0] * SIZE[1])
        place = torch.distributions.Normal(0, 1).cdf(rows[..., 0])
        kind = torch.bucketize(place, torch.tensor(self.chances[:-1], dtype=torch.float32))
        noise = rows[..., 1:].reshape(n, len(condition), 2, *SIZE)
        return self.motions[kind] + temperature * self.noise * noise


@pytest.fixture(scope="module")
def cdvae():
    """A real model, hardly more than nothing: one layer of four codes, its weights as they start."""
    one = LadderConfig(codes=(4,), hidden=(8,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CDVAE(CDVAEConfig((3, *SIZE), (2, *SIZE), one, one, GaussianTieConfig("gaussian", "top"))).eval()


def test_each_kind_of_motion_comes_back_with_its_share_most_common_first():
    motions = affine(TURN, 0.2), affine(ZOOM, 0.1, (0.02, 0)), affine(SHEAR, 0.15)
    found = predict_motion(photo_of(), n=3, draws=100, model=Kinds(motions))
    assert sum(m.share for m in found) == pytest.approx(1)
    assert [m.share for m in found] == sorted((m.share for m in found), reverse=True)
    assert np.abs(np.stack([m.low for m in found]) - np.stack(motions)).max() < 0.01
    assert [m.share for m in found] == pytest.approx([0.6, 0.3, 0.1], abs=0.15)


def test_pans_are_one_kind_whichever_way_they_go():
    motions = (0.2, 0.0), (-0.1, 0.05), affine(ZOOM, 0.1), affine(ZOOM, 0.1, (0.0, 0.4))
    found = predict_motion(photo_of(), n=2, draws=200, model=Kinds(motions, (0.3, 0.2, 0.25, 0.25)))
    panning = [(np.square(m.low.mean((1, 2))).sum() / np.square(m.low).sum(0).mean()) > 0.9 for m in found]
    assert sorted(panning) == [False, True]
    assert {round(m.share, 1) for m in found} <= {
        0.2,
        0.3,
        0.7,
        0.8,
    }  # pans and what is nearly one, or the zoom


def test_the_flow_is_in_pixels_of_the_photo_and_scales_with_its_size():
    for h, w, dtype in ((90, 120, np.uint8), (180, 240, np.uint8), (45, 200, np.uint16)):
        (found,) = predict_motion(photo_of(h, w, dtype), n=1, draws=5, model=Kinds(((0.2, -0.1),), (1,), 0))
        assert found.flow.shape == (h, w, 2) and found.flow.dtype == np.float32
        assert found.flow[..., 0] == pytest.approx(0.2 * w, rel=1e-4)
        assert found.flow[..., 1] == pytest.approx(-0.1 * h, rel=1e-4)
        assert found.low.shape == (2, *SIZE) and found.share == 1


def test_a_photo_above_the_working_size_gets_its_flow_at_full_size():
    photo = photo_of(1000, 1500)
    (found,) = predict_motion(photo, n=1, draws=3, model=Kinds(((0.2, -0.1),), (1,), 0.005))
    assert found.flow.shape == (1000, 1500, 2)
    fractions = area_average(found.flow, SIZE) / [1500, 1000]
    assert np.abs(fractions.transpose(2, 0, 1) - found.low).max() < 0.01
    working = motion.FlowEnlarger(read_photo(photo), SIZE)
    assert max(working.size) == 1024


def test_the_flow_goes_the_way_of_the_draw_and_never_beyond_what_it_has_around():
    low = np.zeros((2, *SIZE), np.float32)
    low[0, 2:6, 2:6] = 0.3
    flow = motion.FlowEnlarger(read_photo(photo_of(240, 320)), SIZE)(low)
    assert flow[..., 0].min() >= -1e-3 and flow[..., 0].max() <= 0.3 * 320 + 1e-3
    assert flow[120, 160, 0] == pytest.approx(96, rel=0.1) and abs(flow[5, 5, 0]) < 1
    assert not flow[..., 1].any()


def test_the_model_sees_the_frame_as_area_means_in_colour():
    photo, model = photo_of(), Kinds()
    predict_motion(photo, n=1, draws=2, model=model)
    expected = area_average(photo / np.float32(255), SIZE).transpose(2, 0, 1)
    assert model.seen.shape == (1, 3, *SIZE)
    assert np.abs(model.seen[0].numpy() - expected).max() < 1e-6


def test_same_seed_same_motions_and_another_seed_others(cdvae):
    first, again, other = (predict_motion(photo_of(), n=3, seed=s, draws=20, model=cdvae) for s in (4, 4, 5))
    for a, b in zip(first, again, strict=True):
        assert (a.flow == b.flow).all() and (a.low == b.low).all()
        assert (a.draw, a.share) == (b.draw, b.share)
    assert any((a.low != b.low).any() for a, b in zip(first, other, strict=True))


def test_a_draw_is_that_of_the_seed_whatever_else_is_drawn(cdvae):
    photo = read_photo(photo_of())
    found = predict_motion(photo.pixels, n=2, seed=3, draws=12, model=cdvae)
    last = max(m.draw for m in found)
    more = predict_motion(photo.pixels, n=last + 1, seed=3, draws=last + 1, model=cdvae)  # every draw
    by_draw = {m.draw: m.low for m in more}
    for m in found:
        # Up to rounding: a processor may multiply many rows in another order than few.
        np.testing.assert_allclose(by_draw[m.draw], m.low, rtol=1e-4, atol=1e-5)


def test_draws_beyond_the_range_of_the_task_are_brought_back():
    (found,) = predict_motion(photo_of(), n=1, draws=2, model=Kinds(((3.0, -3.0),), (1,), 0))
    assert (found.low[0] == 1).all() and (found.low[1] == -1).all()


def test_as_many_kinds_as_draws_even_when_all_are_alike():
    found = predict_motion(photo_of(), n=4, draws=4, model=Kinds(((0.1, 0.0),), (1,), 0))
    assert sorted(m.draw for m in found) == [0, 1, 2, 3]
    assert [m.share for m in found] == [0.25] * 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": 0}, "n is 0"),
        ({"n": 5, "draws": 4}, "draws is 4, expected n to"),
        ({"draws": 10**6}, "draws is 1000000"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": -1}, "temperature is -1"),
    ],
)
def test_options_outside_their_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        predict_motion(photo_of(), model=Kinds(), **options)


def test_what_cannot_be_used_is_named(cdvae, tmp_path):
    with pytest.raises(PhotoError, match="no such file"):
        predict_motion(tmp_path / "nothing.jpg", model=cdvae)
    grey = Kinds()
    grey.config = SimpleNamespace(condition_shape=(1, *SIZE), field_shape=(2, *SIZE))
    with pytest.raises(ModelError, match="frame has 1 channels, expected 3"):
        predict_motion(photo_of(), model=grey)
    with pytest.raises(ModelError, match="not finite"):
        predict_motion(photo_of(), draws=4, model=Kinds(((float("nan"), 0.0),), (1,), 0))
    folder = files.save_pretrained(cdvae, tmp_path / "model", task="resaturation")
    with pytest.raises(ModelError, match="a model for 'resaturation', expected one for 'motion'"):
        predict_motion(photo_of(), model=folder)


def test_a_saved_model_predicts_what_the_loaded_one_did(cdvae, tmp_path):
    folder = files.save_pretrained(cdvae, tmp_path / "model", task="motion")
    here, there = (predict_motion(photo_of(), n=2, draws=9, model=m) for m in (cdvae, folder))
    assert all((a.flow == b.flow).all() for a, b in zip(here, there, strict=True))


def test_a_motion_is_frozen():
    (found,) = predict_motion(photo_of(), n=1, draws=2, model=Kinds())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.share = 2
