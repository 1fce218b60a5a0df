"""The small FCN, and its loss against NumPy."""

import io

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.imaging.palettes import CITYSCAPES, FACADES
from p2p_graph.segmentation.networks.small_fcn import class_scores
from p2p_graph.segmentation.segmenter_training.class_loss import class_ids, cross_entropy


def evaluated(tensor, feed=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensor, feed)


@pytest.mark.parametrize("palette", [CITYSCAPES, FACADES], ids=lambda palette: palette.name)
def test_class_ids_match_the_palette(graph, rng, palette):
    """The images are noise, the palette's colours, and these colours after JPEG."""
    colours = np.array([*palette.classes.values(), *palette.ignored], np.uint8)
    blocks = colours[rng.integers(0, len(colours), (6, 6))].repeat(8, 0).repeat(8, 1)
    file = io.BytesIO()
    Image.fromarray(blocks).save(file, "JPEG", quality=70)
    images = [
        rng.integers(0, 256, (48, 48, 3), np.uint8),
        blocks,
        np.asarray(Image.open(file)),
    ]
    values = tf.image.convert_image_dtype(np.stack(images), tf.float32) * 2 - 1
    found = evaluated(class_ids(values, palette))
    np.testing.assert_array_equal(found, [palette.class_ids(image) for image in images])
    assert set(np.unique(found[1])) > {0, len(palette.classes) - 1}


def test_cross_entropy(graph, rng):
    logits = rng.normal(0, 3, (2, 4, 5, 3)).astype(np.float32)
    ids = rng.integers(0, 5, (2, 4, 5))  # 3 and 4 are ignored
    wanted = []
    for position in np.ndindex(ids.shape):
        if ids[position] < 3:
            odds = np.exp(logits[position].astype(np.float64))
            wanted.append(-np.log(odds[ids[position]] / odds.sum()))
    assert len(wanted) < ids.size
    found = evaluated(cross_entropy(tf.constant(logits), tf.constant(ids)))
    assert found == pytest.approx(np.mean(wanted), rel=1e-5)


def test_cross_entropy_of_no_class(graph):
    ids = tf.fill([1, 4, 4], tf.constant(3, tf.int64))
    logits = tf.ones([1, 4, 4, 3])
    loss = cross_entropy(logits, ids)
    value, gradient = evaluated([loss, tf.gradients(loss, logits)[0]])
    assert value == 0
    assert not gradient.any()


def test_ignored_pixels_have_no_gradient(graph, rng):
    logits = tf.constant(rng.normal(0, 1, (1, 4, 4, 3)), tf.float32)
    ids = np.zeros((1, 4, 4), np.int64)
    ids[0, 1, 2] = 3
    gradient = evaluated(tf.gradients(cross_entropy(logits, tf.constant(ids)), logits)[0])
    assert not gradient[0, 1, 2].any()
    assert gradient[0, 1, 1].all()


def test_images_are_scored_alone(graph, rng):
    """The batch's size and other images do not matter."""
    photos = rng.uniform(-1, 1, (3, 64, 32, 3)).astype(np.float32)
    several = tf.placeholder(tf.float32, [None, 64, 32, 3])
    with tf.variable_scope("net"):
        found = class_scores(several, 5, 4)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        together = session.run(found, {several: photos})
        alone = [session.run(found, {several: photos[i : i + 1]})[0] for i in range(3)]
    assert together.shape == (3, 64, 32, 5)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4


def test_scores_see_near_and_far(graph, rng):
    """A pixel's score depends on the pixel, and through inner levels on distant pixels."""
    photo = tf.constant(rng.uniform(-1, 1, (1, 64, 64, 3)), tf.float32)
    found = class_scores(photo, 2, 4)
    gradient = evaluated(tf.gradients(found[0, 32, 32, 0], photo)[0])
    assert gradient[0, 32, 32].any()
    assert gradient[0, 2, 60].any()
