import numpy as np
import pytest

from coembed.errors import ConfigError
from coembed.imaging.recompress import Recompression


def photo(size=(120, 160)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_nothing_asked_for_changes_nothing():
    assert (Recompression()(photo()) == photo()).all() and str(Recompression()) == "as it is"


def test_the_longer_side_is_reduced_and_smaller_photos_are_not_enlarged():
    assert Recompression(64)(photo()).shape == (48, 64, 3)
    assert Recompression(500)(photo()).shape == (120, 160, 3)


def test_halved_chroma_loses_more_of_colour_than_of_value():
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:, ::2, 0] = colours[:, 1::2, 2] = 200  # columns of red and blue
    full, halved = (Recompression(None, 95, chroma)(colours).astype(int) for chroma in ("4:4:4", "4:2:0"))
    assert np.abs(full - colours).mean() < 12 < 40 < np.abs(halved - colours).mean()
    assert str(Recompression(64, 90)) == "64 px, JPEG 90 4:2:0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 4}, "side is 4"),
        ({"quality": 0}, "quality is 0"),
        ({"subsampling": "4:2:2"}, "subsampling is"),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Recompression(**options)
