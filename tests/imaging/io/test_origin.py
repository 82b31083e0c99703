"""A file's header tells its size, colour sampling and quality, without decoding; what is no picture tells
nothing."""

import numpy as np
import pytest
from PIL import Image

from coembed.imaging.io.origin import Origin, read_origin


def picture(mode="RGB", size=(61, 40)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("quality", [3, 10, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize(("subsampling", "sampling"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_jpegs_tell_sampling_and_quality(tmp_path, quality, subsampling, sampling):
    picture().save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    found = read_origin(tmp_path / "a.jpg")
    assert (found.width, found.height, found.sampling) == (61, 40, sampling)
    assert abs(found.quality - quality) <= 1


def test_a_grey_jpeg_has_no_colour_to_halve(tmp_path):
    picture("L").save(tmp_path / "a.jpg", quality=80)
    assert read_origin(tmp_path / "a.jpg").sampling == "4:4:4"


def test_other_pictures_tell_their_size(tmp_path):
    for suffix in ("png", "webp", "tif"):
        picture().save(tmp_path / f"a.{suffix}")
        assert read_origin(tmp_path / f"a.{suffix}") == Origin(61, 40)


def test_damage_and_other_files_tell_nothing(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    picture().save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:30])
    for name in ("text.jpg", "empty.jpg", "cut.jpg", "missing.jpg"):
        assert read_origin(tmp_path / name) is None
