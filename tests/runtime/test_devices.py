"""Where the graph runs, and what a session holds besides its variables."""

import re

import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.runtime import devices
from p2p_graph.utils.errors import UserError


def test_auto_and_cpu_find_something_that_computes():
    for device in ("auto", "cpu"):
        found, config = devices.choose(device)
        assert re.fullmatch(r"CPU, \d+ cores|GPU, .+", found)
        with tf.Graph().as_default(), tf.Session(config=config) as session:
            assert session.run(tf.constant(2) + 3) == 5


def test_cpu_uses_no_gpu():
    found, config = devices.choose("cpu")
    assert found.startswith("CPU")
    with tf.Session(config=config) as session:
        assert {device.device_type for device in session.list_devices()} == {"CPU"}


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_no_gpu():
    with pytest.raises(UserError, match="device gpu: TensorFlow finds none"):
        devices.choose("gpu")


def test_starting_adam_leaves_no_constants_of_its_size():
    """Constants are held for a session's life: as large as the weights, they would double them."""
    with tf.Graph().as_default():
        weight = tf.get_variable("weight", [256, 256], use_resource=True)
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(weight**2))
        options, metadata = tf.RunOptions(output_partition_graphs=True), tf.RunMetadata()
        with tf.Session(config=devices.choose("cpu")[1]) as session:
            session.run(tf.global_variables_initializer(), options=options, run_metadata=metadata)
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    assert nodes
    shapes = [
        [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
        for node in nodes
        if node.op == "Const"
    ]
    assert [256, 256] not in shapes
