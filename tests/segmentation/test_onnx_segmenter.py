"""Segmenters that are .onnx files, run by OpenCV."""

import dataclasses

import numpy as np
import pytest

from p2p_graph.imaging.palettes import Palette
from p2p_graph.segmentation import segmenters
from p2p_graph.utils.errors import UserError

from . import network_files
from .network_files import Node, pointwise_scores


def write_onnx(path, constants, nodes=(), outputs=("scores",), channels=3, **options):
    first = Node("Conv", ("image", "filters", "biases"), "scores", options)
    names = dict(zip(("filters", "biases"), constants, strict=True))
    shape = (1, channels, "height", "width")
    path.write_bytes(network_files.onnx([first, *nodes], names, outputs, shape))
    return str(path)


@pytest.mark.parametrize("stride", [1, 3])
def test_onnx(tmp_path, image, pointwise, stride):
    strides = [stride, stride]
    path = write_onnx(tmp_path / "net.onnx", pointwise, kernel_shape=[1, 1], strides=strides)
    segmenter = segmenters.load(path)
    assert (segmenter.name, segmenter.is_fcn8s) == ("net.onnx", False)
    for shown in (image, image[:21, 10:], image):
        ids = segmenter(shown)
        wanted = pointwise_scores(shown, *pointwise)[::stride, ::stride]
        assert ids.dtype == np.int64
        np.testing.assert_array_equal(ids, wanted.argmax(axis=2))
        assert len(np.unique(ids)) > 2


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([Node("Flatten", ("scores",), "flat")], ["flat"], r"net\.onnx gives .*, not scores \[1"),
        (
            [Node("Relu", ("scores",), "a"), Node("Tanh", ("scores",), "b")],
            ["a", "b"],
            r"net\.onnx has 2 outputs \(a, b\): export it with one",
        ),
    ],
)
def test_wrong_onnx(tmp_path, image, pointwise, nodes, outputs, message):
    path = write_onnx(tmp_path / "net.onnx", pointwise, nodes, outputs)
    with pytest.raises(UserError, match=message):
        segmenters.load(path)(image)


def test_onnx_of_other_channels(tmp_path, image, rng, capfd):
    """The error gives the reason, and OpenCV prints nothing."""
    constants = rng.normal(size=(4, 5, 1, 1)), np.zeros(4)
    segmenter = segmenters.load(write_onnx(tmp_path / "net.onnx", constants, channels=5))
    message = "^segmenter net.onnx cannot take an image of 56x40 pixels: .*multiple of 5 but got 3"
    with pytest.raises(UserError, match=message):
        segmenter(image)
    assert capfd.readouterr() == ("", "")


def test_damaged_onnx(tmp_path, capfd, pointwise):
    path = tmp_path / "net.onnx"
    write_onnx(path, pointwise)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"net\.onnx cannot be read as an ONNX network: .") as bad:
        segmenters.load(str(path))
    assert "\n" not in str(bad.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_scores_match_the_palette(tmp_path, image, pointwise, classes):
    """One score more is allowed, for pixels without a class."""
    names = {f"c{n}": (n, n, n) for n in range(classes)}
    segmenter = segmenters.load(write_onnx(tmp_path / "net.onnx", pointwise))
    count = len(pointwise[1])
    assert count in (3, 4)
    segmenter = dataclasses.replace(segmenter, palette=Palette("mine", names))
    if count - classes in (0, 1):
        assert segmenter(image).max() < count
        return
    with pytest.raises(
        UserError, match=f"gives scores of {count} classes; palette mine has {classes}"
    ):
        segmenter(image)


def test_scores_that_are_not_numbers(tmp_path, image, pointwise):
    filters, biases = pointwise
    path = write_onnx(tmp_path / "net.onnx", (filters, biases * np.nan))
    with pytest.raises(UserError, match=r"^segmenter net\.onnx gives scores that are not numbers$"):
        segmenters.load(path)(image)


def test_a_file_on_which_opencv_crashes(tmp_path, capfd, pointwise):
    """A process that reads this file ends by a signal: a name is not UTF-8."""
    path = tmp_path / "net.onnx"
    write_onnx(path, pointwise)
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Con\xf6"))
    with pytest.raises(UserError, match=r"net\.onnx cannot be read as an ONNX network: .") as bad:
        segmenters.load(str(path))
    assert "\n" not in str(bad.value)
    assert capfd.readouterr() == ("", "")
