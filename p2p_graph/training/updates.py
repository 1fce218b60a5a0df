"""The orders of updates: in which D and G move in a step, and through what.

Every order is a function that builds the updates from the networks and their first forward pass.
Variables are read where a pass is built: what is built under a control dependency on an update sees
the updated weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.models.networks import Networks


class Losses(NamedTuple):
    """The three losses, float32 scalars (numbers once they are fetched)."""

    discrim_loss: tf.Tensor
    gen_loss_GAN: tf.Tensor  # noqa: N815 - the reference's name, and that of its TensorBoard tag
    gen_loss_L1: tf.Tensor  # noqa: N815


class Optimizers(NamedTuple):
    """One Adam (Kingma and Ba 2014) for each network; they hold its moments."""

    discriminator: tf.train.Optimizer
    generator: tf.train.Optimizer


Gradients = list[tuple[tf.Tensor, tf.Variable]]


class Forward(NamedTuple):
    """The first forward pass of a step.

    Attributes:
      outputs: G's images.
      real: D's scores of the real pairs.
      fake: D's scores of G's pairs.
    """

    outputs: tf.Tensor
    real: tf.Tensor
    fake: tf.Tensor


class Updates(NamedTuple):
    """What the updates of one step are: of D, None where there is none, and of G."""

    losses: Losses
    gradients: Gradients
    train: tf.Operation


def _stored(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """D moves; then G, through D's stored activations and its updated weights."""
    d_loss = networks.d_loss(first.real, first.fake)
    g_loss, *terms = networks.g_loss(first.outputs, first.fake)
    d_train, d_gradients = _update_d(d_loss, optimizers)
    # All gradients of G read D's weights after D's update, those of the stored forward pass.
    g_train, g_gradients = _update_g(g_loss, optimizers, after=d_train)
    return Updates(Losses(d_loss, *terms), [*d_gradients, *g_gradients], g_train)


def _fresh(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """D moves; the updated D judges G's images again; then G, through that."""
    d_loss = networks.d_loss(first.real, first.fake)
    d_train, d_gradients = _update_d(d_loss, optimizers)
    with tf.control_dependencies([d_train]):
        g_loss, *terms = networks.g_loss(
            first.outputs, networks.discriminate(first.outputs, "fresh")
        )
    g_train, g_gradients = _update_g(g_loss, optimizers, after=d_train)
    return Updates(Losses(d_loss, *terms), [*d_gradients, *g_gradients], g_train)


def _simultaneous(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """Both move, by gradients of the same forward pass, through old weights alone."""
    d_loss = networks.d_loss(first.real, first.fake)
    g_loss, *terms = networks.g_loss(first.outputs, first.fake)
    d_gradients, g_gradients = _gradients(d_loss, "discriminator"), _gradients(g_loss, "generator")
    known = [gradient for gradient, _ in (*d_gradients, *g_gradients)]
    d_train = _apply(d_gradients, optimizers, "discriminator", after=known)
    g_train = _apply(g_gradients, optimizers, "generator", after=known)
    return Updates(Losses(d_loss, *terms), [*d_gradients, *g_gradients], tf.group(d_train, g_train))


def _alternate(networks: Networks, first: Forward, optimizers: Optimizers) -> Updates:
    """D moves on real pairs, then on G's; then G, through fresh passes of G and of D."""
    real_loss = networks.d_loss(first.real, None)
    real_train, real_gradients = _update_d(real_loss, optimizers)
    with tf.control_dependencies([real_train]):
        fake_loss = networks.d_loss(None, networks.discriminate(first.outputs, "second"))
    fake_train, fake_gradients = _update_d(fake_loss, optimizers, after=real_train)
    with tf.control_dependencies([fake_train]):
        outputs = networks.generate(draw=1)
        g_loss, *terms = networks.g_loss(outputs, networks.discriminate(outputs, "fresh"))
    g_train, g_gradients = _update_g(g_loss, optimizers, after=fake_train)
    both = [
        (real + fake, variable)
        for (real, variable), (fake, _) in zip(real_gradients, fake_gradients, strict=True)
    ]
    return Updates(Losses(real_loss + fake_loss, *terms), [*both, *g_gradients], g_train)


def l1_alone(networks: Networks, outputs: tf.Tensor, optimizers: Optimizers) -> Updates:
    """G moves by L1; there is no D."""
    g_loss, *terms = networks.g_loss(outputs, None)
    g_train, g_gradients = _update_g(g_loss, optimizers)
    return Updates(Losses(tf.zeros([]), *terms), g_gradients, g_train)


ORDERS: Mapping[str, Callable[[Networks, Forward, Optimizers], Updates]] = {
    "stored": _stored,
    "fresh": _fresh,
    "simultaneous": _simultaneous,
    "alternate": _alternate,
}


def _update_d(
    loss: tf.Tensor, optimizers: Optimizers, *, after: tf.Operation | None = None
) -> tuple[tf.Operation, Gradients]:
    """One step of D's Adam.

    Its own backward pass reads its weights, so that none may move before all gradients are known.
    """
    with tf.control_dependencies([after] if after else []):
        pairs = _gradients(loss, "discriminator")
    known = [gradient for gradient, _ in pairs]
    return _apply(pairs, optimizers, "discriminator", after=known), pairs


def _update_g(
    loss: tf.Tensor, optimizers: Optimizers, *, after: tf.Operation | None = None
) -> tuple[tf.Operation, Gradients]:
    """One step of G's Adam; its backward pass is built after D's update, where there is one."""
    with tf.control_dependencies([after] if after else []):
        pairs = _gradients(loss, "generator")
        # A weight moves when the backward pass is past it, at the gradient of the weight before it:
        # its old value is then no longer held, and Adam need not copy it.
        for i in range(len(pairs) - 1, 0, -1):
            gradient, variable = pairs[i]
            with tf.control_dependencies([pairs[i - 1][0]]):
                pairs[i] = tf.identity(gradient), variable
        return _apply(pairs, optimizers, "generator"), pairs


def _scope(network: str) -> str:
    """The scope of a network's updates; with the slash it is entered again, not made anew."""
    return f"{network}_train/"


def _gradients(loss: tf.Tensor, network: str) -> Gradients:
    variables = tf.trainable_variables(f"{network}/")
    with tf.name_scope(_scope(network)):
        return list(zip(tf.gradients(loss, variables), variables, strict=True))


def _apply(
    gradients: Gradients,
    optimizers: Optimizers,
    network: str,
    *,
    after: Sequence[tf.Tensor] = (),
) -> tf.Operation:
    with tf.name_scope(_scope(network)), tf.control_dependencies(after):
        return getattr(optimizers, network).apply_gradients(gradients)
