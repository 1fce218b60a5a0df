"""Programs that read a checkpoint of a run that is still training: they take the newest one."""

import re
import shutil
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from .common import SHALLOW, SMALL, assert_same_images, call, images, succeeded


@pytest.fixture(scope="module")
def newer(model, data, tmp_path_factory):
    """The run of `model`, trained on to step 8."""
    folder = tmp_path_factory.mktemp("newer") / "run"
    shutil.copytree(model, folder)
    flags = ("--output_dir", folder, "--max_steps", 8, "--lr", 0.01)
    succeeded(call("train", "--input_dir", data / "train", *flags, *SMALL, *SHALLOW))
    return folder


@pytest.fixture
def run(model, tmp_path):
    """A copy of `model`."""
    return Path(shutil.copytree(model, tmp_path / "run"))


@pytest.fixture
def replaced(run, newer, monkeypatch):
    """A function that lets a call of TensorFlow's replace the checkpoint of `run` by `newer`'s."""

    def replace_at(owner, name, number):
        former, calls = getattr(owner, name), []

        def wrapped(*args, **named):
            calls.append(args)
            if len(calls) == number:
                replace()
            return former(*args, **named)

        monkeypatch.setattr(owner, name, wrapped)

    def replace():
        for path in run.glob("model-*"):
            path.unlink()
        for path in (*newer.glob("model-*"), newer / "checkpoint"):
            shutil.copy(path, run)

    return replace_at


# The calls that read the checkpoint: its index is read when it is found, and again for the weights.
@pytest.mark.parametrize(
    "call_of_tensorflow",
    [
        (tf.train, "load_checkpoint", 1),
        (tf.train, "load_checkpoint", 2),
        (tf.raw_ops, "RestoreV2", 1),
    ],
    ids=["found", "found again", "restored"],
)
def test_translation(call_of_tensorflow, replaced, run, newer, data, tmp_path, monkeypatch):
    replaced(*call_of_tensorflow)
    flags = ("--input_dir", data / "test", "--output_dir")
    done = succeeded(call("test", "--checkpoint", run, *flags, tmp_path / "out", "--grid"))
    monkeypatch.undo()
    assert f"checkpoint: {run / 'model-8'}, AtoB" in done.stdout
    assert "steps trained 8" in page_text(tmp_path / "out")
    succeeded(call("test", "--checkpoint", newer, *flags, tmp_path / "wanted"))
    assert_same_images(images(tmp_path / "out"), images(tmp_path / "wanted"))


def page_text(folder):
    return " ".join(re.sub("<[^>]*>", " ", (folder / "index.html").read_text()).split())


@pytest.mark.parametrize(
    ("tool", "flags", "call_of_tensorflow"),
    [
        ("export", ["--output_dir"], (tf.raw_ops, "RestoreV2", 1)),
        ("export", ["--output_dir"], (tf.raw_ops, "RestoreV2", 2)),
        ("convert", ["--to", "native", "--output"], (tf.train, "load_checkpoint", 2)),
    ],
    ids=["the meta graph", "the SavedModel", "conversion"],
)
def test_export_and_conversion(
    tool, flags, call_of_tensorflow, replaced, run, newer, tmp_path, monkeypatch
):
    replaced(*call_of_tensorflow)
    succeeded(call(tool, "--checkpoint", run, *flags, tmp_path / "out"))
    monkeypatch.undo()
    succeeded(call(tool, "--checkpoint", newer, *flags, tmp_path / "wanted"))
    found, wanted = (
        {
            path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
            for path in (tmp_path / name).rglob("*.data-*")
        }
        for name in ("out", "wanted")
    )
    assert found == wanted
    assert found
