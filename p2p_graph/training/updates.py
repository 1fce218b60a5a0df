"""The orders in which D and G are updated.

Every order is a function that builds both updates from the networks and their first forward pass.
A variable is read where a pass is built: under a control dependency on an update, a pass reads the
updated weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models.networks import Networks
from p2p_graph.runtime import replicas
from p2p_graph.training.optimizers import Optimizers


class Losses(NamedTuple):
    """The three losses, float32 scalars (numbers once they are fetched)."""

    discrim_loss: tf.Tensor
    gen_loss_GAN: tf.Tensor  # noqa: N815 - the reference's name, and that of its TensorBoard tag
    gen_loss_L1: tf.Tensor  # noqa: N815


Gradients = list[tuple[tf.Tensor, tf.Variable]]


class Forward(NamedTuple):
    """The first forward passes of a step, of G and of D on real pairs, and what others need.

    Attributes:
      inputs: float32 [N, H, W, C_in] in [-1, 1].
      targets: float32 [N, H, W, C_out] in [-1, 1].
      outputs: G's outputs.
      predict_real: D's scores of real pairs; None where there is no D.
      step: int64 scalar, which the dropout masks are a function of.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    outputs: tf.Tensor
    predict_real: tf.Tensor | None
    step: tf.Tensor


class Updates(NamedTuple):
    """The updates of one step, of D (if there is one) and of G.

    Attributes:
      predict_fake: the scores of generated pairs that D's loss is computed from; None where there
        is no D.
      losses: of this step.
      gradients: pairs (gradient, variable), D's and then G's.
      train: does both updates.
    """

    predict_fake: tf.Tensor | None
    losses: Losses
    gradients: Gradients
    train: tf.Operation


