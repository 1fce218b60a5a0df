"""Segmenters that are SavedModels."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.segmentation import segmenters
from p2p_graph.utils.errors import UserError

from .network_files import pointwise_scores


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


def test_saved_model_in_a_folder_that_is_a_pattern(tmp_path, image):
    save_model(tmp_path / "saved", lambda images, one: images[..., 1], tf.uint8)
    (tmp_path / "saved").rename(tmp_path / "saved[1]")
    ids = segmenters.load(str(tmp_path / "saved[1]"))(image)
    np.testing.assert_array_equal(ids, image[..., 1])


def test_saved_model_of_a_function(tmp_path, image):
    """TensorFlow 2 writes such SavedModels."""
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
    with pytest.raises(UserError, match=f"{folder} cannot be read as a SavedModel: .") as bad:
        segmenters.load(folder)
    assert "\n" not in str(bad.value)


def test_saved_model_without_weights(tmp_path):
    folder = save_model(tmp_path / "saved", lambda x, one: x * one)
    for path in (tmp_path / "saved" / "variables").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"{folder} cannot be read as a SavedModel: .") as bad:
        segmenters.load(folder)
    assert "\n" not in str(bad.value)


def test_any_damage_to_a_saved_model(tmp_path, rng, image):
    """It is refused in one line, or the model still gives classes."""
    folder = tmp_path / "saved"
    save_model(folder, lambda x, one: x * one)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for number in range(30):
        path = files[number % len(files)]
        intact = path.read_bytes()
        damaged = bytearray(intact)
        damaged[rng.integers(len(intact))] = rng.integers(256)
        path.write_bytes(damaged if number % 4 else intact[: rng.integers(len(intact))])
        try:
            found = segmenters.load(str(folder))(image)
        except UserError as error:
            message = str(error)
            assert "saved" in message and "\n" not in message  # noqa: PT018
        else:
            assert found.ndim == 2
        path.write_bytes(intact)


def test_a_saved_model_with_a_fifo(tmp_path):
    folder = save_model(tmp_path / "saved", lambda x, one: x * one)
    index = tmp_path / "saved" / "variables" / "variables.index"
    index.unlink()
    os.mkfifo(index)
    with pytest.raises(UserError, match=f"{folder} is a FIFO|{folder} .*a FIFO, not a regular"):
        segmenters.load(folder)


def test_a_signature_of_tensors_that_are_not_there(tmp_path):
    folder = save_model(tmp_path / "saved", lambda x, one: x * one)
    path = tmp_path / "saved" / "saved_model.pb"
    path.write_bytes(path.read_bytes().replace(b"Placeholder:0", b"Nowhere_abc:0"))
    with pytest.raises(UserError, match=f"{folder} cannot be read as a SavedModel: .*Nowhere_abc"):
        segmenters.load(folder)
