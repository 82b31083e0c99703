import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from coembed.errors import PhotoError
from coembed.imaging.io import png
from coembed.imaging.io.photo import PHOTO_SUFFIXES, Photo, read_photo, write_photo

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_ICC = ICC[:16] + b"GRAY" + ICC[20:]
rng = np.random.default_rng(0)
rgb8 = rng.integers(0, 256, (17, 23, 3), np.uint8)
alpha8 = rng.integers(0, 256, (17, 23), np.uint8)
rgb16 = rng.integers(0, 65536, (17, 23, 3), np.uint16)
alpha16 = rng.integers(0, 65536, (17, 23), np.uint16)
smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((96, 72)))


def save(image, form, **options):
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, form, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(array, colour_type, *extra, depth=16, header=None):
    """A PNG written by hand: rows without filter, big-endian samples."""
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in array)
    size = header or array.shape[1::-1]
    head = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return png.SIGNATURE + b"".join(parts)


def error_of(source, **options):
    with pytest.raises(PhotoError) as caught:
        read_photo(source, **options)
    return str(caught.value)


# What every kind of file becomes


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_eight_bits_with_alpha_and_profile(form):
    data = save(
        np.dstack([rgb8, alpha8]),
        form,
        icc_profile=ICC,
        **({"lossless": True, "exact": True} if form == "WEBP" else {}),
    )
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, rgb8)
    np.testing.assert_array_equal(photo.alpha, alpha8)
    assert (photo.icc, photo.grey, photo.name) == (ICC, False, "<bytes>")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 100}])
def test_jpeg_equals_pillow(options):
    data = save(smooth, "JPEG", icc_profile=ICC, **options)
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert (photo.alpha, photo.icc, photo.grey, photo.kind) == (None, ICC, False, "JPEG")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey(form, mode):
    image = Image.fromarray(smooth).convert("L").convert(mode, dither=Image.Dither.NONE)
    photo = read_photo(save(image, form))
    assert photo.grey and photo.pixels.shape == (72, 96, 3)
    close = np.abs(photo.pixels[..., 1].astype(int) - np.asarray(image.convert("L")))
    assert close.mean() < (3 if form == "JPEG" else 1e-9)
    np.testing.assert_array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def test_palette_with_and_without_transparency():
    image = Image.fromarray(rgb8).quantize(16)
    np.testing.assert_array_equal(read_photo(save(image, "PNG")).pixels, np.asarray(image.convert("RGB")))
    photo = read_photo(save(image, "PNG", transparency=3))
    np.testing.assert_array_equal(photo.alpha == 0, np.asarray(image) == 3)


def test_grey_with_alpha():
    photo = read_photo(save(Image.merge("LA", [Image.fromarray(rgb8[..., 0]), Image.fromarray(alpha8)]), "PNG"))
    np.testing.assert_array_equal(photo.pixels[..., 2], rgb8[..., 0])
    np.testing.assert_array_equal(photo.alpha, alpha8)
    assert photo.grey


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_without_profile_is_naive(form):
    ink = Image.fromarray(smooth).convert("CMYK")
    photo = read_photo(save(ink, form, **({"quality": 100, "subsampling": 0} if form == "JPEG" else {})))
    assert np.abs(photo.pixels.astype(int) - smooth).mean() < 2 and photo.icc is None and not photo.grey


def cmyk_profile():
    """A printer with white paper, a black K, and other inks that are the grey of L* = 50 whatever their mix."""
    identity = bytes(range(256))
    corners = b"".join(bytes([255 if i == 0 else 128 * (1 - i % 2), 128, 128]) for i in range(16))
    matrix = struct.pack(">9i", *[65536 if i % 4 == 0 else 0 for i in range(9)])
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    head = struct.pack(">I4sI4s4s4s", 144 + len(table), b"", 0x02100000, b"prtr", b"CMYK", b"Lab ") + bytes(12)
    head += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + tags + table


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_goes_through_its_profile(bits):
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[4:, :, 0] = 255  # naively cyan, by the profile grey
    if bits == 8:
        data = save(Image.fromarray(ink, "CMYK"), "TIFF", icc_profile=cmyk_profile())
    else:
        data = tiff(ink.astype(np.uint16) * 257, photometric="separated", iccprofile=cmyk_profile())
    photo = read_photo(data)
    assert np.abs(photo.pixels[:4].astype(int) - 255).max() <= 2
    assert np.abs(photo.pixels[4:].astype(int) - 119).max() <= 2  # L* = 50 in sRGB
    assert photo.icc is None


