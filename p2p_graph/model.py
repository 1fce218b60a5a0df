"""One step of training: the discriminator's update, then the generator's.

The order of updates is the reference's and the Torch original's. One forward pass of G, D(real)
and D(fake) serves both updates. D moves first. G's gradient then goes back through D with the
activations that the forward pass stored, but with D's updated weights: the backward pass of G is
built under a control dependency on D's update, and D's operations read their weights again there
(`late=True` in `ops`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config import Config
from p2p_graph.discriminators import discriminator, patch70
from p2p_graph.generators import UNet, generator, unet
from p2p_graph.inputs import Batch, channels
from p2p_graph.losses import discriminator_loss, generator_gan_loss, l1_loss

EMA_DECAY = 0.99
# The names that the reference's averages have in a checkpoint, in the order of `Losses`.
_EMA_NAMES = ("discriminator_loss/Mean", "generator_loss/Mean", "generator_loss/Mean_1")


class Losses(NamedTuple):
    """The three losses, float32 scalars (numbers once they are fetched)."""

    discrim_loss: tf.Tensor
    gen_loss_GAN: tf.Tensor  # noqa: N815 - the reference's name, and that of its TensorBoard tag
    gen_loss_L1: tf.Tensor  # noqa: N815


class Optimizers(NamedTuple):
    """One Adam (Kingma and Ba 2014) for each network; they hold its moments."""

    discriminator: tf.train.Optimizer
    generator: tf.train.Optimizer


class Model(NamedTuple):
    """What one step computes.

    Attributes:
      outputs: float32 [N, H, W, C_out] in [-1, 1], G's pictures.
      predict_real: float32 [N, h, w, 1] in (0, 1), D's scores of real pairs.
      predict_fake: float32 [N, h, w, 1] in (0, 1), D's scores of G's pairs.
      losses: of this step.
      averages: moving averages of the losses after this step, from 0, not debiased.
      gradients: pairs (gradient, variable), D's and then G's.
      step: int64 scalar, how many steps have been done, this one included.
      train: does all of the step.
    """

    outputs: tf.Tensor
    predict_real: tf.Tensor
    predict_fake: tf.Tensor
    losses: Losses
    averages: Losses
    gradients: Sequence[tuple[tf.Tensor, tf.Variable]]
    step: tf.Tensor
    train: tf.Operation


def make_optimizers(config: Config) -> Optimizers:
    """Makes the two Adams; a graph needs them once, however many steps are built in it."""
    return Optimizers(
        tf.train.AdamOptimizer(config.lr, config.beta1),
        tf.train.AdamOptimizer(config.lr, config.beta1),
    )


def build_step(batch: Batch, config: Config, optimizers: Optimizers) -> Model:
    """Builds one training step on a batch.

    Called again in the same graph, it makes another step on the same variables.

    Args:
      batch: the pictures.
      config: the networks' sizes, the weights of the losses, the seed.
      optimizers: from `make_optimizers`.
    """
    global_step = tf.train.get_or_create_global_step()
    noise = tf.stack([tf.constant(config.seed, tf.int64), global_step.read_value()])

    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        outputs = generator(batch.inputs, generator_spec(config), noise)
    predictions = []
    for name, targets in (("real", batch.targets), ("fake", outputs)):
        with (
            tf.name_scope(f"{name}_discriminator"),
            tf.variable_scope("discriminator", reuse=tf.AUTO_REUSE),
        ):
            layers = patch70(config.ndf)
            predictions.append(discriminator(batch.inputs, targets, layers, bias=config.bias))
    predict_real, predict_fake = predictions

    losses = Losses(
        discriminator_loss(predict_real, predict_fake),
        generator_gan_loss(predict_fake),
        l1_loss(batch.targets, outputs),
    )
    generator_loss = losses.gen_loss_GAN * config.gan_weight + losses.gen_loss_L1 * config.l1_weight

    with tf.name_scope("discriminator_train"):
        d_train, d_gradients = _update(
            losses.discrim_loss, "discriminator", optimizers.discriminator, late=True
        )
    # All gradients of G read D's weights after D's update, those of the stored forward pass.
    with tf.name_scope("generator_train"), tf.control_dependencies([d_train]):
        g_train, g_gradients = _update(generator_loss, "generator", optimizers.generator)

    averages, update_averages = _moving_averages(losses)
    with tf.control_dependencies([g_train, update_averages]):
        step = global_step.assign_add(1, read_value=False)
    with tf.control_dependencies([step]):
        return Model(
            outputs,
            predict_real,
            predict_fake,
            losses,
            Losses(*(variable.read_value() for variable in averages)),
            [*d_gradients, *g_gradients],
            global_step.read_value(),
            step,
        )


def _update(
    loss: tf.Tensor, network: str, optimizer: tf.train.Optimizer, *, late: bool = False
) -> tuple[tf.Operation, list[tuple[tf.Tensor, tf.Variable]]]:
    """One step of one network's Adam.

    With `late`, the network's own backward pass reads its weights, so that no weight may move
    before all gradients are known.
    """
    variables = tf.trainable_variables(f"{network}/")
    gradients = tf.gradients(loss, variables)
    if not late:
        # A weight moves when the backward pass is past it, at the gradient of the weight before it:
        # its old value is then no longer held, and Adam need not copy it.
        for i in range(len(variables) - 1, 0, -1):
            with tf.control_dependencies([gradients[i - 1]]):
                gradients[i] = tf.identity(gradients[i])
    pairs = list(zip(gradients, variables, strict=True))
    with tf.control_dependencies(gradients if late else []):
        return optimizer.apply_gradients(pairs), pairs


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


def translate(inputs: tf.Tensor, config: Config) -> tf.Tensor:
    """Translates pictures, each as if it were alone, with the same dropout masks for all.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1]; H and W are multiples of 2^levels.
      config: the generator's size, and the seed of its noise.

    Returns:
      float32 [N, H, W, C_out] in [-1, 1].
    """
    noise = tf.constant([config.seed, 0], tf.int64)
    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        return generator(inputs, generator_spec(config), noise, each=True)


def generator_spec(config: Config) -> UNet:
    """The generator that a configuration asks for."""
    assert config.levels is not None
    return unet(
        channels(config).targets,
        ngf=config.ngf,
        levels=config.levels,
        dropout=config.dropout,
        separable=config.separable_conv,
        bias=config.bias,
    )
