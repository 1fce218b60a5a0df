"""Operations with gradients of their own."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.models.custom_gradient import custom_gradient, pad_one, scale
from p2p_graph.models.ops import conv


@custom_gradient
def _product(x, y):
    """x y, with gradients that differ from those of the product."""
    return x * y, lambda d: (2 * d * y, 3 * d * x)


@custom_gradient
def _sine(x):
    return tf.sin(x), _product_with_itself


@custom_gradient
def _product_with_itself(x):
    return x * x, lambda d: [d]


def test_gradients(graph):
    x, y = tf.constant([1.0, 2.0]), tf.constant([3.0, 5.0])
    product = _product(_product(x, y), y)
    gradients = tf.gradients(product, [x, y])
    [of_sine] = tf.gradients(_sine(y), y, grad_ys=tf.constant([7.0, 7.0]))
    with tf.Session() as session:
        a, b = np.array([1.0, 2.0]), np.array([3.0, 5.0])
        np.testing.assert_allclose(session.run(product), a * b * b)
        for found, wanted in zip(
            session.run(gradients), (4 * b * b, 3 * a * b + 2 * b * 3 * a), strict=True
        ):
            np.testing.assert_allclose(found, wanted)
        np.testing.assert_allclose(session.run(of_sine), [49.0, 49.0])


def test_a_graph_ends_with_its_last_user():
    """What tf.custom_gradient registers would keep it for the life of the process."""
    with tf.Graph().as_default() as graph:
        outputs = conv(tf.zeros([1, 8, 8, 3]), 2, stride=2, reread_weights=True)
        assert tf.gradients(outputs, tf.trainable_variables())
        found = weakref.ref(graph)
    del graph, outputs
    gc.collect()
    assert found() is None


# (ours, TensorFlow's)
SAME = {
    "scale": (lambda x: scale(0.6, x), lambda x: 0.6 * x),
    "pad_one": (pad_one, lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
def test_the_same_values_and_gradients_of_fewer_operations(graph, rng, name, known):
    values = np.float32(rng.normal(size=(2, 3, 5, 4)))
    x = tf.placeholder(tf.float32, values.shape if known else [None, None, None, 4])
    sizes, found = [], []
    for function in SAME[name]:
        before = len(graph.get_operations())
        outputs = function(x)
        [gradient] = tf.gradients(outputs, x, grad_ys=tf.sin(outputs))
        sizes.append(len(graph.get_operations()) - before)
        found.append((outputs, gradient))
    with tf.Session() as session:
        ours, theirs = session.run(found, {x: values})
    assert sizes[0] < sizes[1]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
