"""Maps of tf.data, as the input graphs here have them."""

import os
from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf


def mapped(dataset: "tf.data.Dataset", function: Callable[..., Any]) -> "tf.data.Dataset":
    """Maps a function over a data set, on all cores and in order.

    The function is traced as it is. To have AutoGraph rewrite its source, in which no tensor
    decides on a branch, would take a second at every start.
    """
    traced = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(traced, os.cpu_count() or 1)


def iterator_of(dataset: "tf.data.Dataset") -> Any:
    """Makes an initializable iterator of a data set that tf.data is to leave as it is.

    What it would rewrite is copied, here all kept images; and its tuner, which has nothing to
    choose here, sleeps through the end: a session that is closed waits for it, up to a minute.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return tf.data.make_initializable_iterator(dataset.with_options(options))


def elements_of(dataset: "tf.data.Dataset", session: tf.Session) -> Any:
    """The next element of a data set, each time it runs in a session, from the first on."""
    iterator = iterator_of(dataset)
    session.run(iterator.initializer)
    return iterator.get_next()
