"""Reads the images of a shard one by one, each with its name; what cannot be read has a reason."""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.data.dataset_iterators import plain_iterator
from p2p_graph.inference.bulk import parquet_files
from p2p_graph.inference.bulk.work_shards import FILES, PARQUET, Columns, Piece, WorkShard
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.file_names import is_file_name, why_not_encodable
from p2p_graph.utils.outside_files import open_regular

# A record: length of the data, checksum of the length, data, checksum of the data.
_HEAD = struct.Struct("<QI")
_FRAME = _HEAD.size + 4


class ReadImage(NamedTuple):
    """An image of a shard.

    Attributes:
      name: its path, or its name in a record or row; where it is when it has no name.
      file: its path or contents; a text says why it cannot be read.
      is_alone: whether it is an input alone, not a pair side by side.
      output: the name of its output; the last part of it is one that a file can have.
    """

    name: str
    file: Path | bytes | str
    is_alone: bool
    output: str = ""


def read_images(
    shard: WorkShard, columns: Columns, *, single: bool, b_is_input: bool
) -> Iterator[ReadImage]:
    """Yields the images of a shard in their order.

    Args:
      shard: of the list that `list_work` made.
      columns: of Parquet files.
      single: as in `list_work`.
      b_is_input: as in `list_work`.

    Raises:
      UserError: a file has gone or is damaged, so that it is not known which images it holds.
    """
    for piece in shard.pieces:
        if shard.kind == FILES:
            path = Path(piece.path)
            yield _named(ReadImage(piece.path, path, single), path.name, piece.path)
        elif shard.kind == PARQUET:
            yield from _rows(piece, columns, single=single)
        else:
            yield from _records(piece, single=single, b_is_input=b_is_input)


def _rows(piece: Piece, columns: Columns, *, single: bool) -> Iterator[ReadImage]:
    rows = parquet_files.read_rows(Path(piece.path), piece.first, piece.images, *columns)
    for number, (name, contents) in enumerate(rows, piece.first):
        where = f"{piece.path}, row {number}"
        if contents is None:
            yield ReadImage(name or where, "is missing", single)
        elif isinstance(contents, str):
            yield ReadImage(where, contents, single)
        else:
            yield _named(ReadImage(name or where, contents, single), name or "", where)


def _named(image: ReadImage, output: str, where: str) -> ReadImage:
    """Names an image's output; the image fails if no file can have the name.

    Args:
      image: the image.
      output: the name, perhaps with folders.
      where: what names the image if it fails.

    Raises:
      UserError: a file can have the name in other locales only.
    """
    if not is_file_name(Path(output).name) or "\0" in output:
        why = f"has the name {output!r}, which no file can have" if output else "has no name"
        return ReadImage(where, why, image.is_alone)
    if lacking := why_not_encodable(output):
        raise UserError(f"{where} has the name {output!r}, which is {lacking}")
    return image._replace(output=output)


def _records(piece: Piece, *, single: bool, b_is_input: bool) -> Iterator[ReadImage]:
    for position, record in _raw_records(piece):
        where = f"{piece.path}, byte {position}"
        if record is None:
            yield ReadImage(where, "is damaged: its checksum is wrong", single)
            continue
        try:
            example = tf.train.Example.FromString(record)
            values = example.features.feature
            name = values["name"].bytes_list.value[0].decode(errors="surrogateescape")
            files = {key: list(values[key].bytes_list.value) for key in ("a", "b")}
            a = files["a"][0]
        except Exception as error:  # a parser's, of a record from outside
            yield ReadImage(where, f"is of another format: {one_line_reason(error)}", single)
            continue
        if files["b"] and single:
            yield ReadImage(name, "holds two files, and inputs are asked for", single)
            continue
        taken = files["b"][0] if files["b"] and b_is_input else a
        yield _named(ReadImage(name, taken, single or bool(files["b"])), name, where)


def _raw_records(piece: Piece) -> Iterator[tuple[int, bytes | None]]:
    """Yields where each record begins, and its contents; None where its checksum is wrong."""
    positions = _positions(piece)
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        first = tf.placeholder(tf.int64, [])
        opened = tf.raw_ops.TFRecordDatasetV2(
            filenames=[piece.path],
            compression_type="",
            buffer_size=tf.constant(2**18, tf.int64),
            byte_offsets=[first],
        )
        records = tf.data.experimental.from_variant(opened, tf.TensorSpec([], tf.string))
        iterator = plain_iterator(records)
        following = iterator.get_next()
        is_at = False
        for position in positions:
            if not is_at:
                session.run(iterator.initializer, {first: position})
            try:
                record = session.run(following)
            except tf.errors.OpError:  # the next record is found by its position
                is_at, record = False, None
            else:
                is_at = True
            yield position, record


def _positions(piece: Piece) -> list[int]:
    """Where the records of a piece begin, by the lengths that they say."""
    positions = []
    try:
        with open_regular(Path(piece.path)) as file:
            position = piece.first
            for _ in itertools.repeat(None, piece.images):
                positions.append(position)
                file.seek(position)
                position += _HEAD.unpack(file.read(_HEAD.size))[0] + _FRAME
    except (OSError, struct.error) as error:
        raise UserError(
            f"{piece.path} has changed since it was listed: {one_line_reason(error)}"
        ) from None
    return positions
