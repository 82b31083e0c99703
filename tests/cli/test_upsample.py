import cv2
import numpy as np
import pytest

from coembed.cli import main as cli
from coembed.imaging.flow.files import read_flo, write_flo
from coembed.imaging.resize import area_average


@pytest.fixture()
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    return path


def upsample(*arguments) -> int:
    return cli.main(["upsample", *map(str, arguments)])


def test_a_constant_comes_back_exactly_beside_the_field(photo, tmp_path, capsys):
    field = tmp_path / "depth.npy"
    np.save(field, np.full((4, 6, 2), 3.7, np.float32))
    assert upsample(field, "--guide", photo) == 0
    out = tmp_path / "depth-upsampled.npy"
    assert capsys.readouterr().out == f"{out}\n"
    result = np.load(out)
    assert result.shape == (40, 60, 2) and result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32(3.7))


def test_a_16_bit_png_keeps_its_scale(photo, tmp_path):
    levels = np.random.default_rng(1).integers(20_000, 30_000, (4, 6), np.uint16)
    field, out = tmp_path / "heat.png", tmp_path / "o.png"
    cv2.imwrite(str(field), levels)
    assert upsample(field, "--guide", photo, "--out", out) == 0
    result = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert result.dtype == np.uint16 and result.shape == (40, 60)
    np.testing.assert_allclose(area_average(result, (4, 6)), levels, atol=66)  # 1e-3 of 65535


def test_vectors_grow_with_the_grid(photo, tmp_path):
    field = tmp_path / "f.flo"
    write_flo(field, np.broadcast_to(np.float32([1.5, -2]), (4, 5, 2)))
    assert upsample(field, "--guide", photo) == 0
    flow, valid = read_flo(tmp_path / "f-upsampled.flo")
    assert valid.all() and flow.shape == (40, 60, 2)
    np.testing.assert_array_equal(flow, np.broadcast_to(np.float32([1.5 * 12, -2 * 10]), (40, 60, 2)))


def test_overshoot_is_passed_on(photo, tmp_path):
    field, out = tmp_path / "f.npy", tmp_path / "o.npy"
    low = np.random.default_rng(2).random((4, 6), np.float32)
    np.save(field, low)
    assert upsample(field, "--guide", photo, "--out", out, "--overshoot", "0.2") == 0
    result = np.load(out)
    assert result.max() <= low.max() + 0.21 * np.ptp(low) and result.min() >= low.min() - 0.21 * np.ptp(low)


@pytest.mark.parametrize(
    ("values", "out", "text"),
    [
        (np.full((4, 6), np.nan), "o.npy", "f.npy: row 0, column 0 is nan, expected a finite value"),
        (np.full((4, 6), 12.0), "o.png", "f.npy: values from 12 to 12, expected 0 to 1 for a .png"),
        (np.zeros((4, 6, 2)), "o.png", "f.npy: 2 channels, expected 1 or 3"),
        (np.zeros((4, 6, 2)), "o.flo", "expected a .flo field for a .flo result"),
        (np.zeros((41, 6)), "o.npy", "f.npy: 6 x 41 cells, expected at most the 60 x 40 pixels of"),
        (np.zeros((4, 6)), "f.npy", "f.npy is an input, expected another file"),
        (np.zeros((4, 6)), "o.jpg", "o.jpg, expected a name that ends in .npy, .png, .flo"),
        (np.zeros(6), "o.npy", r"f.npy: has shape (6,), expected (h, w) or (h, w, c)"),
        (np.zeros((4, 6)), "missing/o.npy", "o.npy: cannot be written (No such file or directory)"),
    ],
)
def test_mistakes_name_the_file_and_what_was_expected(photo, tmp_path, capsys, values, out, text):
    np.save(tmp_path / "f.npy", values)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    status = upsample(tmp_path / "f.npy", "--guide", photo, "--out", tmp_path / out)
    error = capsys.readouterr().err
    assert status == 1 and text in error and error.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_missing_field_and_a_missing_photo_are_named(photo, tmp_path, capsys):
    assert upsample(tmp_path / "no.npy", "--guide", photo) == 1
    np.save(tmp_path / "f.npy", np.zeros((4, 6)))
    assert upsample(tmp_path / "f.npy", "--guide", tmp_path / "no.jpg") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "no.npy: cannot be opened (No such file or directory)" in first and "no.jpg: no such file" in second
    (tmp_path / "junk.npy").write_bytes(b"hello")
    assert upsample(tmp_path / "junk.npy", "--guide", photo) == 1
    assert capsys.readouterr().err == f"coembed: {tmp_path}/junk.npy: not a readable .npy array of numbers\n"
    assert upsample(tmp_path / "f.npy", "--guide", photo, "--overshoot", "-1") == 1
    assert "overshoot: got -1.0" in capsys.readouterr().err
