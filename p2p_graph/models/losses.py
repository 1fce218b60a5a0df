"""The losses (Isola et al. 2017, section 3.1)."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from p2p_graph.config.training_options import LossOptions

EPS = 1e-12
KERAS_EPS = 1e-7  # default of keras.backend.epsilon
PROBABILITIES, LOGITS, UNBOUNDED = "probabilities", "logits", "unbounded"


class GanLoss(NamedTuple):
    """An adversarial loss of D's scores.

    L_D = as_real(D(real)) + as_fake(D(fake)); L_G = as_real(D(fake)). G minimises -log D(fake)
    instead of log(1 - D(fake)), which saturates (Isola et al. 2017, section 3.3).

    Attributes:
      as_real: the loss of scores, float32 [N, h, w, 1], whose label is "real": float32 scalar, the
        mean over patches.
      as_fake: the same for the label "fake".
      scores: what they are: PROBABILITIES in (0, 1), of a D that ends in a sigmoid; LOGITS; or
        UNBOUNDED numbers, of which 0.5 decides.
      guessing: as_real + as_fake of a D that gives every patch the probability 0.5, or where there
        are no probabilities the score 0.5.
    """

    as_real: Callable[[tf.Tensor], tf.Tensor]
    as_fake: Callable[[tf.Tensor], tf.Tensor]
    scores: str
    guessing: float = 2 * math.log(2)


def _clip(scores: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(scores, KERAS_EPS, 1 - KERAS_EPS)


def _cross_entropy(logits: tf.Tensor, label: float) -> tf.Tensor:
    labels = tf.fill(tf.shape(logits), label)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


GAN_LOSSES: Mapping[str, GanLoss] = {
    # affinelayer's and the Torch program's: -log(s + EPS) and -log(1 - s + EPS)
    "eps": GanLoss(
        lambda scores: tf.reduce_mean(-tf.log(scores + EPS)),
        lambda scores: tf.reduce_mean(-tf.log(1 - scores + EPS)),
        scores=PROBABILITIES,
    ),
    # Keras' binary cross-entropy on probabilities clipped to [1e-7, 1 - 1e-7]
    "clip": GanLoss(
        lambda scores: tf.reduce_mean(-tf.log(_clip(scores))),
        lambda scores: tf.reduce_mean(-tf.log(1 - _clip(scores))),
        scores=PROBABILITIES,
    ),
    # Cross-entropy of logits x: log(1 + exp(-x)) and log(1 + exp(x))
    "logits": GanLoss(
        lambda scores: _cross_entropy(scores, 1.0),
        lambda scores: _cross_entropy(scores, 0.0),
        scores=LOGITS,
    ),
    # Mao et al. 2017, equation 2 with a = 0, b = c = 1, without its factors 1/2: (s - 1)^2, s^2
    "lsgan": GanLoss(
        lambda scores: tf.reduce_mean((scores - 1) ** 2),
        lambda scores: tf.reduce_mean(scores**2),
        scores=UNBOUNDED,
        guessing=0.5,
    ),
}


def l1_loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The L1 loss mean|targets - outputs| over all values (Isola et al. 2017, equation 3).

    Args:
      targets: float32 [N, H, W, C] in [-1, 1].
      outputs: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 scalar in [0, 2].
    """
    with tf.name_scope("generator_l1_loss"):
        return tf.reduce_mean(tf.abs(targets - outputs))


def discriminator_loss(
    predict_real: tf.Tensor | None, predict_fake: tf.Tensor | None, options: LossOptions
) -> tf.Tensor:
    """D's loss: d_scale * (as_real(D(real)) + as_fake(D(fake))), or one of the two terms.

    Isola et al. 2017, equation 1; section 3.3 for d_scale 0.5.

    Args:
      predict_real: D's scores of real pairs, float32 [N, h, w, 1]; None leaves their term out.
      predict_fake: D's scores of generated pairs; None leaves their term out.
      options: the kind of loss, and d_scale.
    """
    gan_loss = GAN_LOSSES[options.gan_loss]
    with tf.name_scope("discriminator_loss"):
        terms = []
        if predict_real is not None:
            terms.append(gan_loss.as_real(predict_real))
        if predict_fake is not None:
            terms.append(gan_loss.as_fake(predict_fake))
        return tf.add_n(terms) * options.d_scale


def generator_loss(
    targets: tf.Tensor, outputs: tf.Tensor, predict_fake: tf.Tensor | None, options: LossOptions
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """G's loss: gan_weight * as_real(D(fake)) + l1_weight * mean|targets - outputs|.

    Isola et al. 2017, equation 4, without its adversarial term where there is no D.

    Args:
      targets: float32 [N, H, W, C] in [-1, 1].
      outputs: float32 [N, H, W, C] in [-1, 1].
      predict_fake: D's scores of generated pairs, float32 [N, h, w, 1]; None where there is no D.
      options: the kind of loss, and the weights.

    Returns:
      The loss, then its adversarial and L1 terms without their weights, float32 scalars.
    """
    l1 = l1_loss(targets, outputs)
    gan = tf.zeros([])
    total = l1 * options.l1_weight
    if predict_fake is not None:
        with tf.name_scope("generator_gan_loss"):
            gan = GAN_LOSSES[options.gan_loss].as_real(predict_fake)
        total = gan * options.gan_weight + total
    return total, gan, l1
