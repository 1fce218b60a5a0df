"""How a source is cut into shards, and what a folder of shards remembers."""

import importlib.util
import itertools
import json
import socket
import sys
import tempfile
import time
from types import SimpleNamespace

import pytest
import tensorflow as tf

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.packed.make_records import example_of
from p2p_graph.inference.bulk import bulk_record, parquet_files, ray_cluster
from p2p_graph.inference.bulk.bulk_record import DoneShard
from p2p_graph.inference.bulk.ray_cluster import worker_reason
from p2p_graph.inference.bulk.read_shards import read_images
from p2p_graph.inference.bulk.shard_outputs import (
    FORMS,
    TranslatedImage,
    refuse_foreign,
    shard_path,
    unique_names,
    write_shard,
    written_size,
)
from p2p_graph.inference.bulk.shard_translator import ordered_map
from p2p_graph.inference.bulk.work_shards import Columns, WorkShard, list_work
from p2p_graph.utils.errors import UserError

COLUMNS = Columns("image", "name")
needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed (the extra ray)"
)


def write_records(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, each in contents:
            writer.write(example_of(f"{number}.png", 2, 2, {"a": each}, is_16_bit=False))


@pytest.fixture
def records(tmp_path):
    """A folder of two shards, of three and four records."""
    folder = tmp_path / "records"
    folder.mkdir()
    for shard, numbers in enumerate((range(3), range(3, 7))):
        path = folder / f"pairs-0000{shard}-of-00002.tfrecord"
        write_records(path, [(number, b"image %d" % number) for number in numbers])
    return folder


def listed(folder, size=2):
    source = ImageSource(input_dir=str(folder))
    return list_work(source, COLUMNS, size, single=True, b_is_input=False)


def read(work):
    """The names and contents of each shard, after a way as text."""
    shards = [WorkShard.from_json(shard.to_json()) for shard in work.shards]
    assert shards == list(work.shards)
    return [
        [(i.name, i.file) for i in read_images(shard, COLUMNS, single=True, b_is_input=False)]
        for shard in shards
    ]


def test_shards_of_records_have_their_own_size(records):
    work = listed(records)
    assert work.images == 7
    found = read(work)
    assert [len(shard) for shard in found] == [2, 2, 2, 1]
    assert list(itertools.chain(*found)) == [(f"{n}.png", b"image %d" % n) for n in range(7)]
    assert len(work.shards[1].pieces) == 2
    assert listed(records).digest == work.digest


def test_one_damaged_record_is_one_failed_image(records):
    path = records / "pairs-00001-of-00002.tfrecord"
    work = listed(records, 7)
    contents = path.read_bytes()
    place = contents.index(b"image 4")
    path.write_bytes(contents[:place] + b"IMAGE 4" + contents[place + 7 :])
    [found] = read(work)
    good = [name for name, _ in found if name.endswith(".png")]
    assert good == [f"{number}.png" for number in (0, 1, 2, 3, 5, 6)]
    [(name, reason)] = [each for each in found if not each[0].endswith(".png")]
    assert name.startswith(f"{path}, byte ")
    assert reason == "is damaged: its checksum is wrong"


def test_files_keep_their_order(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").touch()
    found = read(listed(tmp_path, 5))
    assert [len(shard) for shard in found] == [5, 5, 2]
    assert [name for name, _ in itertools.chain(*found)] == [
        str(tmp_path / f"{number}.png") for number in range(12)
    ]


def test_too_many_shards_are_refused(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.png").touch()
    monkeypatch.setattr("p2p_graph.inference.bulk.work_shards.MOST_SHARDS", 2)
    with pytest.raises(UserError, match="shard_size must be at least 2 for 3 images, not 1"):
        listed(tmp_path, 1)


def test_what_a_folder_remembers(tmp_path):
    record = {"seed": 0, "weights": "abc", "source": "12"}
    bulk_record.begin(tmp_path, record)
    bulk_record.refuse_other(tmp_path, record)
    bulk_record.begin(tmp_path, {**record, "seed": 7})  # nothing was made by the first record
    bulk_record.begin(tmp_path, record)
    bulk_record.write_done(tmp_path, 0, 2, DoneShard(3, [], 30))
    with pytest.raises(UserError, match="made with seed 0, not 1: name another folder"):
        bulk_record.refuse_other(tmp_path, {"seed": 1})
    with pytest.raises(UserError, match="made with another checkpoint: name another"):
        bulk_record.refuse_other(tmp_path, {"weights": "abd"})
    with pytest.raises(UserError, match="made of other images than the source has now: name"):
        bulk_record.refuse_other(tmp_path, {"source": "13"})
    assert [bulk_record.count_attempt(tmp_path, 0, 2) for _ in range(2)] == [1, 2]
    bulk_record.begin(tmp_path, record)
    assert bulk_record.count_attempt(tmp_path, 0, 2) == 1
    bulk_record.write_done(tmp_path, 0, 2, DoneShard(3, [], 30))
    bulk_record.write_done(tmp_path, 1, 2, DoneShard(1, [("a", "is empty")], 10))
    assert bulk_record.read_done(tmp_path, 1, 2) == (1, [("a", "is empty")], 10)
    assert len(list((tmp_path / "done").iterdir())) == 2
    assert bulk_record.write_failed(tmp_path, 2) == (4, 1)
    [line] = (tmp_path / "failed.jsonl").read_text().splitlines()
    assert json.loads(line) == {"name": "a", "reason": "is empty"}
    for damage in ("{}", ""):
        bulk_record.done_path(tmp_path, 1, 2).write_text(damage)
        with pytest.raises(UserError, match="is damaged: remove it"):
            bulk_record.read_done(tmp_path, 1, 2)
    bulk_record.done_path(tmp_path, 0, 2).write_text('{"images": 3, "failed": []}')
    assert bulk_record.read_done(tmp_path, 0, 2).size is None
    bulk_record.forget(tmp_path, [1], 2)
    assert bulk_record.read_done(tmp_path, 1, 2) is None
    assert bulk_record.read_done(tmp_path, 0, 2)


@pytest.mark.parametrize(
    "form",
    [form if form != "parquet" else pytest.param(form, marks=needs_pyarrow) for form in FORMS],
)
def test_the_size_of_a_shard_shows_what_has_gone(tmp_path, form):
    assert written_size(tmp_path, form, 1, 3) is None
    images = [TranslatedImage(f"{n}.png", b"contents", 1, 1) for n in range(3)]
    write_shard(tmp_path, form, 1, 3, images)
    path, size = shard_path(tmp_path, form, 1, 3), written_size(tmp_path, form, 1, 3)
    if form == "files":
        assert size == 3
        (path / "notes.txt").touch()  # a person's
        assert written_size(tmp_path, form, 1, 3) == size
        (path / "1-outputs.png").unlink()
        assert written_size(tmp_path, form, 1, 3) == 2
    else:
        path.write_bytes(path.read_bytes()[:-1])
        assert written_size(tmp_path, form, 1, 3) == size - 1


def test_what_a_person_put_into_a_shard_is_not_removed(tmp_path):
    images = [TranslatedImage("1.png", b"contents", 1, 1)]
    write_shard(tmp_path, "files", 0, 1, images)
    path = shard_path(tmp_path, "files", 0, 1)
    refuse_foreign(tmp_path, "files", [0], 1)
    (path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"is to be written again, and holds notes.txt, which is"):
        refuse_foreign(tmp_path, "files", [0], 1)
    path.rename(tmp_path / "elsewhere")
    refuse_foreign(tmp_path, "files", [0], 1)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is no folder, and a shard is to be written there"):
        refuse_foreign(tmp_path, "files", [0], 1)
    shard_path(tmp_path, "tfrecord", 0, 1).mkdir()
    with pytest.raises(UserError, match="is a folder, and a shard is to be written there"):
        refuse_foreign(tmp_path, "tfrecord", [0], 1)


def test_columns_are_for_parquet_files_only(records):
    source = ImageSource(input_dir=str(records))
    for columns in (Columns("jpeg"), Columns(name="id")):
        with pytest.raises(UserError, match=r"are for Parquet files, and .*records has none"):
            list_work(source, columns, 2, single=True, b_is_input=False)


@needs_pyarrow
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("image", "name", "image"), "has several columns image: rename all but one"),
        (("image", "name", "name"), "has several columns name: rename all but one"),
        (("image", "names"), "has no column name, but image, names: name it"),
        (("name", "image"), "has the type string in its column image, not binary"),
    ],
)
def test_columns_that_cannot_be_read(tmp_path, columns, message):
    import pyarrow
    from pyarrow.parquet import write_table

    values = {True: pyarrow.array([b"1"]), False: pyarrow.array(["1"])}
    arrays = [values[number % 2 == 0] for number in range(len(columns))]
    arrays[2:] = [values[name == "image"] for name in columns[2:]]
    write_table(pyarrow.Table.from_arrays(arrays, names=columns), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=f"rows.parquet {message}"):
        listed(tmp_path, 1)


