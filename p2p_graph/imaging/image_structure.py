"""The structure of JPEG and PNG files: size, kind, and the parts that decide the pixels.

Decoders differ in what they make of a damaged file, and of parts that are not pixels. Here a file's
structure is read once, by the formats' rules, before any decoder sees the file.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from p2p_graph.utils.errors import UserError, one_line_reason

MOST_PIXELS = 2**27  # of an image that is read: 400 MB of 8-bit RGB

_JPEG_SIGNATURE, _PNG_SIGNATURE = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# The first bytes of other formats; a dot stands for any byte.
_OTHER_FORMATS = {
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0",
    "WEBP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II\*\0|MM\0\*",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "AVIF or HEIC": rb".{4}ftyp(avi|hei|hev|mif|msf)",
    "PPM": rb"P[1-6][ \t\r\n]",
    "PDF": rb"%PDF-",
}
_WRONG_HEADER = "cannot be decoded: its header is wrong"
_CUT_OFF = "cannot be decoded: it is cut off"


class ImageStructure(NamedTuple):
    """What a file says of its image.

    Attributes:
      kind: "JPEG" or "PNG".
      width: in pixels, at least 1.
      height: in pixels, at least 1.
      is_16_bit: whether a channel has more than 8 bits.
      has_alpha: whether pixels may be transparent.
      row_bytes: PNG: the size of the uncompressed image data; 0 for a JPEG.
      parts: first and last byte + 1 of each part that decides the pixels, in the file's order.
    """

    kind: str
    width: int
    height: int
    is_16_bit: bool
    has_alpha: bool
    row_bytes: int
    parts: tuple[tuple[int, int], ...]

    def without_metadata(self, contents: bytes) -> bytes:
        """The file with nothing but the parts that decide the pixels."""
        start = b"" if self.kind == "JPEG" else _PNG_SIGNATURE
        return start + b"".join(contents[first:end] for first, end in self.parts)


def read_structure(contents: bytes) -> ImageStructure:
    """Reads and checks the structure of an image file, without decoding pixels.

    Args:
      contents: of the file.

    Raises:
      UserError: the file is no JPEG or PNG file, is damaged, or has more than `MOST_PIXELS`. The
        message lacks its subject: the caller puts the file's name in front.
    """
    if contents.startswith(_PNG_SIGNATURE):
        structure = _read_png(contents)
    elif contents.startswith(_JPEG_SIGNATURE):
        structure = _read_jpeg(contents)
    else:
        raise UserError(_why_no_image(contents))
    width, height = structure.width, structure.height
    if width * height > MOST_PIXELS:
        raise UserError(
            f"is {width}x{height} pixels, more than the {MOST_PIXELS} (2^27) that are read"
        )
    if structure.kind == "PNG":
        _check_image_data(contents, structure)
    return structure


def _why_no_image(contents: bytes) -> str:
    for name, start in _OTHER_FORMATS.items():
        if re.match(start, contents, re.DOTALL):
            return f"is {name}, neither JPEG nor PNG"
    return "is not an image" if contents else "is empty"


# PNG (ISO/IEC 15948)

_CHUNK = struct.Struct(">I4s")  # length and type; data and a checksum follow
_HEADER = struct.Struct(">IIBBBBB")
_CHECKSUM = 4  # bytes
_PIECE = 2**16  # bytes; zlib decompresses them to 64 MiB at most
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_DEPTHS = {
    **{_GREY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)},
    **dict.fromkeys((_RGB, _GREY_ALPHA, _RGB_ALPHA), (8, 16)),
}
# First row and column, and the step between rows and between columns, of an image's passes.
_ONE_PASS = ((0, 0, 1, 1),)
_INTERLACED = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)),
    (1, 0, 2, 1),
)


class _Chunk(NamedTuple):
    """A chunk's type, and the first and last byte + 1 of the whole chunk."""

    kind: bytes
    first: int
    end: int


