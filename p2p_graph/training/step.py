"""One training step: generate, discriminate, update D, update G, average the losses."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.data.input_graph import Batch
from p2p_graph.models.networks import Networks
from p2p_graph.runtime.replicas import ONE, Replicas
from p2p_graph.training.loss_averages import moving_averages
from p2p_graph.training.optimizers import Optimizers
from p2p_graph.training.updates import Forward, Losses, Order, without_discriminator


class Step(NamedTuple):
    """What one step computes.

    With several replicas, images, scores and gradients are those of this process's replicas.

    Attributes:
      outputs: float32 [N, H, W, C_out] in [-1, 1], G's outputs.
      predict_real: float32 [N, h, w, 1], D's scores of real pairs: probabilities, or unbounded
        scores with `gan_loss` lsgan. None where there is no D.
      predict_fake: the same for generated pairs; with both, D's loss is computed.
      losses: of this step, the mean over all replicas.
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


def build_step(
    batch: Batch,
    networks: Networks,
    order: Order,
    optimizers: Optimizers,
    replicas: Replicas = ONE,
) -> Step:
    """Builds one training step on a batch.

    Called again in the same graph, it builds another step on the same variables.

    Args:
      batch: the images.
      networks: G, D and their losses.
      order: of the updates, one of `updates.ORDERS`.
      optimizers: from `optimizers.make_optimizers`.
      replicas: each takes its part of the batch.
    """
    global_step = tf.train.get_or_create_global_step()

    def update(part: Batch) -> _Replica:
        return _update(part, global_step.read_value(), networks, order, optimizers)

    replica: _Replica = replicas.run(update, batch)
    losses = Losses(*tf.unstack(replicas.mean(replica.losses)))

    averages, update_averages = moving_averages(losses)
    with tf.control_dependencies([replicas.together(replica.train), update_averages]):
        step = global_step.assign_add(1, read_value=False)
    with tf.control_dependencies([step]):
        return Step(
            replicas.joined(replica.outputs),
            replicas.joined(replica.predict_real),
            replicas.joined(replica.predict_fake),
            losses,
            Losses(*(variable.read_value() for variable in averages)),
            [(replicas.own_mean(gradient), variable) for gradient, variable in replica.gradients],
            global_step.read_value(),
            step,
        )


class _Replica(NamedTuple):
    """What a replica computes of a step, as `Step`; losses are float32 [3]."""

    outputs: Any
    predict_real: Any
    predict_fake: Any
    losses: Any
    gradients: Sequence[tuple[Any, tf.Variable]]
    train: tf.Operation


def _update(
    batch: Batch, number: tf.Tensor, networks: Networks, order: Order, optimizers: Optimizers
) -> _Replica:
    """Generates, discriminates and updates, on one replica."""
    assert batch.targets is not None
    outputs = networks.generate(batch.inputs, batch.targets.shape[-1], number)
    if networks.has_discriminator:
        predict_real = networks.discriminate(batch.inputs, batch.targets, "real")
    else:
        predict_real = None
        order = without_discriminator
    first = Forward(batch.inputs, batch.targets, outputs, predict_real, number)
    updates = order(networks, first, optimizers)  # which discriminate generated pairs, too
    return _Replica(
        outputs,
        networks.probabilities(predict_real),
        networks.probabilities(updates.predict_fake),
        tf.stack(updates.losses),
        updates.gradients,
        updates.train,
    )
