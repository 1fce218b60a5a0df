"""Figures of a step's scores and outputs, which reports show: D's right answers, G's contrast.

They are reductions of what the step computes anyway, and are fetched at reports only.
"""

from collections.abc import Mapping

import tensorflow.compat.v1 as tf

REPORTS_FILE = "reports.jsonl"

RIGHT_ON_REAL = "right_on_real"
RIGHT_ON_FAKE = "right_on_fake"
SATURATED = "saturated"
OUTPUT_SPREAD = "output_spread"
TARGET_SPREAD = "target_spread"
_SURE = 0.99


def discriminator_figures(
    predict_real: tf.Tensor, predict_fake: tf.Tensor, *, bounded: bool
) -> dict[str, tf.Tensor]:
    """How much of D's answers is right, and how much of them is as good as certain.

    A sigmoid that is saturated passes hardly any gradient on (Arjovsky and Bottou 2017, section 2).

    Args:
      predict_real: D's scores of real pairs, float32 [N, h, w, 1].
      predict_fake: D's scores of generated pairs, float32 [N, h, w, 1].
      bounded: whether scores are probabilities; unbounded ones (least squares) do not saturate.

    Returns:
      float32 scalars in [0, 1]: the share of real patches that score above 0.5, the share of
      generated patches that score below 0.5, and, of probabilities, the share of all scores below
      0.01 or above 0.99.
    """
    with tf.name_scope("discriminator_figures"):
        figures = {
            RIGHT_ON_REAL: _share(predict_real > 0.5),
            RIGHT_ON_FAKE: _share(predict_fake < 0.5),
        }
        if bounded:
            scores = tf.concat([tf.reshape(predict_real, [-1]), tf.reshape(predict_fake, [-1])], 0)
            figures[SATURATED] = _share((scores < 1 - _SURE) | (scores > _SURE))
        return figures


def spread_figures(outputs: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
    """How far the values of an image lie apart.

    Args:
      outputs: float32 [N, H, W, C] in [-1, 1].
      targets: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 scalars in [0, 1]: the largest standard deviation over the pixels of one channel of
      one image, of the outputs and of the targets. The former is 0 where every image is one colour.
    """
    with tf.name_scope("spread_figures"):
        return {
            OUTPUT_SPREAD: tf.reduce_max(tf.math.reduce_std(outputs, axis=[1, 2])),
            TARGET_SPREAD: tf.reduce_max(tf.math.reduce_std(targets, axis=[1, 2])),
        }


def as_numbers(figures: Mapping[str, object]) -> dict[str, float]:
    """Fetched figures as numbers."""
    return {name: float(value) for name, value in figures.items()}  # type: ignore[arg-type]


def _share(which: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(which, tf.float32))
