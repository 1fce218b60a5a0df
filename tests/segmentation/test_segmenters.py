"""Segmenters of every kind; FCN-8s against a forward pass written again in NumPy."""

import dataclasses
import os
import sys
import textwrap

import cv2
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.imaging.palettes import Palette
from p2p_graph.segmentation import fcn8s, opencv_networks, segmenters
from p2p_graph.utils.errors import UserError

from . import network_files
from .network_files import Node

SIZE = (64, 128)  # where FCN-8s' pooling meets odd sizes


@pytest.fixture
def image(rng):
    """Smooth enough that neighbours are alike, in colours that are not: uint8 [40, 56, 3]."""
    small = rng.integers(0, 256, (8, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((56, 40), Image.Resampling.BICUBIC))


def convolved(x, filters, biases=None, pad=0):
    """Slides filters [O, C, k, k] over [C, H, W], with zeros around."""
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
    """Lays filters [C, O, k, k], times each value of [C, H, W], `stride` pixels apart."""
    (_, height, width), size = x.shape, filters.shape[-1]
    total = np.zeros((filters.shape[1], (height - 1) * stride + size, (width - 1) * stride + size))
    for y in range(height):
        for x_ in range(width):
            part = np.tensordot(x[:, y, x_], filters, 1)
            total[:, y * stride :, x_ * stride :][:, :size, :size] += part
    return total


def pooled(x):
    """The largest of each 2x2; at an odd border of the 2 or 1 that there are, as Caffe does."""
    channels, height, width = x.shape
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    return x.reshape(channels, -(-height // 2), 2, -(-width // 2), 2).max((2, 4))


def slow_scores(x, weights):
    """FCN-8s (Long, Shelhamer and Darrell 2015) of a prepared image [3, H, W]."""
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
    """Bilinear as Pillow has it: a triangle that grows with the step, along x and then along y."""
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
    """The whole way of an image; Caffe's declared input size is not the image's."""
    layers, weights = network_files.fcn8s(rng, classes=classes)
    segmenter = segmenters.load(str(write_fcn8s(tmp_path / "fcn", layers, weights)), size)

    scaled = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    red, green, blue = np.moveaxis(np.asarray(scaled, np.float64), -1, 0)
    wanted = slow_scores(np.stack([blue - 72.78044, green - 83.21195, red - 73.45286]), weights)
    scores, ids = segmenter.run(image), segmenter(image)
    assert scores.dtype == np.float32
    assert wanted.shape == (classes, *size)
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-4 * wanted.std())

    second, first = np.sort(wanted, axis=0)[-2:]
    clear = first - second > 1e-3 * wanted.std()
    assert clear.mean() > 0.99
    assert len(np.unique(ids)) > 5  # else the comparison says little
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids[clear], wanted.argmax(axis=0)[clear])


def test_fcn8s_is_named(small_fcn8s):
    folder, _ = small_fcn8s
    segmenter = segmenters.load(str(folder))
    assert (segmenter.name, segmenter.is_fcn8s) == ("fcn", True)
    assert segmenter.run.size == (1024, 2048)


@pytest.mark.parametrize("size", [(64, 128), (17, 11), (40, 200)], ids=str)
def test_resized(image, size):
    scaled = fcn8s.resized(image, size)
    assert (scaled.dtype, scaled.shape) == (np.uint8, (*size, 3))
    pil_image = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(scaled, pil_image)
    # Pillow's weights have few bits: halves may be rounded the other way.
    np.testing.assert_allclose(scaled, slow_resized(image, size), rtol=0, atol=1)


def test_prepared():
    """Blue, green, red, each minus its own mean."""
    values = fcn8s.prepared(np.array([[[255, 0, 0], [0, 0, 100]]], np.uint8))
    wanted = [[-72.78044, 27.21956], [-83.21195, -83.21195], [181.54714, -73.45286]]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, np.reshape(wanted, (1, 3, 1, 2)), rtol=1e-6)


