"""tools/test.py with very many images: shards, resuming, pages of a bounded length, bad images."""

import json
import os
import shutil
import zlib

import pytest
import tensorflow as tf

from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.packed.make_records import serialize_example
from p2p_graph.utils import file_lock

from .common import (
    KINDS,
    assert_refused,
    call,
    file_bytes,
    start,
    succeeded,
)


@pytest.fixture(scope="module")
def flags(data, model):
    return ("--input_dir", data / "test", "--checkpoint", model)


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """The folder of one run over all images."""
    folder = tmp_path_factory.mktemp("whole")
    done = succeeded(call("test", *flags, "--grid", "--output_dir", folder))
    assert " images/s" in done.stdout
    return folder


@pytest.fixture(scope="module")
def sharded(flags, tmp_path_factory):
    """The folder of two shards that ran at once, and what they printed."""
    folder = tmp_path_factory.mktemp("sharded")
    command = ("test", *flags, "--grid", "--output_dir", folder, "--shard")
    with start(*command, "2/2") as other:
        printed = succeeded(call(*command, "1/2")).stdout
        printed_by_other, _ = other.communicate(timeout=60)
    assert other.returncode == 0, printed_by_other
    return folder, printed, printed_by_other


def test_shards_together_are_one_run(whole, sharded):
    folder, *printed = sharded
    assert file_bytes(folder) == file_bytes(whole)
    assert page(folder) == page(whole).replace(str(whole), str(folder))
    assert [text.count("evaluated image") for text in printed] == [4, 3]
    # The one that ends last writes the page.
    assert sorted("wrote index" in text for text in printed) == [False, True]
    for name in ("1-of-2.json", "2-of-2.json"):
        assert (folder / "shards" / name).is_file()


