"""Checks a shard's records: what a record claims must be what its images' headers say."""

import io
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from p2p_graph.data.image_files import SourceImage
from p2p_graph.utils.errors import UserError

HEAD_SIZE = 2**14  # bytes of a file, which hold the headers of nearly all images
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a PNG begins with: the signature and a length; the chunk's type, width, height, bit depth.
_PNG_HEADER = struct.Struct(">12s4sIIB")
# A segment of a JPEG: 0xff, its type, its length; in a frame's header a byte, height and width.
_JPEG_SEGMENT = struct.Struct(">BBHxHH")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_REMEDY = ": make the shards with tools/pack_records.py"


class Record(NamedTuple):
    """A record without the rest of its files.

    Attributes:
      name: of A's file.
      width: in pixels, as the record claims.
      height: in pixels, as the record claims.
      deep: whether a file has more than 8 bits a channel, as the record claims: 0 or 1.
      a: the first bytes of A's file.
      b: the first bytes of B's file; empty if there is none.
    """

    name: bytes
    width: int
    height: int
    deep: int
    a: bytes
    b: bytes


class _Header(NamedTuple):
    width: int
    height: int
    is_16_bit: bool


def check_record(
    where: str,
    shard: Path,
    position: int,
    record: Record,
    read_files: Callable[[], Sequence[bytes]],
) -> SourceImage:
    """Checks a record, and makes its image.

    Args:
      where: the shard and the record's number, for messages.
      shard: the shard.
      position: the record's first byte.
      record: the record.
      read_files: reads A's and B's files in full, for images whose headers are long.

    Raises:
      UserError: the name is no file's name, a file is no image, or the record claims what its
        images have not.
    """
    name = _file_name(record.name)
    if name is None:
        raise UserError(f"{where} has the name {record.name!r}, which no file can have{_REMEDY}")
    where = f"{where} ({name!r})"
    count = 2 if record.b else 1
    headers = list(map(_read_header, (record.a, record.b)[:count]))
    if None in headers:
        headers = list(map(_read_header_of_all, read_files()[:count]))
    found = [header for header in headers if header and min(header[:2])]
    if len(found) < count:
        raise UserError(f"{where} holds a file that is neither a JPEG nor a PNG image{_REMEDY}")
    width, height, _ = found[0]
    if found[-1][:2] != (width, height):
        other = "x".join(map(str, found[-1][:2]))
        raise UserError(f"{where} holds images of {width}x{height} and {other} pixels{_REMEDY}")
    is_16_bit = any(header.is_16_bit for header in found)
    if (record.width, record.height, record.deep) != (width, height, is_16_bit):
        raise UserError(
            f"{where} claims {record.width}x{record.height} pixels and deep {record.deep}, but its "
            f"image has {width}x{height} and {int(is_16_bit)}{_REMEDY}"
        )
    path = shard / name
    return SourceImage(path, width, height, is_16_bit, path if record.b else None, position)


def check_alike(shard: Path, images: Sequence[SourceImage], others: Sequence[SourceImage]) -> None:
    """Checks that a shard's records hold as many files as another record, the first of `others`.

    Raises:
      UserError: a record does not.
    """
    is_pair = others[0].target is not None
    for number, image in enumerate(images, 1):
        if (image.target is not None) != is_pair:
            found, wanted = ("one file", "two") if is_pair else ("two files", "one")
            raise UserError(
                f"{shard}, record {number} ({image.path.name!r}) holds {found}, and the first "
                f"record {wanted}{_REMEDY}"
            )


def _file_name(name: bytes) -> str | None:
    """Decodes the name of a file in a folder; None if no file can have the name."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    is_plain = text not in ("", ".", "..") and Path(text).name == text
    return text if is_plain and "\0" not in text else None


def _read_header(contents: bytes) -> _Header | None:
    """Reads an image's header from the first bytes of a file; None if they do not hold it."""
    if contents.startswith(_PNG_SIGNATURE) and len(contents) >= _PNG_HEADER.size:
        _, kind, width, height, depth = _PNG_HEADER.unpack_from(contents)
        return _Header(width, height, depth == 16) if kind == b"IHDR" else None
    position = 2 if contents.startswith(b"\xff\xd8") else len(contents)
    while position + _JPEG_SEGMENT.size <= len(contents):
        mark, kind, length, height, width = _JPEG_SEGMENT.unpack_from(contents, position)
        if mark != 0xFF or kind == 0xDA:  # no marker, or the pixels' begin
            return None
        if kind in _JPEG_FRAMES:
            return _Header(width, height, False)
        position += 2 + length
    return None


def _read_header_of_all(contents: bytes) -> _Header | None:
    """Reads an image's header from a file's contents, whatever lies before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images
        try:
            with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
                width, height = image.size
                # Pillow does not report a PNG's bit depth; byte 24 holds it.
                return _Header(width, height, image.format == "PNG" and contents[24] == 16)
        except Exception:  # which one depends on the damage
            return None
