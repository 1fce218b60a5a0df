"""The device of a graph, and the constants that a session holds."""

import os
import re

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.runtime import devices
from p2p_graph.utils.errors import UserError


def test_auto_and_cpu_find_a_device_that_computes():
    for device in ("auto", "cpu"):
        found = devices.choose(device)
        assert re.fullmatch(r"CPU, \d+ cores|GPU, .+", found.name)
        with tf.Graph().as_default(), tf.Session(config=found.config) as session:
            assert session.run(tf.constant(2) + 3) == 5


def test_cpu_uses_no_gpu():
    found = devices.choose("cpu")
    assert found.is_cpu
    assert found.name.startswith("CPU")
    with tf.Session(config=found.config) as session:
        assert {device.device_type for device in session.list_devices()} == {"CPU"}


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_no_gpu():
    with pytest.raises(UserError, match="device gpu: TensorFlow finds none"):
        devices.choose("gpu")


def test_choosing_a_device_does_not_change_the_process():
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    environment = dict(os.environ)
    devices.choose("auto")
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
    assert dict(os.environ) == environment


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_tensor_float_32_is_for_mixed_precision(precision, monkeypatch):
    monkeypatch.setenv("TF_GPU_THREAD_MODE", "gpu_private")
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        devices.set_gpu_arithmetic(precision)
        found = tf.config.experimental.tensor_float_32_execution_enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    assert found == (precision == "mixed")


def test_initializing_adam_leaves_no_constants_of_its_size():
    """A session holds its constants until it is closed: they would double the weights' memory."""
    with tf.Graph().as_default():
        weight = tf.get_variable("weight", [256, 256], use_resource=True)
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(weight**2))
        options, metadata = tf.RunOptions(output_partition_graphs=True), tf.RunMetadata()
        with tf.Session(config=devices.choose("cpu").config) as session:
            session.run(tf.global_variables_initializer(), options=options, run_metadata=metadata)
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    assert nodes
    shapes = [
        [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
        for node in nodes
        if node.op == "Const"
    ]
    assert [256, 256] not in shapes