def test_shards_are_evaluated_when_all_are_done(flags, sharded, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(sharded[0], folder)
    report = ("--metrics", "l1", "--bootstrap", 0)
    succeeded(call("evaluate", "--results_dir", folder, *report))
    # A shard that runs again: until it is done, the folder is not.
    in_the_way = folder / "images" / "2-outputs.png.unfinished"
    in_the_way.mkdir()
    again = ("test", *flags, "--grid", "--output_dir", folder, "--shard", "2/2")
    assert_refused(call(*again), "2-outputs.png")
    assert_refused(call("evaluate", "--results_dir", folder, *report), "was not finished")
    in_the_way.rmdir()
    succeeded(call(*again))
    assert file_bytes(folder / "images") == file_bytes(sharded[0] / "images")
    succeeded(call("evaluate", "--results_dir", folder, *report))


def test_a_shard_of_something_else_is_refused(flags, sharded, whole, other_model, tmp_path):
    folder = sharded[0]
    before = file_bytes(folder)
    shard = ("test", *flags, "--grid", "--output_dir", folder, "--shard")
    assert_refused(call(*shard, "1/3"), "made with --shard I/2, not I/3", folder)
    assert_refused(call(*shard, "1/2", "--seed", 5), "seed (was 0, now 5)")
    assert_refused(call(*shard, "1/2", "--checkpoint", other_model), "made by another checkpoint")
    assert_refused(call(*shard, "3/2"), "shard must be I/N, with I from 1 to N, as in 2/8, not")
    # The last shard writes the page and the grid for all.
    assert_refused(call(*shard, "1/2", "--sample_count", 2), "sample_count (was 5, now 2)")
    without = ("test", *flags, "--page_limit", 2, "--output_dir", folder, "--shard", "2/2")
    assert_refused(call(*without), "grid (was true, now false)", "page_limit (was 5000, now 2)")
    in_whole = ("test", *flags, "--grid", "--output_dir", whole, "--shard", "1/2")
    assert_refused(call(*in_whole), "made without --shard, not I/2")
    assert_refused(call(*shard[:-2], tmp_path / "new", "--shard", "8/8"), "has none")
    assert file_bytes(folder) == before


def test_a_shard_that_is_at_work_is_refused(flags, sharded):
    folder = sharded[0]
    shard = ("test", *flags, "--grid", "--output_dir", folder, "--shard", "1/2")
    with file_lock.held(folder / "shards" / "1-of-2.lock"):
        assert_refused(call(*shard), "another program is at work in")
    with file_lock.held(folder, shared=True):  # another shard, of no matter what
        assert_refused(call("test", *flags, "--output_dir", folder), "another program is at work")
    assert (folder / "index.html").exists()


@pytest.fixture
def interrupted(whole, tmp_path):
    """The folder of a run that was killed: three images lack files, and there is no page."""
    folder = tmp_path / "interrupted"
    shutil.copytree(whole, folder)
    for name in ("3-outputs", "5-targets", "6-inputs"):
        (folder / "images" / f"{name}.png").unlink()
    for name in ("index.html", "grid.png"):
        (folder / name).unlink()
    return folder


def test_a_killed_run_goes_on(flags, whole, interrupted):
    command = ("test", *flags, "--grid", "--skip_done", "--output_dir", interrupted)
    before = {path: path.stat().st_mtime_ns for path in (interrupted / "images").iterdir()}
    printed = succeeded(call(*command)).stdout
    assert "4 images done before, left out" in printed
    evaluated = [line.split()[-1] for line in printed.splitlines() if "evaluated" in line]
    assert evaluated == ["3", "5", "6"]
    assert file_bytes(interrupted) == file_bytes(whole)
    assert page(interrupted) == page(whole)
    assert "earlier translation" not in printed
    for path, modified in before.items():
        assert (path.stat().st_mtime_ns == modified) == (path.name[0] not in "356"), path
    # When all is done, only the page is written.
    (interrupted / "index.html").unlink()
    assert "no image is left to translate" in succeeded(call(*command)).stdout
    assert page(interrupted) == page(whole)


def test_files_that_are_not_whole_images_are_made_again(flags, whole, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    images = folder / "images"
    (images / "1-inputs.png").write_bytes((images / "1-inputs.png").read_bytes()[:200])
    (images / "2-outputs.png").write_bytes(b"")
    (images / "3-targets.png").write_text("a note")
    (images / "4-outputs.png").write_bytes(bytes((images / "4-outputs.png").stat().st_size))
    for name in ("5-outputs.png", "6-inputs.png"):
        (images / name).unlink()
    os.mkfifo(images / "5-outputs.png")
    (images / "6-inputs.png").symlink_to("nowhere")
    command = ("test", *flags, "--grid", "--skip_done", "--output_dir", folder)
    assert "1 image done before, left out" in succeeded(call(*command)).stdout
    assert file_bytes(folder) == file_bytes(whole)


@pytest.mark.parametrize("name", ["images/3-inputs.png", "index.html", "failed.jsonl", "grid.png"])
@pytest.mark.parametrize("more", [(), ("--skip_done",)])
def test_folders_in_the_way_are_named(flags, whole, tmp_path, name, more):
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = call("test", *flags, "--grid", *more, "--output_dir", folder)
    assert_refused(done, folder / name, "is a folder, in the place of a file to write: remove it")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_another_shard_left_is_damaged(flags, sharded, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(sharded[0], folder)
    again = ("test", *flags, "--grid", "--output_dir", folder, "--skip_done", "--shard")
    mark = folder / "shards" / "1-of-2.json"
    contents = mark.read_text()
    mark.write_text("{}")
    assert_refused(call(*again, "2/2"), mark, "the record of a shard", "running it again mends")
    mark.write_text(contents)
    image = folder / "images" / "1-outputs.png"  # of the first shard
    image.unlink()
    os.mkfifo(image)
    assert_refused(call(*again, "2/2"), f"{image} is a FIFO", "again, with --skip_done")
    succeeded(call(*again, "1/2"))
    assert file_bytes(folder) == file_bytes(sharded[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--seed", 5), "with other options: seed (was 0, now 5)"),
        (("--output_bits", 16), "output_bits (was 8, now 16)"),
        (("--max_steps", 2), "max_steps (was null, now 2)"),
        (("--dropout", 0), "dropout (was 0.5, now 0"),
        (("--checkpoint", "{other}"), "made by another checkpoint"),
        (("--input_dir", "{images}"), "input_dir (was"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_images_of_something_else_are_not_skipped(
    flags, interrupted, other_model, data, more, message
):
    more = [str(word).format(other=other_model, images=data / "train") for word in more]
    before = file_bytes(interrupted)
    command = ("test", *flags, "--grid", "--skip_done", "--output_dir", interrupted)
    assert_refused(call(*command, *more), message)
    assert file_bytes(interrupted) == before


def test_images_without_a_record_are_not_skipped(flags, interrupted):
    """As an earlier version wrote, and a run that was killed before it removed other images."""
    path = interrupted / "options.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: v for name, v in record.items() if name != "weights"}))
    command = ("test", *flags, "--skip_done", "--output_dir", interrupted)
    assert_refused(call(*command), "does not say by which weights they were made")


def test_other_names_are_not_skipped(flags, data, interrupted, tmp_path):
    """Output names depend on all names."""
    images = tmp_path / "more"
    shutil.copytree(data / "test", images)
    record = json.loads((interrupted / "options.json").read_text())
    record["input_dir"] = str(images)
    (interrupted / "options.json").write_text(json.dumps(record))
    shutil.copy(images / "1.png", images / "0.png")
    where = ("--input_dir", images, *flags[2:], "--output_dir", interrupted)
    assert_refused(call("test", *where, "--skip_done"), "another list of images (7 then, 8 now)")


def test_a_record_names_no_weights_while_it_has_images_of_others(flags, whole, tmp_path):
    """A run is stopped where it removes the former images: --skip_done takes none of them."""
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    in_the_way = folder / "images" / "4-outputs.npy"  # of other options
    in_the_way.mkdir()
    command = ("test", *flags, "--seed", 5, "--output_dir", folder)
    assert_refused(call(*command), "cannot be written", in_the_way)
    in_the_way.rmdir()
    assert (folder / "images" / "7-outputs.png").exists()
    assert_refused(call(*command, "--skip_done"), "does not say by which weights")


def test_a_long_page_has_the_first_rows(flags, whole, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    command = ("test", *flags, "--skip_done", "--page_limit", 3, "--output_dir", folder)
    succeeded(call(*command))
    text = page(folder)
    assert text.count("<img") == 3 * len(KINDS)
    assert "The first 3 of 7 images" in text
    assert "--page_limit" not in page(whole)
    assert "page_limit must be at least 1" in call(*command, "--page_limit", 0).stderr


@pytest.fixture
def with_bad(data, tmp_path):
    """A folder of the images 1 to 4, of which 2 and 4 are damaged."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2, 3, 4):
        contents = (data / "test" / f"{number}.png").read_bytes()
        (folder / f"{number}.png").write_bytes(contents[: None if number % 2 else 200])
    return folder


def test_bad_images_are_listed_and_do_not_end_the_run(data, model, whole, with_bad, tmp_path):
    out = tmp_path / "out"
    command = ("test", "--input_dir", with_bad, "--checkpoint", model, "--output_dir", out)
    command += ("--skip_bad",)
    for more in ((), ("--skip_done",)):
        done = call(*command, *more)
        assert done.returncode == 0, done.stderr
        assert "2 images failed, see" in done.stdout
        failed = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
        assert [line["name"] for line in failed] == [str(with_bad / f"{n}.png") for n in "24"]
        assert all(line["reason"].startswith("cannot be decoded") for line in failed)
        assert f"  {failed[0]['name']}: {failed[0]['reason']}" in done.stdout
        assert page(out).count("<img") == 2 * len(KINDS)
    good = {name: of for name, of in file_bytes(whole / "images").items() if name[0] in "13"}
    assert file_bytes(out / "images") == good
    # In shards the same, also where one has no good image.
    shards = ("test", "--input_dir", with_bad, "--checkpoint", model, "--skip_bad", "--shard")
    for number in (1, 2):
        done = call(*shards, f"{number}/2", "--output_dir", tmp_path / "shards")
        assert done.returncode == 0, done.stderr
    assert file_bytes(tmp_path / "shards" / "images") == good
    listed = (out / "failed.jsonl").read_text()
    assert (tmp_path / "shards" / "failed.jsonl").read_text() == listed
    # When the images are mended, nothing is left to say.
    for name in ("2.png", "4.png"):
        shutil.copy(data / "test" / name, with_bad)
    succeeded(call(*command, "--skip_done"))
    assert not (out / "failed.jsonl").exists()
    assert {name[0] for name in file_bytes(out / "images")} == set("1234")


def test_an_image_that_fails_during_the_run(data, model, whole, tmp_path):
    """Of records only headers are read before: one has damaged pixels."""
    damaged = tmp_path / "2.png"
    contents = (data / "test" / "2.png").read_bytes()
    start = contents.index(b"IDAT")
    end = start + 4 + int.from_bytes(contents[start - 4 : start], "big")
    chunk = b"IDAT" + b"damage".center(end - start - 4)
    checksum = zlib.crc32(chunk).to_bytes(4, "big")
    damaged.write_bytes(contents[:start] + chunk + checksum + contents[end + 4 :])
    records = tmp_path / "records"
    records.mkdir()
    with tf.io.TFRecordWriter(str(records / "pairs-00000-of-00001.tfrecord")) as writer:
        for path in (data / "test" / "1.png", damaged, data / "test" / "3.png"):
            writer.write(serialize_example(SourceImage(path, 64, 32, False)))
    out = tmp_path / "out"
    command = ("test", "--input_dir", records, "--checkpoint", model, "--output_dir", out)
    assert call(*command).returncode == 2
    for more in ((), ("--batch_size", 2)):
        printed = succeeded(call(*command, "--skip_bad", *more)).stdout
        assert "1 image failed, see" in printed
        [line] = (out / "failed.jsonl").read_text().splitlines()
        assert json.loads(line)["name"].endswith("/2.png")
        assert "cannot be decoded" in json.loads(line)["reason"]
        assert sorted(path.name for path in (out / "images").glob("*-outputs.png")) == [
            "1-outputs.png",
            "3-outputs.png",
        ]
        assert page(out).count("<img") == 2 * len(KINDS)


def page(folder):
    return (folder / "index.html").read_text()
