"""Shards: packing, listing and reading at any position; damaged and incomplete shards."""

import struct

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.packed.tfrecord_shards import list_packed_images, read_record, shard_name
from p2p_graph.preparation.pack_records import RECORD_FILE, pack_records
from p2p_graph.utils.errors import UserError

COUNT = 7


@pytest.fixture
def folder(tmp_path, rng):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, COUNT + 1):
        values = rng.integers(0, 256, (number + 4, 8, 3), np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def shards(folder, tmp_path):
    pack_records(ImageSource(input_dir=str(folder)), tmp_path / "packed", 3, single=False)
    return tmp_path / "packed"


def contents(images):
    """The files of each image, read in a graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        shard, position = tf.placeholder(tf.string, []), tf.placeholder(tf.int64, [])
        # Read inside a data set's function, as in the input graph.
        next_batch = tf.data.make_initializable_iterator(
            tf.data.Dataset.from_tensors((shard, position)).map(
                lambda shard, position: tuple(read_record(shard, position, images[0]))
            )
        )
        files, found = next_batch.get_next(), []
        for image in images:
            fed = {shard: str(image.path.parent), position: image.position}
            session.run(next_batch.initializer, fed)
            found.append(session.run(files))
        return found


def refusal(folder):
    with pytest.raises(UserError) as caught:
        list_packed_images(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_are_as_in_their_folder(folder, shards):
    expected = list_images(ImageSource(input_dir=str(folder)), single=False)
    found = list_images(ImageSource(input_dir=str(shards)), single=False)
    assert sorted(path.name for path in shards.glob("*.tfrecord")) == [
        "pairs-00000-of-00003.tfrecord",
        "pairs-00001-of-00003.tfrecord",
        "pairs-00002-of-00003.tfrecord",
    ]
    assert [p.path.name for p in found] == [p.path.name for p in expected]
    assert [p[1:5] for p in found] == [p[1:5] for p in expected]
    backwards = found[::-1]
    for image, [a] in zip(backwards, contents(backwards), strict=True):
        assert a == (folder / image.path.name).read_bytes()


def test_two_files_a_pair(folder, tmp_path):
    targets = tmp_path / "targets"
    targets.mkdir()
    for path in folder.iterdir():
        with Image.open(path) as pil_image:
            pil_image.convert("L").save(targets / path.name)
    source = ImageSource(input_dir=str(folder), target_dir=str(targets))
    pack_records(source, tmp_path / "packed", 100, single=False)
    found = list_packed_images(tmp_path / "packed")
    assert len(found) == COUNT
    for image, (a, b) in zip(found, contents(found), strict=True):
        assert image.target == image.path
        assert a == (folder / image.path.name).read_bytes()
        assert b == (targets / image.path.name).read_bytes()
    with pytest.raises(UserError, match="this task takes single images"):
        list_images(ImageSource(input_dir=str(tmp_path / "packed")), single=True)


def test_single_images(folder, tmp_path):
    Image.new("RGB", (7, 5)).save(folder / "9.png")
    pack_records(ImageSource(input_dir=str(folder)), tmp_path / "packed", 100, single=True)
    packed = ImageSource(input_dir=str(tmp_path / "packed"))
    assert len(list_images(packed, single=True)) == COUNT + 1
    with pytest.raises(UserError, match="7 pixels wide"):
        list_images(ImageSource(input_dir=str(tmp_path / "packed")), single=False)


def test_rerunning_packs_missing_shards(folder, shards, capsys):
    intact = {path.name: path.read_bytes() for path in shards.iterdir()}
    (shards / shard_name("pairs", 1, 3)).unlink()
    assert "lacks 1 of 3 shards, first pairs-00001-of-00003.tfrecord" in refusal(shards)
    capsys.readouterr()
    pack_records(ImageSource(input_dir=str(folder)), shards, 3, single=False)
    assert capsys.readouterr().out.splitlines() == [
        "pairs-00000-of-00003.tfrecord: 3 images, as before",
        "pairs-00001-of-00003.tfrecord: 3 images",
        "pairs-00002-of-00003.tfrecord: 1 image, as before",
    ]
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == intact


def test_damaged_shards_are_packed_again(folder, shards):
    name = shard_name("pairs", 1, 3)
    intact = (shards / name).read_bytes()
    damage(shards / name, flipped(60))
    pack_records(ImageSource(input_dir=str(folder)), shards, 3, single=False)
    assert (shards / name).read_bytes() == intact


def test_a_folder_is_not_packed_into_itself(folder):
    with pytest.raises(UserError, match="holds images that are read"):
        pack_records(ImageSource(input_dir=str(folder)), folder, 3, single=False)


@pytest.mark.parametrize("change", ["image", "size", "plan"])
def test_other_images_are_not_mixed_in(folder, shards, change):
    if change == "image":
        Image.new("RGB", (8, 8)).save(folder / "3.png")
    if change == "plan":
        (shards / RECORD_FILE).unlink()
    with pytest.raises(UserError, match="holds shards of other images"):
        pack_records(
            ImageSource(input_dir=str(folder)), shards, 4 if change == "size" else 3, single=False
        )


def test_packing_shards_is_refused(shards, tmp_path):
    with pytest.raises(UserError, match="holds shards"):
        pack_records(ImageSource(input_dir=str(shards)), tmp_path / "again", 3, single=False)


def damage(shard, change):
    shard.write_bytes(change(bytearray(shard.read_bytes())))


def flipped(position):
    def change(contents):
        contents[position] ^= 1
        return contents

    return change


@pytest.mark.parametrize(
    ("change", "message_part"),
    [
        (
            lambda contents: contents[:-5],
            "is cut off or damaged at record 3: rerun what wrote it, tools/pack_records.py",
        ),
        (
            lambda contents: contents[:5],
            "is cut off or damaged at record 1: rerun what wrote it, tools/pack_records.py",
        ),
        (lambda contents: b"", "is empty: rerun what wrote it, tools/pack_records.py"),
        (lambda contents: contents + b"more", "is cut off"),
        (flipped(40), "is damaged at record 1: rerun"),
        (flipped(-6), "is damaged at record 3: rerun"),
        (flipped(9), "is damaged"),
        (lambda contents: b"no shard, but long enough to be one" * 9, "is cut off"),
    ],
)
def test_damaged_shards(shards, change, message_part):
    shard = shards / shard_name("pairs", 0, 3)
    damage(shard, change)
    message = refusal(shards)
    assert message_part in message
    assert shard.name in message


def write(path, *records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


@pytest.mark.parametrize("other", ["no example", "another example"])
def test_records_of_other_programs(tmp_path, other):
    path = tmp_path / shard_name("train", 0, 1)
    if other == "no example":
        write(path, b"\xff\xff\xff")
    else:
        value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"?"]))
        features = tf.train.Features(feature={"image/encoded": value})
        write(path, tf.train.Example(features=features).SerializeToString())
    message = refusal(tmp_path)
    assert "record 1 is of another format" in message
    assert "tools/pack_records.py" in message


def test_other_names_and_sets(shards, folder):
    for name, message_part in (
        ("mine.tfrecord", "is not named like a shard"),
        (shard_name("pairs", 0, 4), "more than one set: pairs (of 3), pairs (of 4)"),
        (shard_name("other", 0, 3), "more than one set: other (of 3), pairs (of 3)"),
        ("1.png", "holds shards and images, first 1.png"),
    ):
        (shards / name).write_bytes((folder / "1.png").read_bytes())
        assert message_part in refusal(shards)
        (shards / name).unlink()


def test_positions_match_the_file_format(shards):
    """Length, its checksum, data, its checksum: tensorflow/core/lib/io/record_writer.h."""
    for shard in shards.glob("*.tfrecord"):
        data, position, positions = shard.read_bytes(), 0, []
        while position < len(data):
            positions.append(position)
            position += 8 + 4 + struct.unpack_from("<Q", data, position)[0] + 4
        found = [p.position for p in list_packed_images(shards) if p.path.parent == shard]
        assert found == positions
