"""The losses (Isola et al. 2017, section 3.1), with logarithms that stay finite."""

import tensorflow.compat.v1 as tf

EPS = 1e-12


def discriminator_loss(predict_real: tf.Tensor, predict_fake: tf.Tensor) -> tf.Tensor:
    """-log D(x, y) - log(1 - D(x, G(x))), the mean over patches; not halved, as the paper does.

    Args:
      predict_real: float32 [N, h, w, 1] in (0, 1), D's scores of real pairs.
      predict_fake: float32 [N, h, w, 1] in (0, 1), D's scores of generated pairs.

    Returns:
      float32 scalar.
    """
    with tf.name_scope("discriminator_loss"):
        return tf.reduce_mean(-(tf.log(predict_real + EPS) + tf.log(1 - predict_fake + EPS)))


def generator_gan_loss(predict_fake: tf.Tensor) -> tf.Tensor:
    """-log D(x, G(x)), the mean over patches (section 3.3: not log(1 - D), which saturates).

    Args:
      predict_fake: float32 [N, h, w, 1] in (0, 1), D's scores of generated pairs.

    Returns:
      float32 scalar.
    """
    with tf.name_scope("generator_gan_loss"):
        return tf.reduce_mean(-tf.log(predict_fake + EPS))


def l1_loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The mean absolute difference of pixels (equation 3).

    Args:
      targets: float32 [N, H, W, C] in [-1, 1].
      outputs: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 scalar in [0, 2].
    """
    with tf.name_scope("generator_l1_loss"):
        return tf.reduce_mean(tf.abs(targets - outputs))
