"""Images packed into TFRecord shards: few large files for large data sets.

A record is a tf.train.Example with the image file's own bytes: training sees the same images as
from a folder. The input graph reads any record by its position in its shard: image order and
resuming are those of a folder.
"""

import functools
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow.compat.v1 as tf
from tqdm import tqdm

from p2p_graph.data.dataset_ops import next_element, parallel_map
from p2p_graph.data.image_files import SourceImage, find_images
from p2p_graph.utils.errors import UserError, one_line_reason

SUFFIX = ".tfrecord"
_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.tfrecord")
# What stands around a record's data: its length, a checksum of that, and a checksum of the data.
_HEAD = struct.Struct("<QI")
_FRAME = _HEAD.size + 4
_AT_ONCE = 64  # records
_FEATURES = {
    "name": tf.io.FixedLenFeature([], tf.string),
    "width": tf.io.FixedLenFeature([], tf.int64),
    "height": tf.io.FixedLenFeature([], tf.int64),
    "deep": tf.io.FixedLenFeature([], tf.int64),
    "a": tf.io.FixedLenFeature([], tf.string),
    "b": tf.io.FixedLenFeature([], tf.string, b""),
}


def shard_name(name: str, number: int, count: int) -> str:
    """Names a shard as TensorFlow's data sets are: pairs-00003-of-00012.tfrecord."""
    return f"{name}-{number:05d}-of-{count:05d}{SUFFIX}"


def find_shards(folder: Path) -> list[Path]:
    """Lists the shards in a folder, in order; none where it is no folder."""
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return []


def packed_images(folder: Path) -> list[SourceImage]:
    """Lists the images in a folder's shards, after having read all of them once.

    Raises:
      UserError: a shard is missing, damaged, or was not written by `pack`.
    """
    shards = find_shards(folder)
    _check_complete(folder, shards)
    images: list[SourceImage] = []
    bar = tqdm(shards, "checking", unit="shard", disable=not sys.stderr.isatty(), leave=False)
    for shard in bar:
        facts = shard.stat()
        images += _checked(shard, facts.st_size, facts.st_mtime_ns)
    return images


def is_intact(shard: Path) -> bool:
    """Whether a shard is there, and not damaged."""
    try:
        facts = shard.stat()
        _checked(shard, facts.st_size, facts.st_mtime_ns)
    except (FileNotFoundError, UserError):
        return False
    return True


def serialized(image: SourceImage) -> bytes:
    """Makes an image's record; the files' bytes stay as they are."""

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
      shard: string scalar, its path.
      position: int64 scalar, the record's first byte.

    Returns:
      The contents of A's file and B's, strings; the latter empty where there is none.
    """
    opened = tf.raw_ops.TFRecordDatasetV2(
        filenames=[shard],
        compression_type="",
        buffer_size=tf.constant(2**18, tf.int64),
        byte_offsets=[position],
    )
    records = tf.data.experimental.from_variant(opened, tf.TensorSpec([], tf.string))
    record = records.take(1).get_single_element()
    wanted = {name: _FEATURES[name] for name in ("a", "b")}
    found = tf.io.parse_single_example(record, wanted)
    return found["a"], found["b"]


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
    """Looks for shards that their names ask for; they must be alone in their folder."""
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
            f"{shard_name(name, missing[0], count)} for one: tools/pack_records.py goes on"
        )
    try:
        beside = find_images(folder)
    except UserError:
        return
    raise UserError(f"{folder} holds shards and images, {beside[0].name} for one: part them")


@functools.lru_cache(maxsize=4096)
def _checked(shard: Path, size: int, changed: int) -> list[SourceImage]:
    """Lists a shard's images; it is read again only where its size or time has changed."""
    del changed
    positions = list(_positions(shard, size))
    images: list[SourceImage] = []
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        records = tf.data.TFRecordDataset(str(shard)).batch(_AT_ONCE)
        names = ("name", "width", "height", "deep", "b")
        # Not a or b: both may be large, and the records' checksums hold for them.
        parsed = parallel_map(
            records, lambda batch: _described(tf.io.parse_example(batch, _FEATURES), names)
        ).prefetch(1)
        next_batch = next_element(parsed, session)
        try:
            while len(images) < len(positions):
                for name, width, height, deep, two in zip(*session.run(next_batch), strict=True):
                    path = shard / name.decode()
                    target = path if two else None
                    position = positions[len(images)]
                    images.append(SourceImage(path, width, height, bool(deep), target, position))
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
            near = len(images)
            raise UserError(
                f"{shard} is damaged at one of the records from {near}: pack it again"
            ) from None
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
            raise UserError(
                f"{shard} holds records of another program ({one_line_reason(error)}): "
                "make them with tools/pack_records.py"
            ) from None
    return images


def _described(found: dict[str, tf.Tensor], names: tuple[str, ...]) -> tuple[tf.Tensor, ...]:
    described = {**found, "b": tf.strings.length(found["b"]) > 0}
    return tuple(described[name] for name in names)


def _positions(shard: Path, size: int) -> Iterator[int]:
    """The first bytes of a shard's records."""
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
        raise UserError(f"{shard} {'is cut off' if size else 'is empty'}: pack it again")
