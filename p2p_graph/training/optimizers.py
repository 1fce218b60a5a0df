"""The optimizers of D and G, and the learning rate's schedule."""

from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.training_options import OptimizerOptions


class Optimizers(NamedTuple):
    """One Adam (Kingma and Ba 2014) for each network; they hold its moment estimates."""

    discriminator: tf.train.Optimizer
    generator: tf.train.Optimizer


def make_optimizers(options: OptimizerOptions, steps: int | None = None) -> Optimizers:
    """Makes the two Adams; a graph needs them once, however many steps are built in it.

    Args:
      options: learning rate, its schedule, beta1 and epsilon.
      steps: of the complete training, for a linear schedule.
    """
    rate = learning_rate(options, steps)
    return Optimizers(
        tf.train.AdamOptimizer(rate, options.beta1, epsilon=options.adam_epsilon),
        tf.train.AdamOptimizer(rate, options.beta1, epsilon=options.adam_epsilon),
    )


def learning_rate(options: OptimizerOptions, steps: int | None) -> Any:
    """The learning rate: `lr`, or with the linear schedule lr * min(1, 2 - 2 * done / steps)."""
    if options.lr_schedule == "constant":
        return options.lr
    assert steps is not None
    done = tf.cast(tf.train.get_or_create_global_step().read_value(), tf.float32)
    return options.lr * tf.minimum(1.0, 2 - 2 * done / steps)
