"""Images packed into TFRecord shards: few large files for large data sets.

A record is a tf.train.Example with the unchanged bytes of the image file, so that training sees the
same images as from a folder. The input graph reads a record by its position in the shard, so that
shuffling and resuming work as from a folder.
"""

import contextlib
import functools
import itertools
import os
import re
import struct
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.data.dataset_iterators import next_element
from p2p_graph.data.image_files import SourceImage, find_images
from p2p_graph.data.packed.make_records import serialize_example
from p2p_graph.data.packed.packing_record import RECORD_FILE, read_counts
from p2p_graph.data.packed.record_checks import check_alike, check_record, read_any_structure
from p2p_graph.imaging.image_structure import ImageStructure
from p2p_graph.utils import signals
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.file_names import SHARD_SUFFIX
from p2p_graph.utils.outside_files import damage_reported, open_regular

_Item = TypeVar("_Item")
MOST_SHARDS = 99_999  # that a name has digits for
_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.tfrecord")
# A record: length of the data, checksum of the length, data, checksum of the data.
_HEAD = struct.Struct("<QI")
_FRAME = _HEAD.size + 4
_RECORDS_PER_CALL = 64  # read by one Session.run call
_RERUN = "rerun what wrote it, tools/pack_records.py or tools/translate_many.py"


def shard_name(name: str, number: int, count: int) -> str:
    """Names a shard as TensorFlow Datasets does: pairs-00003-of-00012.tfrecord."""
    return f"{name}-{number:05d}-of-{count:05d}{SHARD_SUFFIX}"


def find_shards(folder: Path) -> list[Path]:
    """Lists the shards in a folder, sorted by name; none if the path is not a folder."""
    try:
        return sorted(folder.glob(f"*{SHARD_SUFFIX}"))
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []


def list_packed_images(folder: Path) -> list[SourceImage]:
    """Lists the images in a folder's shards, after reading every record once.

    Checksums cover all bytes. Of the images, only the headers are read: their pixels are decoded
    when they are used.

    Raises:
      UserError: a shard is missing, damaged, or was not written by `preparation.pack_records`.
    """
    images: list[SourceImage] = []
    for shard, found in complete_shards(folder, _list_shard):
        check_alike(shard, found, images or found)
        images += found
    return images


def complete_shards(
    folder: Path, list_shard: Callable[[Path], Sequence[_Item]]
) -> Iterator[tuple[Path, Sequence[_Item]]]:
    """Yields a folder's shards and their images, and checks that none is missing.

    Args:
      folder: of the shards.
      list_shard: lists the images of a shard, in any form.

    Raises:
      UserError: a shard or an image is missing, or there is a file too many.
    """
    shards = find_shards(folder)
    _check_complete(folder, shards)
    per_shard, count = read_counts(folder)
    images = 0
    bar = tqdm(shards, "checking", unit="shard", disable=not sys.stderr.isatty(), leave=False)
    for shard in bar:
        found = list_shard(shard)
        if per_shard and len(found) != per_shard and shard != shards[-1]:
            raise UserError(
                f"{shard} holds {counted(len(found), 'image')}, not the {per_shard} of "
                f"{RECORD_FILE}: {_RERUN}"
            )
        images += len(found)
        yield shard, found
    if count and images != count:
        raise UserError(
            f"{folder} holds {counted(images, 'image')}, not the {count} of {RECORD_FILE}: {_RERUN}"
        )


def find_records(shard: Path) -> list[int]:
    """Finds the first byte of each record in a shard, by the lengths that the records say.

    Raises:
      UserError: the shard is cut off, or has no records.
    """
    try:
        with damage_reported(shard, "a shard"):
            return list(_find_records(shard, shard.stat().st_size))
    except FileNotFoundError:
        raise UserError(f"{shard} does not exist") from None


def is_intact(shard: Path, images: Sequence[SourceImage]) -> bool:
    """Whether a shard exists, can be read, and holds these images in this order.

    Raises:
      UserError: an image can no longer be read.
    """
    try:
        if len(_list_shard(shard)) != len(images):
            return False
    except UserError:
        return False
    with contextlib.closing(_read_records(shard, _RECORDS_PER_CALL)) as records:
        wanted = map(serialize_example, images)
        return all(record == example for record, example in zip(records, wanted, strict=True))


def first_record(folder: Path) -> tuple[list[ImageStructure], bool]:
    """What the first record of a folder's shards says of its images, and whether it is a pair.

    Raises:
      UserError: as `list_packed_images`.
    """
    image = _list_shard(find_shards(folder)[0])[0]
    structures = [read_any_structure(contents) for contents in stored_files(image)]
    return structures, image.target is not None


