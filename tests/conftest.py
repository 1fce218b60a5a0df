"""What the tests share."""

import os

# Before TensorFlow is imported anywhere: quiet, and without looking for a GPU, unless that is
# what is tested.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if not os.environ.get("P2P_GRAPH_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

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
