"""The losses against their formulas in NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.models.losses import GAN_LOSSES, LOGITS, PROBABILITIES, UNBOUNDED, l1_loss

pytestmark = pytest.mark.usefixtures("graph")

MOST = -np.log(1e-12)  # the largest value of a logarithm


def run(fetches):
    with tf.Session() as session:
        return session.run(fetches)


def predictions(rng):
    return np.float32(rng.uniform(0.01, 0.99, size=(2, 3, 4, 1)))


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


# The definitions: loss of scores for the label "real", and for "fake".
FORMULAS = {
    "eps": (lambda p: -np.log(p), lambda p: -np.log(1 - p)),
    "clip": (lambda p: -np.log(p), lambda p: -np.log(1 - p)),
    "logits": (lambda x: -log_sigmoid(x), lambda x: -log_sigmoid(-x)),
    "lsgan": (lambda x: (x - 1) ** 2, lambda x: x**2),
}


@pytest.mark.parametrize("kind", GAN_LOSSES)
def test_gan_losses(rng, kind):
    scores = predictions(rng)
    if kind in ("logits", "lsgan"):
        scores = np.float32(4 * scores - 2)
    kinds = {"logits": LOGITS, "lsgan": UNBOUNDED}
    assert GAN_LOSSES[kind].scores == kinds.get(kind, PROBABILITIES)
    inputs = tf.constant(scores)
    for loss_function, formula in zip(GAN_LOSSES[kind][:2], FORMULAS[kind], strict=True):
        loss = loss_function(inputs)
        value, gradient = run([loss, tf.gradients(loss, inputs)[0]])
        exact = np.float64(scores)
        np.testing.assert_allclose(value, formula(exact).mean(), rtol=1e-5)
        slope = (formula(exact + 1e-6) - formula(exact - 1e-6)) / 2e-6 / scores.size
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


def test_clipped_scores_have_no_gradient():
    scores = tf.constant([[[[1e-9], [0.5], [1 - 1e-9]]]])
    for loss_function in GAN_LOSSES["clip"][:2]:
        loss = loss_function(scores)
        value, gradient = run([loss, tf.gradients(loss, scores)[0]])
        np.testing.assert_array_equal(gradient.ravel() != 0, [False, True, False])
        # 1 - 1e-7 is not a float32: the nearest is 1 - 1.19e-7.
        assert abs(value - (-np.log(1e-7) - np.log(0.5)) / 3) < 0.07


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
    as_real, as_fake, *_ = GAN_LOSSES["eps"]
    losses = [as_real(real) + as_fake(fake), as_real(fake)]
    np.testing.assert_allclose(run(losses), [d_loss, g_loss], rtol=1e-5, atol=1e-6)
    gradients = [*tf.gradients(losses[0], [real, fake]), tf.gradients(losses[1], fake)[0]]
    assert np.isfinite(run(gradients)).all()


def test_gradient_of_l1(rng):
    targets, outputs = predictions(rng), predictions(rng)
    inputs = [tf.constant(targets), tf.constant(outputs)]
    (l1,) = run(tf.gradients(l1_loss(*inputs), inputs[1]))
    np.testing.assert_allclose(l1, np.sign(outputs - targets) / outputs.size, rtol=1e-5)
