"""Every form of data set gives the same images in training, resuming, splits and translation."""

import functools
import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from p2p_graph.data.image_sources import split_indices
from p2p_graph.data.packed.tfrecord_shards import (
    list_packed_images,
    serialize_example,
    stored_files,
)

from .common import (
    SHALLOW,
    SMALL,
    TINY,
    assert_equal_bits,
    assert_refused,
    call,
    file_bytes,
    images,
    pixels,
    succeeded,
    tensors,
)


@pytest.fixture(scope="module")
def sources(data, tmp_path_factory):
    """Flags that name the same five pairs, by the form of the data set."""
    root = tmp_path_factory.mktemp("sources")
    paths = sorted((data / "train").iterdir(), key=lambda path: int(path.stem))
    halves = []
    for part, name in enumerate("ab"):
        (root / name).mkdir()
        halves.append([pixels(path)[:, 32 * part : 32 * part + 32] for path in paths])
        for path, half in zip(paths, halves[-1], strict=True):
            Image.fromarray(half).save(root / name / path.name)
    lines = [f"a/{path.name},b/{path.name}" for path in paths]
    (root / "pairs.csv").write_text("\n".join(["input,target", *lines]) + "\n")
    np.savez(root / "plain.npz", inputs=halves[0], targets=halves[1])
    np.savez_compressed(root / "floats.npz", *(np.float32(half) for half in halves))
    folders = ("--input_dir", root / "a", "--target_dir", root / "b")
    pairs = ("--input_dir", data / "train")
    succeeded(call("pack_records", *folders, "--output_dir", root / "two", "--pairs_per_shard", 2))
    succeeded(call("pack_records", *pairs, "--output_dir", root / "one"))
    succeeded(call("pack_npz", *pairs, "--output_file", root / "packed.npz"))
    return {
        "pairs": pairs,
        "folders": folders,
        "manifest": ("--manifest", root / "pairs.csv"),
        "archive": ("--input_dir", root / "plain.npz"),
        "compressed": ("--input_dir", root / "floats.npz"),
        "packed archive": ("--input_dir", root / "packed.npz"),
        "shards": ("--input_dir", root / "one"),
        "shards of two files": ("--input_dir", root / "two"),
    }


FORMS = (
    "pairs",
    "folders",
    "manifest",
    "archive",
    "compressed",
    "packed archive",
    "shards",
    "shards of two files",
)


@pytest.fixture(scope="module")
def trained(sources, tmp_path_factory):
    """The folder of an uninterrupted run of 8 steps on pairs: more than an epoch."""
    folder = tmp_path_factory.mktemp("trained")
    succeeded(call("train", *sources["pairs"], *TINY, "--output_dir", folder, "--max_steps", 8))
    return folder


@pytest.mark.parametrize(
    ("form", "cache_mb"),
    [*((form, 1024) for form in FORMS), ("folders", 0), ("shards of two files", 0)],
)
def test_every_form_trains_the_same_and_resumes_exactly(sources, trained, form, cache_mb, tmp_path):
    flags = (*sources[form], *TINY, "--output_dir", tmp_path, "--cache_mb", cache_mb)
    for steps in (3, 8):
        succeeded(call("train", *flags, "--max_steps", steps))
    assert_equal_bits(tensors(tmp_path), tensors(trained))
    assert (tmp_path / "losses.jsonl").read_text() == (trained / "losses.jsonl").read_text()


@pytest.fixture(scope="module")
def translate(sources, make_model, tmp_path_factory):
    """A function that translates a form of the pairs; returns inputs and outputs by name."""

    def translate(form, direction):
        folder = tmp_path_factory.mktemp("translated")
        model = make_model(*SHALLOW, "--which_direction", direction)
        out = ("--checkpoint", model, "--output_dir", folder)
        succeeded(call("test", *sources[form], *out))
        return {kind: images(folder, kind) for kind in ("inputs", "outputs")}

    return translate


