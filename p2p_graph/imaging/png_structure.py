"""The structure of PNG files (ISO/IEC 15948)."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from p2p_graph.config.image_size import ImageSize
from p2p_graph.imaging import exif
from p2p_graph.imaging.image_structure import CUT_OFF, WRONG_HEADER, ImageStructure
from p2p_graph.utils.errors import UserError, one_line_reason

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")  # length and type; data and a checksum follow
_HEADER = struct.Struct(">IIBBBBB")
_CHECKSUM = 4  # bytes
_END = b"\0\0\0\0IEND\xaeB\x60\x82"  # the last chunk, which is empty
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


def read(contents: bytes) -> ImageStructure:
    """Reads a PNG file's structure.

    Raises:
      UserError: the file is damaged. The message lacks its subject.
    """
    chunks = _list_chunks(contents)
    kinds = [chunk.kind for chunk in chunks]
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1 or chunks[0].end - chunks[0].first != 25:
        raise UserError(WRONG_HEADER)
    width, height, bits, colour, *methods, interlaced = _HEADER.unpack_from(contents, 16)
    if not (width and height and bits in _DEPTHS.get(colour, ()) and methods == [0, 0]):
        raise UserError(WRONG_HEADER)
    if interlaced > 1:
        raise UserError(WRONG_HEADER)
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
        channels=1 if colour in (_GREY, _GREY_ALPHA) else 3,
        has_alpha=colour in (_GREY_ALPHA, _RGB_ALPHA) or b"tRNS" in kinds,
        row_bytes=_row_bytes(width, height, bits * _CHANNELS[colour], interlaced=bool(interlaced)),
        parts=((0, len(SIGNATURE)), *((chunk.first, chunk.end) for chunk in used)),
        orientation=_orientation(contents, chunks),
    )


def _orientation(contents: bytes, chunks: Sequence[_Chunk]) -> int:
    """EXIF's orientation, in the chunk eXIf, of which a file has one at most."""
    for chunk in chunks:
        if chunk.kind == b"eXIf":
            return exif.orientation(contents[chunk.first + _CHUNK.size : chunk.end - _CHECKSUM])
    return exif.UPRIGHT


def size_in(head: bytes) -> ImageSize:
    """The height and width that the first 24 bytes of a PNG file say.

    Raises:
      UserError: they are no PNG's. The message lacks its subject.
    """
    if len(head) < 24 or not head.startswith(SIGNATURE):
        raise UserError(WRONG_HEADER)
    width, height = struct.unpack_from(">II", head, 16)
    return ImageSize(height, width)


def is_bounded(head: bytes, tail: bytes) -> bool:
    """Whether a file that begins and ends with these bytes is a PNG file that is not cut off.

    Args:
      head: at least its first 16 bytes.
      tail: its last 12.
    """
    return head.startswith(SIGNATURE) and head[12:16] == b"IHDR" and tail == _END


def _list_chunks(contents: bytes) -> list[_Chunk]:
    """Lists the chunks up to IEND, whose lengths and checksums are right."""
    chunks: list[_Chunk] = []
    view, position = memoryview(contents), len(SIGNATURE)
    while not chunks or chunks[-1].kind != b"IEND":
        if position + 12 > len(contents):
            raise UserError(CUT_OFF)
        length, kind = _CHUNK.unpack_from(contents, position)
        end = position + 12 + length
        if end > len(contents):
            raise UserError(CUT_OFF)
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


def check_image_data(contents: bytes, structure: ImageStructure) -> None:
    """Decompresses a PNG's image data, which some decoders accept if it ends too early.

    Raises:
      UserError: the data is damaged, or too short. The message lacks its subject.
    """
    # The rows alone: without zlib's header of two bytes, which Pillow checks, and without what
    # follows the last row, such as zlib's checksum, which TensorFlow often ignores.
    decompressor, header, missing = zlib.decompressobj(-zlib.MAX_WBITS), 2, structure.row_bytes
    try:
        for piece in _image_data(contents, structure):
            missing -= len(decompressor.decompress(piece[header:], missing))
            header = max(0, header - len(piece))
            if not missing:
                return
    except zlib.error as error:
        reason = one_line_reason(error).rpartition(": ")[2]
        raise UserError(f"cannot be decoded: its image data is damaged: {reason}") from None
    raise UserError("cannot be decoded: its image data ends too early")


def _image_data(contents: bytes, structure: ImageStructure) -> Iterator[memoryview]:
    """A PNG's compressed data, in pieces of which each takes little memory when decompressed."""
    view = memoryview(contents)
    for first, end in structure.parts:
        if contents[first + 4 : first + _CHUNK.size] == b"IDAT":
            data = view[first + _CHUNK.size : end - _CHECKSUM]
            for start in range(0, len(data), _PIECE):
                yield data[start : start + _PIECE]
