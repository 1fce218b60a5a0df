"""Checks a shard's records: what a record claims must be what its images' headers say."""

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError
from PIL import Image

from p2p_graph.data.image_files import SourceImage
from p2p_graph.utils.errors import UserError, one_line_reason

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a PNG begins with: the signature and a length; the chunk's type, width, height, bit depth.
_PNG_HEADER = struct.Struct(">12s4sIIB")
# A segment of a JPEG: 0xff, its type, its length; in a frame's header a byte, height and width.
_JPEG_SEGMENT = struct.Struct(">BBHxHH")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_REMEDY = ": make the shards with tools/pack_records.py"


class _Header(NamedTuple):
    width: int
    height: int
    is_16_bit: bool


def check_record(where: str, shard: Path, position: int, record: bytes) -> SourceImage:
    """Checks a record, and makes its image.

    TensorFlow's operations that parse records may crash on a damaged one. What this function
    accepts, they can parse.

    Args:
      where: the shard and the record's number, for messages.
      shard: the shard.
      position: the record's first byte.
      record: the record's contents.

    Raises:
      UserError: the record has another format, the name is no file's name, a file is no image, or
        the record claims what its images have not.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
        raw_name, a = (_value(features, name, "bytes_list") for name in ("name", "a"))
        claims = [_value(features, name, "int64_list") for name in ("width", "height", "deep")]
        b = _value(features, "b", "bytes_list") if "b" in features else b""
    except (DecodeError, ValueError) as error:
        reason = one_line_reason(error)
        raise UserError(f"{where} is of another format ({reason}){_REMEDY}") from None
    name = _file_name(raw_name)
    if name is None:
        raise UserError(f"{where} has the name {raw_name!r}, which no file can have{_REMEDY}")
    where = f"{where} ({name!r})"
    files = [a, b] if b else [a]
    headers = [header for header in map(_read_header, files) if header]
    if len(headers) < len(files):
        raise UserError(f"{where} holds a file that is neither a JPEG nor a PNG image{_REMEDY}")
    width, height, _ = headers[0]
    if headers[-1][:2] != (width, height):
        other = "x".join(map(str, headers[-1][:2]))
        raise UserError(f"{where} holds images of {width}x{height} and {other} pixels{_REMEDY}")
    is_16_bit = any(header.is_16_bit for header in headers)
    if claims != [width, height, is_16_bit]:
        raise UserError(
            f"{where} claims {claims[0]}x{claims[1]} pixels and deep {claims[2]}, but its image "
            f"has {width}x{height} and {int(is_16_bit)}{_REMEDY}"
        )
    path = shard / name
    return SourceImage(path, width, height, is_16_bit, path if b else None, position)


def _value(features: Mapping[str, Any], name: str, kind: str) -> Any:
    """The one value of a feature."""
    values = getattr(features[name], kind).value if name in features else []
    if len(values) != 1:
        raise ValueError(f"{name} is not one value of a {kind}")
    return values[0]


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
    """Reads an image's header; None if it has no pixels, or is neither JPEG nor PNG."""
    header = _read_first_header(contents) or _read_header_by_pillow(contents)
    return header if header and min(header[:2]) else None


def _read_first_header(contents: bytes) -> _Header | None:
    """Reads the header of a usual file, in microseconds."""
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


def _read_header_by_pillow(contents: bytes) -> _Header | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images
        try:
            with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
                width, height = image.size
                # Pillow does not report a PNG's bit depth; byte 24 holds it.
                return _Header(width, height, image.format == "PNG" and contents[24] == 16)
        except Exception:  # which one depends on the damage
            return None