@needs_pyarrow
def test_a_damaged_group_of_rows_fails_alone(tmp_path):
    from pyarrow.parquet import ParquetFile

    rows = [(f"{n}.png", bytes([n])) for n in range(200)]
    path = tmp_path / "rows.parquet"
    parquet_files.write(path, rows)
    with ParquetFile(path) as file:
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [64, 64, 64, 8]
    contents = bytearray(path.read_bytes())
    place = groups[1].column(1).data_page_offset
    contents[place : place + 20] = b"\xff" * 20
    path.write_bytes(contents)
    found = list(itertools.chain(*read(listed(tmp_path, 150))))
    assert found[:64] + found[128:] == rows[:64] + rows[128:]
    for number, (name, reason) in enumerate(found[64:128], 64):
        assert name == f"{path}, row {number}"
        assert reason.startswith("cannot be read: ")


def test_ray_that_does_not_start(monkeypatch, tmp_path):
    """Ray raises a bare Exception, as where the disk is full."""

    def fail(*args):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray_cluster, "_init", fail)
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = (
        rf"^Ray cannot start on this machine: The .*startup\. \(its files are in {tmp_path}/ray, "
    )
    with pytest.raises(UserError, match=told), ray_cluster.started(None):
        pass


def test_an_address_that_does_not_answer(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            ray_cluster._connect(None, f"127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.05)

    class Silent:
        def init(self, **flags):
            time.sleep(0.5)

    with pytest.raises(TimeoutError, match="does not answer as a Ray cluster within"):
        ray_cluster._connect(Silent(), "auto")


def test_shards_of_a_person_are_not_replaced(tmp_path):
    (tmp_path / "outputs-00000-of-00001.parquet").write_text("mine")
    with pytest.raises(UserError, match=r"holds outputs-00000-of-00001.parquet, but no transl"):
        bulk_record.begin(tmp_path, {"seed": 0})


def test_results_keep_their_order_and_little_is_read_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number * 2, items(), threads=2)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(taken) < 12
    assert list(results) == [number * 2 for number in range(3, 100)]


def test_a_set_that_has_lost_a_shard_is_refused(records):
    (records / "pairs-00001-of-00002.tfrecord").unlink()
    with pytest.raises(UserError, match="lacks 1 of 2 shards, first pairs-00001-of-00002"):
        listed(records)


def test_packed_images_are_not_turned_upright(records):
    source = ImageSource(input_dir=str(records), upright=True)
    with pytest.raises(UserError, match="upright goes with image files only"):
        list_work(source, COLUMNS, 2, single=True, b_is_input=False)


@pytest.mark.parametrize("name", ["\0n", "n" * 256, "", ".", "..", "/", "a/.."])
def test_an_image_whose_name_no_file_can_have_fails(tmp_path, name):
    path = tmp_path / "pairs-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in ("good.png", name):
            writer.write(example_of(each, 2, 2, {"a": b"contents"}, is_16_bit=False))
    [[good, (where, reason)]] = read(listed(tmp_path))
    assert good == ("good.png", b"contents")
    assert where.startswith(f"{path}, byte ")
    assert reason == (f"has the name {name!r}, which no file can have" if name else "has no name")


def test_outputs_are_named_as_the_files_and_uniquely(tmp_path):
    (tmp_path / "1.png").touch()
    [shard] = listed(tmp_path).shards
    [image] = read_images(shard, COLUMNS, single=True, b_is_input=False)
    assert image.output == "1.png"
    images = [TranslatedImage(name, b"", 1, 1) for name in ("a", "b/a", "a", "00003_a", "b/a")]
    names = [name for name, _ in unique_names(images)]
    assert names == ["a", "b/a", "00003_a", "00004_00003_a", "b/00005_a"]


def test_the_reason_of_a_worker_is_one_line_without_its_names():
    text = "\x1b[36mray::MapWorker()\x1b[39m (pid=1, repr=<x>)\n  File x\nValueError: null byte\n"
    assert worker_reason(RuntimeError(text)) == "ValueError: null byte"
    error = RuntimeError(text)
    error.cause = ValueError("null byte")
    assert worker_reason(error) == "null byte"
    assert worker_reason(RuntimeError("The actor died.\nMore")) == "The actor died."
