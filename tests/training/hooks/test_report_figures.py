"""The figures of reports against NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.training.hooks.report_figures import discriminator_figures, spread_figures


def fetched(figures):
    with tf.Session() as session:
        return session.run(figures)


@pytest.mark.parametrize("bounded", [True, False])
def test_shares_of_the_discriminators_scores(graph, rng, bounded):
    low, high = (0, 1) if bounded else (-1, 2)
    real, fake = (rng.uniform(low, high, [2, 6, 5, 1]).astype(np.float32) for _ in range(2))
    # Undecided patches are wrong; the ends of the range are not saturated.
    real[0, 0, :4, 0] = 0.5, 0.999, 0.0, 0.99
    fake[0, 0, :4, 0] = 0.5, 1.0, 0.001, 0.01
    wanted = {
        "right_on_real": np.count_nonzero(real > 0.5) / real.size,
        "right_on_fake": np.count_nonzero(fake < 0.5) / fake.size,
    }
    if bounded:
        scores = np.concatenate([real, fake]).astype(np.float64)
        sure = np.minimum(scores, 1 - scores) < 0.01 - 1e-6
        wanted["saturated"] = np.count_nonzero(sure) / scores.size
    figures = discriminator_figures(tf.constant(real), tf.constant(fake), bounded=bounded)
    found = fetched(figures)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_spread_is_that_of_the_liveliest_channel_and_image(graph, rng):
    outputs = np.zeros([2, 8, 9, 3], np.float32)
    outputs += rng.uniform(-1, 1, [2, 1, 1, 3])  # a colour for each image
    targets = rng.uniform(-1, 1, outputs.shape).astype(np.float32)
    found = fetched(spread_figures(tf.constant(outputs), tf.constant(targets)))
    assert found["output_spread"] < 1e-6
    wanted = targets.std(axis=(1, 2)).max()
    assert found["target_spread"] == pytest.approx(wanted, rel=1e-5)
    outputs[1, ..., 2] = targets[1, ..., 2]
    found = fetched(spread_figures(tf.constant(outputs), tf.constant(targets)))
    assert found["output_spread"] == pytest.approx(targets[1, ..., 2].std(), rel=1e-5)