def _read_png(contents: bytes) -> ImageStructure:
    chunks = _list_chunks(contents)
    kinds = [chunk.kind for chunk in chunks]
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1 or chunks[0].end - chunks[0].first != 25:
        raise UserError(_WRONG_HEADER)
    width, height, bits, colour, *methods, interlaced = _HEADER.unpack_from(contents, 16)
    if not (width and height and bits in _DEPTHS.get(colour, ()) and methods == [0, 0]):
        raise UserError(_WRONG_HEADER)
    if interlaced > 1:
        raise UserError(_WRONG_HEADER)
    if b"IDAT" not in kinds:
        raise UserError("cannot be decoded: it holds no image data")
    first_data = kinds.index(b"IDAT")
    data_count = next(i for i, kind in enumerate(kinds[first_data:]) if kind != b"IDAT")
    palettes = []
    if colour == _PALETTE:
        palettes = [chunk for chunk in chunks[:first_data] if chunk.kind == b"PLTE"]
        _check_palettes(palettes)
    used = [chunks[0], *palettes, *chunks[first_data : first_data + data_count], chunks[-1]]
    return ImageStructure(
        "PNG",
        width,
        height,
        is_16_bit=bits == 16,
        has_alpha=colour in (_GREY_ALPHA, _RGB_ALPHA) or b"tRNS" in kinds,
        row_bytes=_row_bytes(width, height, bits * _CHANNELS[colour], interlaced=bool(interlaced)),
        parts=tuple((chunk.first, chunk.end) for chunk in used),
    )


def _list_chunks(contents: bytes) -> list[_Chunk]:
    """Lists the chunks up to IEND, whose lengths and checksums are right."""
    chunks: list[_Chunk] = []
    view, position = memoryview(contents), len(_PNG_SIGNATURE)
    while not chunks or chunks[-1].kind != b"IEND":
        if position + 12 > len(contents):
            raise UserError(_CUT_OFF)
        length, kind = _CHUNK.unpack_from(contents, position)
        end = position + 12 + length
        if end > len(contents):
            raise UserError(_CUT_OFF)
        name = kind.decode("latin-1").encode("unicode_escape").decode()
        # A small first letter marks what a decoder may skip.
        is_critical = not kind[:1].islower()
        is_known = kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND")
        if not (is_known or (kind.isalpha() and not is_critical)):
            raise UserError(f"cannot be decoded: it has the unknown chunk {name}")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            if is_critical:
                raise UserError(f"cannot be decoded: its chunk {name} has a wrong checksum")
            raise UserError(
                f"has a wrong checksum in its chunk {name}, which holds no pixels: "
                "save the image again"
            )
        chunks.append(_Chunk(kind, position, end))
        position = end
    return chunks


def _check_palettes(palettes: Sequence[_Chunk]) -> None:
    """Checks the chunks PLTE of an image with a palette: one, of up to 256 colours."""
    if not palettes:
        raise UserError("cannot be decoded: it lacks its palette (PLTE)")
    sizes = [chunk.end - chunk.first - _CHUNK.size - _CHECKSUM for chunk in palettes]
    if len(sizes) > 1 or sizes[0] not in range(3, 769, 3):
        raise UserError("cannot be decoded: its palette (PLTE) is wrong")


