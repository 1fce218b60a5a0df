"""Maps of tf.data, as the input graphs here have them."""

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf


def mapped(dataset: "tf.data.Dataset", function: Callable[..., Any]) -> "tf.data.Dataset":
    """Maps a function over a data set, on all cores and in order.

    The function is traced as it is. To have AutoGraph rewrite its source, in which no tensor
    decides on a branch, would take a second at every start.
    """
    traced = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(traced, tf.data.AUTOTUNE)