def stored(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Updates D, then G through D's stored activations and updated weights.

    D' = Adam(D, dL_D/dD); G' = Adam(G, dL_G/dG), where the backward pass of L_G combines the
    activations of the first forward pass with the weights D'. The reference and the paper's Torch
    program do the same.
    """
    predict_fake = networks.discriminate(first.inputs, first.outputs, "fake")
    d_loss = networks.d_loss(first.predict_real, predict_fake)
    g_loss, *terms = networks.g_loss(first.targets, first.outputs, predict_fake)
    d_train, d_gradients = _update_d(d_loss, optimizers)
    # All gradients of G read D's weights after D's update.
    g_train, g_gradients = _update_g(g_loss, optimizers, after=d_train)
    return Updates(predict_fake, Losses(d_loss, *terms), [*d_gradients, *g_gradients], g_train)


def fresh(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Updates D, then G through a new forward pass of the updated D.

    D' = Adam(D, dL_D/dD); G' = Adam(G, dL_G(D'(G))/dG).
    """
    predict_fake = networks.discriminate(first.inputs, first.outputs, "fake")
    d_loss = networks.d_loss(first.predict_real, predict_fake)
    d_train, d_gradients = _update_d(d_loss, optimizers)
    with tf.control_dependencies([d_train]):
        scores = networks.discriminate(first.inputs, first.outputs, "fresh")
        g_loss, *terms = networks.g_loss(first.targets, first.outputs, scores)
    g_train, g_gradients = _update_g(g_loss, optimizers, after=d_train)
    return Updates(predict_fake, Losses(d_loss, *terms), [*d_gradients, *g_gradients], g_train)


def simultaneous(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Updates both by gradients of the first forward pass, through the old weights alone.

    D' = Adam(D, dL_D/dD); G' = Adam(G, dL_G(D(G))/dG).
    """
    predict_fake = networks.discriminate(first.inputs, first.outputs, "fake")
    d_loss = networks.d_loss(first.predict_real, predict_fake)
    g_loss, *terms = networks.g_loss(first.targets, first.outputs, predict_fake)
    d_gradients, g_gradients = _gradients(d_loss, "discriminator"), _gradients(g_loss, "generator")
    known = [gradient for gradient, _ in (*d_gradients, *g_gradients)]
    d_train = _apply(d_gradients, optimizers, "discriminator", after=known)
    g_train = _apply(g_gradients, optimizers, "generator", after=known)
    train = tf.group(d_train, g_train)
    return Updates(predict_fake, Losses(d_loss, *terms), [*d_gradients, *g_gradients], train)


def alternate(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Updates D on real pairs, then D on generated pairs, then G through new passes of G and D.

    D' = Adam(D, dL_real(D)/dD); D'' = Adam(D', dL_fake(D')/dD'); G' = Adam(G, dL_G(D''(G))/dG).
    """
    real_loss = networks.d_loss(first.predict_real, None)
    real_train, real_gradients = _update_d(real_loss, optimizers)
    with tf.control_dependencies([real_train]):
        predict_fake = networks.discriminate(first.inputs, first.outputs, "fake")
        fake_loss = networks.d_loss(None, predict_fake)
    fake_train, fake_gradients = _update_d(fake_loss, optimizers, after=real_train)
    with tf.control_dependencies([fake_train]):
        channels = first.targets.shape[-1]
        outputs = networks.generate(first.inputs, channels, first.step, draw=1)
        scores = networks.discriminate(first.inputs, outputs, "fresh")
        g_loss, *terms = networks.g_loss(first.targets, outputs, scores)
    g_train, g_gradients = _update_g(g_loss, optimizers, after=fake_train)
    d_gradients = [
        (real + fake, variable)
        for (real, variable), (fake, _) in zip(real_gradients, fake_gradients, strict=True)
    ]
    losses = Losses(real_loss + fake_loss, *terms)
    return Updates(predict_fake, losses, [*d_gradients, *g_gradients], g_train)


def without_discriminator(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Updates G by L1 alone: G' = Adam(G, d(l1_weight * L1)/dG)."""
    g_loss, *terms = networks.g_loss(first.targets, first.outputs, None)
    g_train, g_gradients = _update_g(g_loss, optimizers)
    return Updates(None, Losses(tf.zeros([]), *terms), g_gradients, g_train)


Order = Callable[[Networks, Forward, Optimizers], Updates]
ORDERS: Mapping[str, Order] = {
    "stored": stored,
    "fresh": fresh,
    "simultaneous": simultaneous,
    "alternate": alternate,
}


def _update_d(
    loss: tf.Tensor, optimizers: Optimizers, *, after: tf.Operation | None = None
) -> tuple[tf.Operation, Gradients]:
    """One step of D's Adam.

    D's own backward pass reads D's weights, so that all gradients are computed before any weight is
    updated.
    """
    with tf.control_dependencies([after] if after else []):
        pairs = _gradients(loss, "discriminator")
    known = [gradient for gradient, _ in pairs]
    return _apply(pairs, optimizers, "discriminator", after=known), pairs


def _update_g(
    loss: tf.Tensor, optimizers: Optimizers, *, after: tf.Operation | None = None
) -> tuple[tf.Operation, Gradients]:
    """One step of G's Adam, whose backward pass is built under D's update, if there is one."""
    with tf.control_dependencies([after] if after else []):
        pairs = _gradients(loss, "generator")
        # A weight is updated once the backward pass has the gradient of the weight before it: its
        # old value is no longer needed then, and Adam need not copy it.
        for i in range(len(pairs) - 1, 0, -1):
            gradient, variable = pairs[i]
            with tf.control_dependencies([pairs[i - 1][0]]):
                pairs[i] = tf.identity(gradient), variable
        return _apply(pairs, optimizers, "generator"), pairs


def _scope(network: str) -> str:
    """The name scope of a network's updates; the slash enters it again instead of a new one."""
    return f"{network}_train/"


def _gradients(loss: tf.Tensor, network: str) -> Gradients:
    """The gradients of a loss, of which the optimizers take the sum over all replicas.

    The loss of a step is the mean of the replicas' losses: a replica's gradients are divided by
    their number.
    """
    variables = tf.trainable_variables(f"{network}/")
    count = replicas.position().replicas
    with tf.name_scope(_scope(network)):
        share = tf.constant(1 / count) if count > 1 else None
        return list(zip(tf.gradients(loss, variables, share), variables, strict=True))


def _apply(
    gradients: Gradients,
    optimizers: Optimizers,
    network: str,
    *,
    after: Sequence[tf.Tensor] = (),
) -> tf.Operation:
    with tf.name_scope(_scope(network)), tf.control_dependencies(after):
        return getattr(optimizers, network).apply_gradients(gradients)
