"""The PNG container: what a file says about itself, checked chunk by chunk before any decoder sees it.

Decoders are handed a copy with the picture's own chunks alone, so text, metadata and animation chunks, the
usual places for decompression bombs, are never inflated. Errors name no file; ``read_photo`` does.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from coembed.errors import PhotoError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Real profiles reach a few MB (printers' tables); a JPEG cannot carry more than 16.7 MB.
MAX_ICC_BYTES = 16 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey + alpha, RGB + alpha
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Adam7: first row, first column, row step, column step of each pass.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


@dataclass(frozen=True)
class PngParts:
    """A PNG file taken apart.

    Attributes:
        width, height: pixels, from the header.
        depth: bits per channel: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha.
        interlaced: whether the rows come in seven passes.
        transparent: the tRNS chunk, empty if there is none.
        palette: the PLTE chunk, empty if there is none.
        picture: the compressed rows (all IDAT chunks joined).
        exif: the eXIf chunk, empty if there is none.
        icc_chunk: the iCCP chunk as stored, still compressed, empty if there is none.
    """

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool
    transparent: bytes
    palette: bytes
    picture: bytes
    exif: bytes
    icc_chunk: bytes

    @property
    def channels(self) -> int:
        """Samples a pixel as stored, 1 to 4."""
        return _CHANNELS[self.colour_type]

    def bare(self, *, transparent: bool) -> bytes:
        """The same picture as a PNG file of the critical chunks alone, with or without its tRNS chunk."""
        header = struct.pack(
            ">IIBBBBB", self.width, self.height, self.depth, self.colour_type, 0, 0, int(self.interlaced)
        )
        parts = [SIGNATURE, _chunk(b"IHDR", header)]
        if self.palette:
            parts.append(_chunk(b"PLTE", self.palette))
        if self.transparent and transparent:
            parts.append(_chunk(b"tRNS", self.transparent))
        return b"".join([*parts, _chunk(b"IDAT", self.picture), _chunk(b"IEND", b"")])

    def icc(self) -> bytes | None:
        """The colour profile, inflated up to ``MAX_ICC_BYTES``.

        Raises:
            PhotoError: it inflates to more than that.
        """
        if not self.icc_chunk:
            return None
        stream = self.icc_chunk.partition(b"\0")[2][1:]
        inflate = zlib.decompressobj()
        try:
            profile = inflate.decompress(stream, MAX_ICC_BYTES + 1)
        except zlib.error:
            return None  # a damaged profile does not make the picture unreadable
        if len(profile) > MAX_ICC_BYTES:
            raise PhotoError(
                f"the ICC profile inflates to more than {MAX_ICC_BYTES >> 20} MiB, the most that is read"
            )
        return profile

    def check_rows(self) -> None:
        """Inflate and count the rows, keeping none: decoders disagree on what to do when some are missing.

        Raises:
            PhotoError: fewer rows than the header says, or a damaged stream.
        """
        expected = sum(
            rows * (1 + (columns * self.channels * self.depth + 7) // 8) for rows, columns in self._passes()
        )
        inflate, inflated, rest = zlib.decompressobj(), 0, self.picture
        try:
            while rest and inflated < expected:
                inflated += len(inflate.decompress(rest, 1 << 20))
                rest = inflate.unconsumed_tail
        except zlib.error as error:
            raise PhotoError(f"damaged PNG picture data ({error})") from None
        if inflated < expected:
            raise PhotoError(f"truncated PNG: {inflated} of {expected} bytes of picture data")

    def _passes(self) -> list[tuple[int, int]]:
        if not self.interlaced:
            return [(self.height, self.width)]
        sizes = [
            ((self.height - row + down - 1) // down, (self.width - column + across - 1) // across)
            for row, column, down, across in _PASSES
        ]
        return [(rows, columns) for rows, columns in sizes if rows > 0 and columns > 0]


def read_header(data: bytes) -> tuple[int, int]:
    """Width and height, from the first 33 bytes.

    Raises:
        PhotoError: the header is cut short or is not a PNG header.
    """
    if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
        raise PhotoError("PNG signature without a PNG header (truncated or damaged)")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise PhotoError(f"the PNG header says {width} x {height} pixels, expected at least 1 x 1")
    return width, height


def take_apart(data: bytes) -> PngParts:
    """Walk the chunks of a PNG file up to IEND, checking lengths and the checksums of those that are kept.

    Raises:
        PhotoError: truncated, damaged, or not what the PNG standard allows.
    """
    width, height = read_header(data)
    depth, colour_type, compression, filtering, interlace = data[24:29]
    if depth not in _DEPTHS.get(colour_type, ()) or (compression, filtering) != (0, 0) or interlace > 1:
        raise PhotoError(f"a PNG header that the standard does not know ({data[24:29].hex()})")
    kept: dict[bytes, list[bytes]] = {
        name: [] for name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"iCCP")
    }
    view, position = memoryview(data), len(SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise PhotoError(f"truncated PNG: {len(data)} bytes and no end chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise PhotoError(
                f"truncated PNG: chunk {name!r} wants {length} bytes, {len(data) - position - 12} are there"
            )
        if name == b"IEND":
            break
        if name in kept:
            if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise PhotoError(f"damaged PNG: the checksum of chunk {name!r} at byte {position} is wrong")
            kept[name].append(bytes(view[position + 8 : end]))
        position = end + 4
    first = {name: chunks[0] if chunks else b"" for name, chunks in kept.items() if name != b"IDAT"}
    if not kept[b"IDAT"] or (colour_type == 3 and not first[b"PLTE"]):
        raise PhotoError(f"a PNG without its {'picture' if not kept[b'IDAT'] else 'palette'} chunk")
    return PngParts(
        width=width,
        height=height,
        depth=depth,
        colour_type=colour_type,
        interlaced=bool(interlace),
        transparent=first[b"tRNS"],
        palette=first[b"PLTE"],
        picture=b"".join(kept[b"IDAT"]),
        exif=first[b"eXIf"],
        icc_chunk=first[b"iCCP"],
    )


def with_icc(data: bytes, profile: bytes) -> bytes:
    """A PNG file (header first, as every encoder writes it) with an ICC profile put after its header."""
    split = len(SIGNATURE) + 25
    return data[:split] + _chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)) + data[split:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return b"".join(
        (struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
    )