@pytest.fixture(scope="module")
def translated_pairs(translate):
    """A function that translates the pairs side by side, once a direction."""
    return functools.cache(functools.partial(translate, "pairs"))


@pytest.mark.parametrize(
    ("form", "direction"),
    [*((form, "BtoA") for form in FORMS[1:]), ("folders", "AtoB"), ("archive", "AtoB")],
)
def test_every_form_translates_the_same(translate, translated_pairs, form, direction):
    wanted, found = translated_pairs(direction), translate(form, direction)
    for kind in ("inputs", "outputs"):
        assert len(found[kind]) == 5
        for a, b in zip(wanted[kind].values(), found[kind].values(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["folders", "manifest", "archive", "shards of two files"])
def test_a_split_is_recorded_and_the_rest_is_tested(sources, form, tmp_path):
    flags = (*sources[form], "--split", 0.6, "--split_seed", 4)
    command = (*flags, *TINY, "--output_dir", tmp_path / "run")
    done = succeeded(call("train", *command, "--max_steps", 2))
    assert "examples count = 3" in done.stdout
    options = json.loads((tmp_path / "run" / "options.json").read_text())
    assert (options["split"], options["split_seed"]) == (0.6, 4)

    where = ("--checkpoint", tmp_path / "run")
    done = succeeded(call("test", *sources[form], *where, "--output_dir", tmp_path / "rest"))
    assert "split: 2 images that --split 0.6 --split_seed " in done.stdout
    wanted = [str(index + 1) for index in split_indices(5, 0.6, 4)[1]]
    if form == "archive":
        wanted = [f"{int(name) - 1:05d}" for name in wanted]
    assert sorted(images(tmp_path / "rest")) == wanted

    every = ("--output_dir", tmp_path / "every", "--split", 1)
    succeeded(call("test", *sources[form], *where, *every))
    assert len(images(tmp_path / "every")) == 5
    done = call("train", *command, "--max_steps", 3, "--split", 0.8)
    assert_refused(done, "split (was 0.6, now 0.8)")


def test_a_split_is_not_applied_to_other_images(sources, data, tmp_path):
    run = ("--output_dir", tmp_path / "run", "--split", 0.6, "--max_steps", 1)
    succeeded(call("train", *sources["pairs"], *TINY, *run))
    where = ("--checkpoint", tmp_path / "run", "--output_dir", tmp_path / "made")
    done = succeeded(call("test", "--input_dir", data / "test", *where))
    assert f"split: not applied, since training was on {data / 'train'}" in done.stdout
    assert len(images(tmp_path / "made")) == 7


def test_a_split_is_known_from_any_folder(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "pairs")
    command = ("--input_dir", "pairs", *TINY, "--split", 0.6, "--output_dir", "run")
    succeeded(call("train", *command, "--max_steps", 1, cwd=tmp_path))
    (tmp_path / "sub").mkdir()
    where = ("--input_dir", "../pairs", "--checkpoint", "../run", "--output_dir", "made")
    done = succeeded(call("test", *where, cwd=tmp_path / "sub"))
    assert "split: 2 images that --split 0.6 --split_seed " in done.stdout
    assert len(images(tmp_path / "sub" / "made")) == 2
    other = ("--input_dir", "../pairs", *TINY, "--split", 0.6, "--output_dir", "../run")
    succeeded(call("train", *other, "--max_steps", 2, cwd=tmp_path / "sub"))

    # With more images the split would differ.
    shutil.copy(data / "test" / "7.png", tmp_path / "pairs" / "7.png")
    done = call("test", *where, cwd=tmp_path / "sub")
    assert_refused(done, "are not those of training (5 then)", "--split 1 takes all")
    done = call("train", *command, "--max_steps", 3, cwd=tmp_path)
    assert_refused(done, "are not those that run was trained on (5 then)")


def test_a_split_is_known_where_the_images_were_moved(data, tmp_path):
    """Also from a run's best checkpoint, and from a conversion; other names are other images."""
    for name in ("train", "test"):
        shutil.copytree(data / name, tmp_path / "was" / name)
    flags = ("--split", 0.6, "--sample_freq", 1, "--keep_best", "l1", "--max_steps", 1)
    where = ("--input_dir", tmp_path / "was" / "train", "--output_dir", tmp_path / "was" / "run")
    succeeded(call("train", *where, *TINY, *flags))
    where = ("--checkpoint", tmp_path / "was" / "run", "--output", tmp_path / "was" / "converted")
    succeeded(call("convert", *where, "--to", "native"))
    (tmp_path / "was").rename(tmp_path / "now")
    folders = [tmp_path / "now" / name for name in ("run", "run/best", "converted")]
    for folder in folders:
        for name, count in (("train", 2), ("test", 7)):
            made = tmp_path / f"{folder.name}-{name}"
            given = ("--input_dir", tmp_path / "now" / name, "--checkpoint", folder)
            done = succeeded(call("test", *given, "--output_dir", made))
            assert len(images(made)) == count
            assert ("split: not applied" in done.stdout) == (name == "test")
    # Once training has gone on, the best checkpoint names the new place, too.
    best = folders[1] / "best.json"
    best.write_text(json.dumps(json.loads(best.read_text()) | {"value": 0.0}))
    now = ("--input_dir", tmp_path / "now" / "train", "--output_dir", folders[0])
    succeeded(call("train", *now, *TINY, *flags, "--max_steps", 2))
    assert json.loads(best.read_text())["step"] == 1
    options = json.loads((folders[1] / "options.json").read_text())
    assert options["input_dir"] == str(tmp_path / "now" / "train")


def test_a_split_is_not_applied_to_another_project(data, tmp_path):
    """The same relative path leads to other images of the same names; in a copy, to the same."""
    for project, part in (("first", "train"), ("second", "test"), ("copy", "train")):
        shutil.copytree(data / part, tmp_path / project / "pairs")
    run = (*TINY, "--output_dir", "run", "--split", 0.6, "--split_seed", 4, "--max_steps", 1)
    succeeded(call("train", "--input_dir", "pairs", *run, cwd=tmp_path / "first"))
    test = ("--input_dir", "pairs", "--checkpoint", tmp_path / "first" / "run")
    for project, printed in (
        ("second", f"split: not applied, since training was on {tmp_path / 'first' / 'pairs'} "),
        ("copy", "split: 2 images that --split 0.6 --split_seed "),
    ):
        made = ("--output_dir", tmp_path / f"of_{project}")
        assert printed in succeeded(call("test", *test, *made, cwd=tmp_path / project)).stdout
    # The first line's advice: that split, by training's seed.
    made = ("--output_dir", tmp_path / "split")
    done = succeeded(call("test", *test, *made, "--split", 0.6, cwd=tmp_path / "second"))
    assert "that --split 0.6 --split_seed 4 leaves out of training" in done.stdout
    wanted = {str(index + 1) for index in split_indices(7, 0.6, 4)[1]}
    assert set(images(tmp_path / "split")) == wanted
    # Training's split has a seed.
    made = ("--output_dir", tmp_path / "seed")
    succeeded(call("test", *test, *made, "--split_seed", 4, cwd=tmp_path / "first"))
    done = call("test", *test, *made, "--split_seed", 5, cwd=tmp_path / "first")
    assert_refused(done, "split_seed is 5, and training's split is by seed 4")


def test_a_split_is_known_from_a_conversion(data, tmp_path):
    """From any current folder, and only while the images are those of training."""
    (tmp_path / "a").mkdir()
    shutil.copytree(data / "train", tmp_path / "a" / "pairs")
    command = ("--input_dir", "pairs", *TINY, "--split", 0.6, "--output_dir", "run")
    succeeded(call("train", *command, "--max_steps", 1, cwd=tmp_path / "a"))
    where = ("--checkpoint", tmp_path / "a" / "run", "--output", tmp_path / "converted")
    succeeded(call("convert", *where, "--to", "native"))
    test = ("--input_dir", tmp_path / "a" / "pairs", "--checkpoint", tmp_path / "converted")
    done = succeeded(call("test", *test, "--output_dir", tmp_path / "made"))
    assert "split: 2 images that --split 0.6 --split_seed " in done.stdout
    shutil.copy(data / "train" / "1.png", tmp_path / "a" / "pairs" / "1b.png")
    done = call("test", *test, "--output_dir", tmp_path / "again")
    assert_refused(done, "are not those of training (5 then)", "--split 1 takes all")


def test_packing_prints_the_command_that_trains(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "facades" / "train")
    where = ("--input_dir", tmp_path / "facades" / "train", "--output_dir", tmp_path / "packed")
    done = succeeded(call("pack_records", *where))
    assert f"--input_dir {tmp_path}/packed --recipe facades\n" in done.stdout
    where = ("--input_dir", data / "train", "--output_file", tmp_path / "a.npz", "--single")
    assert "--lab_colorization" in succeeded(call("pack_npz", *where)).stdout


def test_an_archive_is_scaled_to_the_nearest_bytes(data, tmp_path):
    where = ("--input_dir", data / "train", "--output_file", tmp_path / "set.npz", "--size", 16)
    succeeded(call("pack_npz", *where))
    source = pixels(data / "train" / "3.png")[:, :32].astype(np.float64)
    wanted = source.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    with np.load(tmp_path / "set.npz") as found:
        assert abs(found["arr_0"][2] - wanted).max() <= 0.501


def test_single_images_in_every_form(sources, data, tmp_path):
    """Colour from brightness, trained on photographs alone."""
    folder = ("--input_dir", sources["folders"][1])
    (tmp_path / "list.csv").write_text(f"input\n{folder[1]}/1.png\n{folder[1]}/2.png\n")
    for tool, flags in (
        ("pack_records", ("--output_dir", tmp_path / "shards")),
        ("pack_npz", ("--output_file", tmp_path / "photos.npz")),
    ):
        succeeded(call(tool, *folder, "--single", *flags))
    ends = {}
    for name, flags in (
        ("folder", folder),
        ("shards", ("--input_dir", tmp_path / "shards")),
        ("archive", ("--input_dir", tmp_path / "photos.npz")),
        ("list", ("--manifest", tmp_path / "list.csv")),
    ):
        out = ("--output_dir", tmp_path / "runs" / name, "--max_steps", 2)
        succeeded(call("train", *flags, *TINY, "--lab_colorization", *out))
        ends[name] = tensors(tmp_path / "runs" / name)
    assert_equal_bits(ends["shards"], ends["folder"])
    assert_equal_bits(ends["archive"], ends["folder"])
    where = ("--checkpoint", tmp_path / "runs" / "list", "--output_dir", tmp_path / "made")
    succeeded(call("test", "--manifest", tmp_path / "list.csv", *where))
    assert sorted(images(tmp_path / "made")) == ["1", "2"]


def test_inputs_and_targets_have_their_own_scaling(data, tmp_path):
    """Resizing never mixes label colours, but mixes those of photographs."""
    how = ("--resize", "bilinear", "--resize_targets", "nearest", "--scale_size", 40)
    run = ("--output_dir", tmp_path / "run", "--max_steps", 1, *SMALL, *SHALLOW)
    succeeded(call("train", "--input_dir", data / "train", *run, *how))
    where = ("--checkpoint", tmp_path / "run", "--output_dir", tmp_path / "made")
    succeeded(call("test", "--input_dir", data / "test", *where, "--crop_size", 96))

    def colors(image):
        return {tuple(color) for color in image.reshape(-1, 3)}

    targets, inputs = (images(tmp_path / "made", kind) for kind in ("targets", "inputs"))
    for name, target in targets.items():
        source = pixels(data / "test" / f"{name}.png")
        assert colors(target) <= colors(source[:, 32:])
        assert not colors(inputs[name]) <= colors(source[:, :32])


def test_only_an_archive_of_images_is_replaced(data, tmp_path):
    path = tmp_path / "set.npz"
    images = np.zeros((2, 8, 8, 3), np.uint8)
    where = ("--input_dir", data / "train", "--output_file", path)
    for arrays in (
        {"inputs": images, "targets": images},
        {"arr_0": images, "arr_1": images, "arr_2": images},
        {"arr_0": images.astype(np.float32)},
        {"arr_0": images[0]},
        {},
    ):
        np.savez(path, **arrays)
        before = path.read_bytes()
        done = call("pack_npz", *where)
        assert_refused(done, f"output_file {path} cannot be read as an archive", "another file")
        assert path.read_bytes() == before
    path.write_text("mine")
    assert_refused(call("pack_npz", *where), "name another file")
    assert path.read_text() == "mine"
    path.unlink()
    os.mkfifo(path)
    assert_refused(call("pack_npz", *where), f"output_file {path} is a FIFO", "another file")
    assert path.is_fifo()
    path.unlink()
    for flags in ((), ("--single",), ("--compress",), ()):
        succeeded(call("pack_npz", *where, *flags))


@pytest.mark.parametrize("size", [None, 24])
def test_packing_an_archive(data, tmp_path, size):
    flags = () if size is None else ("--size", size, "--resize", "nearest", "--compress")
    where = ("--input_dir", data / "train", "--output_file", tmp_path / "made" / "set.npz")
    done = succeeded(call("pack_npz", *where, *flags))
    assert "packed 5 images in" in done.stdout
    with np.load(tmp_path / "made" / "set.npz") as found:
        assert set(found) == {"arr_0", "arr_1"}
        width = size or 32
        assert all(array.shape == (5, width, width, 3) for array in found.values())
        nearest = [int((position + 0.5) * 32 / width) for position in range(width)]
        wanted = pixels(data / "train" / "2.png")[:, 32:][nearest][:, nearest]
        np.testing.assert_array_equal(found["arr_1"][1], wanted)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["set.npz"]


def test_packing_resumes_after_an_interruption(data, tmp_path):
    """A run killed in the middle of a shard leaves the shard under its temporary name only."""
    flags = ("--input_dir", data / "train", "--output_dir", tmp_path, "--pairs_per_shard", 2)
    succeeded(call("pack_records", *flags))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    name = "pairs-00002-of-00003.tfrecord"
    (tmp_path / name).rename(tmp_path / f"{name}.unfinished")
    done = call("train", "--input_dir", tmp_path, *TINY, "--output_dir", tmp_path / "run")
    assert_refused(done, f"lacks 1 of 3 shards, first {name}")
    succeeded(call("pack_records", *flags))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Bad input


@pytest.fixture
def refused(data, tmp_path):
    """A function that checks that a tool refuses its flags in one line and writes nothing."""

    def check(tool, *flags, words):
        out = "--output_file" if tool == "pack_npz" else "--output_dir"
        target = tmp_path / ("out.npz" if tool == "pack_npz" else "out")
        done = call(tool, *flags, out, target)
        assert_refused(done, *words)
        assert not target.exists()

    return check


def test_bad_sources(refused, sources, data, tmp_path):
    np.savez(tmp_path / "one.npz", np.zeros((2, 32, 32, 3), np.uint8))
    (tmp_path / "bad.csv").write_text("input,output\na,b\n")
    shutil.copytree(sources["shards"][1], tmp_path / "cut")
    [shard] = (tmp_path / "cut").glob("*.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-9])
    for flags, *words in (
        (("--input_dir", tmp_path / "one.npz"), "must hold two arrays"),
        (("--input_dir", tmp_path / "none.npz"), "none.npz does not exist"),
        (("--manifest", tmp_path / "bad.csv"), "bad.csv has no column 'target'"),
        (("--manifest", tmp_path / "none.csv"), "none.csv does not exist"),
        (
            ("--input_dir", tmp_path / "cut"),
            "is cut off or damaged at record 5: rerun what wrote it, tools/pack_records.py",
        ),
        ((*sources["pairs"], "--split", 0.01), "leaves none to train on"),
        ((*sources["pairs"], "--split", 1.5), "split must be over 0 and at most 1, not 1.5"),
        ((*sources["pairs"], *sources["manifest"]), "input_dir and manifest contradict"),
        ((*sources["shards"], "--target_dir", data), "already holds A and B"),
    ):
        refused("train", *flags, *TINY, words=words)


def test_bad_packing(refused, sources, tmp_path):
    for tool, flags, word in (
        ("pack_records", (), "input_dir is missing"),
        ("pack_records", (*sources["pairs"], "--pairs_per_shard", 0), "must be at least 1, not 0"),
        ("pack_records", (*sources["pairs"], "--pairs_per_shard", 10**30), "at most 2147483647"),
        ("pack_records", sources["shards"][:2], "holds shards: name the folder that"),
        ("pack_npz", (), "input_dir is missing"),
        ("pack_npz", (*sources["pairs"], "--size", 0), "--size: must be at least 1, not 0"),
        (
            "pack_npz",
            (*sources["pairs"], "--size", 2**31),
            "--size: must be at most 65536, not 214",
        ),
        ("pack_npz", (*sources["pairs"], "--size", 2**16), "65536x65536 pixels takes "),
        ("pack_npz", (*sources["pairs"], "--size", 2**16), "of memory, and "),
        ("pack_npz", (*sources["pairs"], "--resize", "nearest"), "give a --size, too"),
    ):
        refused(tool, *flags, words=[word])
    done = call("pack_npz", *sources["pairs"], "--output_file", tmp_path / "out.zip")
    assert_refused(done, "must end in .npz")


def with_wrong_pixels(contents):
    """A PNG whose compressed pixels are damaged, under a right checksum."""
    start = contents.index(b"IDAT")
    (length,) = struct.unpack(">I", contents[start - 4 : start])
    chunk = bytearray(contents[start : start + 4 + length])
    chunk[40:60] = bytes(20)
    end = start + len(chunk)
    checksum = struct.pack(">I", zlib.crc32(chunk))
    return contents[:start] + bytes(chunk) + checksum + contents[end + 4 :]


def test_packing_an_image_that_cannot_be_decoded(refused, sources, tmp_path):
    """In a shard of another program, whose header is right."""
    [shard] = sources["shards"][1].glob("*.tfrecord")
    cut = {}
    for image in list_packed_images(shard.parent)[:2]:
        contents = stored_files(image)[0]
        cut[image] = with_wrong_pixels(contents) if cut else contents
    (tmp_path / "shards").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "shards" / shard.name)) as writer:
        for image, contents in cut.items():
            file = tmp_path / image.path.name
            file.write_bytes(contents)
            writer.write(serialize_example(image._replace(path=file)))
    where = ("--input_dir", tmp_path / "shards")
    refused(
        "pack_npz",
        *where,
        words=["an image can no longer be read", f"{shard.name}/2.png cannot be decoded"],
    )
    done = call("check_data", *where)
    assert done.returncode == 1
    assert f"{shard.name}/2.png" in done.stdout
    assert "corrupt" in done.stdout


def test_archives_of_images_of_different_sizes(data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "mixed")
    Image.new("RGB", (20, 10)).save(tmp_path / "mixed" / "9.png")
    where = ("--input_dir", tmp_path / "mixed", "--output_file", tmp_path / "out.npz")
    assert_refused(call("pack_npz", *where), "differ in size: give one size (--size)")
    succeeded(call("pack_npz", *where, "--size", 16))
    assert file_bytes(tmp_path / "mixed")
