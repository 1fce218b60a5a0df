"""FCN-8s in Caffe's format, against a second forward pass in NumPy."""

import dataclasses
import os
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from p2p_graph.segmentation import caffe_fcn8s, opencv_networks, segmenters
from p2p_graph.utils.errors import UserError

from . import network_files

SIZE = (64, 128)  # FCN-8s' pooling meets odd sizes here


def convolved(x, filters, biases=None, pad=0):
    """Convolves [C, H, W] with filters [O, C, k, k], padded by zeros."""
    size = filters.shape[-1]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    total = np.zeros((len(filters), height, width))
    for i in range(size):
        for j in range(size):
            part = x[:, i : i + height, j : j + width]
            total += np.tensordot(filters[:, :, i, j], part, 1)
    return total if biases is None else total + biases[:, None, None]


def deconvolved(x, filters, stride):
    """Adds filters [C, O, k, k], times each value of [C, H, W], `stride` pixels apart."""
    (_, height, width), size = x.shape, filters.shape[-1]
    total = np.zeros((filters.shape[1], (height - 1) * stride + size, (width - 1) * stride + size))
    for y in range(height):
        for x_ in range(width):
            part = np.tensordot(x[:, y, x_], filters, 1)
            total[:, y * stride :, x_ * stride :][:, :size, :size] += part
    return total


def pooled(x):
    """The maximum of each 2x2; at an odd border, of fewer pixels, as Caffe does."""
    channels, height, width = x.shape
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    return x.reshape(channels, -(-height // 2), 2, -(-width // 2), 2).max((2, 4))


def slow_scores(x, weights):
    """FCN-8s (Long, Shelhamer and Darrell 2015) of a preprocessed image [3, H, W]."""
    _, height, width = x.shape
    pools = []
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            x = np.maximum(convolved(x, *weights[name], 100 if name == "conv1_1" else 1), 0)
        x = pooled(x)
        pools.append(x)
    for name in ("fc6_cs", "fc7_cs"):
        x = np.maximum(convolved(x, *weights[name]), 0)
    x = deconvolved(convolved(x, *weights["score_fr"]), *weights["upscore2"], 2)
    for pool, name, up, offset, stride in (
        (pools[3], "score_pool4", "upscore_pool4", 5, 2),
        (pools[2], "score_pool3", "upscore8", 9, 8),
    ):
        beside = convolved(pool, *weights[name])[:, offset:, offset:]
        x = deconvolved(x + beside[:, : x.shape[1], : x.shape[2]], *weights[up], stride)
    return x[:, 31 : 31 + height, 31 : 31 + width]


def slow_resized(image, size):
    """Pillow's bilinear filter: a triangle as wide as the step, along x and then along y."""
    for axis in (1, 0):
        old, new = image.shape[axis], size[axis]
        step = old / new
        centres = (np.arange(new)[:, None] + 0.5) * step
        distances = abs(np.arange(old) + 0.5 - centres) / max(step, 1)
        weights = np.maximum(1 - distances, 0)
        weights /= weights.sum(1, keepdims=True)
        means = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
        image = np.floor(means + 0.5)
    return image


def write_fcn8s(folder, layers, weights, shape=(1, 3, 500, 500)):
    folder.mkdir(exist_ok=True)
    text = network_files.prototxt(layers, shape)
    (folder / "deploy.prototxt").write_text(text, encoding="utf-8")
    (folder / "fcn-8s.caffemodel").write_bytes(network_files.caffemodel(layers, weights))
    return folder


@pytest.fixture
def small_fcn8s(tmp_path, rng):
    """A folder with a small FCN-8s, and its weights."""
    layers, weights = network_files.fcn8s(rng)
    return write_fcn8s(tmp_path / "fcn", layers, weights), weights


@pytest.mark.parametrize("size", [SIZE, (72, 40)], ids=str)
@pytest.mark.parametrize("classes", [19, 20])
def test_fcn8s(tmp_path, rng, image, size, classes):
    """From an image to its classes; the size in the prototxt is not the image's."""
    layers, weights = network_files.fcn8s(rng, classes=classes)
    folder = write_fcn8s(tmp_path / "fcn", layers, weights)
    segmenter = dataclasses.replace(
        segmenters.load(str(folder)), predict=caffe_fcn8s.load(folder, size)
    )

    scaled = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    red, green, blue = np.moveaxis(np.asarray(scaled, np.float64), -1, 0)
    wanted = slow_scores(np.stack([blue - 72.78044, green - 83.21195, red - 73.45286]), weights)
    scores, ids = segmenter.predict(image), segmenter(image)
    assert scores.dtype == np.float32
    assert wanted.shape == (classes, *size)
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-4 * wanted.std())

    second, first = np.sort(wanted, axis=0)[-2:]
    clear = first - second > 1e-3 * wanted.std()
    assert clear.mean() > 0.99
    assert len(np.unique(ids)) > 5  # fewer classes would make the comparison weak
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids[clear], wanted.argmax(axis=0)[clear])


def test_fcn8s_is_named(small_fcn8s):
    folder, _ = small_fcn8s
    segmenter = segmenters.load(str(folder))
    assert (segmenter.name, segmenter.is_fcn8s) == ("fcn", True)
    assert segmenter.predict.size == (1024, 2048)


