"""Layers' variables: how they are made and initialised."""

import zlib
from collections.abc import Sequence

import tensorflow.compat.v1 as tf

from p2p_graph.models.layer_settings import LayerSettings


def filter_variable(name: str, shape: Sequence[int], settings: LayerSettings) -> tf.Variable:
    """Makes or reuses a convolution's filter."""
    if settings.glorot:
        initializer = tf.glorot_uniform_initializer(variable_seed(name))
    else:
        initializer = tf.random_normal_initializer(0.0, 0.02, variable_seed(name))
    return tf.get_variable(name, shape, tf.float32, initializer=initializer)


def zeros_variable(name: str, size: int) -> tf.Variable:
    """Makes or reuses a variable [size] whose initial values are 0."""
    return tf.get_variable(name, [size], tf.float32, initializer=tf.zeros_initializer())


def variable_seed(name: str) -> int:
    """The seed of a variable's initial values in the current scope.

    By default the operation's number in the graph would be part of the seed, and with it whatever
    was built before. The name makes initial values a function of (graph's seed, name) alone.
    """
    return zlib.crc32(f"{tf.get_variable_scope().name}/{name}".encode()) % 2**31
