"""Exponential moving averages of the losses, as the reference keeps them in its checkpoints."""

import tensorflow.compat.v1 as tf

from p2p_graph.training.updates import Losses

EMA_DECAY = 0.99
# The names of the reference's loss averages in a checkpoint, in the order of `Losses`.
_EMA_NAMES = ("discriminator_loss/Mean", "generator_loss/Mean", "generator_loss/Mean_1")


def moving_averages(losses: Losses) -> tuple[list[tf.Variable], tf.Operation]:
    """Updates average' = average - (1 - 0.99) * (average - loss), under the reference's names."""
    averages, updates = [], []
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        for name, loss in zip(_EMA_NAMES, losses, strict=True):
            average = tf.get_variable(
                f"{name}/ExponentialMovingAverage",
                [],
                initializer=tf.zeros_initializer(),
                trainable=False,
            )
            averages.append(average)
            change = (average - loss) * (1 - EMA_DECAY)
            updates.append(average.assign_sub(change, read_value=False))
    return averages, tf.group(*updates)


def debiased(averages: Losses, step: int) -> Losses:
    """Divides moving averages that started at 0, `step` steps ago, by 1 - 0.99^step."""
    return Losses(*(float(average) / (1 - EMA_DECAY**step) for average in averages))