@pytest.mark.parametrize("size", [(64, 128), (17, 11), (40, 200)], ids=str)
def test_resize(image, size):
    scaled = caffe_fcn8s.resize(image, size)
    assert (scaled.dtype, scaled.shape) == (np.uint8, (*size, 3))
    pil_image = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(scaled, pil_image)
    # Pillow's weights have few bits, so halves may be rounded the other way.
    np.testing.assert_allclose(scaled, slow_resized(image, size), rtol=0, atol=1)


def test_preprocess():
    """Blue, green, red, each minus its own mean."""
    values = caffe_fcn8s.preprocess(np.array([[[255, 0, 0], [0, 0, 100]]], np.uint8))
    wanted = [[-72.78044, 27.21956], [-83.21195, -83.21195], [181.54714, -73.45286]]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, np.reshape(wanted, (1, 3, 1, 2)), rtol=1e-6)


def test_prototxt_beside_others(small_fcn8s):
    """deploy.prototxt is preferred; without it there must be one .prototxt."""
    folder, _ = small_fcn8s
    (folder / "train.prototxt").write_text("nonsense", encoding="utf-8")
    caffe_fcn8s.load(folder)
    (folder / "deploy.prototxt").replace(folder / "deployed.prototxt")
    with pytest.raises(UserError, match=r"holds 2 files \*\.prototxt \(deployed\.\w+, train\.\w+"):
        caffe_fcn8s.load(folder)
    (folder / "train.prototxt").unlink()
    caffe_fcn8s.load(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.caffemodel"], r"holds 0 files \*\.prototxt"),
        (["deploy.prototxt"], r"holds 0 files \*\.caffemodel"),
        (["deploy.prototxt", "a.caffemodel", "b.caffemodel"], r"2 files .*\(a\.\w+, b\.\w+\): lea"),
    ],
)
def test_files_of_caffe(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=message):
        segmenters.load(str(tmp_path))


def no_score(layers, weights):
    layers[-1] = layers[-1]._replace(name="result")


def no_weights(name):
    return lambda layers, weights: weights.pop(name)


def not_numbers(layers, weights):
    weights["score_fr"][0][0] = np.nan


def other_kernel(layers, weights):
    weights["conv2_1"][0] = weights["conv2_1"][0][:, :, :2, :2]


def not_cropped(layers, weights):
    layers.pop()
    layers[-1] = layers[-1]._replace(name="score")
    weights["score"] = weights["upscore8"]


def unchanged(layers, weights):
    pass


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, no_score, r"is not FCN-8s .* no blob `score`, its last is result"),
        ({"classes": 21}, unchanged, "`score` is 21x32x32, not 19x32x32 or 20x32x32"),
        ({"classes": 18}, unchanged, "`score` is 18x32x32, not 19x32x32 or 20x32x32"),
        ({}, not_cropped, "of 32x32 pixels its blob `score` is 20x120x120, not 19x32x32"),
        ({"inputs": 1}, unchanged, "takes images of 1 channel, not 3"),
        ({"inputs": 4}, unchanged, "takes images of 4 channels, not 3"),
        ({}, no_weights("upscore8"), r"fcn-8s\.caffemodel has no weights for layer upscore8 of"),
        ({}, no_weights("conv1_1"), r"has no weights for layer conv1_1 of"),
        ({}, not_numbers, "gives scores that are not numbers"),
        ({}, other_kernel, "is not FCN-8s for Cityscapes: it cannot take an image of 32x32"),
    ],
)
def test_wrong_networks(tmp_path, rng, capfd, options, change, message):
    """Loading refuses them, in one line."""
    layers, weights = network_files.fcn8s(rng, **options)
    change(layers, weights)
    folder = write_fcn8s(tmp_path / "fcn", layers, weights)
    with pytest.raises(UserError, match=message) as raised:
        segmenters.load(str(folder))
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_no_weights_at_all(small_fcn8s):
    folder, _ = small_fcn8s
    (folder / "fcn-8s.caffemodel").write_bytes(b"")
    with pytest.raises(UserError, match="has no weights for layer conv1_1 and 20 more of"):
        caffe_fcn8s.load(folder)


@pytest.mark.parametrize("name", ["deploy.prototxt", "fcn-8s.caffemodel"])
def test_damaged_files(small_fcn8s, capfd, name):
    """OpenCV and its parser print nothing."""
    folder, _ = small_fcn8s
    contents = (folder / name).read_bytes()
    (folder / name).write_bytes(contents[: len(contents) // 2 + 1])
    with pytest.raises(UserError, match=rf"cannot be read as a Caffe network: .*{name}") as raised:
        caffe_fcn8s.load(folder)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_silence_ends(capfd, small_fcn8s):
    caffe_fcn8s.load(small_fcn8s[0])
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


@pytest.fixture
def import_again():
    """OpenCV is imported again, in this test and in the next."""
    opencv_networks.import_opencv.cache_clear()
    yield
    opencv_networks.import_opencv.cache_clear()


@pytest.mark.usefixtures("import_again")
def test_without_opencv(monkeypatch, small_fcn8s):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"OpenCV is missing .*: pip install .* -e '\.\[fcn\]'"):
        segmenters.load(str(small_fcn8s[0]))


def test_opencv_without_caffe(monkeypatch, small_fcn8s):
    """OpenCV 5 reads none."""
    monkeypatch.delattr(cv2.dnn, "readNetFromCaffe")
    with pytest.raises(UserError, match=r"reads no Caffe networks: pip install .* -e '\.\[fcn\]'"):
        segmenters.load(str(small_fcn8s[0]))