def test_prototxt_beside_others(small_fcn8s):
    """`deploy.prototxt` goes before others; without it there must be one."""
    folder, _ = small_fcn8s
    (folder / "train.prototxt").write_text("nonsense", encoding="utf-8")
    fcn8s.load(folder)
    (folder / "deploy.prototxt").replace(folder / "deployed.prototxt")
    with pytest.raises(UserError, match=r"holds 2 files \*\.prototxt \(deployed\.\w+, train\.\w+"):
        fcn8s.load(folder)
    (folder / "train.prototxt").unlink()
    fcn8s.load(folder)


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
        ({"inputs": 1}, unchanged, "takes images of 1 channels, not 3"),
        ({"inputs": 4}, unchanged, "takes images of 4 channels, not 3"),
        ({}, no_weights("upscore8"), r"fcn-8s\.caffemodel has no weights for layer upscore8 of"),
        ({}, no_weights("conv1_1"), r"has no weights for layer conv1_1 of"),
        ({}, not_numbers, "gives scores that are not numbers"),
        ({}, other_kernel, "is not FCN-8s for Cityscapes: it cannot take an image of 32x32"),
    ],
)
def test_wrong_networks(tmp_path, rng, capfd, options, change, message):
    """They are told of before an image is looked at, in one line."""
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
        fcn8s.load(folder)


