"""A user's own pairs: matched by name, resized with care, and every wrong file named."""

import struct

import numpy as np
import pytest
from PIL import Image

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PreparePairs
from coembed.data.store.store import open_pairs
from coembed.errors import ConfigError, DataError


def write_flo(path, flow):
    h, w, _ = flow.shape
    path.write_bytes(b"PIEH" + struct.pack("<ii", w, h) + flow.astype("<f4").tobytes())


@pytest.fixture
def pairs(tmp_path):
    """Five grey 8x12 images and five flow fields of the same size."""
    (tmp_path / "c").mkdir()
    (tmp_path / "f").mkdir()
    generator = np.random.default_rng(0)
    for i in range(5):
        grey = generator.integers(0, 256, (8, 12), dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / "c" / f"{i}.png")
        write_flo(tmp_path / "f" / f"{i}.flo", generator.normal(size=(8, 12, 2)).astype(np.float32))
    return tmp_path


def config(root, **options):
    return PreparePairs(root / "out", root / "c", root / "f", workers=1, val_fraction=0, **options)


def flow_of(path):
    return np.frombuffer(path.read_bytes(), "<f4", offset=12).reshape(8, 12, 2)


def test_images_and_flow_come_through_in_natural_units(pairs):
    run_prepare(config(pairs, field_unit="px/frame", dtype="float32"))
    store = open_pairs(pairs / "out", "train")
    assert store.names == list("01234")
    grey = np.asarray(Image.open(pairs / "c" / "3.png"))
    np.testing.assert_allclose(store.condition([3])[0, 0].numpy(), grey / 255, atol=1e-6)
    np.testing.assert_array_equal(
        store.field([3])[0].numpy(), flow_of(pairs / "f" / "3.flo").transpose(2, 0, 1)
    )
    field = store.index.field
    assert (field.channels, field.unit, field.vector) == (2, "px/frame", True)
    assert not store.index.condition.vector
    assert (field.low, field.high) == (store.field(slice(None)).min(), store.field(slice(None)).max())
    assert store.index.source.name == "c -> f" and store.index.task == "custom"


def test_resized_flow_is_averaged_and_scaled_along(pairs):
    run_prepare(config(pairs, size="2x6", dtype="float32"))
    field = open_pairs(pairs / "out", "train").field([0])[0].numpy()
    means = flow_of(pairs / "f" / "0.flo").reshape(2, 4, 6, 2, 2).mean((1, 3))
    np.testing.assert_allclose(field[0], means[..., 0] * 6 / 12, atol=1e-6)  # to the right: halved width
    np.testing.assert_allclose(field[1], means[..., 1] * 2 / 8, atol=1e-6)  # downwards: a quarter of the height


def test_arrays_are_taken_as_they_are(pairs):
    for i in range(5):
        (pairs / "f" / f"{i}.flo").unlink()
        np.save(pairs / "f" / f"{i}.npy", np.full((8, 12), 100 + i))
    run_prepare(config(pairs, field_range=(0, 200)))
    store = open_pairs(pairs / "out", "train")
    assert store.field([2]).unique().tolist() == [102]
    assert (store.index.field.low, store.index.field.high) == (0, 200)


def test_files_without_a_partner_are_listed(pairs):
    (pairs / "f" / "2.flo").unlink()
    write_flo(pairs / "f" / "extra.flo", np.zeros((8, 12, 2)))
    run_prepare(config(pairs))
    index = open_pairs(pairs / "out", "train").index
    assert index.names == ("0", "1", "3", "4")
    assert [(s.name, s.reason) for s in index.skipped] == [
        ("2.png", "no field of this name"),
        ("extra.flo", "no condition of this name"),
    ]


def save(name, array):
    def damage(root):
        (root / "f" / "3.flo").unlink()
        np.save(root / "f" / name, array, allow_pickle=True)

    return damage


def write(name, data):
    return lambda root: (root / "f" / name).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (save("3.npy", np.zeros((8, 12, 3))), r"3\.npy: field has shape \(8, 12, 3\), expected \(8, 12, 2\)"),
        (save("3.npy", np.zeros((4, 6, 2))), r"3\.npy: .*\(4, 6, 2\), expected \(8, 12, 2\) .*--size resizes"),
        (save("3.npy", np.full((8, 12, 2), np.nan)), r"3\.npy: field is nan at \[0, 0, 0\]"),
        (save("3.npy", np.full((8, 12, 2), np.inf)), r"3\.npy: field is inf"),
        (save("3.npy", np.full((8, 12, 2), 1e39)), r"3\.npy: field is inf"),
        (save("3.npy", np.full((8, 12, 2), 7e4)), "3: field reaches 70000, more than float16 holds"),
        (save("3.npy", np.array([{"a": 1}], object)), r"3\.npy: not a readable \.npy"),
        (save("3.npy", np.zeros((8, 12, 2), complex)), r"3\.npy: holds complex128, expected real numbers"),
        (save("3.npy", np.zeros(5)), r"3\.npy: has shape \(5,\), expected \(h, w\) or \(h, w, c\)"),
        (write("3.flo", b"nonsense"), r"3\.flo: starts with b'nons'"),
        (write("3.flo", b"PIEH" + struct.pack("<ii", 2**30, 2**30)), r"3\.flo: 12 bytes, expected"),
        (lambda root: write_flo(root / "f/3.flo", np.full((8, 12, 2), 2e9)), r"3\.flo: has no vector at row 0"),
        (lambda root: np.save(root / "f/3.npy", np.zeros((8, 12, 2))), r"holds 3\.flo and 3\.npy"),
        (
            lambda root: Image.new("RGB", (12, 8), "red").save(root / "c/3.png"),
            r"\(8, 12, 3\), expected \(8, 12, 1\)",
        ),
    ],
)
def test_a_wrong_file_is_named_with_what_was_expected(pairs, damage, message):
    damage(pairs)
    with pytest.raises(DataError, match=message):
        run_prepare(config(pairs))


def test_values_outside_the_range_given_are_named(pairs):
    with pytest.raises(DataError, match=r"0\.flo: field spans .*, expected -0\.1 to 0\.1"):
        run_prepare(config(pairs, field_range=(-0.1, 0.1)))
    with pytest.raises(ConfigError, match="field's range is 1 to 0"):
        run_prepare(config(pairs, field_range=(1, 0)))


def test_grey_images_among_colour_ones_are_colour(pairs):
    Image.new("RGB", (12, 8), "red").save(pairs / "c/3.png")
    run_prepare(config(pairs, condition_channels=3))
    condition = open_pairs(pairs / "out", "train").condition(slice(None))
    assert condition.shape == (5, 3, 8, 12)
    assert (condition[0, 0] == condition[0, 2]).all()
    assert condition[3].mean((1, 2)).tolist() == [1, 0, 0]


def test_no_match_shows_both_sides(pairs):
    for path in list((pairs / "f").iterdir()):
        path.rename(path.with_name("flow" + path.name))
    with pytest.raises(DataError, match=r"the first holds 0\.png.* the second flow0\.flo"):
        run_prepare(config(pairs))
