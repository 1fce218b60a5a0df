"""Checks a shard's records: what a record claims must be what its images' headers say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from p2p_graph.data.image_files import SourceImage
from p2p_graph.imaging import array_files
from p2p_graph.imaging.image_structure import ARRAY, ImageStructure
from p2p_graph.imaging.read_structure import read_structure
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.file_names import why_not_encodable

_REMEDY = ": make the shards with tools/pack_records.py"


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
        more = list(features["more"].bytes_list.value) if "more" in features else []
    except (DecodeError, ValueError) as error:
        reason = one_line_reason(error)
        raise UserError(f"{where} is of another format ({reason}){_REMEDY}") from None
    name = _file_name(raw_name)
    if name is None:
        raise UserError(f"{where} has the name {raw_name!r}, which no file can have{_REMEDY}")
    if why := why_not_encodable(name):
        raise UserError(f"{where} has the name {name!r}, which is {why}")
    where = f"{where} ({name!r})"
    files = [a, *filter(None, [b]), *more]
    try:
        images = [read_any_structure(contents) for contents in files]
    except UserError as error:
        raise UserError(f"{where} holds a file that {error}{_REMEDY}") from None
    width, height = images[0].width, images[0].height
    for image in images[1:]:
        # Beside two halves, a further input has the size of one.
        is_half = not b and image.width * 2 == width
        if (image.width, image.height) != (width, height) and not (
            is_half and image.height == height
        ):
            other = f"{image.width}x{image.height}"
            raise UserError(f"{where} holds images of {width}x{height} and {other} pixels{_REMEDY}")
    is_16_bit = any(image.is_16_bit for image in images)
    if claims != [width, height, is_16_bit]:
        raise UserError(
            f"{where} claims {claims[0]}x{claims[1]} pixels and deep {claims[2]}, but its image "
            f"has {width}x{height} and {int(is_16_bit)}{_REMEDY}"
        )
    path = shard / name
    channels = tuple(image.channels * (image.kind == ARRAY) for image in images)
    return SourceImage(
        path,
        width,
        height,
        is_16_bit,
        path if b else None,
        position,
        more=(path,) * len(more),
        channels=channels if any(channels) else (),
    )


def read_any_structure(contents: bytes) -> ImageStructure:
    """Reads the structure of a JPEG or PNG file; of an array by decoding it.

    Raises:
      UserError: the file is damaged, or is neither. The message lacks its subject.
    """
    if array_files.is_array(contents):
        return array_files.structure_of(contents)
    return read_structure(contents)


def _value(features: Mapping[str, Any], name: str, kind: str) -> Any:
    """The one value of a feature."""
    values = getattr(features[name], kind).value if name in features else []
    if len(values) != 1:
        raise ValueError(f"{name} is not one value of a {kind}")
    return values[0]


def check_alike(shard: Path, images: Sequence[SourceImage], others: Sequence[SourceImage]) -> None:
    """Checks that a shard's records hold the same kinds of files as the first of `others`.

    Raises:
      UserError: a record does not.
    """
    first = others[0]
    is_pair = first.target is not None
    for number, image in enumerate(images, 1):
        if (len(image.more), image.channels) != (len(first.more), first.channels):
            raise UserError(
                f"{shard}, record {number} ({image.path.name!r}) has other inputs or channels than "
                f"the first record{_REMEDY}"
            )
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
