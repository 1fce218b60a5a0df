"""Damaged shards: every one is refused in a line that names the shard and the record."""

import io
import os
import re
import struct

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.data.packed.tfrecord_shards import list_packed_images, shard_name
from p2p_graph.utils.errors import UserError


def encoded(width=8, height=6, kind="PNG", dtype=np.uint8, **options):
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(dtype)
    values = values if dtype == np.uint8 else values[..., 0] * 257
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def commented(jpeg, comment):
    """A JPEG file with a comment; not every version of Pillow writes a long one."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


PNG, JPEG, DEEP = encoded(), encoded(kind="JPEG"), encoded(dtype=np.uint16)
LONG = commented(encoded(kind="JPEG", exif=b"Exif\0\0" + bytes(60_000)), b"?" * 60_000)
INTACT = {"name": b"1.png", "width": 8, "height": 6, "deep": 0, "a": PNG}


def example(fields):
    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        values = value if isinstance(value, list) else [value]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {name: feature(value) for name, value in fields.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path, *records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else example(record))


@pytest.fixture
def shard(tmp_path):
    return tmp_path / shard_name("pairs", 0, 1)


def refusal(shard):
    with pytest.raises(UserError) as caught:
        list_packed_images(shard.parent)
    message = str(caught.value)
    assert str(shard) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "ä b\n.png".encode(), "a": JPEG},
        {"a": DEEP, "deep": 1},
        {"b": JPEG},
        {"b": DEEP, "deep": 1},
        # The header is not in the first bytes.
        {"a": LONG},
    ],
    ids=["PNG", "JPEG", "16 bits", "two files", "two files, 16 bits", "long header"],
)
def test_what_is_right(shard, fields):
    write(shard, INTACT | fields)
    [image] = list_packed_images(shard.parent)
    assert image.path.name == (INTACT | fields)["name"].decode()
    assert (image.width, image.height, image.is_16_bit) == (8, 6, "deep" in fields)
    assert (image.target is not None) == ("b" in fields)


CLAIMS = "but its image has 8x6 and 0: make"
NO_IMAGE = "holds a file that "
NO_NAME = "which no file can have"
FORMAT = "record 2 is of another format"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 9}, f"('1.png') claims 9x6 pixels and deep 0, {CLAIMS}"),
        ({"width": -8}, f"claims -8x6 pixels and deep 0, {CLAIMS}"),
        ({"height": 0}, f"claims 8x0 pixels and deep 0, {CLAIMS}"),
        ({"height": 2**62}, f"claims 8x{2**62} pixels and deep 0, {CLAIMS}"),
        ({"deep": 1}, f"claims 8x6 pixels and deep 1, {CLAIMS}"),
        ({"deep": -1}, f"claims 8x6 pixels and deep -1, {CLAIMS}"),
        ({"a": DEEP}, "deep 0, but its image has 8x6 and 1"),
        ({"b": DEEP}, "deep 0, but its image has 8x6 and 1"),
        ({"b": encoded(7)}, "holds images of 8x6 and 7x6 pixels"),
        ({"name": b""}, NO_NAME),
        ({"name": b"."}, NO_NAME),
        ({"name": b".."}, NO_NAME),
        ({"name": b"a/1.png"}, f"has the name b'a/1.png', {NO_NAME}"),
        ({"name": b"/etc/1.png"}, NO_NAME),
        ({"name": b"1.png/"}, NO_NAME),
        ({"name": b"1\0.png"}, f"has the name b'1\\x00.png', {NO_NAME}"),
        ({"name": b"\xff.png"}, NO_NAME),
        ({"a": b""}, NO_IMAGE),
        ({"a": b"GIF89a"}, NO_IMAGE),
        ({"a": PNG[:20]}, NO_IMAGE),
        ({"a": JPEG[:20]}, NO_IMAGE),
        ({"a": encoded(kind="GIF")}, NO_IMAGE),
        ({"b": b"?"}, NO_IMAGE),
        ({"a": None}, FORMAT),
        ({"width": None}, FORMAT),
        ({"width": 8.0}, FORMAT),
        ({"width": b"8"}, FORMAT),
        ({"name": 1}, FORMAT),
        ({"a": [PNG, PNG]}, FORMAT),
        ({"b": [PNG, PNG]}, FORMAT),
    ],
    ids=str,
)
def test_records(shard, fields, reason):
    write(shard, INTACT, INTACT | fields, INTACT)
    assert f"{shard.name}, record 2 " in refusal(shard)
    assert reason in refusal(shard)


@pytest.mark.parametrize(
    "contents", [b"", b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x7f", b"\0" * 99]
)
def test_records_that_are_no_examples(shard, contents):
    write(shard, *[INTACT] * 70, contents)
    assert f"{shard.name}, record 71 is of another format" in refusal(shard)


def test_a_record_on_which_tensorflow_crashes(shard):
    """Its operation that parses records ends the process: a length leads out of the record."""
    record = bytearray(example(INTACT))
    start = record.index(PNG)
    record[start - 1 : start + 3] = b"\xff" * 4
    write(shard, INTACT, bytes(record))
    assert f"{shard.name}, record 2 is of another format" in refusal(shard)


def test_records_of_one_file_among_pairs(shard):
    write(shard, INTACT | {"b": PNG}, INTACT)
    assert "record 2 ('1.png') holds one file, and the first record two" in refusal(shard)
    write(shard, INTACT)
    second = shard.with_name(shard_name("pairs", 1, 2))
    write(second, INTACT | {"b": PNG})
    shard.rename(shard.with_name(shard_name("pairs", 0, 2)))
    assert "record 1 ('1.png') holds two files, and the first record one" in refusal(second)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**6, 0, 1])
def test_lengths(shard, length):
    """The second record's is wrong."""
    record = example(INTACT)
    write(shard, record, record, record)
    contents = bytearray(shard.read_bytes())
    struct.pack_into("<Q", contents, len(record) + 16, length)
    shard.write_bytes(contents)
    message = refusal(shard)
    assert re.search("record 2(: rerun| is of another format)", message) or length == 1
    assert re.search("record [23]", message)


