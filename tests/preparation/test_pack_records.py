"""The record of what a folder of shards was packed from: written atomically, damage is named."""

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.preparation.pack_records import pack_records
from p2p_graph.utils.errors import UserError


@pytest.fixture
def pack(tmp_path, rng):
    """A function that packs five images into `packed`, two to a shard."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        values = rng.integers(0, 256, (4, 8, 3), np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return lambda: pack_records(
        ImageSource(input_dir=str(folder)), tmp_path / "packed", 2, single=False
    )


@pytest.fixture
def record(tmp_path):
    return tmp_path / "packed" / "packed.json"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:40],
        lambda text: b"null\n",
        lambda text: b"[]\n",
        lambda text: b"\xff" + text,
        lambda text: b"[" * 200_000,
        lambda text: b"9" * 5_000,
        lambda text: b"NaN",
        lambda text: b'"' + text[1:],
    ],
    ids=["empty", "cut", "null", "list", "not UTF-8", "deep", "digits", "NaN", "no quote"],
)
def test_a_damaged_record_is_named(pack, record, damage):
    pack()
    record.write_bytes(damage(record.read_bytes()))
    before = {path.name: path.read_bytes() for path in record.parent.iterdir()}
    with pytest.raises(UserError) as caught:
        pack()
    message = str(caught.value)
    assert message.startswith(f"{record} ")
    assert "remove it and the shards beside it" in message
    assert "other" not in message
    assert "\n" not in message
    assert {path.name: path.read_bytes() for path in record.parent.iterdir()} == before
    for path in record.parent.iterdir():
        path.unlink()
    assert pack() == 5
    assert {path.name for path in record.parent.iterdir()} == set(before)


def test_images_and_shards_that_were_moved_together(pack, record, tmp_path):
    """The same command goes on; with the images elsewhere, seen from the shards, it does not."""
    pack()
    start = record.parent.parent
    moved = tmp_path / "moved"
    source = ImageSource(input_dir=str(moved / "images"))
    before = {path.name: path.stat().st_mtime_ns for path in record.parent.iterdir()}
    moved.mkdir()
    for name in ("images", record.parent.name):
        (start / name).rename(moved / name)
    into = moved / record.parent.name
    assert pack_records(source, into, 2, single=False) == 5
    assert {path.name: path.stat().st_mtime_ns for path in into.iterdir()} == before
    into.rename(tmp_path / "alone")
    with pytest.raises(UserError, match="holds shards of other images"):
        pack_records(source, tmp_path / "alone", 2, single=False)


@pytest.mark.parametrize("key", ["images", "per_shard", "name"])
@pytest.mark.parametrize("value", [None, True, -1, 1e300, 10**400, "2", [[2]], {"2": 2}])
def test_a_record_of_other_values(pack, record, key, value):
    """Whatever they are, the shards are those of something else."""
    pack()
    record.write_text(json.dumps(json.loads(record.read_text()) | {key: value}))
    with pytest.raises(UserError, match="holds shards of other images, or packed with other flags"):
        pack()


def test_a_record_without_the_number_of_images(pack, record):
    """As older ones are."""
    pack()
    older = json.loads(record.read_text())
    del older["count"]
    record.write_text(json.dumps(older))
    assert pack() == 5
    record.write_text(json.dumps(older | {"count": 4}))
    with pytest.raises(UserError, match="holds shards of other images"):
        pack()


def test_a_shard_of_another_set(pack, record):
    pack()
    other = record.with_name("pairs-00001-of-00009.tfrecord")
    other.write_bytes(record.with_name("pairs-00001-of-00003.tfrecord").read_bytes())
    with pytest.raises(UserError, match=r"holds pairs-00001-of-00009\.tfrecord, which is a shard"):
        pack()
    other.unlink()
    assert pack() == 5


def test_a_record_that_is_no_file(pack, record):
    record.parent.mkdir()
    os.mkfifo(record)
    with pytest.raises(UserError, match="is a FIFO, not a regular file; remove it and the shards"):
        pack()


def test_a_shard_that_lost_records_is_packed_again(pack, record):
    """Cut off behind a record, it is a shard like any other."""
    pack()
    shard = record.with_name("pairs-00001-of-00003.tfrecord")
    intact = shard.read_bytes()
    shard.write_bytes(intact[: struct.unpack_from("<Q", intact)[0] + 16])
    pack()
    assert shard.read_bytes() == intact


def test_a_shard_of_other_images_of_the_same_names_is_packed_again(pack, record, tmp_path):
    pack()
    others = tmp_path / "others"
    others.mkdir()
    for number in range(5):
        Image.new("RGB", (8, 4), (number, 0, 0)).save(others / f"{number}.png")
    pack_records(ImageSource(input_dir=str(others)), tmp_path / "packed others", 2, single=False)
    name = "pairs-00001-of-00003.tfrecord"
    intact = record.with_name(name).read_bytes()
    shutil.copy(tmp_path / "packed others" / name, record.with_name(name))
    pack()
    assert record.with_name(name).read_bytes() == intact


def test_a_folder_whose_name_is_not_utf_8(tmp_path):
    """The images' names are UTF-8, and the folder's is that of a link."""
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    Image.new("RGB", (8, 4)).save(folder / "1.png")
    (tmp_path / "link").symlink_to(folder)
    source = ImageSource(input_dir=str(tmp_path / "link"))
    assert pack_records(source, tmp_path / "packed", 2, single=False) == 1


def test_more_shards_than_names_have_digits_for(tmp_path, monkeypatch):
    monkeypatch.setattr("p2p_graph.preparation.pack_records.MOST_SHARDS", 2)
    for number in range(5):
        Image.new("RGB", (8, 4)).save(tmp_path / f"{number}.png")
    source = ImageSource(input_dir=str(tmp_path))
    with pytest.raises(UserError, match="pairs_per_shard must be at least 3 for 5 images, not 2"):
        pack_records(source, tmp_path / "packed", 2, single=False)
    assert not (tmp_path / "packed").exists()


def test_a_record_that_cannot_be_written_in_full_leaves_none(pack, record, monkeypatch):
    """A full disk, say: the next run starts from nothing instead of from half a record."""

    def write_some(path, text, **options):
        path.write_bytes(text[:40].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", write_some)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            pack()
    assert not record.exists()
    assert pack() == 5


def test_other_arrays_of_an_archive(tmp_path, record, rng):
    """The archive's file is the same; an older record does not name the arrays."""
    arrays = {name: rng.integers(0, 256, (3, 8, 8, 3), np.uint8) for name in ("a", "b", "c")}
    np.savez(tmp_path / "set.npz", **arrays)

    def pack(names):
        source = ImageSource(input_dir=str(tmp_path / "set.npz"), arrays=names)
        return pack_records(source, tmp_path / "packed", 2, single=False)

    pack("a,b")
    before = {path: path.read_bytes() for path in record.parent.iterdir()}
    for others in ("b,a", "a,c"):
        with pytest.raises(UserError, match="holds shards of other images, or packed with other"):
            pack(others)
    assert pack("a,b") == 3
    older = json.loads(record.read_text())
    del older["arrays"]
    record.write_text(json.dumps(older))
    assert pack("a,b") == 3
    record.write_bytes(before[record])
    assert {path: path.read_bytes() for path in record.parent.iterdir()} == before
