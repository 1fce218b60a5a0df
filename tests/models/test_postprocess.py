"""From the networks' values back to images."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Options
from p2p_graph.data import lab_color
from p2p_graph.data.input_graph import Batch
from p2p_graph.imaging.preview import KINDS
from p2p_graph.models import postprocess

# sRGB and Lab (D65), published values.
LAB = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
}


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def values_of(rng, *shape):
    return np.float32(rng.uniform(-1, 1, shape))


def shown(session, config, inputs, outputs, targets):
    tensors = [
        None if x is None else tf.constant(x, tf.float32) for x in (inputs, outputs, targets)
    ]
    batch = Batch(tf.constant(["path"]), tensors[0], tensors[2])
    return session.run(postprocess.to_rgb(batch, tensors[1], config.data.task))


def in_bytes(session, config, **images):
    tensors = {kind: tf.constant(image, tf.float32) for kind, image in images.items()}
    return session.run(postprocess.to_integers(tensors, config.outputs.aspect_ratio))


# to_rgb


def test_values_become_images(session, rng):
    values = [values_of(rng, 2, 4, 4, 3) for _ in range(3)]
    images = shown(session, Options.of(), *values)
    assert list(images) == ["inputs", "outputs", "targets"] == list(KINDS)
    for image, value in zip(images.values(), values, strict=True):
        np.testing.assert_allclose(image, (value + 1) / 2, atol=1e-6)
    ends = shown(session, Options.of(), *np.float32([[[[[-1, 0, 1]]]]] * 3))
    np.testing.assert_array_equal(ends["outputs"], [[[[0, 0.5, 1]]]])


def test_no_targets(session, rng):
    images = shown(session, Options.of(), *[values_of(rng, 1, 4, 4, 3)] * 2, None)
    assert list(images) == ["inputs", "outputs"]


def scaled_lab():
    lab = np.array(list(LAB.values()))
    return np.split(np.float32(lab / [50, 110, 110] - [1, 0, 0])[None, None], [1], axis=-1)


def test_lab_to_ab(session):
    lightness, ab = scaled_lab()
    config = Options.of(lab_colorization=True, which_direction="AtoB")
    images = shown(session, config, lightness, ab, 0 * ab)
    rgb = np.array(list(LAB)) / 255
    np.testing.assert_allclose(images["outputs"][0, 0], rgb, atol=0.004)
    np.testing.assert_allclose(images["inputs"], (lightness + 1) / 2, atol=1e-6)
    assert images["inputs"].shape == (1, 1, 5, 1)
    # Targets whose ab channels are 0: the L channel in grey.
    assert np.ptp(images["targets"], axis=-1).max() < 0.002
    swapped = shown(session, config, lightness, 0 * ab, ab)
    np.testing.assert_allclose(swapped["targets"], images["outputs"])


def test_lab_to_lightness(session):
    lightness, ab = scaled_lab()
    config = Options.of(lab_colorization=True, which_direction="BtoA")
    images = shown(session, config, ab, lightness / 2, lightness)
    rgb = np.array(list(LAB)) / 255
    # The input is shown with the true L channel, not with the output's.
    np.testing.assert_allclose(images["inputs"][0, 0], rgb, atol=0.004)
    np.testing.assert_allclose(images["outputs"], (lightness / 2 + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(images["targets"], (lightness + 1) / 2, atol=1e-6)
    assert images["outputs"].shape == images["targets"].shape == (1, 1, 5, 1)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab_and_back_is_the_same_image(session, rng, direction):
    rgb = np.uint8(rng.integers(0, 256, (1, 8, 8, 3)))
    lab = session.run(lab_color.split_lab(tf.constant(rgb / 255, tf.float32)))
    lightness, ab = lab[..., :1], lab[..., 1:]
    config = Options.of(lab_colorization=True, which_direction=direction)
    parts = (lightness, ab) if direction == "AtoB" else (ab, lightness)
    images = in_bytes(session, config, **shown(session, config, parts[0], parts[1], parts[1]))
    kind = "targets" if direction == "AtoB" else "inputs"
    assert np.abs(images[kind].astype(int) - rgb).max() <= 1


# to_integers


def test_every_level_is_exact(session):
    levels = np.arange(256, dtype=np.float32)[None, None, :, None]
    images = in_bytes(session, Options.of(), inputs=levels / 255, outputs=1 - levels / 255)
    assert images["inputs"].dtype == np.uint8
    np.testing.assert_array_equal(images["inputs"], levels)
    np.testing.assert_array_equal(images["outputs"], 255 - levels)


def test_rounding_and_saturation(session):
    """TensorFlow's conversion: 255.5 times the value, truncated."""
    values = np.linspace(-0.5, 1.5, 5001, dtype=np.float32)[None, None, :, None]
    images = in_bytes(session, Options.of(), outputs=values)
    np.testing.assert_array_equal(
        images["outputs"], np.clip(np.trunc(values * np.float32(255.5)), 0, 255)
    )


def test_grey_and_color_keep_their_channels(session, rng):
    grey, rgb = rng.uniform(size=(2, 8, 8, 1)), rng.uniform(size=(2, 8, 8, 3))
    images = in_bytes(session, Options.of(crop_size=8), inputs=grey, outputs=rgb)
    assert list(images) == ["inputs", "outputs"]
    assert images["inputs"].shape == (2, 8, 8, 1)
    assert images["outputs"].shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("ratio", "width"), [(1.0, 16), (2.0, 32), (0.5, 8), (1.3, 21), (0.66, 11)]
)
def test_aspect_ratio_is_width_by_height(session, rng, ratio, width):
    config = Options.of(crop_size=16, aspect_ratio=ratio)
    rows = np.linspace(0, 1, 16)[None, :, None, None] * np.ones((2, 16, 16, 3))
    flat = np.full((2, 16, 16, 1), 0.6)
    images = in_bytes(session, config, inputs=rows, outputs=flat)
    assert images["inputs"].shape == (2, 16, width, 3)
    assert images["outputs"].shape == (2, 16, width, 1)
    # Only the width is stretched.
    expected = np.broadcast_to(images["inputs"][:, :, :1], images["inputs"].shape)
    np.testing.assert_array_equal(images["inputs"], expected)
    assert np.abs(images["inputs"][0, :, 0, 0] - np.linspace(0, 255, 16)).max() <= 1
    assert set(images["outputs"].ravel()) == {153}


def test_stretching_saturates(session):
    """Bicubic interpolation overshoots at edges."""
    edge = np.zeros((1, 16, 16, 1))
    edge[:, :, 8:] = 1
    images = in_bytes(session, Options.of(crop_size=16, aspect_ratio=3.0), outputs=edge)
    row = images["outputs"][0, 0, :, 0].astype(int)
    assert (row[:20] <= 10).all()
    assert (row[-20:] >= 245).all()
