"""One step of training: generate, judge, the discriminator's update, then the generator's.

By default (`--updates stored`) the order of updates is the reference's and the Torch original's.
One forward pass of G, D(real) and D(fake) serves both updates. D moves first. G's gradient then
goes back through D with the activations that the forward pass stored, but with D's updated weights:
the backward pass of G is built under a control dependency on D's update, and D's operations read
their weights again there (`late=True` in `ops`). The other orders are in `updates`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.networks import Networks
from p2p_graph.training.updates import ORDERS, Forward, Losses, Optimizers, l1_alone

EMA_DECAY = 0.99
# The names that the reference's averages have in a checkpoint, in the order of `Losses`.
_EMA_NAMES = ("discriminator_loss/Mean", "generator_loss/Mean", "generator_loss/Mean_1")


class Model(NamedTuple):
    """What one step computes.

    Attributes:
      outputs: float32 [N, H, W, C_out] in [-1, 1], G's images.
      predict_real: float32 [N, h, w, 1], D's scores of real pairs: probabilities, or with
        `gan_loss` lsgan about that. None where there is no D.
      predict_fake: the same of G's pairs.
      losses: of this step.
      averages: moving averages of the losses after this step, from 0, not debiased.
      gradients: pairs (gradient, variable), D's and then G's.
      step: int64 scalar, how many steps have been done, this one included.
      train: does all of the step.
    """

    outputs: tf.Tensor
    predict_real: tf.Tensor | None
    predict_fake: tf.Tensor | None
    losses: Losses
    averages: Losses
    gradients: Sequence[tuple[tf.Tensor, tf.Variable]]
    step: tf.Tensor
    train: tf.Operation


def make_optimizers(config: Config, steps: int | None = None) -> Optimizers:
    """Makes the two Adams; a graph needs them once, however many steps are built in it.

    Args:
      config: lr, lr_schedule, beta1, adam_epsilon.
      steps: of the whole run; a linear schedule needs it.
    """
    lr: Any = config.lr
    if config.lr_schedule == "linear":
        assert steps is not None
        done = tf.cast(tf.train.get_or_create_global_step().read_value(), tf.float32)
        lr = config.lr * tf.minimum(1.0, 2 - 2 * done / steps)
    return Optimizers(
        tf.train.AdamOptimizer(lr, config.beta1, epsilon=config.adam_epsilon),
        tf.train.AdamOptimizer(lr, config.beta1, epsilon=config.adam_epsilon),
    )


def build_step(batch: Batch, config: Config, optimizers: Optimizers) -> Model:
    """Builds one training step on a batch.

    Called again in the same graph, it makes another step on the same variables.

    Args:
      batch: the images.
      config: the networks, the losses and their weights, the order of updates, the seed.
      optimizers: from `make_optimizers`.
    """
    global_step = tf.train.get_or_create_global_step()
    networks = Networks(batch, config, global_step)
    outputs = networks.generate()
    predict_real = predict_fake = None
    if config.gan_weight:
        predict_real = networks.discriminate(batch.targets, "real")
        predict_fake = networks.discriminate(outputs, "fake")
        first = Forward(outputs, predict_real, predict_fake)
        losses, gradients, train = ORDERS[config.updates](networks, first, optimizers)
    else:
        losses, gradients, train = l1_alone(networks, outputs, optimizers)

    averages, update_averages = _moving_averages(losses)
    with tf.control_dependencies([train, update_averages]):
        step = global_step.assign_add(1, read_value=False)
    with tf.control_dependencies([step]):
        return Model(
            outputs,
            networks.shown(predict_real),
            networks.shown(predict_fake),
            losses,
            Losses(*(variable.read_value() for variable in averages)),
            gradients,
            global_step.read_value(),
            step,
        )


def _moving_averages(losses: Losses) -> tuple[list[tf.Variable], tf.Operation]:
    """Averages with decay 0.99, under the names that the reference's have in a checkpoint."""
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
