"""Flow files: what is written is read, by the formats' own definitions, and damage is named."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coembed.errors import DataError
from coembed.imaging.flow.files import read_flo, read_kitti, write_flo, write_kitti


def random_flow(h=5, w=7, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(0, 40, (h, w, 2)).astype(np.float32), generator.random((h, w)) < 0.7


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_round_trips(tmp_path_factory, h, w, seed):
    folder = tmp_path_factory.mktemp("flow")
    flow, valid = random_flow(h, w, seed)
    for name, exact in (("a.flo", 0.0), ("b.PNG", 1 / 128)):
        (write_flo if name == "a.flo" else write_kitti)(folder / name, flow, valid)
        seen, known = (read_flo if name == "a.flo" else read_kitti)(folder / name)
        assert seen.dtype == np.float32 and seen.shape == flow.shape
        np.testing.assert_array_equal(known, valid)
        assert np.abs(seen - flow)[valid].max(initial=0) <= exact
        assert (seen[~valid] == 0).all()
    assert sorted(p.name for p in folder.iterdir()) == ["a.flo", "b.PNG"]  # nothing temporary stays


def test_flo_is_laid_out_as_middlebury_says(tmp_path):
    flow = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_flo(tmp_path / "a.flo", flow, np.array([[True, True, True], [True, True, False]]))
    data = (tmp_path / "a.flo").read_bytes()
    assert struct.unpack("<fii", data[:12]) == (202021.25, 3, 2)
    assert struct.unpack("<12f", data[12:]) == (*range(10), 1e10, 1e10)


def test_kitti_is_laid_out_as_its_devkit_says(tmp_path):
    flow = np.array([[[1.5, -2.25], [-512, 511.984375]], [[0, 0], [9, 9]]], np.float32)
    write_kitti(tmp_path / "a.png", flow, np.array([[True, True], [True, False]]))
    bgr = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert bgr is not None
    expected = [[(32768 + 96, 32768 - 144, 1), (0, 65535, 1)], [(32768, 32768, 1), (0, 0, 0)]]
    np.testing.assert_array_equal(bgr[..., ::-1], expected)
    seen, _ = read_kitti(tmp_path / "a.png")
    np.testing.assert_array_equal(seen[0], flow[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2e9])
def test_vectors_that_are_none_are_unknown(tmp_path, bad):
    flow = np.ones((2, 2, 2), "<f4")
    flow[0, 1, 1] = bad
    (tmp_path / "a.flo").write_bytes(b"PIEH" + struct.pack("<ii", 2, 2) + flow.tobytes())
    seen, valid = read_flo(tmp_path / "a.flo")
    assert valid.tolist() == [[True, False], [True, True]]
    assert seen[0, 1].tolist() == [0, 0] and np.isfinite(seen).all()


HEADER = b"PIEH" + struct.pack("<ii", 3, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"starts with b''"),
        (b"PIEH\3\0\0", "expected a .flo file"),
        (b"HEIP" + HEADER[4:] + bytes(48), "starts with b'HEIP'"),
        (HEADER + bytes(47), "59 bytes, expected 60 for its 3 x 2"),
        (HEADER + bytes(49), "61 bytes, expected 60"),
        (b"PIEH" + struct.pack("<ii", -3, -2) + bytes(48), "for its -3 x -2 vectors"),
        (b"PIEH" + struct.pack("<ii", 0, 2), "for its 0 x 2 vectors"),
        (b"PIEH" + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bytes(8), "20 bytes, expected"),
    ],
)
def test_a_damaged_flo_is_named(tmp_path, data, message):
    path = tmp_path / "bad.flo"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"bad\.flo: .*{message}"):
        read_flo(path)


def test_a_huge_flo_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bad.flo"
    with open(path, "wb") as file:
        file.write(b"PIEH" + struct.pack("<ii", 10_000, 10_000))
        file.truncate(12 + 8 * 10**8)  # a hole: no disk is used
    with pytest.raises(DataError, match=r"bad\.flo: 10000 x 10000 vectors, expected at most"):
        read_flo(path)


def kitti_bytes(shape=(2, 3, 3), dtype: type = np.uint16):
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    return cv2.imencode(".png", noise)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with b''"),
        (b"PIEH" + bytes(60), "expected a PNG"),
        (kitti_bytes(dtype=np.uint8), "3 channels of 8 bits .*expected the 16-bit RGB"),
        (kitti_bytes((2, 3)), "1 channels of 16 bits"),
        (kitti_bytes((2, 3, 4)), "4 channels of 16 bits"),
        (kitti_bytes()[:-20], "truncated PNG"),
        (kitti_bytes()[:20], "PNG signature without"),
        (kitti_bytes()[:45] + b"?" + kitti_bytes()[46:], "damaged PNG"),
        (kitti_bytes()[:16] + struct.pack(">II", 10**6, 10**6) + kitti_bytes()[24:], "expected at most"),
    ],
)
def test_a_damaged_kitti_file_is_named(tmp_path, data, message):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"bad\.png: .*{message}"):
        read_kitti(path)


@pytest.mark.parametrize(
    ("name", "flow", "valid", "message"),
    [
        (
            "a.png",
            np.full((2, 2, 2), 512.0),
            None,
            r"row 0, column 0 is \[512.0, 512.0\], expected -512 to 511.984",
        ),
        ("a.png", np.full((2, 2, 2), np.nan), None, "is .nan, nan., expected"),
        ("a.flo", np.full((2, 2, 2), np.inf), None, "is .inf, inf., expected"),
        ("a.flo", np.full((2, 2, 2), 1e39), None, "is .inf, inf., expected"),
        ("a.flo", np.zeros((2, 2, 3)), None, r"\(2, 2, 3\), expected real numbers \(h, w, 2\)"),
        (
            "a.flo",
            np.zeros((2, 2, 2)),
            np.ones((3, 2), bool),
            r"valid is bool \(3, 2\), expected bool \(2, 2\)",
        ),
        ("a.png", np.zeros((2, 2, 2)), np.ones((2, 2)), "valid is float64"),
        ("no/a.flo", np.zeros((2, 2, 2)), None, "cannot be written"),
    ],
)
def test_what_a_format_cannot_hold_is_not_written(tmp_path, name, flow, valid, message):
    path = tmp_path / name
    if path.parent.exists():
        path.write_bytes(b"before")
    with pytest.raises(DataError, match=message):
        (write_flo if name.endswith("flo") else write_kitti)(path, flow, valid)
    assert not path.parent.exists() or path.read_bytes() == b"before"


@pytest.mark.parametrize("read", [read_flo, read_kitti])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"none: cannot be opened \(No such file"):
        read(tmp_path / "none")
