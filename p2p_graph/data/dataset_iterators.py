"""tf.data in the input graphs: maps, iterators and elements without rewriting or tuning."""

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.utils.cores import available_cores


def parallel_map(dataset: "tf.data.Dataset", function: Callable[..., Any]) -> "tf.data.Dataset":
    """Maps a function over a data set, on all cores and in order.

    AutoGraph does not rewrite the function's source: no tensor decides on a Python branch there,
    and rewriting would take a second at every start.
    """
    traced = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(traced, available_cores())


def plain_iterator(dataset: "tf.data.Dataset") -> Any:
    """Makes an initializable iterator of a data set that tf.data neither rewrites nor tunes.

    Rewriting copies constants, here all cached images. The tuner has nothing to choose here, and a
    session that is closed waits for the tuner's sleep, up to a minute.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return tf.data.make_initializable_iterator(dataset.with_options(options))


def next_element(dataset: "tf.data.Dataset", session: tf.Session) -> Any:
    """Makes tensors of a data set's next element: each `Session.run` call takes one."""
    iterator = plain_iterator(dataset)
    session.run(iterator.initializer)
    return iterator.get_next()