def _row_bytes(width: int, height: int, bits_per_pixel: int, *, interlaced: bool) -> int:
    """The size of a PNG's uncompressed data: each row of each pass begins with a filter's byte."""
    total = 0
    for top, left, down, right in _INTERLACED if interlaced else _ONE_PASS:
        columns, rows = len(range(left, width, right)), len(range(top, height, down))
        if columns:
            total += rows * (1 + (columns * bits_per_pixel + 7) // 8)
    return total


def _check_image_data(contents: bytes, structure: ImageStructure) -> None:
    """Decompresses a PNG's image data, which some decoders accept if it ends too early."""
    decompressor, count = zlib.decompressobj(), 0
    try:
        for piece in _image_data(contents, structure):
            count += len(decompressor.decompress(piece))
            if decompressor.eof or count > structure.row_bytes:
                break
    except zlib.error as error:
        reason = one_line_reason(error).rpartition(": ")[2]
        raise UserError(f"cannot be decoded: its image data is damaged: {reason}") from None
    if count < structure.row_bytes or not (decompressor.eof or count > structure.row_bytes):
        raise UserError("cannot be decoded: its image data ends too early")


def _image_data(contents: bytes, structure: ImageStructure) -> Iterator[memoryview]:
    """A PNG's compressed data, in pieces of which each takes little memory when decompressed."""
    view = memoryview(contents)
    for first, end in structure.parts:
        if contents[first + 4 : first + _CHUNK.size] == b"IDAT":
            data = view[first + _CHUNK.size : end - _CHECKSUM]
            for start in range(0, len(data), _PIECE):
                yield data[start : start + _PIECE]


# JPEG (ITU-T T.81)

# As libjpeg finds markers: it skips other bytes, and repeated FF.
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# The metadata that decide the colours, JFIF's and Adobe's, and their least length.
_COLOUR_METADATA = {0xE0: 16, 0xEE: 14}
_METADATA = {*range(0xE0, 0xF0), 0xFE}


def _read_jpeg(contents: bytes) -> ImageStructure:
    parts, position = [(0, 2)], 2
    frame = frame_marker = None
    while True:
        found = _MARKER.search(contents, position)
        if not found or found.end() + 2 > len(contents):
            raise UserError(_CUT_OFF)
        marker, first = found[1][0], found.end() - 2
        position = found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in (_START, _END):
            raise UserError("cannot be decoded: it holds no image data")
        length = int.from_bytes(contents[position : position + 2], "big")
        position += max(length, 2)
        if length < 2 and marker not in _METADATA:
            raise UserError(f"cannot be decoded: the length of its segment FF{marker:02X} is wrong")
        if position > len(contents):
            raise UserError(_CUT_OFF)
        if marker in _FRAMES:
            frame, frame_marker = contents[first + 4 : position], marker
        if marker == _SCAN:
            break
        if marker not in _METADATA or length >= _COLOUR_METADATA.get(marker, 2**16):
            parts.append((first, position))
    if not frame or len(frame) < 6:
        raise UserError(_WRONG_HEADER)
    height, width = struct.unpack_from(">HH", frame, 1)
    if not (width and height):
        raise UserError(_WRONG_HEADER)
    all_channels = contents[first + 4 : first + 5] == frame[5:6]
    in_one_scan = all_channels and frame_marker not in _PROGRESSIVE
    _check_scans(contents, position, in_one_scan=in_one_scan)
    return ImageStructure(
        "JPEG",
        width,
        height,
        is_16_bit=False,
        has_alpha=False,
        row_bytes=0,
        parts=(*parts, (first, len(contents))),
    )


def _check_scans(contents: bytes, position: int, *, in_one_scan: bool) -> None:
    """Checks that an image whose first scan begins at a position has an end."""
    if not in_one_scan:
        if contents.find(bytes([0xFF, _END]), position) < 0:
            raise UserError(_CUT_OFF)
        return
    data = np.frombuffer(contents, np.uint8, offset=position)
    # FF 00 is a byte of the data, FF FF fills, and D0 to D7 restart the scan.
    marks = np.flatnonzero((data[:-1] == 0xFF) & (data[1:] != 0))
    kinds = data[marks + 1]
    markers = kinds[(kinds != 0xFF) & ((kinds < 0xD0) | (kinds > 0xD7))]
    if not markers.size:
        raise UserError(_CUT_OFF)
    if markers[0] != _END:
        # Some decoders stop where the last row should end, others go on to the image's end.
        raise UserError(
            f"cannot be decoded: the marker FF{markers[0]:02X} interrupts its image data"
        )