@pytest.mark.parametrize("name", ["deploy.prototxt", "fcn-8s.caffemodel"])
def test_damaged_files(small_fcn8s, capfd, name):
    """OpenCV and its parser keep silent."""
    folder, _ = small_fcn8s
    contents = (folder / name).read_bytes()
    (folder / name).write_bytes(contents[: len(contents) // 2 + 1])
    with pytest.raises(UserError, match=rf"cannot be read as .* Caffe: .*{name}") as raised:
        fcn8s.load(folder)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_silence_ends(capfd, small_fcn8s):
    fcn8s.load(small_fcn8s[0])
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


@pytest.fixture
def import_again():
    """OpenCV is imported anew, in this test and in the next."""
    opencv_networks.module.cache_clear()
    yield
    opencv_networks.module.cache_clear()


@pytest.mark.usefixtures("import_again")
def test_without_opencv(monkeypatch, small_fcn8s):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"OpenCV is missing .*: pip install '\.\[fcn\]'"):
        segmenters.load(str(small_fcn8s[0]))


def test_opencv_without_caffe(monkeypatch, small_fcn8s):
    """As the fifth is."""
    monkeypatch.delattr(cv2.dnn, "readNetFromCaffe")
    with pytest.raises(UserError, match=r"reads no networks of Caffe: pip install '\.\[fcn\]'"):
        segmenters.load(str(small_fcn8s[0]))


@pytest.fixture
def pointwise(rng):
    """A 1x1 convolution's filters and biases, from 3 channels to 4."""
    filters = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    # At the middle of the range all scores are equal, so that the range matters.
    return filters, -0.5 * filters.sum((1, 2, 3))


def pointwise_scores(image, filters, biases):
    """float64 [H, W, 4]."""
    return image / 255 @ filters[:, :, 0, 0].T.astype(np.float64) + biases


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
    """The reason is given, and OpenCV keeps silent."""
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
    with pytest.raises(UserError, match=r"net\.onnx cannot be read as a network of ONNX: .") as bad:
        segmenters.load(str(path))
    assert "\n" not in str(bad.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_scores_are_of_the_palettes_classes(tmp_path, image, pointwise, classes):
    """Or one more, for what is of none."""
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


def save_model(folder, make, dtype=tf.float32, shape=(None, None, None, 3), name="classes"):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(dtype, shape)
        filters = tf.get_variable("filters", initializer=np.float32(1))
        session.run(filters.initializer)
        outputs = make(images, filters)
        outputs = outputs if isinstance(outputs, dict) else {name: outputs}
        tf.saved_model.simple_save(session, str(folder), {"images": images}, outputs)
    return str(folder)


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
def test_saved_model_of_scores(tmp_path, image, pointwise, dtype):
    filters, biases = pointwise

    def make(images, one):
        values = tf.cast(images, tf.float32) / (255 if dtype == tf.uint8 else 1)
        return tf.nn.conv2d(values, one * filters.transpose(2, 3, 1, 0), 1, "SAME") + biases

    segmenter = segmenters.load(save_model(tmp_path / "saved", make, dtype))
    assert (segmenter.name, segmenter.is_fcn8s) == ("saved", False)
    for shown in (image, image[:21, 10:]):
        ids = segmenter(shown)
        assert ids.dtype == np.int64
        np.testing.assert_array_equal(ids, pointwise_scores(shown, *pointwise).argmax(axis=2))


@pytest.mark.parametrize("dtype", [tf.uint8, tf.int32])
def test_saved_model_of_classes(tmp_path, image, dtype):
    def make(images, one):
        return tf.cast(tf.cast(images, tf.int32)[:, ::2, ::2, 1] // 32, dtype)

    ids = segmenters.load(save_model(tmp_path / "saved", make, tf.uint8))(image)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, image[::2, ::2, 1] // 32)


def test_saved_model_of_a_function(tmp_path, image):
    """As TensorFlow 2 writes it."""
    module = tf.Module()
    module.divisor = tf.Variable(32, dtype=tf.int32, use_resource=True)
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
    module.run = tf.function(lambda x: tf.cast(x, tf.int32)[..., 1] // module.divisor, [spec])
    tf.compat.v2.saved_model.save(module, str(tmp_path / "saved"), module.run)
    ids = segmenters.load(str(tmp_path / "saved"))(image)
    np.testing.assert_array_equal(ids, image[..., 1] // 32)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda x, one: x,
            {"dtype": tf.float64},
            r"takes float64 \(None, None, None, 3\), not uint8",
        ),
        (lambda x, one: x, {"shape": (None, 3)}, r"takes float32 \(None, 3\), not uint8 or"),
        (lambda x, one: x, {"shape": (None, 8, 8, 1)}, r"takes float32 \(None, 8, 8, 1\), not"),
        (lambda x, one: x, {"shape": (4, None, None, 3)}, r"takes float32 \(4, None, None, 3\)"),
        (lambda x, one: x[..., 0], {}, r"gives float32 \(None, None, None\), neither integer"),
        (lambda x, one: x[..., 0] > one, {}, r"gives bool \(None, None, None\), neither integer"),
        (lambda x, one: tf.cast(x, tf.int32), {}, r"gives int32 \(None, None, None, 3\), neither"),
        (
            lambda x, one: {"a": x, "b": x},
            {},
            r"has 2 outputs \(a, b\) in serving_default, not one",
        ),
    ],
)
def test_wrong_saved_models(tmp_path, make, options, message):
    folder = save_model(tmp_path / "saved", make, **options)
    with pytest.raises(UserError, match=rf"{folder} {message}"):
        segmenters.load(folder)


def test_saved_model_of_one_size(tmp_path, image):
    shape = (None, 8, 8, 3)
    folder = save_model(tmp_path / "saved", lambda x, one: x * one, shape=shape)
    segmenter = segmenters.load(folder)
    assert segmenter(image[:8, :8]).shape == (8, 8)
    with pytest.raises(UserError, match=r"^segmenter saved cannot take an image of 56x40 ") as bad:
        segmenter(image)
    assert "\n" not in str(bad.value)


def test_saved_model_without_signature(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.uint8, (None, None, None, 3))
        signature = tf.saved_model.predict_signature_def({"a": images}, {"b": images[..., 0]})
        builder = tf.saved_model.Builder(str(tmp_path / "saved"))
        tags = [tf.saved_model.SERVING]
        builder.add_meta_graph_and_variables(session, tags, {"encoded": signature})
        builder.save()
    with pytest.raises(UserError, match=r"saved has no signature serving_default \(it has: enc"):
        segmenters.load(str(tmp_path / "saved"))


def test_damaged_saved_model(tmp_path):
    folder = save_model(tmp_path / "saved", lambda x, one: x * one)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=f"{folder} cannot be loaded as a SavedModel: .") as bad:
        segmenters.load(folder)
    assert "\n" not in str(bad.value)


def test_saved_model_without_weights(tmp_path):
    folder = save_model(tmp_path / "saved", lambda x, one: x * one)
    for path in (tmp_path / "saved" / "variables").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"{folder} cannot be loaded as a SavedModel: .") as bad:
        segmenters.load(folder)
    assert "\n" not in str(bad.value)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module into the current folder, which is not that of the program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("none", [-1, 2, 255, -2, 3, 254])