def test_only_regular_files(shard, tmp_path):
    for make, reason in (
        (lambda: os.mkfifo(shard), "is a FIFO, not a regular file"),
        (lambda: shard.symlink_to("/dev/zero"), "is a device, not a regular file"),
        (lambda: shard.symlink_to("/dev/null"), "is a device, not a regular file"),
        (lambda: shard.symlink_to(tmp_path), "is a folder, not a regular file"),
        (lambda: shard.symlink_to(shard), "Too many levels of symbolic links"),
        (lambda: shard.symlink_to(tmp_path / "nowhere"), "does not exist"),
        (lambda: shard.write_bytes(b""), "is empty: rerun"),
    ):
        make()
        assert reason in refusal(shard)
        shard.unlink()


@pytest.mark.parametrize("number", [1, 99_999])
def test_a_shard_of_a_number_that_its_set_has_not(shard, number):
    write(shard, INTACT)
    write(shard.with_name(shard_name("pairs", number, 1)), INTACT)
    with pytest.raises(UserError, match=f"holds pairs-{number:05d}-of-00001.tfrecord, which is no"):
        list_packed_images(shard.parent)


def test_a_shard_that_lost_its_last_records(shard):
    """The end of a record is no cut; packed.json says how many there were."""
    for number in range(2):
        write(shard.with_name(shard_name("pairs", number, 2)), *[INTACT] * (3 - number))
    (shard.parent / "packed.json").write_text('{"per_shard": 3}')
    assert len(list_packed_images(shard.parent)) == 5
    first = shard.with_name(shard_name("pairs", 0, 2))
    write(first, INTACT, INTACT)
    assert f"{first} holds 2 images, not the 3 of packed.json: rerun" in refusal(first)


def test_the_last_shard_that_lost_or_gained_records(shard):
    record = shard.parent / "packed.json"
    record.write_text('{"per_shard": 3, "count": 2}')
    for number in (1, 3):
        write(shard, *[INTACT] * number)
        counts = f"holds {number} image{'s' * (number > 1)}, not the 2 of packed.json: rerun"
        with pytest.raises(UserError, match=counts):
            list_packed_images(shard.parent)
    write(shard, INTACT, INTACT)
    assert len(list_packed_images(shard.parent)) == 2
    for damaged in ("{", "[]", "2", '{"count": true}', '{"per_shard": -1}'):
        record.write_text(damaged)
        with pytest.raises(UserError, match=str(record)):
            list_packed_images(shard.parent)


def test_any_cut_and_any_flipped_byte_is_refused(shard, rng):
    write(shard, INTACT, INTACT | {"a": JPEG})
    intact = shard.read_bytes()
    for where in rng.integers(0, len(intact), 5):
        damaged = bytearray(intact)
        damaged[where] ^= rng.integers(1, 256)
        for contents in (damaged, intact[:where]):
            shard.write_bytes(contents)
            assert refusal(shard)


def test_a_large_shard_of_zeros(shard):
    """Zeros look like records of 0 bytes."""
    with shard.open("wb") as file:
        file.truncate(2**32)
    assert "record 1 is of another format (0 bytes)" in refusal(shard)
