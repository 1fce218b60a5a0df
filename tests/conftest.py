"""Fixtures of all tests."""

import gc
import os
import signal

# TensorFlow reads both variables on import: it logs fatal errors only, and sees no GPU unless the
# GPU tests are asked for.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if not os.environ.get("P2P_GRAPH_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest

from p2p_graph.utils.signals import STOPPING

from .browser import chromium
from .forked.forked_programs import ForkServer

# Tests send these signals, which nohup and background jobs ignore.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish():
    """Garbage collection would else search all modules again and again, a tenth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)


@pytest.fixture(autouse=True)
def signal_handlers():
    """A program that a test runs in this process leaves its handlers of signals behind."""
    former = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture
def graph():
    """A new graph, which is the default graph during the test."""
    import tensorflow.compat.v1 as tf  # not at the top: the process that hands out tests needs none

    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def browser():
    """Chromium; once a module, since Playwright's event loop runs as long."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def server():
    """Runs programs in forked processes."""
    with ForkServer() as server:
        yield server
