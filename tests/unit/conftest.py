"""What the unit tests share."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf


@pytest.fixture
def graph():
    """A graph of the test's own, as the default one."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def rng():
    return np.random.default_rng(1)
