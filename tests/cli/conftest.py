"""Images and models for the end-to-end tests, made once in each worker."""

import functools
import shutil
import subprocess
import sys

import pytest

from .common import ROOT, SHALLOW, SMALL, call, succeeded, tensors, write_tensors

sys.path.insert(0, str(ROOT / "data"))
from facade_paint import CLASSES


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with `train` (5 pairs) and `test` (7): drawn facades of 64x32 pixels."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    made = subprocess.run(
        [
            *(sys.executable, ROOT / "data" / "make_facades.py", "--output_dir", folder),
            *("--train", "5", "--test", "7", "--size", "32"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def make_model(data, tmp_path_factory):
    """A function that trains a small model for 4 steps with some flags, and returns its folder."""

    @functools.cache
    def make(*flags):
        folder = tmp_path_factory.mktemp("model")
        # A large --lr, so that outputs and what the seed changes in them are well apart.
        fixed = ("--output_dir", folder, "--max_steps", 4, "--lr", 0.01)
        succeeded(call("train", "--input_dir", data / "train", *fixed, *SMALL, *flags))
        return folder

    return make


@pytest.fixture(scope="session")
def model(make_model):
    """A folder with a small model's checkpoint, AtoB."""
    return make_model(*SHALLOW)


@pytest.fixture(scope="session")
def other_model(model, tmp_path_factory):
    """The model with one weight changed."""
    folder = tmp_path_factory.mktemp("other") / "model"
    arrays = tensors(model)
    arrays["generator/encoder_1/conv/filter"][0, 0, 0, 0] += 1
    write_tensors(folder, arrays, 4)
    shutil.copy(model / "options.json", folder)
    return folder


@pytest.fixture(scope="session")
def palette(tmp_path_factory):
    """The drawn facades' colours in a file; blinds are ignored."""
    path = tmp_path_factory.mktemp("palette") / "drawn.csv"
    rows = ["class,red,green,blue"]
    for name, (colour, _) in CLASSES.items():
        rows.append(",".join(map(str, ("" if name == "blind" else name, *colour))))
    path.write_text("\n".join(rows) + "\n")
    return path
