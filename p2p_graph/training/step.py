"""One training step: generate, discriminate, update D, update G, average the losses."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.data.input_graph import Batch
from p2p_graph.models.networks import Networks
from p2p_graph.training.loss_averages import moving_averages
from p2p_graph.training.optimizers import Optimizers
from p2p_graph.training.updates import Forward, Losses, Order, without_discriminator


class Step(NamedTuple):
    """What one step computes.

    Attributes:
      outputs: float32 [N, H, W, C_out] in [-1, 1], G's outputs.
      predict_real: float32 [N, h, w, 1], D's scores of real pairs: probabilities, or unbounded
        scores with `gan_loss` lsgan. None where there is no D.
      predict_fake: the same for generated pairs.
      losses: of this step.
      averages: moving averages of the losses after this step, from 0, not debiased.
      gradients: pairs (gradient, variable), D's and then G's.
      number: int64 scalar, how many steps have been done, this one included.
      train: runs all of the step.
    """

    outputs: tf.Tensor
    predict_real: tf.Tensor | None
    predict_fake: tf.Tensor | None
    losses: Losses
    averages: Losses
    gradients: Sequence[tuple[tf.Tensor, tf.Variable]]
    number: tf.Tensor
    train: tf.Operation


def build_step(batch: Batch, networks: Networks, order: Order, optimizers: Optimizers) -> Step:
    """Builds one training step on a batch.

    Called again in the same graph, it builds another step on the same variables.

    Args:
      batch: the images.
      networks: G, D and their losses.
      order: of the updates, one of `updates.ORDERS`.
      optimizers: from `updates.make_optimizers`.
    """
    assert batch.targets is not None
    global_step = tf.train.get_or_create_global_step()
    number = global_step.read_value()
    outputs = networks.generate(batch.inputs, batch.targets.shape[-1], number)
    if networks.has_discriminator:
        predict_real = networks.discriminate(batch.inputs, batch.targets, "real")
        predict_fake = networks.discriminate(batch.inputs, outputs, "fake")
    else:
        predict_real = predict_fake = None
        order = without_discriminator
    first = Forward(batch.inputs, batch.targets, outputs, predict_real, predict_fake, number)
    losses, gradients, train = order(networks, first, optimizers)

    averages, update_averages = moving_averages(losses)
    with tf.control_dependencies([train, update_averages]):
        step = global_step.assign_add(1, read_value=False)
    with tf.control_dependencies([step]):
        return Step(
            outputs,
            networks.probabilities(predict_real),
            networks.probabilities(predict_fake),
            losses,
            Losses(*(variable.read_value() for variable in averages)),
            gradients,
            global_step.read_value(),
            step,
        )
