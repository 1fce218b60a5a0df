"""tools/train_segmenter.py: training, resuming, scores, use in tools/evaluate.py, bad input."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from facade_paint import CLASSES
from PIL import Image

from p2p_graph.utils import file_lock

from .common import (
    assert_equal_bits,
    assert_refused,
    call,
    signal_at,
    succeeded,
    tensors,
    write_tensors,
)

FLAGS = ("--crop_size", 32, "--width", 4, "--batch_size", 2, "--lr", 0.01)


@pytest.fixture(scope="module")
def trained(data, palette, tmp_path_factory):
    """A network after 12 steps, the finished program, and its flags."""
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    given = ("--input_dir", data / "train", "--val_dir", data / "test", "--palette", palette)
    flags = (*given, "--output_dir", folder, "--max_steps", 12, *FLAGS)
    return folder, succeeded(call("train_segmenter", *flags)), flags


def test_no_graph_is_left_behind(trained):
    assert tf.executing_eagerly()


def test_scores_are_printed_and_saved(trained, palette):
    folder, done, _ = trained
    metadata = json.loads((folder / "segmenter.json").read_text())
    assert list(metadata["palette"]["classes"]) == [name for name in CLASSES if name != "blind"]
    assert metadata["palette"]["ignored"] == [list(CLASSES["blind"][0])]
    assert (metadata["steps"], metadata["size"], metadata["width"]) == (12, 32, 4)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in metadata["scores"].items())
    assert done.stdout.splitlines()[-1].endswith(shown)
    assert metadata["scores"]["pixel_accuracy"] > 1 / len(CLASSES)


def test_resumes_exactly(trained, tmp_path):
    folder, _, flags = trained
    where = flags.index("--output_dir") + 1
    flags = [tmp_path / "parts" if i == where else flag for i, flag in enumerate(flags)]
    steps = flags.index("--max_steps") + 1
    succeeded(call("train_segmenter", *flags[:steps], 5, *flags[steps + 1 :]))
    done = succeeded(call("train_segmenter", *flags))
    assert "going on from" in done.stdout
    assert_equal_bits(tensors(tmp_path / "parts"), tensors(folder))


def test_scores_stay_without_val_dir(trained, tmp_path):
    """Without new steps, the saved scores still describe the weights."""
    folder, _, flags = trained
    shutil.copytree(folder, tmp_path / "again")
    flags = changed(flags, "--output_dir", tmp_path / "again")
    where = flags.index("--val_dir")
    done = succeeded(call("train_segmenter", *flags[:where], *flags[where + 2 :]))
    assert done.stdout.splitlines()[-1] == f"done: 12 steps, in {tmp_path / 'again'}"
    for name in ("segmenter.json", "checkpoint"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_val_dir_must_be_labels(trained, data, tmp_path):
    """Folders of photos are refused."""
    (tmp_path / "photos").mkdir()
    for path in (data / "test").glob("*.png"):
        with Image.open(path) as pair:
            pair.crop((0, 0, 32, 32)).save(tmp_path / "photos" / path.name)
    flags = changed(trained[2], "--val_dir", tmp_path / "photos")
    words = ("does not fit the labels in val_dir", "photos")
    assert_refused(call("train_segmenter", *flags), *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_stop_training(trained, tmp_path, number):
    """A signal saves the steps so far."""
    flags = changed(changed(trained[2], "--output_dir", tmp_path / "run"), "--max_steps", 10**6)
    done = call("train_segmenter", *flags, watch=signal_at(number, "step 100,"))
    assert done.returncode == 128 + number, done.stdout + done.stderr
    stopped = re.search(
        rf"^stopped by {number.name} after step (\d+) of 1000000; it is sa", done.stdout, re.M
    )
    assert stopped
    metadata = json.loads((tmp_path / "run" / "segmenter.json").read_text())
    assert metadata["steps"] == int(stopped[1]) >= 100
    assert tensors(tmp_path / "run")["global_step"] == metadata["steps"]


def test_evaluation_gives_the_same_scores(trained, data, tmp_path):
    """tools/evaluate.py computes the same scores from photos as outputs and labels as inputs."""
    folder, _, _ = trained
    for name in ("photos", "labels"):
        (tmp_path / name).mkdir()
    for path in (data / "test").glob("*.png"):
        with Image.open(path) as pair:
            pair.crop((0, 0, 32, 32)).save(tmp_path / "photos" / path.name)
            pair.crop((32, 0, 64, 32)).save(tmp_path / "labels" / path.name)
    photos = ("--outputs_dir", tmp_path / "photos", "--targets_dir", tmp_path / "photos")
    inputs = ("--inputs_dir", tmp_path / "labels", "--segmenter", folder, "--metrics", "fcn")
    done = succeeded(call("evaluate", *photos, *inputs, "--output_dir", tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    scores = json.loads((folder / "segmenter.json").read_text())["scores"]
    for name, value in scores.items():
        assert found["figures"][f"fcn_{name}"]["value"] == pytest.approx(value)
    assert "not FCN-8s" in done.stdout
    assert (tmp_path / "out" / "fcn-confusion.png").exists()


def weights_of(folder):
    return [(name, array) for name, array in tensors(folder).items() if array.dtype == np.float32]


def changed(flags, name, value):
    if name not in flags:
        return [*flags, name, value]
    where = flags.index(name) + 1
    return [value if i == where else flag for i, flag in enumerate(flags)]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("--crop_size", 48, ("crop_size must be a multiple of 32", "48")),
        ("--palette", "cityscapes", ("palette cityscapes does not fit the labels",)),
        ("--palette", "nothing", ("palette must be one of", "nothing")),
        ("--input_dir", "nowhere", ("input_dir nowhere does not exist",)),
        ("--val_dir", "nowhere", ("val_dir nowhere does not exist",)),
        ("--lr", 0, ("lr must be above 0, not 0.0",)),
        ("--width", 8, ("holds a segmenter of another backbone, palette, width or crop_size",)),
        ("--lr", 0.02, ("was trained with other options: lr (was 0.01, now 0.02); give the same",)),
        ("--seed", 3, ("was trained with other options: seed (was 0, now 3)",)),
        ("--batch_size", 1, ("was trained with other options: batch_size (was 2, now 1)",)),
        ("--val_freq", -1, ("val_freq must be at least 0, not -1",)),
        ("--width", 0, ("width must be at least 1, not 0",)),
        ("--width", 10**30, ("width must be at most 4096, not 1000",)),
        ("--max_steps", 0, ("max_steps must be at least 1, not 0",)),
        ("--max_steps", 10**30, ("max_steps must be at most 1000000000000, not 1000",)),
        ("--crop_size", -32, ("crop_size must be at least 1, not -32",)),
        ("--crop_size", 2**31, ("crop_size must be at most 65536, not 2147483648",)),
        ("--batch_size", 0, ("batch_size must be at least 1, not 0",)),
        ("--batch_size", 10**9, ("batch_size must be at most 65536, not 1000000000",)),
        ("--lr", "1e39", ("lr must be a finite number, not 1e+39",)),
        ("--seed", -1, ("seed must be at least 0, not -1",)),
        ("--seed", 2**31, ("seed must be below 2147483648",)),
    ],
)
def test_refuses(trained, name, value, words):
    folder, _, flags = trained
    before = (folder / "segmenter.json").read_bytes()
    assert_refused(call("train_segmenter", *changed(flags, name, value)), *words)
    assert (folder / "segmenter.json").read_bytes() == before


def test_refuses_more_than_there_is(trained, tmp_path):
    """More memory than this machine has, and more pixels than TensorFlow counts."""
    flags = changed(changed(trained[2], "--output_dir", tmp_path / "new"), "--width", 4096)
    flags = changed(flags, "--batch_size", 65536)
    done = call("train_segmenter", *changed(flags, "--crop_size", 160))
    assert_refused(done, "training takes ", "GB are free: lower --width, --crop_size or --batch")
    done = call("train_segmenter", *changed(flags, "--crop_size", 192))
    assert_refused(done, "a batch must have fewer than 2147483648 pixels", "(192)", "(65536)")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda folder: [path.unlink() for path in folder.glob("model-*")],
            ("has lost its files",),
        ),
        (
            lambda folder: (folder / "segmenter.json").write_text("{}"),
            ("segmenter.json cannot be read",),
        ),
        (
            lambda folder: (folder / "segmenter.json").write_text(
                (folder / "segmenter.json").read_text().replace('"width": 4', '"width": 8')
            ),
            ("has other shapes: segmenter/",),
        ),
        (
            lambda folder: write_tensors(
                folder, {name: a * np.float32(np.nan) for name, a in weights_of(folder)}, 12
            ),
            ("model-12", "holds infinite values or NaN in segmenter/"),
        ),
    ],
)
def test_evaluation_refuses_spoiled_segmenters(trained, data, tmp_path, spoil, words):
    folder = tmp_path / "spoiled"
    shutil.copytree(trained[0], folder)
    spoil(folder)
    images = ("--outputs_dir", data / "test", "--targets_dir", data / "test")
    assert_refused(call("evaluate", *images, "--segmenter", folder), *words)


@pytest.mark.parametrize("read", ["--input_dir", "--val_dir"])
def test_nothing_is_written_among_the_images_that_are_read(trained, data, tmp_path, read):
    shutil.copytree(data / "train", tmp_path / "pairs")
    before = sorted(tmp_path.rglob("*"))
    flags = changed(
        changed(trained[2], read, tmp_path / "pairs"), "--output_dir", tmp_path / "pairs"
    )
    done = call("train_segmenter", *flags)
    assert_refused(done, f"{tmp_path}/pairs holds images that are read; name another folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_is_not_utf_8(trained, data, tmp_path):
    """TensorFlow cannot write a checkpoint there, but this package reads one."""
    folder = tmp_path / os.fsdecode(b"\xff")
    done = call("train_segmenter", *changed(trained[2], "--output_dir", folder))
    assert_refused(done, "output_dir", "is not UTF-8")
    assert not folder.exists()
    shutil.copytree(trained[0], folder)
    images = ("--outputs_dir", data / "test", "--targets_dir", data / "test")
    report = ("--bootstrap", 0, "--metrics", "fcn", "--output_dir", tmp_path / "report")
    labels = tmp_path / "labels"
    shutil.copytree(data / "test", labels)
    flags = ("--segmenter", folder, "--inputs_dir", labels, *report)
    succeeded(call("evaluate", *images, *flags))


def test_the_folder_is_of_one_program(trained, tmp_path):
    _, _, flags = trained
    (tmp_path / "checkpoint").write_text("")
    done = call("train_segmenter", *flags, "--output_dir", tmp_path)
    assert_refused(done, f"output_dir {tmp_path} holds the work of tools/train.py (checkpoint)")
    (tmp_path / "checkpoint").unlink()
    with file_lock.held(tmp_path):
        done = call("train_segmenter", *flags, "--output_dir", tmp_path)
    assert_refused(done, f"another program is at work in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_scores_on_other_validation_images_are_told_apart(trained, data, tmp_path):
    flags = changed(trained[2], "--output_dir", tmp_path / "run")
    (tmp_path / "few").mkdir()
    shutil.copy(data / "test" / "1.png", tmp_path / "few")
    curve = tmp_path / "run" / "validation.jsonl"
    for steps, folder, note in ((2, data / "test", False), (4, tmp_path / "few", True)):
        more = changed(changed(flags, "--max_steps", steps), "--val_dir", folder)
        done = succeeded(call("train_segmenter", *more, "--val_freq", 2))
        assert (f"the scores up to step 2 in {curve} are of other val" in done.stdout) == note
    images = [json.loads(line)["images"] for line in curve.read_text().splitlines()]
    assert len(images) == 2
    assert images[1].startswith("1 ")
    assert images[0] != images[1]


def test_a_record_that_cannot_be_written(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / "segmenter.json.unfinished").mkdir()
    flags = changed(trained[2], "--output_dir", tmp_path / "run")
    done = call("train_segmenter", *changed(flags, "--max_steps", 20))
    assert_refused(done, f"output_dir {tmp_path / 'run'} cannot be written (segmenter.json): ")