def read_record(shard: tf.Tensor, position: tf.Tensor, image: SourceImage) -> list[tf.Tensor]:
    """Reads the files in one record.

    Args:
      shard: string scalar, the shard's path.
      position: int64 scalar, the record's first byte.
      image: one with as many columns as the record's.

    Returns:
      String scalars: the contents of the file of each column.
    """
    files = {"a": tf.io.FixedLenFeature([], tf.string)}
    if image.target:
        files["b"] = tf.io.FixedLenFeature([], tf.string)
    if image.more:
        files["more"] = tf.io.FixedLenFeature([len(image.more)], tf.string)
    opened = tf.raw_ops.TFRecordDatasetV2(
        filenames=[shard],
        compression_type="",
        buffer_size=tf.constant(2**18, tf.int64),
        byte_offsets=[position],
    )
    records = tf.data.experimental.from_variant(opened, tf.TensorSpec([], tf.string))
    record = records.take(1).get_single_element()
    found = tf.io.parse_single_example(record, files)
    more = tf.unstack(found.pop("more")) if image.more else []
    return [*(found[name] for name in files if name in found), *more]


def stored_files(image: SourceImage) -> list[bytes]:
    """Reads the files in an image's record, as `read_record` does, without a graph."""
    assert image.position is not None
    shard = image.path.parent
    with damage_reported(shard, "a shard"), open_regular(shard) as file:
        file.seek(image.position)
        length = _HEAD.unpack(file.read(_HEAD.size))[0]
        example = tf.train.Example.FromString(file.read(length))
    values = (example.features.feature[name].bytes_list.value for name in ("a", "b", "more"))
    return list(filter(None, itertools.chain(*values)))


def _check_complete(folder: Path, shards: list[Path]) -> None:
    """Checks that a folder holds every shard of one set, and no image files."""
    sets: dict[tuple[str, int], set[int]] = {}
    for shard in shards:
        found = _NAME.fullmatch(shard.name)
        if not found:
            raise UserError(
                f"{shard} is not named like a shard (pairs-00000-of-00001{SHARD_SUFFIX}): "
                "make them with tools/pack_records.py"
            )
        sets.setdefault((found[1], int(found[3])), set()).add(int(found[2]))
    if len(sets) > 1:
        names = ", ".join(sorted(f"{name} (of {count})" for name, count in sets))
        raise UserError(
            f"{folder} holds shards of more than one set: {names}; remove those of all but one"
        )
    ((name, count), numbers) = next(iter(sets.items()))
    if extra := sorted(numbers - set(range(count))):
        raise UserError(
            f"{folder} holds {shard_name(name, extra[0], count)}, which is none of "
            f"{counted(count, 'shard')}: remove it, or {_RERUN}"
        )
    if missing := sorted(set(range(count)) - numbers):
        raise UserError(
            f"{folder} lacks {len(missing)} of {counted(count, 'shard')}, "
            f"first {shard_name(name, missing[0], count)}: {_RERUN}"
        )
    try:
        beside = find_images(folder)
    except UserError:
        return
    raise UserError(
        f"{folder} holds shards and images, first {beside[0].name}: move one kind to another folder"
    )


def _list_shard(shard: Path) -> list[SourceImage]:
    try:
        with damage_reported(shard, "a shard"):
            status = shard.stat()
            return _list_records(shard, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        raise UserError(f"{shard} does not exist: {_RERUN}") from None


@functools.lru_cache(maxsize=4096)
def _list_records(shard: Path, size: int, modified: int) -> list[SourceImage]:
    """Lists a shard's images; the shard is read again only if its size or time has changed."""
    del modified
    images: list[SourceImage] = []
    positions = list(_find_records(shard, size))
    try:
        with contextlib.closing(_read_records(shard, _RECORDS_PER_CALL)) as records:
            for record, position in zip(records, positions, strict=True):
                where = f"{shard}, record {len(images) + 1}"
                images.append(check_record(where, shard, position, record))
    except tf.errors.OpError:
        number = len(images) + _count_readable(shard, len(images)) + 1
        raise UserError(f"{shard} is damaged at record {number}: {_RERUN}") from None
    return images


def _read_records(shard: Path, per_call: int, first: int = 0) -> Generator[bytes, None, None]:
    """Reads a shard's records in order, some by a Session.run call; checksums are compared."""
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        with signals.held():
            records = (
                tf.data.TFRecordDataset(os.fsencode(shard)).skip(first).batch(per_call).prefetch(1)
            )
            next_batch = next_element(records, session)
        with contextlib.suppress(tf.errors.OutOfRangeError):
            while True:
                yield from session.run(next_batch)


def _count_readable(shard: Path, first: int) -> int:
    """Counts the records from number `first` on that can be read."""
    count = 0
    with contextlib.suppress(tf.errors.OpError):
        for _ in _read_records(shard, 1, first):
            count += 1
    return count


def _find_records(shard: Path, size: int) -> Iterator[int]:
    """Finds the first byte of each of a shard's records.

    Raises:
      UserError: there is no record, or one that does not end in the shard.
    """
    position, number = 0, 1
    with open_regular(shard) as file:
        if not size:
            raise UserError(f"{shard} is empty: {_RERUN}")
        while position < size:
            file.seek(position)
            head = file.read(_HEAD.size)
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else size
            end = position + length + _FRAME
            if not length:  # a shard of zeros would have such a record every few bytes
                raise UserError(
                    f"{shard}, record {number} is of another format (0 bytes): {_RERUN}"
                )
            if end > size:
                raise UserError(f"{shard} is cut off or damaged at record {number}: {_RERUN}")
            yield position
            position, number = end, number + 1
