"""The losses against their formulas in NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.losses import discriminator_loss, generator_gan_loss, l1_loss

MOST = -np.log(1e-12)  # what a single logarithm can reach


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def run(fetches):
    with tf.Session() as session:
        return session.run(fetches)


def predictions(rng):
    return np.float32(rng.uniform(0.01, 0.99, size=(2, 3, 4, 1)))


def test_discriminator_loss(rng):
    real, fake = predictions(rng), predictions(rng)
    loss = run(discriminator_loss(tf.constant(real), tf.constant(fake)))
    np.testing.assert_allclose(loss, np.mean(-np.log(real) - np.log(1 - fake)), rtol=1e-5)


def test_generator_gan_loss(rng):
    fake = predictions(rng)
    loss = run(generator_gan_loss(tf.constant(fake)))
    np.testing.assert_allclose(loss, np.mean(-np.log(fake)), rtol=1e-5)


def test_l1_loss(rng):
    targets, outputs = np.float32(rng.uniform(-1, 1, size=(2, 2, 5, 4, 3)))
    loss = run(l1_loss(tf.constant(targets), tf.constant(outputs)))
    np.testing.assert_allclose(loss, np.mean(np.abs(targets - outputs)), rtol=1e-5)


@pytest.mark.parametrize(
    ("real", "fake", "d_loss", "g_loss"),
    [(1, 0, 0, MOST), (0, 1, 2 * MOST, 0), (1, 1, MOST, 0), (0, 0, MOST, MOST)],
)
def test_losses_of_certain_predictions_are_finite(real, fake, d_loss, g_loss):
    real, fake = tf.fill([1, 2, 2, 1], float(real)), tf.fill([1, 2, 2, 1], float(fake))
    losses = [discriminator_loss(real, fake), generator_gan_loss(fake)]
    np.testing.assert_allclose(run(losses), [d_loss, g_loss], rtol=1e-5, atol=1e-6)
    gradients = [*tf.gradients(losses[0], [real, fake]), tf.gradients(losses[1], fake)[0]]
    assert np.isfinite(run(gradients)).all()


def test_gradients(rng):
    real, fake = predictions(rng), predictions(rng)
    inputs = [tf.constant(real), tf.constant(fake)]
    d_real, d_fake = run(tf.gradients(discriminator_loss(*inputs), inputs))
    np.testing.assert_allclose(d_real, -1 / real / real.size, rtol=1e-5)
    np.testing.assert_allclose(d_fake, 1 / (1 - fake) / fake.size, rtol=1e-5)
    (g_fake,) = run(tf.gradients(generator_gan_loss(inputs[1]), inputs[1]))
    np.testing.assert_allclose(g_fake, -1 / fake / fake.size, rtol=1e-5)
    (l1,) = run(tf.gradients(l1_loss(*inputs), inputs[1]))
    np.testing.assert_allclose(l1, np.sign(fake - real) / fake.size, rtol=1e-5)