def test_classes_are_the_palettes(plugin, image, none):
    """Or what stands for none: -1, one more than there are, 255."""
    name = f"some_{none + 2}"
    plugin(name, f"def classes(x): y = x[..., 0].astype(int) // 128; y[3] = {none}; return y")
    palette = Palette("mine", {"a": (0, 0, 0), "b": (1, 1, 1)})
    segmenter = dataclasses.replace(segmenters.load(f"{name}:classes"), palette=palette)
    if none in (-1, 2, 255):
        assert (segmenter(image)[3] == none).all()
        return
    with pytest.raises(UserError, match=f"gives class {none}; palette mine has 2 from 0 on"):
        segmenter(image)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_function(plugin, image, dtype):
    plugin("greens", f"def classes(image): return (image[::2, ::2, 1] // 32).astype('{dtype}')")
    segmenter = segmenters.load("greens:classes")
    assert (segmenter.name, segmenter.is_fcn8s) == ("greens:classes", False)
    ids = segmenter(image)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, image[::2, ::2, 1] // 32)


def test_modules_of_the_current_folder_hide_nothing(plugin, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    plugin("colorsys", "raise RuntimeError('hides the library')")
    with pytest.raises(UserError, match="module colorsys has no function classes"):
        segmenters.load("colorsys:classes")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("classes = 1", "^segmenter bad:classes: module bad has no function classes$"),
        ("import no_such", "module bad cannot be imported: ModuleNotFoundError: No .*no_such"),
        ("def classes(", "module bad cannot be imported: SyntaxError: "),
        ("1 / 0", "module bad cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_wrong_modules(plugin, source, message):
    plugin("bad", source)
    with pytest.raises(UserError, match=message):
        segmenters.load("bad:classes")


def test_no_module(plugin):
    with pytest.raises(UserError, match="module nowhere cannot be imported: ModuleNotFoundError"):
        segmenters.load("nowhere:classes")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "gives NoneType, not an integer array"),
        ("[[1, 2]]", "gives list, not an integer array"),
        ("x", r"gives uint8 \[40, 56, 3\], not an integer array \[H, W\]"),
        ("x[..., 0] / 2", r"gives float64 \[40, 56\], not an integer array"),
        ("x[..., 0] > 2", r"gives bool \[40, 56\], not an integer array"),
        ("x[:0, :, 0]", r"gives uint8 \[0, 56\], not an integer array"),
        ("x.no_such", "failed: AttributeError: .*no_such"),
    ],
)
def test_wrong_results(plugin, image, result, message):
    plugin("wrong", f"def classes(x): return {result}")
    segmenter = segmenters.load("wrong:classes")
    with pytest.raises(UserError, match=f"^segmenter wrong:classes {message}") as raised:
        segmenter(image)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spec", ["nowhere", "nowhere.onnx", "a folder/b", "a b:c", "m:f:g", ""])
def test_nothing_there(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    found = "is none" if not spec else "does not exist"
    with pytest.raises(UserError, match=f"^segmenter {spec} {found}; it may be a folder with"):
        segmenters.load(spec)


def test_other_files(tmp_path):
    (tmp_path / "net.txt").touch()
    for spec in (tmp_path, tmp_path / "net.txt"):
        with pytest.raises(UserError, match=f"^segmenter {spec} is none; it may be a folder with"):
            segmenters.load(str(spec))
