"""Images packed into TFRecord shards: few large files for large data sets.

A record is a tf.train.Example with the unchanged bytes of the image file, so that training sees the
same images as from a folder. The input graph reads a record by its position in the shard, so that
shuffling and resuming work as from a folder.
"""

import functools
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.data.image_files import SourceImage, find_images
from p2p_graph.data.tf_data import next_element, parallel_map
from p2p_graph.utils.errors import UserError, one_line_reason

SUFFIX = ".tfrecord"
_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.tfrecord")
# A record: length of the data, checksum of the length, data, checksum of the data.
_HEAD = struct.Struct("<QI")
_FRAME = _HEAD.size + 4
_RECORDS_PER_CALL = 64  # parsed by one Session.run call
_FEATURES = {
    "name": tf.io.FixedLenFeature([], tf.string),
    "width": tf.io.FixedLenFeature([], tf.int64),
    "height": tf.io.FixedLenFeature([], tf.int64),
    "deep": tf.io.FixedLenFeature([], tf.int64),
    "a": tf.io.FixedLenFeature([], tf.string),
    "b": tf.io.FixedLenFeature([], tf.string, b""),
}


def shard_name(name: str, number: int, count: int) -> str:
    """Names a shard as TensorFlow Datasets does: pairs-00003-of-00012.tfrecord."""
    return f"{name}-{number:05d}-of-{count:05d}{SUFFIX}"


def find_shards(folder: Path) -> list[Path]:
    """Lists the shards in a folder, sorted by name; none if the path is not a folder."""
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return []


def list_packed_images(folder: Path) -> list[SourceImage]:
    """Lists the images in a folder's shards, after reading every record once.

    Raises:
      UserError: a shard is missing, damaged, or was not written by `preparation.pack_records`.
    """
    shards = find_shards(folder)
    _check_complete(folder, shards)
    images: list[SourceImage] = []
    bar = tqdm(shards, "checking", unit="shard", disable=not sys.stderr.isatty(), leave=False)
    for shard in bar:
        status = shard.stat()
        images += _list_records(shard, status.st_size, status.st_mtime_ns)
    return images


def is_intact(shard: Path) -> bool:
    """Whether a shard exists and all of its records can be read."""
    try:
        status = shard.stat()
        _list_records(shard, status.st_size, status.st_mtime_ns)
    except (FileNotFoundError, UserError):
        return False
    return True


def serialize_example(image: SourceImage) -> bytes:
    """Makes an image's record from the unchanged bytes of its files."""

    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    values: dict[str, bytes | int] = {
        "name": image.path.name.encode(),
        "width": image.width,
        "height": image.height,
        "deep": int(image.is_16_bit),
        "a": image.path.read_bytes(),
    }
    if image.target:
        values["b"] = image.target.read_bytes()
    features = tf.train.Features(feature={name: feature(value) for name, value in values.items()})
    contents: bytes = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return contents


def read_record(shard: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the files in one record.

    Args:
      shard: string scalar, the shard's path.
      position: int64 scalar, the record's first byte.

    Returns:
      String scalars: the contents of A's file and of B's file, the latter empty without B.
    """
    opened = tf.raw_ops.TFRecordDatasetV2(
        filenames=[shard],
        compression_type="",
        buffer_size=tf.constant(2**18, tf.int64),
        byte_offsets=[position],
    )
    records = tf.data.experimental.from_variant(opened, tf.TensorSpec([], tf.string))
    record = records.take(1).get_single_element()
    features = {name: _FEATURES[name] for name in ("a", "b")}
    files = tf.io.parse_single_example(record, features)
    return files["a"], files["b"]


def stored_files(image: SourceImage) -> tuple[bytes, bytes]:
    """Reads the files in an image's record, as `read_record` does, without a graph."""
    assert image.position is not None
    with image.path.parent.open("rb") as file:
        file.seek(image.position)
        length = _HEAD.unpack(file.read(_HEAD.size))[0]
        example = tf.train.Example.FromString(file.read(length))
    both = [example.features.feature[name].bytes_list.value for name in ("a", "b")]
    a, b = (values[0] if values else b"" for values in both)
    return a, b


def _check_complete(folder: Path, shards: list[Path]) -> None:
    """Checks that a folder holds every shard of one set, and no image files."""
    sets: dict[tuple[str, int], set[int]] = {}
    for shard in shards:
        found = _NAME.fullmatch(shard.name)
        if not found:
            raise UserError(
                f"{shard} is not named like a shard (pairs-00000-of-00001{SUFFIX}): "
                "make them with tools/pack_records.py"
            )
        sets.setdefault((found[1], int(found[3])), set()).add(int(found[2]))
    if len(sets) > 1:
        names = ", ".join(sorted(f"{name} (of {count})" for name, count in sets))
        raise UserError(f"{folder} holds shards of more than one set: {names}")
    ((name, count), numbers) = next(iter(sets.items()))
    if missing := sorted(set(range(count)) - numbers):
        raise UserError(
            f"{folder} lacks {len(missing)} of {count} shards, "
            f"first {shard_name(name, missing[0], count)}: rerun tools/pack_records.py"
        )
    try:
        beside = find_images(folder)
    except UserError:
        return
    raise UserError(
        f"{folder} holds shards and images, first {beside[0].name}: move one kind to another folder"
    )


@functools.lru_cache(maxsize=4096)
def _list_records(shard: Path, size: int, modified: int) -> list[SourceImage]:
    """Lists a shard's images; the shard is read again only if its size or time has changed."""
    del modified
    positions = list(_find_records(shard, size))
    images: list[SourceImage] = []
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        records = tf.data.TFRecordDataset(str(shard)).batch(_RECORDS_PER_CALL)
        names = ("name", "width", "height", "deep", "b")
        # Without the files' contents, which are large and covered by the record's checksum.
        parsed = parallel_map(
            records, lambda batch: _parse_metadata(tf.io.parse_example(batch, _FEATURES), names)
        ).prefetch(1)
        next_batch = next_element(parsed, session)
        try:
            while len(images) < len(positions):
                for name, width, height, is_16_bit, has_b in zip(
                    *session.run(next_batch), strict=True
                ):
                    path = shard / name.decode()
                    target = path if has_b else None
                    position = positions[len(images)]
                    image = SourceImage(path, width, height, bool(is_16_bit), target, position)
                    images.append(image)
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
            raise UserError(
                f"{shard} is damaged at or after record {len(images)}: rerun tools/pack_records.py"
            ) from None
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
            raise UserError(
                f"{shard} holds records of another format ({one_line_reason(error)}): "
                "make them with tools/pack_records.py"
            ) from None
    return images


def _parse_metadata(
    features: dict[str, tf.Tensor], names: tuple[str, ...]
) -> tuple[tf.Tensor, ...]:
    """Selects features by name; "b" becomes whether the record has a file B."""
    metadata = {**features, "b": tf.strings.length(features["b"]) > 0}
    return tuple(metadata[name] for name in names)


def _find_records(shard: Path, size: int) -> Iterator[int]:
    """Finds the first byte of each of a shard's records.

    Raises:
      UserError: the last record does not end at the shard's size, or there is none.
    """
    position = 0
    with shard.open("rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            yield position
            position += _HEAD.unpack(head)[0] + _FRAME
    if position != size or not size:
        problem = "is cut off" if size else "is empty"
        raise UserError(f"{shard} {problem}: rerun tools/pack_records.py")