def test_cmyk_with_a_profile_of_something_else_is_naive():
    data = save(Image.fromarray(smooth).convert("CMYK"), "TIFF", icc_profile=ICC[:16] + b"CMYK" + ICC[20:])
    np.testing.assert_array_equal(read_photo(data).pixels, smooth)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(form, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = save(smooth, form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(read_photo(data).pixels, np.asarray(upright))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("lzw", [False, True])
def test_orientation_of_sixteen_bits(orientation, lzw, monkeypatch):
    exif = Image.Exif()
    exif[274] = orientation
    parts = [ImageOps.exif_transpose(_tagged(rgb16[..., i].astype(np.int32), exif)) for i in range(3)]
    expected = np.dstack([np.asarray(part) for part in parts])
    data = (
        lzw_tiff16(rgb16, orientation)
        if lzw
        else tiff(rgb16, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    )
    np.testing.assert_array_equal(read_photo(data).pixels, expected)
    data = raw_png(rgb16, 2, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    np.testing.assert_array_equal(read_photo(data).pixels, expected)


def _tagged(array, exif):
    image = Image.fromarray(array)
    image.info["exif"] = exif.tobytes()
    return image


def lzw_tiff16(array, orientation):
    """OpenCV's LZW file, its ResolutionUnit entry (unused here) made into an orientation and put in order."""
    import cv2

    data = bytearray(cv2.imencode(".tif", array[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes())
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = [bytes(data[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    by_tag = {struct.unpack_from("<H", e)[0]: e for e in entries}
    spare = next(tag for tag in (296, 284, 274) if tag in by_tag)
    by_tag.pop(spare)
    by_tag[274] = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    data[start + 2 : start + 2 + 12 * len(by_tag)] = b"".join(by_tag[tag] for tag in sorted(by_tag))
    assert len(by_tag) == count
    return bytes(data)


# Sixteen bits


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [None, alpha16])
def test_sixteen_bits_through_reading_and_writing(tmp_path, suffix, alpha):
    like = Photo(rgb16, alpha, ICC, False, "array", "made")
    for _ in range(2):
        write_photo(tmp_path / f"a{suffix}", like.pixels, like)
        like = read_photo(tmp_path / f"a{suffix}")
        assert like.pixels.dtype == np.uint16 and like.icc == ICC
        np.testing.assert_array_equal(like.pixels, rgb16)
        if alpha is not None:
            np.testing.assert_array_equal(like.alpha, alpha)


def test_sixteen_bit_pngs_of_each_colour_type():
    grey = rgb16[..., 0]
    both = np.dstack([grey, alpha16])
    for data, has_alpha in [(raw_png(grey, 0), False), (raw_png(both, 4), True)]:
        photo = read_photo(data)
        assert photo.grey and photo.pixels.dtype == np.uint16
        np.testing.assert_array_equal(photo.pixels, np.repeat(grey[..., None], 3, 2))
        assert (photo.alpha is not None) == has_alpha
    np.testing.assert_array_equal(photo.alpha, alpha16)
    keyed = read_photo(raw_png(rgb16, 2, chunk(b"tRNS", rgb16[3, 4].astype(">u2").tobytes())))
    np.testing.assert_array_equal(np.argwhere(keyed.alpha == 0), [[3, 4]])
    np.testing.assert_array_equal(keyed.pixels, rgb16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 5},
    ],
)
def test_sixteen_bit_tiffs(options):
    np.testing.assert_array_equal(read_photo(tiff(rgb16, photometric="rgb", **options)).pixels, rgb16)
    grey = read_photo(tiff(rgb16[..., 0], photometric="minisblack", **options))
    np.testing.assert_array_equal(grey.pixels[..., 1], rgb16[..., 0])
    white = read_photo(tiff(rgb16[..., 0], photometric="miniswhite", **options))
    np.testing.assert_array_equal(white.pixels[..., 1], 65535 - rgb16[..., 0])
    both = np.dstack([rgb16[..., 0], alpha16])
    with_alpha = read_photo(tiff(both, photometric="minisblack", extrasamples=["unassalpha"], **options))
    np.testing.assert_array_equal(with_alpha.alpha, alpha16)


def test_sixteen_bit_planes_one_after_the_other():
    planes = np.moveaxis(rgb16, -1, 0)
    for options in ({}, {"compression": "zlib"}):
        data = tiff(planes, photometric="rgb", planarconfig="separate", **options)
        np.testing.assert_array_equal(read_photo(data).pixels, rgb16)


def test_premultiplied_alpha_is_undone():
    alpha = np.full((17, 23), 32768, np.uint16)
    alpha[0, 0] = 0
    stored = np.rint(rgb16 * (alpha[..., None] / 65535)).astype(np.uint16)
    photo = read_photo(tiff(np.dstack([stored, alpha]), photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(photo.pixels.astype(int) - rgb16)[alpha > 0].max() <= 1
    assert (photo.pixels[0, 0] == 0).all()


def test_sixteen_bit_cmyk():
    ink = np.asarray(Image.fromarray(smooth).convert("CMYK")).astype(np.uint16) * 257
    np.testing.assert_array_equal(read_photo(tiff(ink, photometric="separated")).pixels, smooth)


# Sources, and what they allow


def test_reduced_decoding_keeps_the_smaller_side():
    data = save(smooth, "JPEG", quality=100)
    for least, shape in [(9, (9, 12)), (10, (18, 24)), (36, (36, 48)), (37, (72, 96)), (500, (72, 96))]:
        assert read_photo(data, min_side=least).pixels.shape == (*shape, 3)
    box = smooth.reshape(36, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(read_photo(data, min_side=36).pixels - box).mean() < 2


def test_paths_pillow_images_and_arrays(tmp_path):
    path = tmp_path / "a photo.jpg"
    path.write_bytes(save(rgb8, "PNG"))  # content decides, not the name
    for source in (path, str(path), Image.fromarray(rgb8), rgb8):
        np.testing.assert_array_equal(read_photo(source).pixels, rgb8)
    assert read_photo(path).name == str(path) and read_photo(path).kind == "PNG"
    photo = read_photo(np.dstack([rgb16, alpha16]))
    np.testing.assert_array_equal(photo.alpha, alpha16)
    assert read_photo(rgb8[..., 0]).grey
    np.testing.assert_array_equal(read_photo(Image.fromarray(rgb16[..., 0])).pixels[..., 0], rgb16[..., 0])


def test_as_float_spans_zero_to_one():
    for top in (np.uint8(255), np.uint16(65535)):
        array = np.array([[[0, top // 5, top]]], top.dtype)
        floats = read_photo(array).as_float()
        assert floats.dtype == np.float32
        np.testing.assert_array_equal(floats, np.array([[[0, 0.2, 1]]], np.float32))


# Files that are no photos


def test_text_empty_folder_missing_and_strangers(tmp_path):
    (tmp_path / "text.jpg").write_text("hello, this is text")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "gif.jpg").write_bytes(save(rgb8, "GIF"))
    (tmp_path / "heic.jpg").write_bytes(b"\0\0\0\x24ftypheic" + bytes(40))
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, said in [
        ("text.jpg", "b'hello, this '"),
        ("empty.png", "empty"),
        ("gif.jpg", "a GIF"),
        ("heic.jpg", "a HEIC"),
        ("pipe.jpg", "not a regular file"),
        ("absent.jpg", "no such file"),
        ("", "a folder"),
        ("a\0b.jpg", "cannot be opened"),
    ]:
        message = error_of(tmp_path / name)
        assert said in message and message.startswith(str(tmp_path / name))
        assert "JPEG, PNG, WebP or TIFF" in message or "\0" in name


sound = {
    "jpeg": save(smooth, "JPEG"),
    "progressive": save(smooth, "JPEG", progressive=True),
    "png": save(smooth, "PNG"),
    "interlaced": save(smooth, "PNG", interlace=1),
    "png16": raw_png(rgb16, 2),
    "webp": save(smooth, "WEBP"),
    "lossless": save(smooth, "WEBP", lossless=True),
    "tiff": save(smooth, "TIFF"),
    "deflate": save(smooth, "TIFF", compression="tiff_adobe_deflate"),
    "tiff16": tiff(rgb16, photometric="rgb"),
    "deflate16": tiff(rgb16, photometric="rgb", compression="zlib"),
    "lzw16": lzw_tiff16(rgb16, 1),
}


@pytest.mark.parametrize("kind", sound)
def test_truncated_at_any_place(kind):
    data = sound[kind]
    read_photo(data)
    # Not in the last bytes: a JPEG without its end marker is a whole picture, a TIFF may end in padding.
    for cut in np.linspace(1, len(data) * 0.95, 25).astype(int):
        assert error_of(data[:cut]).startswith("<bytes>: ")


@pytest.mark.parametrize("kind", sound)
def test_damage_gives_a_photo_or_a_photo_error(kind):
    dice = np.random.default_rng(7)
    for _ in range(40):
        data = bytearray(sound[kind])
        for _ in range(dice.integers(1, 6)):
            data[dice.integers(len(data))] = dice.integers(256)
        try:
            assert read_photo(bytes(data), max_pixels=100_000).pixels.dtype in (np.uint8, np.uint16)
        except PhotoError as error:
            assert str(error).startswith("<bytes>: ")


# Bounds


def jpeg_header(width, height):
    data = bytearray(save(rgb8, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_header(width, height):
    data = bytearray(tiff(rgb8, photometric="rgb"))
    start = struct.unpack_from("<I", data, 4)[0]
    for i in range(struct.unpack_from("<H", data, start)[0]):
        (tag,) = struct.unpack_from("<H", data, start + 2 + 12 * i)
        if tag in (256, 257):
            struct.pack_into("<HHII", data, start + 2 + 12 * i, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_header(60000, 60000),
        raw_png(rgb16, 2, header=(60000, 60000)),
        raw_png(rgb8, 2, depth=8, header=(60000, 60000)),
        tiff_header(60000, 60000),
        b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x5f\xea\0" * 2 + bytes(40),
    ],
)
def test_size_is_checked_before_decoding(data, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr("cv2.imdecode", refuse)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    monkeypatch.setattr("coembed.imaging.io.decode.WebPImageFile", refuse)
    message = error_of(data)
    assert "60000 x 60000 is 3600.0 megapixels" in message and "at most 64" in message


def test_the_bound_counts_pixels():
    assert read_photo(save(rgb8, "PNG"), max_pixels=17 * 23).width == 23
    for source in (save(rgb8, "PNG"), save(rgb8, "JPEG"), rgb8, Image.fromarray(rgb8)):
        assert "23 x 17" in error_of(source, max_pixels=17 * 23 - 1)


def test_bombs_in_chunks_are_not_inflated():
    bomb = zlib.compress(bytes(64 << 20), 9)
    assert "ICC profile inflates" in error_of(raw_png(rgb16, 2, chunk(b"iCCP", b"x\0\0" + bomb)))
    assert "ICC profile inflates" in error_of(raw_png(rgb8, 2, chunk(b"iCCP", b"x\0\0" + bomb), depth=8))
    texts = chunk(b"zTXt", b"x\0\0" + bomb), chunk(b"iTXt", b"x\0\1\0\0\0" + bomb)
    np.testing.assert_array_equal(read_photo(raw_png(rgb8, 2, *texts, depth=8)).pixels, rgb8)


def test_a_strip_that_inflates_too_far():
    plain = tiff(rgb16, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        where, count = (file.pages[0].tags[t].valueoffset for t in (273, 279))
    bomb = zlib.compress(bytes(32 << 20), 9)
    data = bytearray(plain + bomb)
    struct.pack_into("<I", data, where, len(plain))
    struct.pack_into("<I", data, count, len(bomb))
    assert "inflates to more than" in error_of(bytes(data))


def test_pictures_with_too_few_rows():
    assert "truncated PNG" in error_of(raw_png(rgb16[:9], 2, header=(23, 17)))
    assert "truncated" in error_of(raw_png(rgb8[:9], 2, depth=8, header=(23, 17)))
    assert "checksum" in error_of(sound["png16"][:60] + b"\xff" + sound["png16"][61:])


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 3)), np.zeros((3, 3, 5), np.uint8), np.zeros((0, 3, 3), np.uint8), np.zeros(3, np.uint8)],
)
def test_arrays_that_are_no_photo(array):
    assert error_of(array).startswith("<array>: ")


def test_values_and_sources_that_are_no_photo():
    assert "kind F" in error_of(Image.new("F", (3, 3)))
    assert "expected 0 to 65535" in error_of(Image.fromarray(np.full((3, 3), 70000, np.int32)))
    assert "<float>: expected a path" in error_of(3.5)


# Writing


@pytest.mark.parametrize("suffix", sorted(PHOTO_SUFFIXES))
def test_every_suffix_keeps_what_its_format_can(tmp_path, suffix):
    alpha = np.asarray(Image.fromarray(alpha8).resize((96, 72)))
    like = Photo(smooth, alpha, ICC, False, "array", "made")
    path = tmp_path / f"out{suffix.upper()}"
    write_photo(path, smooth, like)
    again = read_photo(path)
    assert again.icc == ICC
    assert (again.alpha is None) == (suffix in (".jpg", ".jpeg"))
    if again.alpha is not None:
        np.testing.assert_array_equal(again.alpha, alpha)
    close = np.abs(again.pixels.astype(int) - smooth)
    assert close.max() == 0 if suffix in (".png", ".tif", ".tiff") else close.mean() < 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert again.suffix == {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def test_jpeg_is_written_without_subsampling(tmp_path):
    write_photo(tmp_path / "a.jpg", smooth, read_photo(smooth))
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_grey_stays_grey_with_its_profile_until_it_gets_colour(tmp_path, suffix):
    like = Photo(np.repeat(smooth[..., :1], 3, 2), None, GREY_ICC, True, "array", "made")
    path = tmp_path / f"a{suffix}"
    write_photo(path, like.pixels, like)
    with Image.open(path) as image:
        assert image.mode == "L" or suffix == ".webp"
    write_photo(path, smooth, like)
    assert not read_photo(path).grey and read_photo(path).icc is None
    write_photo(path, like.pixels, Photo(like.pixels, None, ICC, True, "array", "made"))
    assert read_photo(path).icc == ICC


def test_floats_are_rounded_to_the_depth_of_the_photo(tmp_path):
    for like in (read_photo(rgb8), read_photo(rgb16)):
        write_photo(tmp_path / "a.png", like.as_float(), like)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, like.pixels)
    write_photo(tmp_path / "a.png", np.array([[[-1, 0.5, 2]]]), read_photo(rgb8))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, [[[0, 128, 255]]])


def test_sixteen_bits_are_rounded_for_jpeg(tmp_path):
    flat = np.full((16, 16, 3), 257 * 100 + 120, np.uint16)
    write_photo(tmp_path / "a.jpg", flat, read_photo(flat))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg").pixels, np.full((16, 16, 3), 100))


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    like = read_photo(np.dstack([rgb8, alpha8]))
    (tmp_path / "folder.png").mkdir()
    for name, pixels, said in [
        ("a.bmp", rgb8, "expected one of .jpg, .jpeg, .png, .webp, .tif, .tiff"),
        ("a", rgb8, "a name without suffix"),
        ("no/a.png", rgb8, "No such file"),
        ("folder.png", rgb8, "cannot be written"),
        ("a.png", rgb8[:5], "the alpha (17, 23)"),
        ("a.png", rgb8[..., 0], "expected (h, w, 3)"),
        ("a.png", np.full((17, 23, 3), np.nan), "not finite"),
        ("a.png", rgb8.astype(int), "dtype int64"),
    ]:
        with pytest.raises(PhotoError) as caught:
            write_photo(tmp_path / name, pixels, like)
        assert said in str(caught.value) and str(caught.value).startswith(str(tmp_path / name))
    with pytest.raises(PhotoError, match="quality is 0"):
        write_photo(tmp_path / "a.jpg", rgb8, like, quality=0)
    with pytest.raises(PhotoError, match="at most 16383 a side"):
        write_photo(tmp_path / "a.webp", np.zeros((1, 16384, 3), np.uint8), read_photo(rgb8))
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]
